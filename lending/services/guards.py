"""What every service of this app does: who may, the locked row, the arrow, the audit row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from lending.exceptions import LoanRefused, NotFound, NotYourRole, TwoPersonRule
from lending.models import Loan
from portal import audit
from portal.models import Role, User
from portal.state import Transitions, require_transition


class Stateful(Protocol):
    """A row with a state machine."""

    TRANSITIONS: ClassVar[Any]
    state: Any
    pk: Any

    def save(self, *, update_fields: list[str]) -> None: ...


def require_officer(actor: User) -> None:
    """Pass if `actor` works at the loan desk; raise `NotYourRole` otherwise."""
    if not actor.has_role(Role.LOAN_OFFICER):
        raise NotYourRole(
            _("Only loan officers may do this. Nothing was changed."), code="lending.loan_officer_required"
        )


def require_other(actor: User, *others: int | None) -> None:
    """Pass if `actor` is none of `others` (ids of people); raise `TwoPersonRule` otherwise."""
    if actor.pk in others:
        raise TwoPersonRule(
            _("A second person has to do this: you took part already, or it is your own matter. Nothing was changed."),
            code="lending.two_people",
        )


def locked_loan(loan_id: int) -> Loan:
    """The loan's row, locked until the transaction ends. Raises Loan.DoesNotExist.

    Locks are taken in this order everywhere: loan, credit line, limits, clock of interest, position.
    """
    # NO KEY: the sweep writes rows that refer to the loan while it holds positions; both would wait for each other.
    return (
        Loan.objects.select_for_update(of=("self",), no_key=True)
        .select_related("terms", "line", "borrower")
        .get(pk=loan_id)
    )


def require_borrower(loan: Loan, actor: User) -> None:
    """Pass if the loan is `actor`'s own; to anybody else it does not exist."""
    if loan.borrower_id != actor.pk:
        raise NotFound(_("There is no such loan."), code="lending.loan.not_found")


def require_state(loan: Loan, *states: str, code: str) -> None:
    """Pass if `loan` is in one of `states`."""
    if loan.state not in states:
        raise LoanRefused(
            _("The loan is “%(state)s”, so this is not possible. Nothing was changed.")
            % {"state": loan.get_state_display()},
            code=code,
        )


def move(
    row: Stateful,
    target: str,
    *,
    actor: User | str,
    action: str,
    subject: str,
    reason: str = "",
    also: list[str] | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Take one arrow on the locked row, save it with the fields `also`, and write the audit row.

    Raises `WrongState` if there is no such arrow.
    """
    source = str(row.state)
    transitions: Transitions = row.TRANSITIONS
    require_transition(transitions, current=source, target=target, code=f"{subject}.wrong_state")
    row.state = target
    row.save(update_fields=["state", *(also or [])])
    audit.record(
        action=action,
        subject_type=subject,
        subject_id=row.pk,
        actor=actor,
        from_state=source,
        to_state=str(target),
        reason=reason,
        data=data,
    )


def validated(row: models.Model, error: type[Exception], *, code: str) -> None:
    """`full_clean` with the app's own refusal: the first thing that does not fit, in words."""
    try:
        row.full_clean()
    except ValidationError as found:
        raise error(" ".join(found.messages), code=code) from found  # type: ignore[call-arg]
