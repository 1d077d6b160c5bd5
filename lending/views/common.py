"""Who opens the pages of the loan desk."""

from __future__ import annotations

from django.http import HttpRequest
from django.views.decorators.http import require_POST

from portal.access import View, auditor_may_read, role_required, value_action
from portal.acting import person
from portal.models import Role

#: Loan officers work here, auditors look.
desk_reader = auditor_may_read(Role.LOAN_OFFICER)
officer_only = role_required(Role.LOAN_OFFICER)
#: What is on a sanctions list is for KYC officers; the desk and auditors look.
hits_reader = role_required(read_only=(Role.KYC_OFFICER, Role.LOAN_OFFICER, Role.AUDITOR))
#: The service says who of them decides what.
decider_only = role_required(Role.LOAN_OFFICER, Role.KYC_OFFICER)


def officer_step(view: View) -> View:
    """A step that an officer takes with a button: POST only, by an officer, after the second factor."""
    return require_POST(officer_only(value_action(view)))


def is_officer(request: HttpRequest) -> bool:
    """True for those who may act at the desk, not only look."""
    return person(request).has_role(Role.LOAN_OFFICER)
