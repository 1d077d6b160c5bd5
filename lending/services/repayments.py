"""Money that comes in: recorded, confirmed, and booked to charges, then late charges, then interest, then principal."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from lending import hooks
from lending.exceptions import FormReused, LoanRefused, NoAcceptedPrice, OverTheCap
from lending.models import Account, Accrual, Entry, EntryKind, Loan, MarginCall, Renewal, Repayment, Stage
from lending.money import from_minor, to_minor
from lending.selectors.ledger import Debt, debt_of, surplus_of
from lending.selectors.valuation import value_loan
from lending.services import accrual, documents, positions
from lending.services.credit import require_whole
from lending.services.guards import locked_loan, move, require_borrower, require_officer, require_other, require_state
from lending.services.ledger import Line, post
from lending.services.loans import log_loan, move_loan
from lending.services.notices import tell
from portal.models import User
from portal.money import Money

State = Repayment.State
SUBJECT: Final = "lending.repayment"
#: Money may still come for these.
OWING: Final = (*Loan.OPEN, Loan.State.SOLD_OUT)


@dataclass(frozen=True, slots=True)
class Split:
    """Where an amount goes, in minor units. Charges first, principal last; what is left over is the borrower's."""

    charges: int
    late: int
    interest: int
    principal: int
    shortfall: int
    surplus: int

    @classmethod
    def of(cls, amount: int, debt: Debt) -> Split:
        """`amount` over `debt` in the order of the contract (Civil Code art. 489: costs, interest, principal)."""
        left = amount
        parts: dict[str, int] = {}
        for name in ("charges", "late", "interest", "principal", "shortfall"):
            parts[name] = min(left, getattr(debt, name))
            left -= parts[name]
        return cls(**parts, surplus=left)


def record_repayment(*, loan_id: int, actor: User, amount: Decimal, received_on: date, reference: str) -> Repayment:
    """RECORDED by an officer from the bank's statement; nothing is booked yet. One reference is one transfer.

    The same again is the same row. Raises `LoanRefused` for a day in the future or before the loan began, `FormReused`
    for a reference that stands for something else.
    """
    require_officer(actor)
    reference = reference.strip()
    try:
        with transaction.atomic():
            loan = locked_loan(loan_id)
            require_other(actor, loan.borrower_id)
            minor = require_whole(amount, loan.currency)
            earlier = Repayment.objects.filter(reference=reference).first()
            if earlier is not None:
                return _same(earlier, loan, amount, received_on)
            _require_day(loan, received_on)
            if not reference:
                raise LoanRefused(_("Enter the reference of the transfer."), code="lending.repayment.no_reference")
            repayment = Repayment.objects.create(
                loan=loan,
                source=Repayment.Source.BANK,
                amount=from_minor(minor, loan.currency),
                received_on=received_on,
                reference=reference,
                recorded_by=actor,
            )
            log_loan(loan, "repayment_recorded", actor, data={"repayment": repayment.pk, "amount": str(amount)})
    except IntegrityError as error:
        raise _taken() from error
    return repayment


def _taken() -> FormReused:
    return FormReused(
        _("This transfer is recorded already, with other contents. Nothing was booked."),
        code="lending.repayment.reference_taken",
    )


def _same(earlier: Repayment, loan: Loan, amount: Decimal, received_on: date) -> Repayment:
    if (earlier.loan_id, earlier.amount, earlier.received_on) != (loan.pk, amount, received_on):
        raise _taken()
    return earlier


def _require_day(loan: Loan, received_on: date) -> None:
    require_state(loan, *OWING, code="lending.repayment.state")
    if received_on > timezone.localdate():
        raise LoanRefused(_("The day is in the future. Nothing was booked."), code="lending.repayment.future")
    if loan.started_on is None or received_on < loan.started_on:
        raise LoanRefused(
            _("The day is before the loan began. Nothing was booked."), code="lending.repayment.too_early"
        )


@transaction.atomic
def reject_repayment(*, repayment_id: int, actor: User, reason: str) -> Repayment:
    """RECORDED → REJECTED by the second person: the record was wrong. Nothing was booked. Its reference stays taken."""
    repayment = _locked(repayment_id, actor)
    if not reason.strip():
        raise LoanRefused(_("Say why. Nothing was changed."), code="lending.repayment.no_reason")
    repayment.confirmed_by, repayment.reason = actor, reason.strip()
    move(
        repayment,
        State.REJECTED,
        actor=actor,
        action="lending.repayment.rejected",
        subject=SUBJECT,
        reason=reason,
        also=["confirmed_by", "reason"],
    )
    return repayment


@transaction.atomic
def confirm_repayment(*, repayment_id: int, actor: User) -> Repayment:
    """RECORDED → BOOKED by somebody else: the money counts from the day it was received.

    Interest that was charged for later days on the principal it pays is taken back exactly. More than is owed is
    booked as a surplus that we owe the borrower. Nothing owed any more: the loan is REPAID. Confirming twice changes
    nothing. Raises `LoanRefused` if a later draw or repayment was booked since the day it was received.
    """
    repayment = _locked(repayment_id, actor)
    if repayment.state == State.BOOKED:
        return repayment
    loan = repayment.loan
    _require_day(loan, repayment.received_on)
    minor = to_minor(repayment.amount, loan.currency)
    debt = _debt_on(loan, repayment.received_on)
    split = Split.of(minor, debt)
    post(
        kind=EntryKind.REPAYMENT,
        key=f"repayment:{repayment.pk}",
        loan_id=loan.pk,
        value_on=repayment.received_on,
        memo={"repayment": repayment.pk, "reference": repayment.reference},
        lines=[Line(Account.CASH, loan.currency, minor), *_credits(loan, split)],
    )
    repayment.confirmed_by = actor
    _booked(repayment, split, actor)
    _after(loan, actor)
    return repayment


def _debt_on(loan: Loan, day: date) -> Debt:
    """What `loan` owed at the start of `day`: charged through the day before, no more and no less."""
    clock = Accrual.objects.filter(loan=loan, is_running=True).first()
    if clock is None:
        return debt_of(loan)
    if clock.through >= day:
        moved = (EntryKind.DRAW, EntryKind.REPAYMENT, EntryKind.SALE, EntryKind.CHARGE)
        # Days before a renewal cost another rate than the clock has now: they cannot be taken back by it.
        renewed = loan.renewals.filter(state=Renewal.State.GRANTED, decided_at__date__gt=day)
        if Entry.objects.filter(loan=loan, kind__in=moved, value_on__gt=day).exists() or renewed.exists():
            raise LoanRefused(
                _("Something else was booked on this loan for a later day. Reject this and record it with that day."),
                code="lending.repayment.backdated",
            )
        accrual.rewind(loan=loan, to=day - timedelta(days=1))
    else:
        accrual.catch_up(loan=loan, through=day - timedelta(days=1))
    return debt_of(loan)


def _credits(loan: Loan, split: Split) -> list[Line]:
    return [
        Line(Account.CHARGES, loan.currency, -split.charges),
        Line(Account.LATE, loan.currency, -split.late),
        Line(Account.INTEREST, loan.currency, -split.interest),
        Line(Account.PRINCIPAL, loan.currency, -split.principal),
        Line(Account.SHORTFALL, loan.currency, -split.shortfall),
        Line(Account.SURPLUS, loan.currency, -split.surplus),
    ]


def _booked(repayment: Repayment, split: Split, actor: User | str) -> None:
    currency = repayment.loan.currency
    repayment.to_charges = from_minor(split.charges, currency)
    repayment.to_late = from_minor(split.late, currency)
    repayment.to_interest = from_minor(split.interest, currency)
    repayment.to_principal = from_minor(split.principal, currency)
    repayment.to_shortfall = from_minor(split.shortfall, currency)
    repayment.surplus = from_minor(split.surplus, currency)
    repayment.booked_at = timezone.now()
    tell(
        user=repayment.loan.borrower,
        kind="lending.repayment_booked",
        key=repayment.pk,
        params={"loan": repayment.loan.reference, "amount": Money(repayment.amount, currency)},
    )
    if split.surplus:
        tell(
            user=repayment.loan.borrower,
            kind="lending.surplus",
            key=repayment.pk,
            params={"loan": repayment.loan.reference, "amount": Money(repayment.surplus, currency)},
        )
    move(
        repayment,
        State.BOOKED,
        actor=actor,
        action="lending.repayment.booked",
        subject=SUBJECT,
        also=[
            "confirmed_by",
            "to_charges",
            "to_late",
            "to_interest",
            "to_principal",
            "to_shortfall",
            "surplus",
            "booked_at",
        ],
        data={"amount": str(repayment.amount), "surplus": str(repayment.surplus)},
    )


def _after(loan: Loan, actor: User | str) -> None:
    """The days since the money came are charged on what is left; then the loan ends, or stands better than before."""
    accrual.catch_up(loan=loan)
    if debt_of(loan).total == 0:
        close_repaid(loan=loan, actor=actor)
        return
    # Without a price the next accepted one judges the loan; money is booked whatever the market's state.
    with contextlib.suppress(NoAcceptedPrice):
        positions.rearm(loan=loan, worth=value_loan(loan).worth)
    hooks.tell(hooks.improved, loan, actor)


def close_repaid(*, loan: Loan, actor: User | str) -> None:
    """The locked loan owes nothing: → REPAID, interest stops, the closing statement is made, collateral may go back."""
    Accrual.objects.filter(loan=loan).update(is_running=False)
    positions.set_stage(loan=loan, stage=Stage.NONE)
    loan.closed_on = timezone.localdate()
    documents.make_closing_statement(loan=loan)
    tell(user=loan.borrower, kind="lending.repaid", key=loan.pk, params={"loan": loan.reference})
    move_loan(loan, Loan.State.REPAID, actor, "repaid", also=["closed_on"])
    hooks.tell(hooks.repaid, loan, actor)


def _locked(repayment_id: int, actor: User) -> Repayment:
    """The repayment with its locked loan, for the second officer."""
    require_officer(actor)
    loan_id = Repayment.objects.values_list("loan_id", flat=True).get(pk=repayment_id)
    loan = locked_loan(loan_id)
    repayment = Repayment.objects.select_for_update().get(pk=repayment_id)
    repayment.loan = loan
    require_other(actor, repayment.recorded_by_id, loan.borrower_id)
    return repayment


# --- collateral turned into money -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proceeds:
    """What a sale brought: base units of an asset gone, minor units that came, and what the market kept of them."""

    asset: str
    units: int
    gross: int
    cost: int

    @property
    def net(self) -> int:
        return self.gross - self.cost


@transaction.atomic
def book_sale(
    *,
    loan_id: int,
    proceeds: Proceeds,
    reference: str,
    value_on: date,
    actor: User | str,
    memo: Mapping[str, Any] | None = None,
) -> Repayment:
    """Book one executed slice of a sale: the collateral leaves, its net proceeds pay the debt, the rest is surplus.

    `reference` names the slice; the same again is the same row. Does not end the loan: `finish_sale` does, once the
    sale is over. What was sold is booked although the loan was repaid meanwhile: then all of it is surplus. Raises
    `LoanRefused` for proceeds that are no proceeds.
    """
    loan = locked_loan(loan_id)
    earlier = Repayment.objects.filter(reference=reference).first()
    if earlier is not None:
        return _same(earlier, loan, from_minor(proceeds.gross - proceeds.cost, loan.currency), value_on)
    require_state(loan, *Loan.OPEN, Loan.State.REPAID, code="lending.sale.state")
    if proceeds.units <= 0 or proceeds.net <= 0 or proceeds.cost < 0:
        raise LoanRefused(_("These are no proceeds of a sale. Nothing was booked."), code="lending.sale.proceeds")
    debt = _debt_on(loan, value_on)
    fee = min(proceeds.net, proceeds.net * loan.terms.sale_fee_bps // 10_000)
    split = Split.of(proceeds.net - fee, debt)
    # The house's fee passes through the borrower's charges, so their statement shows it.
    split = Split(split.charges + fee, split.late, split.interest, split.principal, split.shortfall, split.surplus)
    repayment = Repayment.objects.create(
        loan=loan,
        source=Repayment.Source.SALE,
        amount=from_minor(proceeds.net, loan.currency),
        received_on=value_on,
        reference=reference,
    )
    post(
        kind=EntryKind.SALE,
        key=f"sale:{reference}",
        loan_id=loan.pk,
        value_on=value_on,
        memo={**(memo or {}), "repayment": repayment.pk, "gross": proceeds.gross, "cost": proceeds.cost},
        lines=[
            Line(Account.COLLATERAL, proceeds.asset, proceeds.units),
            Line(Account.CUSTODY, proceeds.asset, -proceeds.units),
            Line(Account.CASH, loan.currency, proceeds.net),
            Line(Account.CHARGES, loan.currency, fee),
            Line(Account.FEE_INCOME, loan.currency, -fee),
            *_credits(loan, split),
        ],
    )
    _booked(repayment, split, actor)
    accrual.catch_up(loan=loan)
    return repayment


@transaction.atomic
def book_crumb(*, loan_id: int, asset: str, units: int, reference: str, value_on: date) -> None:
    """Coins of a fill that brought no whole yen or cent after the exchange's fee: they are gone, and no money came.

    Under the same key as a slice, so the two can never both be booked for one order.
    """
    post(
        kind=EntryKind.SALE,
        key=f"sale:{reference}",
        loan_id=loan_id,
        value_on=value_on,
        memo={"brought": "nothing"},
        lines=[Line(Account.COLLATERAL, asset, units, loan_id), Line(Account.CUSTODY, asset, -units)],
    )


@transaction.atomic
def finish_sale(*, loan_id: int, actor: User | str, is_sold_out: bool = False) -> Loan:
    """After the last slice: IN_SALE → REPAID, ACTIVE, or SOLD_OUT with the shortfall booked openly.

    Collateral that is left means the target was restored, unless the sale says that what is left cannot be sold
    (`is_sold_out`). Twice is once.
    """
    loan = locked_loan(loan_id)
    if loan.state != Loan.State.IN_SALE:
        return loan
    accrual.catch_up(loan=loan)
    debt = debt_of(loan)
    position = positions.open_position(loan=loan)
    if debt.total == 0:
        close_repaid(loan=loan, actor=actor)
    elif (position.btc_sats or position.eth_wei) and not is_sold_out:
        if (call := MarginCall.objects.filter(loan=loan, state=MarginCall.State.OPEN).first()) is not None:
            return _back_to_call(loan, call, actor)
        move_loan(loan, Loan.State.ACTIVE, actor, "sale_finished")
        try:
            positions.set_stage(loan=loan, stage=Stage.SALE)
            positions.rearm(loan=loan, worth=value_loan(loan).worth)
        except NoAcceptedPrice:
            pass  # the stage stays at the sale: the next accepted price judges it
    else:
        _book_shortfall(loan, debt, actor)
    return loan


def _back_to_call(loan: Loan, call: MarginCall, actor: User | str) -> Loan:
    """The borrower's own sale is over and the call stays, unless what was repaid cures it."""
    move_loan(loan, Loan.State.MARGIN_CALLED, actor, "sale_finished")
    positions.set_stage(loan=loan, stage=Stage.SALE, cure_bps=call.cure_bps if call.cured_by_price else None)
    hooks.tell(hooks.improved, loan, actor)
    return loan


def _book_shortfall(loan: Loan, debt: Debt, actor: User | str) -> None:
    """No collateral is left to sell: what is owed becomes one shortfall, without further interest (working choice)."""
    post(
        kind=EntryKind.SHORTFALL,
        key=f"shortfall:{loan.pk}",
        loan_id=loan.pk,
        value_on=timezone.localdate(),
        lines=[
            Line(Account.SHORTFALL, loan.currency, debt.principal + debt.interest + debt.late + debt.charges),
            Line(Account.PRINCIPAL, loan.currency, -debt.principal),
            Line(Account.INTEREST, loan.currency, -debt.interest),
            Line(Account.LATE, loan.currency, -debt.late),
            Line(Account.CHARGES, loan.currency, -debt.charges),
        ],
    )
    Accrual.objects.filter(loan=loan).update(is_running=False)
    positions.set_stage(loan=loan, stage=Stage.NONE)
    tell(
        user=loan.borrower,
        kind="lending.shortfall",
        key=loan.pk,
        params={"loan": loan.reference, "amount": debt.money},
    )
    move_loan(loan, Loan.State.SOLD_OUT, actor, "sold_out", data={"shortfall": debt.total})


@transaction.atomic
def request_repayment_from_collateral(*, loan_id: int, actor: User, amount: Decimal) -> Loan:
    """The borrower asks to sell as much deposited collateral as repays `amount`; the sales carry it out.

    More than is owed is refused: there is nothing to sell collateral for.
    """
    loan = locked_loan(loan_id)
    require_borrower(loan, actor)
    require_state(loan, Loan.State.ACTIVE, Loan.State.MARGIN_CALLED, code="lending.repayment.state")
    minor = require_whole(amount, loan.currency)
    accrual.catch_up(loan=loan)
    owed = debt_of(loan).total
    if minor > owed:
        raise OverTheCap(
            _("Only %(owed)s %(currency)s is owed. Nothing was sold.")
            % {"owed": f"{from_minor(owed, loan.currency):,}", "currency": loan.currency},
            code="lending.repayment.over_debt",
        )
    if not len(hooks.repayment_from_collateral):
        raise LoanRefused(
            _("Repayment with collateral is not possible at the moment. Nothing was sold."),
            code="lending.repayment.no_sales",
        )
    for handler in hooks.repayment_from_collateral:
        handler(loan, actor, minor)
    log_loan(loan, "repayment_from_collateral_requested", actor, data={"amount": str(amount)})
    return loan


@transaction.atomic
def pay_out_surplus(*, loan_id: int, actor: User, reference: str) -> int:
    """Send the borrower what is theirs and book it; returns the minor units. The same reference again books nothing."""
    require_officer(actor)
    loan = locked_loan(loan_id)
    require_other(actor, loan.borrower_id)
    key = f"pay_out:{reference.strip()}"
    if Entry.objects.filter(key=key).exists():
        return 0
    surplus = surplus_of(loan)
    if surplus <= 0 or not reference.strip():
        raise LoanRefused(_("There is no surplus to pay out, or no reference."), code="lending.surplus.none")
    post(
        kind=EntryKind.PAY_OUT,
        key=key,
        loan_id=loan.pk,
        value_on=timezone.localdate(),
        memo={"reference": reference.strip()},
        lines=[Line(Account.SURPLUS, loan.currency, surplus), Line(Account.CASH, loan.currency, -surplus)],
    )
    log_loan(loan, "surplus_paid_out", actor, data={"amount": surplus, "reference": reference.strip()})
    return surplus
