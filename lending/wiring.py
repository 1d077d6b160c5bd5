"""What this app tells the others about itself at start-up."""

from __future__ import annotations

from collections.abc import Iterable

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from chain.registry import incident_meanings, visibility
from kyc.storage import sealed_rows
from lending.incidents import MEANINGS
from lending.models import IncomeEvidence, Loan, LoanDocument, MarginCall, Withdrawal
from lending.selectors import book, collateral, credit, proofs
from portal.models import Role, User
from portal.registry import INVESTOR, VISITOR, MenuItem, NextStep, PublicPart, menu_items, next_steps, public_parts

_DESK = frozenset({Role.LOAN_OFFICER, Role.AUDITOR})
MENU = (
    MenuItem(_("Loans"), "lending:loans", frozenset({INVESTOR}), order=40),
    MenuItem(_("Loan book"), "lending:book", _DESK, order=41),
    MenuItem(_("What waits"), "lending:work", _DESK, order=42, count=book.work_count),
    MenuItem(_("Credit applications"), "lending:credit-queue", _DESK, order=43, count=credit.waiting_for),
    MenuItem(
        _("Deposits from listed senders"),
        "lending:hits",
        frozenset({Role.KYC_OFFICER}),
        order=43,
        count=collateral.listed_count,
    ),
    MenuItem(_("Risk and limits"), "lending:risk", _DESK, order=44),
    MenuItem(_("Stress tests"), "lending:stress", _DESK, order=44),
    MenuItem(_("Prices and sources"), "lending:prices", _DESK, order=45),
    MenuItem(_("Books and chains"), "lending:assurance", _DESK, order=46),
    MenuItem(_("Proof of collateral"), "lending:public-proof", frozenset({VISITOR}), order=47),
)


def connect() -> None:
    """Register the menu, what a borrower should do next, what incidents mean, which files are sealed, and who may see
    transactions of collateral."""
    for item in MENU:
        menu_items.register(item)
    next_steps.register(borrower_steps)
    incident_meanings.register(MEANINGS)
    for sealed in (LoanDocument, IncomeEvidence):
        sealed_rows.register(sealed.objects.all)
    public_parts.register(PublicPart("lending/public_part.html", proofs.public_part, order=40))
    visibility.register("lending.withdrawal", _sees_withdrawal)
    visibility.register("lending.loan", _sees_loan)


def borrower_steps(user: User) -> Iterable[NextStep]:
    """Open calls first, with their deadline; then contracts to read and collateral to bring."""
    if user.roles:
        return
    calls = MarginCall.objects.filter(loan__borrower=user, state=MarginCall.State.OPEN).select_related("loan")
    for call in calls:
        yield NextStep(
            title=_("More collateral is called"),
            url=reverse("lending:deposit", args=[call.loan_id]),
            action=_("Deposit collateral"),
            detail=call.loan.reference,
            tone="bad",
            priority=5,
            due=call.deadline,
        )
    steps = {
        Loan.State.APPROVED: (_("Read and accept the contract"), "lending:contract-accept", _("Look at it")),
        Loan.State.COLLATERAL_PENDING: (_("Deposit collateral"), "lending:deposit", _("Look at it")),
    }
    for loan in Loan.objects.filter(borrower=user, state__in=list(steps)):
        title, where, action = steps[Loan.State(loan.state)]
        yield NextStep(
            title=title, url=reverse(where, args=[loan.pk]), action=action, detail=loan.reference, priority=30
        )


def _pk(subject: str) -> int:
    value = subject.partition(":")[2]
    return int(value) if value.isdigit() else 0


def _works_here(user: User) -> bool:
    return user.has_role(Role.LOAN_OFFICER) or user.has_role(Role.AUDITOR)


def _sees_withdrawal(user: User, subject: str) -> bool:
    return _works_here(user) or Withdrawal.objects.filter(pk=_pk(subject), loan__borrower=user).exists()


def _sees_loan(user: User, subject: str) -> bool:
    return _works_here(user) or Loan.objects.filter(pk=_pk(subject), borrower=user).exists()
