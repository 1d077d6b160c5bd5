"""What every service of this app does: lock the row, check the arrow, save, leave the audit row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from kyc.exceptions import NotYourCase
from kyc.models import Application
from portal import audit
from portal.exceptions import NotPermitted
from portal.models import Role, User
from portal.state import require_transition


def locked(application_id: int) -> Application:
    """The application's row, locked until the transaction ends. Raises Application.DoesNotExist."""
    return Application.objects.select_for_update(of=("self",)).select_related("user").get(pk=application_id)


def require_officer(user: User, application: Application | None = None) -> None:
    """Pass if `user` is a KYC officer and the application is not their own. Nobody reviews their own."""
    if not user.has_role(Role.KYC_OFFICER):
        raise NotPermitted(_("Only KYC officers may do this. Nothing was changed."), code="kyc.officer.required")
    if application is not None and application.user_id == user.pk:
        raise NotYourCase(
            _("This is your own application. Somebody else has to review it. Nothing was changed."),
            code="kyc.officer.own_application",
        )


def move(
    application: Application,
    target: str,
    *,
    actor: User | str,
    action: str,
    reason: str = "",
    fields: list[str] | None = None,
    data: Mapping[str, Any] | None = None,
    before_audit: Callable[[], object] | None = None,
) -> None:
    """Take one arrow on the locked row, save it with `fields`, do `before_audit`, and write the audit row last.

    Raises WrongState if there is no such arrow.
    """
    source = application.state
    require_transition(Application.TRANSITIONS, current=source, target=target, code=f"{action}.wrong_state")
    application.state = target
    names = ["state", "changed_at", *(fields or [])]
    if target in Application.CLOSED:
        application.closed_at = timezone.now()
        names.append("closed_at")
    application.save(update_fields=names)
    if before_audit is not None:
        before_audit()
    audit.record(
        action=action,
        subject_type="kyc.application",
        subject_id=application.pk,
        actor=actor,
        from_state=source,
        to_state=target,
        reason=reason,
        data=data,
    )
