"""A loan from the request under a line to the accepted contract, and the ways it ends before money is lent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from lending.exceptions import LoanRefused, NotFound
from lending.models import CreditLine, Loan, LoanDocument, Position
from lending.selectors.terms import terms_in_force
from lending.services import documents
from lending.services.credit import require_verified, require_whole
from lending.services.guards import locked_loan, move, require_borrower, require_officer, require_other, require_state
from lending.services.notices import tell
from lending.services.positions import open_position
from portal import audit
from portal.models import User
from portal.money import Money

State = Loan.State
SUBJECT: Final = "lending.loan"


def request_loan(*, line_id: int, actor: User, amount: Decimal, collateral_plan: str = "") -> Loan:
    """A loan APPLIED for under the borrower's own open line, at the line's rate and the terms of today.

    The same request while it waits is the same loan. Raises `LoanRefused` for an amount outside the terms or above
    the line.
    """
    require_verified(actor)
    with transaction.atomic():
        line = CreditLine.objects.select_for_update().filter(pk=line_id, borrower=actor).first()
        if line is None:
            raise NotFound(_("There is no such credit line."), code="lending.line.not_found")
        require_whole(amount, line.currency)
        waiting = line.loans.filter(state=State.APPLIED, amount=amount, collateral_plan=collateral_plan).first()
        if waiting is not None:
            return waiting
        if line.state != CreditLine.State.ACTIVE:
            raise LoanRefused(_("This credit line is not open. Nothing was requested."), code="lending.line.not_open")
        terms = terms_in_force(currency=line.currency, borrower_kind=line.borrower_kind)
        if not terms.amount_min <= amount <= min(terms.amount_max, line.amount):
            raise LoanRefused(
                _("A loan under this line is between %(least)s and %(most)s %(currency)s. Nothing was requested.")
                % {
                    "least": f"{terms.amount_min:,.0f}",
                    "most": f"{min(terms.amount_max, line.amount):,.0f}",
                    "currency": line.currency,
                },
                code="lending.loan.amount",
            )
        loan = Loan.objects.create(
            reference=_new_reference(),
            borrower=actor,
            borrower_kind=line.borrower_kind,
            line=line,
            terms=terms,
            currency=line.currency,
            amount=amount,
            rate_bps=line.rate_bps,
            collateral_plan=collateral_plan,
        )
        log_loan(loan, "requested", actor, to_state=State.APPLIED, data={"amount": str(amount)})
    return loan


def _new_reference() -> str:
    """A number that survives a bank transfer's field: digits, ending in their remainder by 97 (as an IBAN checks)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('lending_loan_reference')")
        number = int(cursor.fetchone()[0])
    return f"{number}{98 - number * 100 % 97:02d}"


@transaction.atomic
def approve_loan(*, loan_id: int, actor: User) -> Loan:
    """APPLIED: the first officer's yes is noted; another officer's makes it APPROVED and draws up the contract.

    Saying yes twice changes nothing. Raises `TwoPersonRule` for the borrower or the same officer.
    """
    require_officer(actor)
    loan = locked_loan(loan_id)
    require_state(loan, State.APPLIED, State.APPROVED, code="lending.loan.not_applied")
    require_other(actor, loan.borrower_id)
    if loan.state == State.APPROVED or loan.first_approval_by_id == actor.pk:
        return loan
    if loan.first_approval_by_id is None:
        loan.first_approval_by = actor
        loan.save(update_fields=["first_approval_by", "changed_at"])
        log_loan(loan, "approved_first", actor)
        return loan
    require_verified(loan.borrower)
    if loan.line.state != CreditLine.State.ACTIVE:
        raise LoanRefused(_("The credit line is not open any more. Nothing was changed."), code="lending.line.not_open")
    loan.approved_by, loan.approved_at = actor, timezone.now()
    made = documents.make_contract(loan=loan)
    tell(
        user=loan.borrower,
        kind="lending.loan_approved",
        key=loan.pk,
        params={"loan": loan.reference, "amount": Money(loan.amount, loan.currency)},
    )
    move_loan(
        loan,
        State.APPROVED,
        actor,
        "approved",
        also=["approved_by", "approved_at"],
        data={"contract": {document.language: document.sha256 for document in made}},
    )
    return loan


@transaction.atomic
def decline_loan(*, loan_id: int, actor: User, reason: str) -> Loan:
    """APPLIED → DECLINED by an officer. Twice is once."""
    require_officer(actor)
    loan = locked_loan(loan_id)
    require_other(actor, loan.borrower_id)
    if loan.state == State.DECLINED:
        return loan
    if not reason.strip():
        raise LoanRefused(_("Say why. Nothing was changed."), code="lending.loan.no_reason")
    tell(user=loan.borrower, kind="lending.loan_declined", key=loan.pk, params={"loan": loan.reference})
    move_loan(loan, State.DECLINED, actor, "declined", reason=reason)
    return loan


@transaction.atomic
def accept_contract(*, loan_id: int, actor: User, sha256: str) -> Loan:
    """APPROVED → COLLATERAL_PENDING by the borrower, who names the hash of the contract they read. Twice is once.

    Raises `LoanRefused` if that is not the contract of this loan.
    """
    loan = locked_loan(loan_id)
    require_borrower(loan, actor)
    if loan.accepted_at is not None and loan.accepted_sha256 == sha256:
        return loan
    if not loan.documents.filter(kind=LoanDocument.Kind.CONTRACT, sha256=sha256).exists():
        raise LoanRefused(
            _("This is not the contract of this loan. Open the contract again. Nothing was accepted."),
            code="lending.contract.other",
        )
    loan.accepted_at, loan.accepted_sha256 = timezone.now(), sha256
    move_loan(
        loan,
        State.COLLATERAL_PENDING,
        actor,
        "contract_accepted",
        also=["accepted_at", "accepted_sha256"],
        data={"sha256": sha256},
    )
    open_position(loan=loan)
    tell(user=loan.borrower, kind="lending.contract_accepted", key=loan.pk, params={"loan": loan.reference})
    return loan


@transaction.atomic
def cancel_loan(*, loan_id: int, actor: User) -> Loan:
    """APPLIED, APPROVED or COLLATERAL_PENDING → CANCELLED by the borrower. Twice is once.

    Raises `LoanRefused` while collateral is here or a draw is on its way: those go back first.
    """
    loan = locked_loan(loan_id)
    require_borrower(loan, actor)
    if loan.state == State.CANCELLED:
        return loan
    if loan.draws.filter(state="requested").exists():
        raise LoanRefused(
            _("A draw is on its way. Cancel it first. Nothing was changed."), code="lending.loan.draw_requested"
        )
    position = Position.objects.filter(loan=loan).first()
    if position is not None and (position.btc_sats or position.eth_wei):
        raise LoanRefused(
            _("Collateral is deposited for this loan. Withdraw it first. Nothing was changed."),
            code="lending.loan.has_collateral",
        )
    move_loan(loan, State.CANCELLED, actor, "cancelled")
    return loan


def move_loan(loan: Loan, target: str, actor: User | str, step: str, **more: Any) -> None:
    """Take one arrow of the locked loan and write `lending.loan.<step>` to the audit trail."""
    also = [*more.pop("also", []), "changed_at"]
    move(loan, target, actor=actor, action=f"{SUBJECT}.{step}", subject=SUBJECT, also=also, **more)


def log_loan(loan: Loan, step: str, actor: User | str, **more: Any) -> None:
    """Write `lending.loan.<step>` without a change of state."""
    audit.record(action=f"{SUBJECT}.{step}", subject_type=SUBJECT, subject_id=loan.pk, actor=actor, **more)
