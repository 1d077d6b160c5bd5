"""Asking for prices, accepting them, and closing a breaker by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chain.services.incidents import close_if_open, open_incident
from lending.models import (
    Asset,
    Breaker,
    Currency,
    Observation,
    Pair,
    Price,
    PricePolicy,
    PriceRound,
    PriceSource,
    PriceTick,
)
from lending.models.prices import pair_of
from lending.prices import acceptance
from lending.prices.acceptance import Agreement
from lending.prices.asking import Answer, Question, ask
from lending.prices.exceptions import PriceRefused
from lending.selectors.prices import accepted_price
from portal import audit
from portal.exceptions import NotPermitted
from portal.models import Role, User
from portal.wake import wake

ENGINE: Final = "loan desk"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a round says of one pair: an agreement, or the cause why there is no price."""

    agreed: Agreement | None
    cause: str = ""
    cross_checked: bool = False
    confirmed: bool = False


def poll_prices() -> PriceRound | None:
    """Ask every active source once and record the round. Without sources nothing is recorded.

    The asking holds no transaction and no lock; a source that hangs costs the round its deadline, no more.
    """
    sources = list(PriceSource.objects.filter(is_active=True))
    if not sources:
        return None
    started_at = timezone.now()
    return record_round(answers=ask([_question(source) for source in sources]), started_at=started_at)


def _question(source: PriceSource) -> Question:
    url = source.base_url or settings.EXCHANGE_SIMULATOR_URL
    symbol = source.pair if not source.is_inverse else "/".join(reversed(source.pair.split("/")))
    place = (str(source.kind), source.exchange or source.feed_address, url if source.exchange else "")
    return Question(source_id=source.pk, symbol=symbol, place=place, is_inverse=source.is_inverse)


@transaction.atomic
def record_round(*, answers: Sequence[Answer], started_at: datetime) -> PriceRound:
    """Store what the sources said; accept a price per pair, or say in its breaker why not; then wake the sweep.

    Rounds are judged one after another (the breakers are locked). A round that began before one that is judged already
    is stored and accepts nothing: of two prices at once the newer stands.
    """
    breakers = {row.pair: row for row in Breaker.objects.select_for_update().order_by("pair")}
    policies = {row.pair: row for row in PricePolicy.objects.all()}
    newest = PriceRound.objects.order_by("-started_at").values_list("started_at", flat=True).first()
    is_late = newest is not None and started_at <= newest
    price_round = PriceRound.objects.create(started_at=started_at, finished_at=timezone.now())
    rows = _observe(price_round, answers, policies)
    if is_late:
        return price_round
    by_pair = {
        pair: {row.pk: row.value for row in rows if row.source.pair == pair and not row.problem} for pair in breakers
    }
    verdicts = _cross_checked({pair: _agree(by_pair[pair], policies[pair]) for pair in breakers}, policies)
    accepted = {}
    for pair, breaker in breakers.items():
        breaker.last_round = price_round
        price = _conclude(breaker, policies[pair], verdicts[pair], price_round, by_pair[pair])
        if price is not None:
            accepted[pair] = price
    _queue_ticks(price_round, accepted)
    return price_round


def _observe(price_round: PriceRound, answers: Sequence[Answer], policies: dict[str, PricePolicy]) -> list[Observation]:
    sources = PriceSource.objects.in_bulk([answer.source_id for answer in answers])
    now = timezone.now()
    rows = []
    for answer in answers:
        source = sources[answer.source_id]
        problem, value = answer.problem, None
        if answer.quote is not None:
            skew = policies[source.pair].clock_skew_seconds
            problem = acceptance.fault(answer.quote, now=now, max_age=source.max_age_seconds, skew=skew)
            raw = answer.quote.value
            value = acceptance.rounded(raw) if raw.is_finite() and abs(raw) <= acceptance.LARGEST else None
        rows.append(
            Observation(
                price_round=price_round,
                source=source,
                value=value,
                observed_at=answer.quote.observed_at if answer.quote else None,
                fetched_at=answer.fetched_at,
                problem=problem,
                detail=answer.detail,
            )
        )
    return Observation.objects.bulk_create(rows)


def _agree(values: dict[int, Decimal], policy: PricePolicy) -> Verdict:
    agreed = acceptance.agreement(values, spread_bps=policy.spread_bps, quorum=policy.quorum)
    return Verdict(agreed, "" if agreed else Breaker.Cause.NO_QUORUM)


def _cross_checked(verdicts: dict[str, Verdict], policies: dict[str, PricePolicy]) -> dict[str, Verdict]:
    """Yen against dollars by USD/JPY, for each coin; where they contradict each other neither is believed.

    Which of the two is wrong cannot be known here. Without any USD/JPY the coins are taken as they are, and say so.
    """
    found = dict(verdicts)
    rate = verdicts[Pair.USD_JPY].agreed
    held = accepted_price(Pair.USD_JPY) if rate is None else None
    usd_jpy = rate.value if rate else held.value if held else None
    for asset in Asset.values:
        yen, dollar = (pair_of(asset, currency) for currency in (Currency.JPY, Currency.USD))
        in_yen, in_dollars = verdicts[yen].agreed, verdicts[dollar].agreed
        if usd_jpy is None or in_yen is None or in_dollars is None:
            continue
        bps = min(policies[yen].cross_bps, policies[dollar].cross_bps)
        wrong = acceptance.contradicts(in_yen=in_yen.value, in_dollars=in_dollars.value, usd_jpy=usd_jpy, bps=bps)
        for pair, agreed in ((yen, in_yen), (dollar, in_dollars)):
            found[pair] = Verdict(None, Breaker.Cause.CROSS) if wrong else Verdict(agreed, cross_checked=True)
    return found


def _conclude(
    breaker: Breaker, policy: PricePolicy, verdict: Verdict, price_round: PriceRound, values: dict[int, Decimal]
) -> Price | None:
    """Accept the round's median of one pair, or keep its breaker open; saves the breaker."""
    last = Price.objects.filter(pair=breaker.pair).order_by("-at", "-id").first()
    confirmed = False
    if verdict.agreed is not None and last is not None:
        confirmed = acceptance.is_jump(verdict.agreed.value, last.value, bps=policy.jump_bps)
        if confirmed and not _is_confirmed(breaker, policy, verdict.agreed.value, last.value):
            verdict = Verdict(None, Breaker.Cause.JUMP)
    if verdict.agreed is None:
        expired = last is None or last.at < price_round.started_at - timedelta(seconds=policy.valid_seconds)
        # A round without a quorum proves nothing: the last price holds until it is too old. A contradiction does.
        if verdict.cause != Breaker.Cause.NO_QUORUM or expired:
            _open(breaker, verdict.cause)
        breaker.save()
        return None
    _mark_outliers(price_round, breaker.pair, verdict.agreed)
    price = Price.objects.create(
        pair=breaker.pair,
        value=verdict.agreed.value,
        at=price_round.started_at,
        price_round=price_round,
        sources=len(verdict.agreed.counted),
        is_cross_checked=verdict.cross_checked,
        was_confirmed=confirmed,
    )
    price.observations.set(verdict.agreed.counted)
    _close(breaker, reason="a price was accepted again")
    breaker.save()
    return price


def _is_confirmed(breaker: Breaker, policy: PricePolicy, value: Decimal, last: Decimal) -> bool:
    """Whether a jump to `value` may be believed: a person looked, or enough rounds in a row said about the same.

    A jump beyond `confirm_limit_bps` is never believed without a person, however often it is repeated.
    """
    if breaker.accept_next:
        return True
    if breaker.candidate is not None and not acceptance.is_apart(value, breaker.candidate, bps=policy.jump_bps):
        breaker.confirmed_rounds += 1
    else:
        breaker.confirmed_rounds = 1
    breaker.candidate = value
    too_far = acceptance.is_jump(value, last, bps=policy.confirm_limit_bps)
    return breaker.confirmed_rounds >= policy.confirmations and not too_far


def _mark_outliers(price_round: PriceRound, pair: str, agreed: Agreement) -> None:
    Observation.objects.filter(price_round=price_round, source__pair=pair, problem="").exclude(
        pk__in=agreed.counted
    ).update(problem=Observation.Problem.OUTLIER)


def _open(breaker: Breaker, cause: str) -> None:
    """No price of the pair is relied on from now on: the book is marked, the desk alarmed."""
    was_open = breaker.state == Breaker.State.OPEN
    if was_open and breaker.cause == cause:
        return
    breaker.cause = cause
    if was_open:
        return
    breaker.state, breaker.opened_at = Breaker.State.OPEN, timezone.now()
    breaker.save()
    open_incident(
        kind="lending.price_broken",
        detail=f"{breaker.pair}: {breaker.get_cause_display()}. Nothing is lent or sold by this price.",
        dedupe_key=f"lending.price:{breaker.pair}",
        data={"pair": breaker.pair, "cause": cause},
    )
    _log(breaker, "opened", ENGINE, Breaker.State.CLOSED, Breaker.State.OPEN, cause)


def _close(breaker: Breaker, *, reason: str) -> None:
    breaker.candidate, breaker.confirmed_rounds, breaker.accept_next = None, 0, False
    if breaker.state == Breaker.State.CLOSED:
        return
    breaker.state, breaker.cause, breaker.opened_at = Breaker.State.CLOSED, "", None
    close_if_open(dedupe_key=f"lending.price:{breaker.pair}", reason=reason)
    _log(breaker, "closed", ENGINE, Breaker.State.OPEN, Breaker.State.CLOSED, reason)


def _log(breaker: Breaker, step: str, actor: User | str, source: str, target: str, reason: str) -> None:
    audit.record(
        action=f"lending.price_breaker.{step}",
        subject_type="lending.price_breaker",
        subject_id=breaker.pair,
        actor=actor,
        from_state=source,
        to_state=target,
        reason=reason,
    )


def _queue_ticks(price_round: PriceRound, accepted: dict[str, Price]) -> None:
    """Queue the evaluation of the book by the prices that hold now, in the transaction that accepted them."""
    from lending.tasks import sweep_book_task

    for currency in Currency.values:
        pairs = [pair_of(asset, currency) for asset in (Asset.BTC, Asset.ETH)]
        if not any(pair in accepted for pair in pairs):
            continue
        btc, eth = (accepted.get(pair) or accepted_price(pair) for pair in pairs)
        PriceTick.objects.create(price_round=price_round, currency=currency, btc=btc, eth=eth)
    if accepted:
        wake(sweep_book_task)


@transaction.atomic
def reset_breaker(*, pair: str, actor: User, reason: str) -> Breaker:
    """A loan officer looked and believes the jump: the next round's median is accepted whatever the last price was.

    Only a jump can be believed; sources that disagree, or yen and dollars that contradict each other, cannot be.
    Raises `PriceRefused`, `NotPermitted`.
    """
    if not actor.has_role(Role.LOAN_OFFICER):
        raise NotPermitted(
            _("Only loan officers may do this. Nothing was changed."), code="lending.loan_officer_required"
        )
    breaker = Breaker.objects.select_for_update().get(pk=pair)
    if breaker.cause != Breaker.Cause.JUMP or not reason.strip():
        raise PriceRefused(
            _("Only a jump of the price can be confirmed by hand, and with a reason. Nothing was changed."),
            code="lending.price.not_a_jump",
        )
    breaker.accept_next = True
    breaker.save(update_fields=["accept_next"])
    _log(breaker, "confirmed", actor, Breaker.State.OPEN, Breaker.State.OPEN, reason)
    return breaker
