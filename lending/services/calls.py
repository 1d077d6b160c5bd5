"""Reminders, calls for collateral, their cure and their deadline; and carrying out what the sweep found.

Each breach is carried out in one transaction on its locked loan: loan first, then the breach, then the position. A
worker killed at any point leaves the breach pending and nothing half done.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from lending import coverage
from lending.coverage import Prices
from lending.exceptions import NoAcceptedPrice
from lending.models import Breach, Loan, MarginCall, Position, Reminder, Setback, Stage
from lending.money import ceil_minor, from_minor
from lending.selectors.valuation import value_loan
from lending.services import positions, sales, setbacks
from lending.services.guards import locked_loan, move
from lending.services.notices import tell
from portal.models import User
from portal.money import Money

logger = logging.getLogger(__name__)
ENGINE: Final = "loan desk"
Kind = Reminder.Kind
_REMINDERS: Final = {Stage.REMINDER_FIRST: Kind.FIRST, Stage.REMINDER_SECOND: Kind.SECOND}


def act_on_breaches(*, limit: int = 500) -> int:
    """Carry out what waits, deepest first, one transaction each; how many were carried out.

    One loan's trouble keeps nobody else waiting: what failed goes to the end of the line, is counted and tried again.
    """
    kind = Setback.Kind.BREACH
    waiting = Breach.objects.filter(state=Breach.State.PENDING)
    setbacks.forget_gone(kind=kind, waiting=waiting)
    rows = waiting.order_by(setbacks.last_in_line(kind), "-stage", "id").values_list("pk", "loan_id")
    done = 0
    tried: list[int] = []
    for breach_id, loan_id in list(rows[:limit]):
        try:
            done += act(breach_id=breach_id)
            tried.append(breach_id)
        except Exception as error:
            logger.exception("breach %s could not be carried out; it is tried again", breach_id)
            setbacks.note_failure(kind=kind, row_id=breach_id, loan_id=loan_id, error=error)
    setbacks.note_success(kind=kind, row_ids=tried)
    setbacks.watch_breaches()
    return done


@transaction.atomic
def act(*, breach_id: int) -> bool:
    """Carry out one breach, once: a notice, a call, a sale, or the end of a call. False if it was done already."""
    loan_id = Breach.objects.values_list("loan_id", flat=True).get(pk=breach_id)
    loan = locked_loan(loan_id)
    breach = Breach.objects.select_for_update().get(pk=breach_id)
    if breach.state != Breach.State.PENDING:
        return False
    breach.acted_at = timezone.now()
    took_place = _cure(loan, breach) if breach.kind == Breach.Kind.CURE else _fall(loan, breach)
    target = Breach.State.DONE if took_place else Breach.State.OVERTAKEN
    move(
        breach,
        target,
        actor=ENGINE,
        action=f"lending.breach.{target}",
        subject="lending.breach",
        also=["acted_at"],
        data={"loan": loan.pk, "stage": breach.stage, "tick": breach.tick_id},
    )
    return True


def _fall(loan: Loan, breach: Breach) -> bool:
    if breach.stage == Stage.SALE:
        return _sell(loan, breach)
    if loan.state != Loan.State.ACTIVE:
        return False
    if breach.stage == Stage.CALL:
        open_call(loan=loan, breach=breach)
    else:
        _remind(loan, _REMINDERS[Stage(breach.stage)], key=f"episode-{breach.episode}", breach=breach)
        _watch_recovery(loan)
    return True


def _watch_recovery(loan: Loan) -> None:
    """Back at the coverage of a draw the reminders start over; so a price that swings about a step reminds once."""
    position = Position.objects.select_for_update().get(loan=loan)
    position.cure_bps = loan.terms.origination_bps
    positions.reindex(position)
    position.save(update_fields=["cure_bps", "cure_reach", "reach", "share_bucket"])


def open_call(*, loan: Loan, breach: Breach) -> MarginCall:
    """ACTIVE → MARGIN_CALLED: more collateral is asked for, by the deadline of the loan's terms."""
    now, terms, tick = timezone.now(), loan.terms, breach.tick
    position = Position.objects.select_for_update().get(loan=loan)
    needed = Decimal(breach.debt * terms.call_target_bps) / 10_000
    missing = needed - breach.worth.scaleb(_digits(loan))
    call = MarginCall.objects.create(
        loan=loan,
        breach=breach,
        opened_at=now,
        deadline=now + timedelta(hours=terms.call_deadline_hours),
        btc_price=tick.btc if position.btc_sats else None,
        eth_price=tick.eth if position.eth_wei else None,
        debt=breach.debt,
        btc_sats=position.btc_sats,
        eth_wei=position.eth_wei,
        worth=breach.worth,
        asked=from_minor(max(0, ceil_minor(missing.scaleb(-_digits(loan)), loan.currency)), loan.currency),
        cure_bps=terms.call_cure_bps,
        cured_by_price=terms.call_cured_by_price,
    )
    positions.set_stage(loan=loan, stage=Stage.SALE, cure_bps=call.cure_bps if call.cured_by_price else None)
    _remind(loan, Kind.CALLED, key=f"call-{call.pk}", breach=breach, call=call)
    move(
        loan,
        Loan.State.MARGIN_CALLED,
        actor=ENGINE,
        action="lending.loan.margin_called",
        subject="lending.loan",
        data={"call": call.pk, "deadline": call.deadline.isoformat(), "asked": str(call.asked)},
    )
    return call


def _digits(loan: Loan) -> int:
    return 0 if loan.currency == "JPY" else 2


def _sell(loan: Loan, breach: Breach) -> bool:
    """The sale level overrides an open call, whatever its deadline."""
    if loan.state not in (Loan.State.ACTIVE, Loan.State.MARGIN_CALLED):
        return False
    end_call_by_sale(loan)
    sales.start_sale(loan=loan, breach=breach, cause="price")
    return True


def end_call_by_sale(loan: Loan) -> None:
    """OPEN → OVERRIDDEN on the locked loan, if a call is open: the collateral is sold whatever its deadline."""
    call = MarginCall.objects.select_for_update().filter(loan=loan, state=MarginCall.State.OPEN).first()
    if call is not None:
        _end(call, MarginCall.State.OVERRIDDEN, by="sale")


def _cure(loan: Loan, breach: Breach) -> bool:
    call = MarginCall.objects.select_for_update().filter(loan=loan, state=MarginCall.State.OPEN).first()
    if call is not None:
        if not call.cured_by_price:
            return False
        cure_call(loan=loan, call=call, worth=breach.worth, by="price")
        return True
    if loan.state != Loan.State.ACTIVE:
        return False
    # No call was open: the reminders that were given may come again.
    positions.set_stage(loan=loan, stage=_next_step(loan, breach.worth, breach.debt), new_episode=True)
    return True


def cure_call(*, loan: Loan, call: MarginCall, worth: Decimal, by: str) -> None:
    """MARGIN_CALLED → ACTIVE on the locked loan: the call is cured, and every step may come again."""
    _end(call, MarginCall.State.CURED, by=by)
    debt = Position.objects.get(loan=loan).debt
    positions.set_stage(loan=loan, stage=_next_step(loan, worth, debt), new_episode=True)
    _remind(loan, Kind.CALL_CURED, key=f"call-{call.pk}", call=call)
    move(
        loan,
        Loan.State.ACTIVE,
        actor=ENGINE,
        action="lending.loan.call_cured",
        subject="lending.loan",
        data={"call": call.pk, "by": by},
    )


def _next_step(loan: Loan, worth: Decimal, debt: int) -> Stage:
    """The highest step that lies below the coverage."""
    for step in (Stage.REMINDER_FIRST, Stage.REMINDER_SECOND, Stage.CALL):
        bps = positions.threshold(loan.terms, step)
        if coverage.reaches(worth=worth, debt=debt, currency=loan.currency, bps=bps):
            return step
    return Stage.SALE


def judge_improvement(loan: Loan, actor: User | str) -> bool:
    """After a top-up or a repayment (`lending.hooks.improved`, locked loan): is an open call cured by it?

    If prices do not cure, the borrower's part alone counts: today's collateral and debt at the prices of the call.
    """
    call = MarginCall.objects.select_for_update().filter(loan=loan, state=MarginCall.State.OPEN).first()
    if call is None or loan.state != Loan.State.MARGIN_CALLED:
        return False
    position = Position.objects.get(loan=loan)
    try:
        worth = value_loan(loan).worth if call.cured_by_price else _worth_at_call(call, position)
    except (NoAcceptedPrice, ValueError):
        return False  # the next review judges it
    if not coverage.reaches(worth=worth, debt=position.debt, currency=loan.currency, bps=call.cure_bps):
        return False
    cure_call(loan=loan, call=call, worth=worth, by="borrower")
    return True


def _worth_at_call(call: MarginCall, position: Position) -> Decimal:
    prices = Prices(
        currency=position.currency,
        btc=call.btc_price.value if call.btc_price else None,
        eth=call.eth_price.value if call.eth_price else None,
    )
    return coverage.value(btc_sats=position.btc_sats, eth_wei=int(position.eth_wei), prices=prices)


def close_call(loan: Loan, actor: User | str) -> None:
    """The loan is repaid (`lending.hooks.repaid`): nothing is asked for any more."""
    for call in MarginCall.objects.select_for_update().filter(loan=loan, state=MarginCall.State.OPEN):
        _end(call, MarginCall.State.CLOSED, by="repaid", actor=actor)


def review_calls(*, now: datetime | None = None) -> int:
    """Every open call once: cured, its tiers of notices, its deadline. Number of calls that ended.

    The row's deadline is the queue, so a worker that was away loses nothing.
    """
    moment, kind = now or timezone.now(), Setback.Kind.CALL
    waiting = MarginCall.objects.filter(state=MarginCall.State.OPEN)
    setbacks.forget_gone(kind=kind, waiting=waiting)
    ended = 0
    reviewed: list[int] = []
    for call_id, loan_id in list(waiting.order_by("deadline").values_list("pk", "loan_id")):
        try:
            ended += _review(call_id, moment)
            reviewed.append(call_id)
        except Exception as error:
            logger.exception("call %s could not be reviewed; it is tried again", call_id)
            setbacks.note_failure(kind=kind, row_id=call_id, loan_id=loan_id, error=error)
    setbacks.note_success(kind=kind, row_ids=reviewed)
    return ended


@transaction.atomic
def _review(call_id: int, now: datetime) -> bool:
    loan = locked_loan(MarginCall.objects.values_list("loan_id", flat=True).get(pk=call_id))
    call = MarginCall.objects.select_for_update().get(pk=call_id)
    if call.state != MarginCall.State.OPEN or loan.state != Loan.State.MARGIN_CALLED:
        return False  # in a sale that its borrower asked for: judged when that is over
    if judge_improvement(loan, ENGINE):
        return True
    if now >= call.deadline:
        return _expire(loan, call)
    if now >= call.deadline - timedelta(hours=4):
        _remind(loan, Kind.CALL_LAST, key=f"call-{call.pk}", call=call)
    elif now >= call.opened_at + (call.deadline - call.opened_at) / 2:
        _remind(loan, Kind.CALL_HALFWAY, key=f"call-{call.pk}", call=call)
    return False


def _expire(loan: Loan, call: MarginCall) -> bool:
    """The deadline passed: collateral is sold up to the sale's target. Without an accepted price it waits for one."""
    try:
        valuation = value_loan(loan)
    except NoAcceptedPrice:
        return False
    if valuation.reaches(loan.terms.call_bps) and call.cured_by_price:
        # Back above the call's own level there is nothing to sell; the borrower is not punished for the rebound.
        cure_call(loan=loan, call=call, worth=valuation.worth, by="price")
        return True
    _end(call, MarginCall.State.EXPIRED, by="deadline")
    _remind(loan, Kind.CALL_EXPIRED, key=f"call-{call.pk}", call=call)
    sales.start_sale(loan=loan, call=call, cause="deadline")
    return True


def _end(call: MarginCall, state: str, *, by: str, actor: User | str = ENGINE) -> None:
    call.ended_at, call.ended_by = timezone.now(), by
    move(
        call,
        state,
        actor=actor,
        action=f"lending.call.{state}",
        subject="lending.call",
        also=["ended_at", "ended_by"],
        data={"loan": call.loan_id, "by": by},
    )


def _remind(
    loan: Loan, kind: str, *, key: str, breach: Breach | None = None, call: MarginCall | None = None
) -> Reminder:
    """Give one notice; the same kind and key is one notice."""
    judged = None
    if breach is not None:
        judged = coverage.coverage_bps(worth=breach.worth, debt=breach.debt, currency=loan.currency)
    notice, is_new = Reminder.objects.get_or_create(
        loan=loan,
        kind=kind,
        key=key,
        defaults={"breach": breach, "call": call, "coverage_bps": judged, "at": timezone.now()},
    )
    if is_new:
        params: dict[str, Any] = {"loan": loan.reference}
        if call is not None:
            params |= {"deadline": call.deadline, "amount": Money(call.asked, loan.currency)}
        tell(user=loan.borrower, kind=f"lending.{kind}", key=f"{loan.pk}:{key}", params=params)
    return notice
