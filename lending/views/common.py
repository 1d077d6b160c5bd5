"""Who opens the pages of the loan desk."""

from __future__ import annotations

from django.http import HttpRequest

from portal.access import auditor_may_read, role_required
from portal.acting import person
from portal.models import Role

#: Loan officers work here, auditors look.
desk_reader = auditor_may_read(Role.LOAN_OFFICER)
officer_only = role_required(Role.LOAN_OFFICER)
#: What is on a sanctions list is for KYC officers; the desk and auditors look.
hits_reader = role_required(read_only=(Role.KYC_OFFICER, Role.LOAN_OFFICER, Role.AUDITOR))
#: The service says who of them decides what.
decider_only = role_required(Role.LOAN_OFFICER, Role.KYC_OFFICER)


def is_officer(request: HttpRequest) -> bool:
    """True for those who may act at the desk, not only look."""
    return person(request).has_role(Role.LOAN_OFFICER)
