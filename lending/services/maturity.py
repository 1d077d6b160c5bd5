"""Reminding borrowers of the day on which their loan is due: some days before it, by the loan's own terms, each once."""

from __future__ import annotations

from datetime import date, timedelta

from django.utils import timezone

from lending.models import Loan, ProductTerms
from lending.selectors.ledger import debt_of
from lending.services.notices import tell


def remind_of_maturity(*, today: date | None = None) -> int:
    """Tell every borrower whose open loan comes to one of its days of notice; how many loans were looked at.

    Of several days that have passed (nobody ran for a while) only the nearest to the due day is told. A loan that is
    renewed has another due day, and its reminders come again.
    """
    day = today or timezone.localdate()
    known = ProductTerms.objects.values_list("maturity_notice_days", flat=True)
    most = max((max(days) for days in known if days), default=0)
    rows = Loan.objects.filter(state__in=Loan.OPEN, due_on__gte=day, due_on__lte=day + timedelta(days=most))
    looked = 0
    for loan in rows.select_related("terms", "borrower").order_by("id").iterator():
        looked += 1
        remind(loan, day)
    return looked


def remind(loan: Loan, today: date) -> None:
    """Give the notice whose day has come, if it was not given. A notice is one by loan, due day and days before it."""
    if loan.due_on is None:
        return
    left = (loan.due_on - today).days
    due = [days for days in loan.terms.maturity_notice_days if left <= days]
    if left < 0 or not due:
        return
    tell(
        user=loan.borrower,
        kind="lending.maturity_near",
        key=f"{loan.pk}:{loan.due_on.isoformat()}:{min(due)}",
        params={"loan": loan.reference, "due": loan.due_on, "amount": debt_of(loan).money},
    )
