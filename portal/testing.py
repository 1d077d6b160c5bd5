"""For the tests of every app: people with accounts, and browsers in which they are signed in."""

from __future__ import annotations

import time
from typing import Final

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.contrib.auth.models import Group
from django.test import Client

from portal.models import Role, User

PASSWORD: Final = "correct horse battery"  # noqa: S105  # of people who exist in tests only
SECRET: Final = "JBSWY3DPEHPK3PXP"  # noqa: S105


def make_person(
    email: str, *, role: Role | None = None, second_factor: bool = False, language: str = "en", name: str = ""
) -> User:
    """A person with a verified address; with `second_factor` they have an authenticator app and recovery codes."""
    user = User.objects.create_user(email, PASSWORD, language=language, display_name=name)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    if role:
        user.groups.add(Group.objects.get_or_create(name=role.value)[0])
    if second_factor:
        TOTP.activate(user, SECRET)
        RecoveryCodes.activate(user)
    return User.objects.get(pk=user.pk)


def sign_in(user: User, *, fresh: bool = True, method: str = "mfa") -> Client:
    """A browser in which `user` is signed in; `fresh`: they used their second factor (or `method`) just now."""
    client = Client()
    client.force_login(user)
    note_sign_in(client, user, fresh=fresh, method=method)
    return client


def use_second_factor(client: Client, user: User) -> None:
    """In a browser in which `user` is signed in, as if their authenticator app had just been used."""
    if not Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists():
        TOTP.activate(user, SECRET)
    note_sign_in(client, user)


def note_sign_in(client: Client, user: User, *, fresh: bool = True, method: str = "mfa") -> None:
    session = client.session
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [{"method": method, "at": time.time() - (0 if fresh else 3600)}]
    session[f"{AUTHENTICATION_METHODS_SESSION_KEY}_user"] = str(user.pk)
    session.save()


def code_now() -> str:
    """What the authenticator app of a person made here shows at this moment."""
    counters = list(yield_hotp_counters_from_time())
    return str(format_hotp_value(hotp_value(SECRET, counters[len(counters) // 2])))
