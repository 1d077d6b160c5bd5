"""Applications for credit and the lines they became."""

from __future__ import annotations

from typing import Final

from django.core.paginator import Page, Paginator
from django.db.models import Count, Exists, OuterRef, QuerySet

from lending.models import CreditApplication, CreditLine, IncomeEvidence
from portal.compiled import RowCount
from portal.models import User

PAGE = 50
State = CreditApplication.State


def cases() -> QuerySet[CreditApplication]:
    """Every application with the people on it, and whether it has documents."""
    documents = IncomeEvidence.objects.filter(application=OuterRef("pk"))
    return CreditApplication.objects.select_related("applicant__party", "assigned_to").annotate(
        has_documents=Exists(documents)
    )


def queue(*, state: str, page: str) -> Page[CreditApplication]:
    """Applications in `state`, or all that wait for officers; oldest first, a page at a time."""
    states = [state] if state in State.values else list(CreditApplication.WITH_OFFICERS)
    rows = cases().filter(state__in=states).order_by("submitted_at", "id")
    return Paginator(rows, PAGE).get_page(page)


def queue_counts() -> list[tuple[str, str, int]]:
    """(state, its label, how many) for every state officers look at (one query)."""
    found = dict(
        CreditApplication.objects.filter(state__in=CreditApplication.OPEN)
        .order_by()
        .values_list("state")
        .annotate(count=Count("pk"))
    )
    return [(state.value, str(state.label), found.get(state.value, 0)) for state in map(State, CreditApplication.OPEN)]


def waiting_for(officer: User) -> int:
    """How many applications this officer could act on."""
    return _waiting(officer.pk)


_waiting: Final = RowCount(
    lambda officer: CreditApplication.objects.filter(state__in=[State.SUBMITTED, State.APPROVED_FIRST]).exclude(
        applicant=officer
    )
)


def lines_of(subject: str) -> QuerySet[CreditLine]:
    """Every line of a legal person, newest first."""
    return CreditLine.objects.filter(subject=subject).select_related("first_officer", "second_officer")


def lines_for(user: User) -> QuerySet[CreditLine]:
    """One's own lines that are not closed."""
    return CreditLine.objects.filter(borrower=user).exclude(state=CreditLine.State.CLOSED)


def applications_for(user: User) -> QuerySet[CreditApplication]:
    return CreditApplication.objects.filter(applicant=user)
