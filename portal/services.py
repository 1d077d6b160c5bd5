"""Writes of the portal: people's settings and roles."""

from __future__ import annotations

from datetime import datetime, timedelta

from allauth.mfa import app_settings as mfa_settings
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal import audit
from portal.exceptions import DomainError, NotPermitted
from portal.models import IdempotencyKey, Role, UsedCode, User
from portal.selectors import THEME_COOKIE

#: Of the choices a browser remembers for when nobody is signed in.
CHOICE_COOKIE_AGE = 365 * 24 * 3600


class RoleUnchanged(DomainError):
    """The person already has the role, or does not have it."""


def remember_language(response: HttpResponse, language: str) -> None:
    """Keep the language in this browser, for when nobody is signed in."""
    _remember(response, settings.LANGUAGE_COOKIE_NAME, language)


def remember_theme(response: HttpResponse, theme: str) -> None:
    """Keep the colours in this browser, for when nobody is signed in."""
    _remember(response, THEME_COOKIE, theme)


def _remember(response: HttpResponse, name: str, value: str) -> None:
    response.set_cookie(
        name,
        value,
        max_age=CHOICE_COOKIE_AGE,
        samesite="Lax",
        httponly=True,
        secure=settings.SESSION_COOKIE_SECURE,
    )


@transaction.atomic
def set_language(*, user_id: int, language: str) -> User:
    """The language this person reads from now on."""
    user = User.objects.select_for_update().get(pk=user_id)
    user.language = language
    user.full_clean(validate_unique=False, validate_constraints=False)
    user.save(update_fields=["language"])
    return user


@transaction.atomic
def set_theme(*, user_id: int, theme: str) -> User:
    """The colours in which this person sees the pages from now on, in every browser."""
    user = User.objects.select_for_update().get(pk=user_id)
    user.theme = theme
    user.full_clean(validate_unique=False, validate_constraints=False)
    user.save(update_fields=["theme"])
    return user


@transaction.atomic
def change_settings(*, user_id: int, display_name: str, language: str, theme: str) -> User:
    """What a person sets for themselves; an audit row when the name others see changes."""
    user = User.objects.select_for_update().get(pk=user_id)
    renamed = user.display_name != display_name
    user.display_name = display_name
    user.language = language
    user.theme = theme
    user.full_clean(validate_unique=False, validate_constraints=False)
    user.save(update_fields=["display_name", "language", "theme"])
    if renamed:
        audit.record(action="portal.user.renamed", subject_type="portal.user", subject_id=user.pk, actor=user)
    return user


@transaction.atomic
def give_role(*, user_id: int, role: Role, actor: User, reason: str) -> User:
    """Give `role`; staff have one role each, so who has another must lose it first.

    Raises `NotPermitted` for one's own account or for an actor who is no administrator, `RoleUnchanged` when there is
    nothing to change or another role is in the way.
    """
    user = _person_whose_role_changes(user_id, actor)
    if user.roles:
        raise RoleUnchanged(
            _("This person already has a role. Nothing was changed. Take it away first."), code="portal.role.has_one"
        )
    user.groups.add(Group.objects.get_or_create(name=role.value)[0])
    _record_role_change(user, actor, reason, from_state="", to_state=role.value, action="portal.role.given")
    return user


@transaction.atomic
def take_role(*, user_id: int, role: Role, actor: User, reason: str) -> User:
    """Take `role` away. Raises as `give_role`; also when it would leave no administrator."""
    user = _person_whose_role_changes(user_id, actor)
    if not user.has_role(role):
        raise RoleUnchanged(_("This person does not have that role. Nothing was changed."), code="portal.role.missing")
    user.groups.remove(Group.objects.get(name=role.value))
    _record_role_change(user, actor, reason, from_state=role.value, to_state="", action="portal.role.taken")
    return user


def _person_whose_role_changes(user_id: int, actor: User) -> User:
    user = User.objects.select_for_update().get(pk=user_id)
    if not (actor.has_role(Role.ADMINISTRATOR) or actor.is_superuser):
        raise NotPermitted(
            _("Only administrators change roles. Nothing was changed."), code="portal.role.not_administrator"
        )
    if user.pk == actor.pk:
        raise NotPermitted(
            _("Nobody changes their own role. Nothing was changed. Ask another administrator."), code="portal.role.own"
        )
    return user


def _record_role_change(user: User, actor: User, reason: str, *, from_state: str, to_state: str, action: str) -> None:
    from portal.notices.security import tell

    vars(user).pop("_roles", None)
    tell(user, "role_changed")
    audit.record(
        action=action,
        subject_type="portal.user",
        subject_id=user.pk,
        actor=actor,
        from_state=from_state,
        to_state=to_state,
        reason=reason,
    )


def forget_old_forms(*, before: datetime) -> int:
    """Delete the keys of forms sent before `before`; returns how many. A form that old is refused by its session anyway."""
    return IdempotencyKey.objects.filter(created_at__lt=before).delete()[0]


@transaction.atomic
def use_code(*, user_id: int, code: str) -> bool:
    """Note that a code of an authenticator app was accepted; False if it was before, within the time it is valid.

    RFC 6238, 5.2: a code is accepted once. Of two at the same moment one waits for the other and is refused.
    """
    now = timezone.now()
    steps = 2 * mfa_settings.TOTP_TOLERANCE + 1
    UsedCode.objects.filter(
        user_id=user_id, used_at__lt=now - timedelta(seconds=steps * mfa_settings.TOTP_PERIOD)
    ).delete()
    try:
        with transaction.atomic():
            UsedCode.objects.create(user_id=user_id, code="".join(filter(str.isdigit, code)), used_at=now)
    except IntegrityError:
        return False
    return True


@transaction.atomic
def end_session(*, user_id: int, session_id: int, keep: str) -> bool:
    """Sign one session of this person out at once, never the one with key `keep`; False if there is none such."""
    from allauth.usersessions.models import UserSession

    session = UserSession.objects.filter(pk=session_id, user_id=user_id).exclude(session_key=keep).first()
    if session is None:
        return False
    audit.record(
        action="portal.session.ended",
        subject_type="portal.user",
        subject_id=user_id,
        actor=User.objects.get(pk=user_id),
        data={"ip": session.ip},
    )
    session.end()
    return True
