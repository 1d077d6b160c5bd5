"""What a person is told about their own account. None of it can be turned off."""

from __future__ import annotations

import hashlib
import re
from ipaddress import ip_address, ip_network
from typing import Any, Final
from uuid import uuid4

from allauth.account.adapter import get_adapter
from allauth.account.signals import email_changed, password_changed, password_reset, password_set, user_logged_in
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal.models import User
from portal.notices.kinds import NoticeKind, notice_kinds
from portal.notices.services import notify
from portal.registry import Text

_NOT_YOU: Final = _("If this was not you, change your password at once and contact us.")


def _kind(name: str, label: Text, body: Text, page: str) -> NoticeKind:
    return NoticeKind(
        name=f"portal.{name}",
        group=_("Your account"),
        label=label,
        subject=label,
        body=(body, _NOT_YOU),
        facts=((_("When"), "at"),),
        security=True,
        tone="warn",
        page=page,
    )


KINDS: Final = (
    _kind(
        "password_changed",
        _("Your password was changed"),
        _("The password of your account was changed."),
        "portal:settings",
    ),
    _kind(
        "email_changed",
        _("The e-mail address of your account was changed"),
        _("From now on we write to %(to)s instead of %(was)s."),
        "portal:settings",
    ),
    _kind(
        "factor_added",
        _("A second factor was added"),
        _("An authenticator app, a passkey or recovery codes were added to your account."),
        "mfa_index",
    ),
    _kind(
        "factor_removed",
        _("A second factor was removed"),
        _("An authenticator app, a passkey or recovery codes were removed from your account."),
        "mfa_index",
    ),
    NoticeKind(
        name="portal.new_sign_in",
        group=_("Your account"),
        label=_("Your account was signed in to from a new browser or place"),
        subject=_("Your account was signed in to from a new browser or place"),
        body=(
            _("Somebody signed in to your account with a browser, or from a network, that we had not seen before."),
            _NOT_YOU,
        ),
        facts=((_("When"), "at"), (_("Browser"), "browser"), (_("Network address"), "ip")),
        security=True,
        tone="warn",
        page="usersessions_list",
    ),
    NoticeKind(
        name="portal.role_changed",
        group=_("Your account"),
        label=_("What you may do here was changed"),
        subject=_("What you may do here was changed"),
        body=(_("An administrator gave your account a role or took one away. It counts from your next page on."),),
        facts=((_("When"), "at"),),
        security=True,
        page="portal:dashboard",
    ),
)


def connect() -> None:
    for kind in KINDS:
        notice_kinds.register(kind)


def tell(user: User, kind: str, *, address: str = "", **params: Any) -> None:
    """Tell a person about something that just happened to their account; each time it happens is one notice."""
    notify(user=user, kind=f"portal.{kind}", key=uuid4(), params={"at": timezone.now(), **params}, address=address)


@receiver(user_logged_in)
def _signed_in(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    """Told once for each browser and network; the notice itself remembers that it was seen."""
    browser = request.META.get("HTTP_USER_AGENT", "")[:200]
    ip = str(get_adapter().get_client_ip(request) or "")
    params = {"at": timezone.now(), "browser": browser or "—", "ip": ip or "—"}
    notify(user=user, kind="portal.new_sign_in", key=_place(browser, ip), params=params)


def _place(browser: str, ip: str) -> str:
    """The same for one browser on one network: a new version of it or a neighbouring address is nothing new."""
    try:
        width = 24 if ip_address(ip).version == 4 else 48
        network = str(ip_network(f"{ip}/{width}", strict=False))
    except ValueError:
        network = ip
    return hashlib.sha256(f"{re.sub(r'[0-9.]+', '', browser)}|{network}".encode()).hexdigest()


@receiver([password_changed, password_set, password_reset])
def _password(sender: Any, user: User, **_: Any) -> None:
    tell(user, "password_changed")


@receiver(email_changed)
def _email(sender: Any, user: User, from_email_address: Any, to_email_address: Any, **_: Any) -> None:
    """Both addresses are told: whoever took the account over does not read the old one."""
    was = from_email_address.email if from_email_address else ""
    for address in filter(None, {was, to_email_address.email}):
        tell(user, "email_changed", address=address, was=was or "—", to=to_email_address.email)


@receiver([authenticator_added, authenticator_reset])
def _added(sender: Any, user: User, **_: Any) -> None:
    tell(user, "factor_added")


@receiver(authenticator_removed)
def _removed(sender: Any, user: User, **_: Any) -> None:
    tell(user, "factor_removed")
