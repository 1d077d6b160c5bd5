"""Who may do what here. Every service asks; views ask too, but only to show the right page."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from portal.models import Role, User
from tokens.exceptions import NotYourRole


def require_role(actor: User, *roles: Role) -> None:
    """Pass if `actor` has one of `roles`; raise `NotYourRole` otherwise."""
    if not any(actor.has_role(role) for role in roles):
        raise NotYourRole(
            _("Your role does not include this action. Nothing was changed."), code="tokens.role_required"
        )


def require_issuer(actor: User) -> None:
    require_role(actor, Role.ISSUER)


def require_administrator(actor: User) -> None:
    require_role(actor, Role.ADMINISTRATOR)


def looks_after_securities(user: User) -> bool:
    """Staff who may see every security and who holds it."""
    return any(user.has_role(role) for role in (Role.ISSUER, Role.ADMINISTRATOR, Role.AUDITOR))
