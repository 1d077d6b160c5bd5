"""Reads of the portal."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from portal.models import AuditEntry, Theme, User
from portal.registry import NextStep, Summary, next_steps, summaries

#: In which a browser keeps the colours chosen, for when nobody is signed in.
THEME_COOKIE = "theme"


def next_steps_for(user: User) -> list[NextStep]:
    """Everything that needs this person, most urgent first, from every app that registered a provider."""
    steps = [step for provider in next_steps for step in provider(user)]
    return sorted(steps, key=lambda step: step.priority)


def summaries_for(user: User) -> list[Summary]:
    """What this person has, at a glance, from every app that registered a provider, in the order they did."""
    return [summary for provider in summaries for summary in provider(user)]


def has_second_factor(user: User | AnonymousUser) -> bool:
    """Whether this person has an authenticator app or a passkey. Recovery codes alone do not count.

    Of the person signed in it is what held when the request began.
    """
    if not isinstance(user, User):
        return False
    # Not from `__dict__`: the person of a request is a lazy object, whose own has nothing of theirs.
    known = user if hasattr(user, "second_factor") else User.objects.signed_in(user.pk)
    return bool(getattr(known, "second_factor", False))


def theme_for(request: HttpRequest) -> str:
    """The colours chosen by this person or, where none are, in this browser; empty when nobody ever chose."""
    user = getattr(request, "user", None)
    remembered = request.COOKIES.get(THEME_COOKIE, "")
    if isinstance(user, User) and user.theme:
        return user.theme
    return remembered if remembered in Theme.values else ""


def needs_recovery_codes(user: User) -> bool:
    """Whether one lost device would lock this person out: a single passkey, no authenticator app, no recovery code left."""
    from allauth.mfa.models import Authenticator

    rows = list(Authenticator.objects.filter(user=user))
    kinds = [row.type for row in rows]
    if Authenticator.Type.TOTP in kinds or kinds.count(Authenticator.Type.WEBAUTHN) != 1:
        return False
    return not any(row.type == Authenticator.Type.RECOVERY_CODES and row.wrap().get_unused_codes() for row in rows)


def audit_entries(
    *, search: str = "", action: str = "", actor: str = "", since: object = None, until: object = None
) -> QuerySet[AuditEntry]:
    """The trail, newest first. `since` and `until` are aware datetimes; `until` is not included."""
    entries = AuditEntry.objects.all()
    if search:
        kind, _, number = search.rpartition(":")
        exact = Q(subject_type=kind, subject_id=number) if kind else Q(subject_id=search) | Q(subject_type=search)
        entries = entries.filter(exact | Q(reason__icontains=search))
    if action:
        entries = entries.filter(action__startswith=action)
    if actor:
        entries = entries.filter(actor_label__icontains=actor)
    if since:
        entries = entries.filter(at__gte=since)
    if until:
        entries = entries.filter(at__lt=until)
    return entries


def people_with(roles: Iterable[str]) -> QuerySet[User]:
    """Everybody who has one of these roles and may sign in."""
    return User.objects.filter(is_active=True, groups__name__in=list(roles)).distinct()


def people(*, search: str = "") -> QuerySet[User]:
    """Everybody with an account, staff first, for the page on which roles are given."""
    users = User.objects.prefetch_related("groups").order_by("-is_superuser", "email")
    if search:
        users = users.filter(Q(email__icontains=search) | Q(display_name__icontains=search))
    return users
