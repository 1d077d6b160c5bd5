"""Lending: a draw is asked for by the borrower and paid out by an officer, under both caps and every limit."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from lending import calendar
from lending.exceptions import FormReused, LoanRefused, NotFound, OverTheCap
from lending.models import Account, CreditLine, Draw, EntryKind, Loan
from lending.money import from_minor, money, to_minor
from lending.selectors.ledger import outstanding_principal
from lending.selectors.risk import require_within_limits
from lending.selectors.valuation import Valuation, value_loan
from lending.services import accrual, positions
from lending.services.collateral.rescreening import require_not_frozen
from lending.services.credit import require_verified, require_whole
from lending.services.guards import locked_loan, move, require_borrower, require_officer, require_other, require_state
from lending.services.ledger import Line, post
from lending.services.loans import log_loan, move_loan
from lending.services.notices import tell
from portal.models import User
from portal.money import Money

State = Draw.State
SUBJECT: Final = "lending.draw"
BPS: Final = 10_000
# One draw at a time looks at the limits: two that each fit may not fit together. Any constant of ours will do.
_LIMITS_LOCK: Final = 0x4D4C494D


@dataclass(frozen=True, slots=True)
class Room:
    """What may be drawn now, in minor units, and the three figures it is the least of."""

    currency: str
    line: int
    contract: int
    coverage: int

    @property
    def available(self) -> int:
        return max(0, min(self.line, self.contract, self.coverage))

    @property
    def money(self) -> Money:
        return money(self.available, self.currency)


def room_for(loan: Loan, valuation: Valuation, *, line: CreditLine | None, without: Draw | None = None) -> Room:
    """What is left under both caps: line − drawn, and half of the collateral's value − debt (terms: origination).

    What was asked for and not paid yet counts as drawn; `without` leaves one such draw out. The fee of the first draw is
    debt from the first moment, so it takes room too.
    """
    requested = _requested(loan, without)
    requested_on_line = _requested_by(loan.line.subject, loan.currency, without)
    loans = Loan.objects.filter(line__subject=loan.line.subject, currency=loan.currency).values_list("pk", flat=True)
    drawn_on_line = outstanding_principal(loans)
    drawn = outstanding_principal([loan.pk])
    by_coverage = valuation.room(loan.terms.origination_bps) - requested
    if loan.started_on is None and loan.terms.origination_fee_bps:
        by_coverage = max(0, by_coverage) * BPS // (BPS + loan.terms.origination_fee_bps)
    limit = to_minor(line.amount, line.currency) if line is not None and line.state == CreditLine.State.ACTIVE else 0
    return Room(
        currency=loan.currency,
        line=limit - drawn_on_line - requested_on_line,
        contract=to_minor(loan.amount, loan.currency) - drawn - requested,
        coverage=by_coverage,
    )


def _requested(loan: Loan, without: Draw | None) -> int:
    draws = loan.draws.filter(state=State.REQUESTED).exclude(pk=without.pk if without else 0)
    return to_minor(draws.aggregate(total=Sum("amount"))["total"] or Decimal(0), loan.currency)


def _requested_by(subject: str, currency: str, without: Draw | None) -> int:
    draws = Draw.objects.filter(state=State.REQUESTED, loan__line__subject=subject, loan__currency=currency)
    total = draws.exclude(pk=without.pk if without else 0).aggregate(total=Sum("amount"))["total"]
    return to_minor(total or Decimal(0), currency)


def request_draw(*, loan_id: int, actor: User, amount: Decimal, form_key: str) -> Draw:
    """Ask for `amount` under the borrower's own loan. The same form is the same draw.

    Exactly what is available is allowed; one yen more raises `OverTheCap`. Needs an accepted price.
    """
    with transaction.atomic():
        loan = locked_loan(loan_id)
        require_borrower(loan, actor)
        earlier = Draw.objects.filter(form_key=form_key).first()
        if earlier is not None:
            return _same(earlier, loan, amount)
        minor = require_whole(amount, loan.currency)
        require_verified(actor)
        _require_drawable(loan)
        accrual.catch_up(loan=loan)
        valuation = value_loan(loan)
        line = _line(loan)
        _require_room(room_for(loan, valuation, line=line), minor)
        draw = Draw.objects.create(
            loan=loan, amount=amount, form_key=form_key, requested_by=actor, valuation=valuation.names
        )
        log_loan(loan, "draw_requested", actor, data={"draw": draw.pk, "amount": str(amount)})
    return draw


def _same(earlier: Draw, loan: Loan, amount: Decimal) -> Draw:
    if earlier.loan_id != loan.pk or earlier.amount != amount:
        raise FormReused(
            _("This form was sent before with other contents. Nothing was requested."), code="lending.draw.form_reused"
        )
    return earlier


def _require_drawable(loan: Loan) -> None:
    require_state(loan, Loan.State.COLLATERAL_PENDING, Loan.State.ACTIVE, code="lending.draw.state")
    require_not_frozen(loan)
    if loan.due_on is not None and timezone.localdate() >= loan.due_on:
        raise LoanRefused(
            _("The loan has reached its due day, so nothing more can be drawn. Nothing was changed."),
            code="lending.draw.matured",
        )


def _line(loan: Loan) -> CreditLine | None:
    """The borrower's open line in the currency, locked: two draws of one borrower wait for each other here."""
    return (
        CreditLine.objects.select_for_update()
        .filter(subject=loan.line.subject, currency=loan.currency)
        .exclude(state=CreditLine.State.CLOSED)
        .first()
    )


def _require_room(room: Room, wanted: int) -> None:
    if wanted > room.available:
        raise OverTheCap(
            _("At most %(available)s %(currency)s can be drawn now. Nothing was changed.")
            % {"available": f"{from_minor(room.available, room.currency):,}", "currency": room.currency},
            code="lending.draw.over_cap",
            wanted=wanted,
            available=room.available,
        )


@transaction.atomic
def cancel_draw(*, draw_id: int, actor: User) -> Draw:
    """REQUESTED → CANCELLED by the borrower. Twice is once."""
    draw = Draw.objects.select_related("loan").filter(pk=draw_id, loan__borrower=actor).first()
    if draw is None:
        raise NotFound(_("There is no such draw."), code="lending.draw.not_found")
    draw = _locked(draw_id)
    if draw.state != State.CANCELLED:
        move(draw, State.CANCELLED, actor=actor, action="lending.draw.cancelled", subject=SUBJECT)
    return draw


@transaction.atomic
def refuse_draw(*, draw_id: int, actor: User, reason: str) -> Draw:
    """REQUESTED → REFUSED by an officer, with a reason the borrower reads."""
    require_officer(actor)
    draw = _locked(draw_id)
    require_other(actor, draw.requested_by_id)
    if not reason.strip():
        raise LoanRefused(_("Say why. Nothing was changed."), code="lending.draw.no_reason")
    draw.reason = reason.strip()
    tell(
        user=draw.loan.borrower,
        kind="lending.draw_refused",
        key=draw.pk,
        params={"loan": draw.loan.reference, "reason": draw.reason},
    )
    move(
        draw, State.REFUSED, actor=actor, action="lending.draw.refused", subject=SUBJECT, reason=reason, also=["reason"]
    )
    return draw


def release_draw(*, draw_id: int, actor: User, bank_reference: str) -> Draw:
    """REQUESTED → RELEASED: the money leaves today. The loan's first draw makes it ACTIVE and sets its dates.

    Both caps are asked again with the price of now, and every hard limit under one lock, before anything is booked.
    The same release again changes nothing. Raises `OverTheCap`, `LimitReached`, `NoAcceptedPrice`.
    """
    require_officer(actor)
    reference = bank_reference.strip()
    if not reference:
        raise LoanRefused(_("Enter the reference of the transfer. Nothing was paid."), code="lending.draw.no_reference")
    with transaction.atomic():
        draw = _locked(draw_id)
        loan = draw.loan
        require_other(actor, draw.requested_by_id, loan.borrower_id)
        if draw.state == State.RELEASED and draw.bank_reference == reference:
            return draw
        if Draw.objects.filter(bank_reference=reference).exists():
            raise FormReused(
                _("This transfer is recorded for another draw. Nothing was paid."), code="lending.draw.reference_taken"
            )
        _release(draw, loan, actor, reference)
    return draw


def _release(draw: Draw, loan: Loan, actor: User, reference: str) -> None:
    today = timezone.localdate()
    minor = to_minor(draw.amount, loan.currency)
    _require_drawable(loan)
    require_verified(loan.borrower)
    accrual.catch_up(loan=loan)
    valuation = value_loan(loan)
    _require_room(room_for(loan, valuation, line=_line(loan), without=draw), minor)
    fee = 0 if loan.started_on else minor * loan.terms.origination_fee_bps // BPS
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LIMITS_LOCK])
    require_within_limits(loan=loan, amount=minor + fee, btc_sats=valuation.btc_sats, eth_wei=valuation.eth_wei)
    is_first = loan.started_on is None
    if is_first:
        loan.started_on = today
        loan.matures_on = calendar.months_after(today, loan.terms.term_months)
        loan.due_on = calendar.due_day(loan.matures_on)
        accrual.open_clock(loan=loan, first_day=today)
    post(
        kind=EntryKind.DRAW,
        key=f"draw:{draw.pk}",
        loan_id=loan.pk,
        value_on=today,
        memo={"draw": draw.pk, "reference": reference, "prices": valuation.names},
        lines=[
            Line(Account.PRINCIPAL, loan.currency, minor),
            Line(Account.CASH, loan.currency, -minor),
            Line(Account.CHARGES, loan.currency, fee),
            Line(Account.FEE_INCOME, loan.currency, -fee),
        ],
    )
    _tell_released(draw, loan, reference)
    draw.released_by, draw.value_on, draw.bank_reference = actor, today, reference
    draw.valuation = valuation.names
    move(
        draw,
        State.RELEASED,
        actor=actor,
        action="lending.draw.released",
        subject=SUBJECT,
        also=["released_by", "value_on", "bank_reference", "valuation"],
        data={"amount": str(draw.amount), "reference": reference},
    )
    if is_first:
        move_loan(loan, Loan.State.ACTIVE, actor, "started", also=["started_on", "matures_on", "due_on"])
    positions.rearm(loan=loan, worth=valuation.worth)


def _tell_released(draw: Draw, loan: Loan, reference: str) -> None:
    tell(
        user=loan.borrower,
        kind="lending.draw_released",
        key=draw.pk,
        params={"loan": loan.reference, "amount": Money(draw.amount, loan.currency), "reference": reference},
    )


def _locked(draw_id: int) -> Draw:
    """The draw's row with its loan, both locked, the loan first as everywhere."""
    loan_id = Draw.objects.values_list("loan_id", flat=True).get(pk=draw_id)
    loan = locked_loan(loan_id)
    draw = Draw.objects.select_for_update().get(pk=draw_id)
    draw.loan = loan
    return draw
