"""Who opens the pages of the loan desk."""

from __future__ import annotations

from django.http import HttpRequest

from portal.access import auditor_may_read, role_required
from portal.acting import person
from portal.models import Role

#: Loan officers work here, auditors look.
desk_reader = auditor_may_read(Role.LOAN_OFFICER)
officer_only = role_required(Role.LOAN_OFFICER)


def is_officer(request: HttpRequest) -> bool:
    """True for those who may act at the desk, not only look."""
    return person(request).has_role(Role.LOAN_OFFICER)
