"""Charges, renewals at maturity, and shortfalls that are given up."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from lending import calendar
from lending.exceptions import LoanRefused
from lending.models import Account, Accrual, CreditLine, EntryKind, Loan, Renewal, Stage, WriteOff
from lending.money import from_minor, to_minor
from lending.selectors.ledger import debt_of, outstanding_principal
from lending.selectors.terms import terms_in_force
from lending.selectors.valuation import value_loan
from lending.services import accrual, documents, positions
from lending.services.credit import require_verified, require_whole
from lending.services.guards import locked_loan, move, require_borrower, require_officer, require_other, require_state
from lending.services.ledger import Line, post
from lending.services.loans import log_loan, move_loan
from lending.services.notices import tell
from portal.models import User
from portal.money import Money

#: How long before maturity a renewal may be asked for (working choice).
RENEWAL_WINDOW_DAYS: Final = 60


@transaction.atomic
def charge_loan(*, loan_id: int, actor: User, amount: Decimal, reason: str, form_key: str) -> Loan:
    """Book a charge that the borrower owes from today; the same form is the same charge."""
    require_officer(actor)
    loan = locked_loan(loan_id)
    require_other(actor, loan.borrower_id)
    require_state(loan, *Loan.OPEN, code="lending.charge.state")
    if not reason.strip():
        raise LoanRefused(_("Say what the charge is for. Nothing was booked."), code="lending.charge.no_reason")
    minor = require_whole(amount, loan.currency)
    accrual.catch_up(loan=loan)
    post(
        kind=EntryKind.CHARGE,
        key=f"charge:{form_key}",
        loan_id=loan.pk,
        value_on=timezone.localdate(),
        memo={"reason": reason.strip()},
        lines=[Line(Account.CHARGES, loan.currency, minor), Line(Account.FEE_INCOME, loan.currency, -minor)],
    )
    tell(
        user=loan.borrower,
        kind="lending.charged",
        key=form_key,
        params={"loan": loan.reference, "amount": Money(amount, loan.currency), "reason": reason.strip()},
    )
    log_loan(loan, "charged", actor, reason=reason, data={"amount": str(amount)})
    return loan


@transaction.atomic
def request_renewal(*, loan_id: int, actor: User) -> Renewal:
    """Ask for another term, by the borrower within the last days of this one. Twice is once."""
    loan = locked_loan(loan_id)
    require_borrower(loan, actor)
    require_state(loan, Loan.State.ACTIVE, code="lending.renewal.state")
    if loan.matures_on is None or (loan.matures_on - timezone.localdate()).days > RENEWAL_WINDOW_DAYS:
        raise LoanRefused(
            ngettext_lazy(
                "A renewal can be asked for within %(days)d day of maturity.",
                "A renewal can be asked for within %(days)d days of maturity.",
                RENEWAL_WINDOW_DAYS,
            )
            % {"days": RENEWAL_WINDOW_DAYS},
            code="lending.renewal.too_early",
        )
    earlier = loan.renewals.filter(from_matures_on=loan.matures_on).exclude(state=Renewal.State.REFUSED).first()
    if earlier is not None:
        return earlier
    renewal = Renewal.objects.create(loan=loan, from_matures_on=loan.matures_on, requested_by=actor)
    log_loan(loan, "renewal_requested", actor, data={"renewal": renewal.pk})
    return renewal


@transaction.atomic
def grant_renewal(*, renewal_id: int, actor: User) -> Renewal:
    """REQUESTED → GRANTED by an officer: a term more from the old maturity, under the terms and the line of today.

    The line's rate and the late rate of today's terms hold from the day it is granted. Raises `LoanRefused` unless the
    loan runs without an open call, coverage is what a draw needs, the principal is within the open line, the borrower
    is verified and no late charge is owed. Interest stays owed; it is not added to the principal.
    """
    require_officer(actor)
    renewal = _locked_renewal(renewal_id)
    loan = renewal.loan
    require_other(actor, renewal.requested_by_id)
    if renewal.state == Renewal.State.GRANTED:
        return renewal
    require_state(loan, Loan.State.ACTIVE, code="lending.renewal.state")
    require_verified(loan.borrower)
    accrual.catch_up(loan=loan)
    line = _require_line(loan)
    terms = terms_in_force(currency=loan.currency, borrower_kind=loan.borrower_kind)
    valuation = value_loan(loan)
    if debt_of(loan).late:
        raise LoanRefused(
            _("Late charges are owed. They are paid before a renewal. Nothing was changed."),
            code="lending.renewal.late",
        )
    if not valuation.reaches(terms.origination_bps):
        raise LoanRefused(
            _("The collateral does not reach the coverage that a new loan needs. Nothing was changed."),
            code="lending.renewal.coverage",
        )
    _extend(renewal, loan, actor, terms_id=terms.pk, rate_bps=line.rate_bps, prices=valuation.names)
    positions.rearm(loan=Loan.objects.select_related("terms").get(pk=loan.pk), worth=valuation.worth)
    return renewal


def _require_line(loan: Loan) -> CreditLine:
    line = (
        CreditLine.objects.select_for_update()
        .filter(subject=loan.line.subject, currency=loan.currency, state=CreditLine.State.ACTIVE)
        .first()
    )
    loans = Loan.objects.filter(line__subject=loan.line.subject, currency=loan.currency).values_list("pk", flat=True)
    if line is None or outstanding_principal(loans) > to_minor(line.amount, line.currency):
        raise LoanRefused(
            _("The credit line is not open any more, or smaller than what is drawn. Nothing was changed."),
            code="lending.renewal.line",
        )
    return line


def _extend(
    renewal: Renewal, loan: Loan, actor: User, *, terms_id: int, rate_bps: int, prices: dict[str, object]
) -> None:
    terms = type(loan.terms).objects.get(pk=terms_id)
    loan.matures_on = calendar.months_after(renewal.from_matures_on, terms.term_months)
    loan.due_on = calendar.due_day(loan.matures_on)
    loan.terms, loan.rate_bps = terms, rate_bps
    loan.save(update_fields=["matures_on", "due_on", "terms", "rate_bps", "changed_at"])
    Accrual.objects.filter(loan=loan).update(due_on=loan.due_on, rate_bps=rate_bps, late_rate_bps=terms.late_rate_bps)
    position = positions.open_position(loan=loan)
    positions.set_stage(loan=loan, stage=Stage(position.stage), cure_bps=position.cure_bps)
    renewal.to_matures_on, renewal.to_due_on = loan.matures_on, loan.due_on
    renewal.terms, renewal.rate_bps, renewal.valuation = terms, rate_bps, prices
    renewal.decided_by, renewal.decided_at = actor, timezone.now()
    documents.make_renewal(loan=loan, renewal=renewal)
    tell(
        user=loan.borrower,
        kind="lending.renewed",
        key=renewal.pk,
        params={"loan": loan.reference, "due": loan.due_on},
    )
    move(
        renewal,
        Renewal.State.GRANTED,
        actor=actor,
        action="lending.renewal.granted",
        subject="lending.renewal",
        also=["to_matures_on", "to_due_on", "terms", "rate_bps", "valuation", "decided_by", "decided_at"],
        data={"loan": loan.reference, "to": loan.matures_on.isoformat()},
    )


@transaction.atomic
def refuse_renewal(*, renewal_id: int, actor: User, reason: str) -> Renewal:
    """REQUESTED → REFUSED by an officer; the loan is due as its contract says."""
    require_officer(actor)
    renewal = _locked_renewal(renewal_id)
    require_other(actor, renewal.requested_by_id)
    if not reason.strip():
        raise LoanRefused(_("Say why. Nothing was changed."), code="lending.renewal.no_reason")
    renewal.decided_by, renewal.decided_at, renewal.reason = actor, timezone.now(), reason.strip()
    tell(
        user=renewal.loan.borrower,
        kind="lending.renewal_refused",
        key=renewal.pk,
        params={"loan": renewal.loan.reference, "reason": renewal.reason},
    )
    move(
        renewal,
        Renewal.State.REFUSED,
        actor=actor,
        action="lending.renewal.refused",
        subject="lending.renewal",
        reason=reason,
        also=["decided_by", "decided_at", "reason"],
    )
    return renewal


def _locked_renewal(renewal_id: int) -> Renewal:
    loan = locked_loan(Renewal.objects.values_list("loan_id", flat=True).get(pk=renewal_id))
    renewal = Renewal.objects.select_for_update().get(pk=renewal_id)
    renewal.loan = loan
    return renewal


@transaction.atomic
def propose_write_off(*, loan_id: int, actor: User, reason: str) -> WriteOff:
    """Propose to give up a SOLD_OUT loan's shortfall. Twice is once."""
    require_officer(actor)
    loan = locked_loan(loan_id)
    require_other(actor, loan.borrower_id)
    require_state(loan, Loan.State.SOLD_OUT, code="lending.write_off.state")
    if not reason.strip():
        raise LoanRefused(_("Say why. Nothing was changed."), code="lending.write_off.no_reason")
    waiting = loan.write_offs.filter(state=WriteOff.State.PROPOSED).first()
    if waiting is not None:
        return waiting
    write_off = WriteOff.objects.create(loan=loan, reason=reason.strip(), proposed_by=actor)
    log_loan(loan, "write_off_proposed", actor, reason=reason, data={"write_off": write_off.pk})
    return write_off


@transaction.atomic
def decide_write_off(*, write_off_id: int, actor: User, approve: bool, reason: str = "") -> WriteOff:
    """PROPOSED → APPROVED by another officer, and the loan WRITTEN_OFF with its loss booked; or REFUSED."""
    require_officer(actor)
    loan = locked_loan(WriteOff.objects.values_list("loan_id", flat=True).get(pk=write_off_id))
    write_off = WriteOff.objects.select_for_update().get(pk=write_off_id)
    require_other(actor, write_off.proposed_by_id, loan.borrower_id)
    if write_off.state == WriteOff.State.APPROVED and approve:
        return write_off
    write_off.decided_by, write_off.decided_at = actor, timezone.now()
    if not approve:
        _move_write_off(write_off, WriteOff.State.REFUSED, actor, reason)
        return write_off
    owed = debt_of(loan).total
    write_off.amount = from_minor(owed, loan.currency)
    post(
        kind=EntryKind.WRITE_OFF,
        key=f"write_off:{write_off.pk}",
        loan_id=loan.pk,
        value_on=timezone.localdate(),
        memo={"write_off": write_off.pk},
        lines=[Line(Account.LOSS, loan.currency, owed), Line(Account.SHORTFALL, loan.currency, -owed)],
    )
    loan.closed_on = timezone.localdate()
    _move_write_off(write_off, WriteOff.State.APPROVED, actor, reason)
    move_loan(loan, Loan.State.WRITTEN_OFF, actor, "written_off", also=["closed_on"], data={"amount": owed})
    return write_off


def _move_write_off(write_off: WriteOff, target: str, actor: User, reason: str) -> None:
    move(
        write_off,
        target,
        actor=actor,
        action=f"lending.write_off.{target}",
        subject="lending.write_off",
        reason=reason,
        also=["amount", "decided_by", "decided_at"],
    )
