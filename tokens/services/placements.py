"""The private placement: solicit, subscribe, take payment, allocate, issue."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chain import operations
from chain.models import ChainTransaction
from chain.selectors import balances_for, sbt_for, signer_for_role
from chain.services import enqueue
from chain.types import Category, SignerRole, Standing
from kyc.models import Wallet
from kyc.selectors import party_for, primary_wallet, wallets_for
from portal import audit
from portal.models import User
from portal.money import MINOR_DIGITS, Money
from portal.notices.services import notify
from portal.state import Transitions, require_transition
from tokens.exceptions import InvestorNotEligible, NotYourRole, SolicitationRefused, SubscriptionRefused
from tokens.models import TOKYO, Payment, PlacementRule, Security, Solicitation, Subscription
from tokens.services.guards import require_issuer

State = Subscription.State
SUBJECT: Final = "tokens.subscription"
#: Every statement an investor accepts before subscribing; the words are in `tokens.forms`.
ACKNOWLEDGEMENTS: Final = ("risk", "lock_up", "documents", "own_judgement")


def placement_rule(on: date) -> PlacementRule:
    """The rule in force on `on` (DOMAIN §3). There is always one: the first is made with the tables."""
    rule = PlacementRule.objects.filter(effective_from__lte=on).order_by("-effective_from").first()
    if rule is None:
        raise SolicitationRefused(
            _("No placement rule is in force on this day. An administrator has to enter one."),
            code="tokens.placement.no_rule",
        )
    return rule


def counted_solicitations(security: Security, *, at: datetime) -> QuerySet[Solicitation]:
    """Rows of the ledger that count together with `security` at `at`: the same kind, within the rule's months."""
    rule = placement_rule(at.astimezone(TOKYO).date())
    return Solicitation.objects.filter(
        kind_key=security.kind_key, solicited_at__gt=months_before(at, rule.window_months)
    )


def months_before(at: datetime, months: int) -> datetime:
    """The same time of day `months` earlier; the last day of a shorter month."""
    local = at.astimezone(TOKYO)
    index = local.year * 12 + local.month - 1 - months
    year, month = divmod(index, 12)
    first_of_next = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    last_day = (first_of_next - timedelta(days=1)).day
    return local.replace(year=year, month=month + 1, day=min(local.day, last_day))


def invite_investor(*, security_id: int, investor: User, actor: User) -> Subscription:
    """Solicit one verified person: a row in the ledger, then the invitation. Asking twice changes nothing.

    Raises `SolicitationRefused` when the person would be the 50th (the rule's number) of the same kind within the
    window, or is not a qualified institutional investor where only those may be asked; `InvestorNotEligible` when
    nobody verified stands behind the account.
    """
    require_issuer(actor)
    with transaction.atomic():
        security = _lock_kind(security_id)
        existing = Subscription.objects.filter(security=security, investor=investor).first()
        if existing is not None:
            return existing
        if not security.is_open_for_subscription:
            raise SolicitationRefused(
                _("This security is not on offer. Nobody was invited."), code="tokens.placement.not_on_offer"
            )
        party = party_for(investor)
        if party is None:
            raise InvestorNotEligible(
                _("This person is not verified yet, so they cannot be invited. Nobody was invited."),
                code="tokens.placement.not_verified",
            )
        _require_qii(security, is_qii=party.is_qii)
        solicit(security=security, investor=investor, person_key=party.subject, actor=actor)
        subscription = Subscription.objects.create(security=security, investor=investor)
        notify(
            user=investor,
            kind="tokens.invitation",
            params={"security": security.name},
            key=subscription.pk,
            path=f"/tokens/subscriptions/{subscription.pk}/",
        )
        _log(subscription, "invited", actor, to_state=State.INVITED)
    return subscription


def solicit(
    *, security: Security, investor: User, person_key: str, actor: User, at: datetime | None = None
) -> Solicitation:
    """Enter a person in the ledger of solicited persons. The caller holds the lock of the kind.

    One legal person counts once, over all securities of the kind. Raises `SolicitationRefused` for the person
    that would bring the count to the rule's number. Source: DOMAIN §3, fewer than 50 solicited.
    """
    at = at or timezone.now()
    counted = counted_solicitations(security, at=at)
    people = set(counted.values_list("person_key", flat=True))
    if security.placement_type == Security.PlacementType.SMALL_NUMBER and person_key not in people:
        limit = placement_rule(at.astimezone(TOKYO).date()).solicited_below
        if len(people) + 1 >= limit:
            raise SolicitationRefused(
                _(
                    "This would be person number %(limit)d solicited for this kind of security within the period, and "
                    "a small-number placement stays below that. Nobody was invited."
                )
                % {"limit": limit},
                code="tokens.placement.too_many_solicited",
            )
    return Solicitation.objects.create(
        security=security,
        investor=investor,
        person_key=person_key,
        kind_key=security.kind_key,
        number=len(people | {person_key}),
        solicited_at=at,
        solicited_by=actor,
    )


def decline_invitation(*, subscription_id: int, actor: User) -> Subscription:
    """INVITED → DECLINED by the investor. They stay in the ledger: they were solicited."""
    with transaction.atomic():
        subscription = _own(subscription_id, actor)
        _move(subscription, State.DECLINED, actor, "declined")
    return subscription


def subscribe(
    *, subscription_id: int, actor: User, units: int, acknowledgements: Collection[str], wallet: str = ""
) -> Subscription:
    """INVITED → SUBSCRIBED for `units` base units, by the invited investor, into their `wallet` (default: the primary).

    Raises `InvestorNotEligible` while their SBT is not effective, `SubscriptionRefused` for an amount outside lot
    and issue or for a statement that was not accepted.
    """
    with transaction.atomic():
        subscription = _own(subscription_id, actor)
        security = subscription.security
        if not security.is_open_for_subscription:
            raise SubscriptionRefused(
                _("This security is no longer on offer. Nothing was subscribed."), code="tokens.subscription.closed"
            )
        missing = set(ACKNOWLEDGEMENTS) - set(acknowledgements)
        if missing:
            raise SubscriptionRefused(
                _("Read and accept every statement first. Nothing was subscribed."),
                code="tokens.subscription.not_acknowledged",
            )
        _require_amount(security, units)
        subscription.wallet = require_effective_wallet(subscription.investor, security, wallet)
        subscription.units = units
        subscription.acknowledgements = sorted(ACKNOWLEDGEMENTS)
        subscription.acknowledged_at = subscription.subscribed_at = timezone.now()
        _move(
            subscription,
            State.SUBSCRIBED,
            actor,
            "subscribed",
            data={"units": str(units), "wallet": subscription.wallet},
            also=["wallet", "units", "acknowledgements", "acknowledged_at", "subscribed_at"],
        )
    return subscription


def withdraw_subscription(*, subscription_id: int, actor: User) -> Subscription:
    """SUBSCRIBED → WITHDRAWN by the investor, as long as no money has arrived."""
    with transaction.atomic():
        subscription = _own(subscription_id, actor)
        if subscription.payments.exists():
            raise SubscriptionRefused(
                _("A payment has already arrived, so this cannot be withdrawn here. Contact the issuer."),
                code="tokens.subscription.already_paid",
            )
        _move(subscription, State.WITHDRAWN, actor, "withdrawn")
    return subscription


def record_payment(
    *, subscription_id: int, actor: User, money: Money, received_on: date, reference: str
) -> Subscription:
    """Book money that arrived. The full amount makes it PAID; a part stays SUBSCRIBED with the rest outstanding.

    The same bank reference with the same amount changes nothing. Raises `SubscriptionRefused` for another currency,
    fractions of the minor unit, zero or less, more than is due, a day in the future.
    """
    require_issuer(actor)
    with transaction.atomic():
        subscription = _locked(subscription_id)
        if _is_repeat(subscription, money, reference):
            return subscription
        require_transition(
            Subscription.TRANSITIONS,
            current=subscription.state,
            target=State.PAID,
            code="tokens.subscription.wrong_state",
        )
        missing = subscription.due - paid_so_far(subscription)
        _require_payment(money, missing, received_on, reference)
        Payment.objects.create(
            subscription=subscription,
            amount=money.amount,
            currency=money.currency,
            received_on=received_on,
            reference=reference.strip(),
            recorded_by=actor,
        )
        data = {"amount": str(money.amount), "currency": money.currency, "reference": reference.strip()}
        if money.amount == missing.amount:
            subscription.paid_at = timezone.now()
            _move(subscription, State.PAID, actor, "paid", data=data, also=["paid_at"])
        else:
            _log(subscription, "part_paid", actor, data=data)
    return subscription


def paid_so_far(subscription: Subscription) -> Money:
    """The sum of what was booked for it."""
    total = subscription.payments.aggregate(total=Sum("amount"))["total"] or Decimal(0)
    return Money(total, subscription.security.currency)


def allocate_subscription(*, subscription_id: int, actor: User, units: int) -> Subscription:
    """PAID → ALLOCATED with `units` (≤ what was paid, ≤ what is left of the issue); 0 → NOT_ALLOCATED.

    The issuer decides an oversubscribed issue this way; the difference to what was paid is due back.
    """
    require_issuer(actor)
    with transaction.atomic():
        security = Security.objects.select_for_update().get(subscriptions=subscription_id)
        subscription = _locked(subscription_id)
        if units == 0:
            _move(subscription, State.NOT_ALLOCATED, actor, "not_allocated")
            return subscription
        require_transition(
            Subscription.TRANSITIONS,
            current=subscription.state,
            target=State.ALLOCATED,
            code="tokens.subscription.wrong_state",
        )
        _require_allocation(security, subscription, units)
        subscription.allocated_units = units
        _move(subscription, State.ALLOCATED, actor, "allocated", data={"units": str(units)}, also=["allocated_units"])
    return subscription


def available_units(security: Security) -> int:
    """Authorised units that no allocation has taken yet."""
    taken = security.subscriptions.filter(state__in=Subscription.TAKES_UNITS).aggregate(t=Sum("allocated_units"))["t"]
    authorised: int = security.authorised_units
    return authorised - int(taken or 0)


#: The issuer's arrows to ISSUING; the one from IN_BLOCK is the chain's own (a reorganisation).
_ISSUE_FROM: Final[Transitions] = {State.ALLOCATED: {State.ISSUING}, State.FAILED: {State.ISSUING}}


def issue_allotment(*, subscription_id: int, actor: User) -> Subscription:
    """ALLOCATED (or FAILED) → ISSUING: admit the wallet and mint to it, both in the outbox in this transaction.

    The mint waits for the admission. A wallet that is admitted already is not admitted again. Raises
    `InvestorNotEligible` when the investor's SBT is no longer effective.
    """
    require_issuer(actor)
    with transaction.atomic():
        subscription = _locked(subscription_id)
        require_transition(
            _ISSUE_FROM,
            current=subscription.state,
            target=State.ISSUING,
            code="tokens.subscription.wrong_state",
        )
        _require_retry_is_safe(subscription)
        wallet, token = subscription.wallet, subscription.security.token
        if wallet is None or token is None:
            raise ValueError("an allocated subscription has a wallet and its security a contract")
        require_standing(wallet, subscription.security)
        subscription.issue_attempt += 1
        subscription.error_code = ""
        subscription.admission = _enqueue_admission(subscription, token, wallet)
        subscription.mint = _enqueue_mint(subscription, token, wallet)
        _move(
            subscription,
            State.ISSUING,
            actor,
            "issuing",
            also=["issue_attempt", "error_code", "admission", "mint"],
        )
    return subscription


def require_effective_wallet(investor: User, security: Security, address: str = "") -> str:
    """The address units are to go to: the person's wallet at `address` (default: the primary).

    Raises `InvestorNotEligible` when it is not theirs, or its SBT is not effective or does not fit the placement.
    """
    wallet = _wallet_at(investor, address) if address else primary_wallet(investor)
    if wallet is None:
        raise InvestorNotEligible(
            _("Your identity is not verified yet, so you cannot subscribe. Finish the verification first."),
            code="tokens.investor.not_verified",
        )
    require_standing(wallet.address, security)
    return str(wallet.address)


def _wallet_at(investor: User, address: str) -> Wallet:
    wallet = next((wallet for wallet in wallets_for(investor) if wallet.address == address), None)
    if wallet is None:
        raise InvestorNotEligible(
            _("This wallet is not one of yours here. Nothing was changed. Choose another."),
            code="tokens.investor.not_your_wallet",
        )
    return wallet


def require_standing(address: str, security: Security) -> None:
    """Pass if the SBT of `address`, as indexed, is effective and of the kind `security` is for."""
    sbt = sbt_for(address)
    if sbt is None or sbt.standing is not Standing.EFFECTIVE:
        raise InvestorNotEligible(
            _("The investor's verification is not in force on the chain. Nothing was changed. Try again once it is."),
            code="tokens.investor.not_effective",
        )
    _require_qii(security, is_qii=bool(sbt.categories & Category.QUALIFIED_INSTITUTIONAL))


def _require_qii(security: Security, *, is_qii: bool) -> None:
    if security.is_qii_only and not is_qii:
        raise InvestorNotEligible(
            _("This placement is for qualified institutional investors only. Nothing was changed."),
            code="tokens.investor.not_qii",
        )


def _require_amount(security: Security, units: int) -> None:
    if units < security.minimum_lot_units:
        raise SubscriptionRefused(
            _("The amount is below the minimum lot. Nothing was subscribed."), code="tokens.subscription.below_lot"
        )
    if units > security.authorised_units:
        raise SubscriptionRefused(
            _("The amount is more than the whole issue. Nothing was subscribed."),
            code="tokens.subscription.above_issue",
        )


def _require_payment(money: Money, missing: Money, received_on: date, reference: str) -> None:
    problem = _payment_problem(money, missing, received_on, reference)
    if problem is not None:
        message, code = problem
        raise SubscriptionRefused(message, code=f"tokens.payment.{code}")


def _payment_problem(money: Money, missing: Money, received_on: date, reference: str) -> tuple[Any, str] | None:
    if not reference.strip():
        return _("Enter the bank's reference. Nothing was booked."), "no_reference"
    if money.currency != missing.currency:
        return _("The payment is in another currency than the security. Nothing was booked."), "currency"
    if money.amount <= 0:
        return _("The amount must be more than zero. Nothing was booked."), "not_positive"
    if money.amount.scaleb(MINOR_DIGITS[money.currency]) % 1:
        return _("The amount is finer than the currency. Nothing was booked."), "too_fine"
    if money.amount > missing.amount:
        return _(
            "The payment is more than what is still due. Nothing was booked. Return the difference, then book what is due."
        ), "above_due"
    if received_on > timezone.now().astimezone(TOKYO).date():
        return _("The day of receipt is in the future. Nothing was booked."), "future"
    return None


def _is_repeat(subscription: Subscription, money: Money, reference: str) -> bool:
    booked = subscription.payments.filter(reference=reference.strip()).first()
    if booked is None:
        return False
    if booked.money != money:
        raise SubscriptionRefused(
            _("This bank reference was already booked with another amount. Nothing was booked."),
            code="tokens.payment.reference_used",
        )
    return True


def _require_allocation(security: Security, subscription: Subscription, units: int) -> None:
    paid_units = min(subscription.units, security.units_for(paid_so_far(subscription)))
    if units < 0 or units > paid_units:
        raise SubscriptionRefused(
            _("The allocation is more than what was paid for. Nothing was allocated."),
            code="tokens.allocation.above_paid",
        )
    if units > available_units(security):
        raise SubscriptionRefused(
            _("The allocation is more than what is left of the issue. Nothing was allocated."),
            code="tokens.allocation.above_authorised",
        )
    if units < security.minimum_lot_units:
        raise SubscriptionRefused(
            _("The allocation is below the minimum lot. Nothing was allocated."), code="tokens.allocation.below_lot"
        )


def _require_retry_is_safe(subscription: Subscription) -> None:
    """A mint that a reorganisation could still carry out must not be asked for a second time."""
    previous = subscription.mint
    if previous is None:
        return
    dead = previous.state in ChainTransaction.DEAD and previous.is_settled
    if not dead:
        raise SubscriptionRefused(
            _("The last attempt is not over for good yet. Nothing was changed. Try again in a few minutes."),
            code="tokens.subscription.not_settled",
        )


def _enqueue_admission(subscription: Subscription, token: str, wallet: str) -> ChainTransaction | None:
    if any(balance.token == token and balance.is_admitted for balance in balances_for([wallet])):
        return None
    return enqueue(
        call=operations.admit(token, [wallet]),
        signer=signer_for_role(SignerRole.TOKEN_AGENT),
        idempotency_key=f"{SUBJECT}:{subscription.pk}:admit:{subscription.issue_attempt}",
        purpose="tokens.admit_for_allotment",
        subject=f"{SUBJECT}:{subscription.pk}",
    )


def _enqueue_mint(subscription: Subscription, token: str, wallet: str) -> ChainTransaction:
    return enqueue(
        call=operations.mint(token, wallet, subscription.allocated_units),
        signer=signer_for_role(SignerRole.TOKEN_AGENT),
        idempotency_key=f"{SUBJECT}:{subscription.pk}:mint:{subscription.issue_attempt}",
        purpose="tokens.mint_allotment",
        subject=f"{SUBJECT}:{subscription.pk}",
        depends_on=subscription.admission,
    )


def _lock_kind(security_id: int) -> Security:
    """Lock every security whose ledger counts together, so that two officers cannot both invite the last person."""
    security = Security.objects.get(pk=security_id)
    issued = Security.objects.select_for_update().filter(currency=security.currency).order_by("pk")
    return next(row for row in issued if row.pk == security_id)


def _own(subscription_id: int, actor: User) -> Subscription:
    subscription = _locked(subscription_id)
    if subscription.investor_id != actor.pk:
        raise NotYourRole(_("This invitation is somebody else's."), code="tokens.subscription.not_yours")
    return subscription


def _locked(subscription_id: int) -> Subscription:
    return (
        Subscription.objects.select_for_update(of=("self",))
        .select_related("security", "investor", "mint")
        .get(pk=subscription_id)
    )


def _move(
    subscription: Subscription,
    target: str,
    actor: User | str,
    action: str,
    *,
    data: Mapping[str, Any] | None = None,
    also: Collection[str] = (),
) -> None:
    require_transition(
        Subscription.TRANSITIONS, current=subscription.state, target=target, code="tokens.subscription.wrong_state"
    )
    before, subscription.state = subscription.state, target
    subscription.save(update_fields=["state", *also])
    _log(subscription, action, actor, from_state=before, to_state=target, data=data)


def _log(
    subscription: Subscription,
    action: str,
    actor: User | str,
    *,
    from_state: str = "",
    to_state: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    audit.record(
        action=f"{SUBJECT}.{action}",
        subject_type=SUBJECT,
        subject_id=subscription.pk,
        actor=actor,
        from_state=from_state,
        to_state=to_state,
        data={"security": subscription.security_id, **(data or {})},
    )
