"""allauth adapters: what sign-up keeps, how e-mails are worded and sent, how second factors are kept."""

from __future__ import annotations

import base64
import hashlib
import time
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from allauth.account import app_settings as account_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend as AllauthBackend
from allauth.account.authentication import get_authentication_records
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils import translation
from django.utils.encoding import force_bytes

from portal.models import User


class AuthenticationBackend(AllauthBackend):
    """allauth's, with what every page asks of the person signed in read in the one query that reads them."""

    def get_user(self, user_id: int) -> User | None:
        person = User.objects.signed_in(user_id)
        return person if person is not None and self.user_can_authenticate(person) else None


class AccountAdapter(DefaultAccountAdapter):
    """Sign-up and sign-in."""

    def save_user(
        self, request: HttpRequest, user: AbstractBaseUser, form: Any, commit: bool = True
    ) -> AbstractBaseUser:
        """A new person; the language asked for at sign-up is kept with them."""
        if isinstance(user, User):
            user.language = form.cleaned_data.get("language", translation.get_language() or settings.LANGUAGE_CODE)[:2]
        return super().save_user(request, user, form, commit=commit)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """In the reader's language, under the product's name rather than the host's."""
        user = context.get("user")
        language = user.language if isinstance(user, User) else translation.get_language()
        site = SimpleNamespace(name=settings.SITE_NAME, domain=self.request.get_host() if self.request else "")
        with translation.override(language):
            super().send_mail(template_prefix, email, {"current_site": site, **context})

    def format_email_subject(self, subject: str) -> str:
        return f"[{settings.SITE_NAME}] {subject}"

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Who signed in within the last five minutes has just shown who they are."""
        oldest = time.time() - account_settings.REAUTHENTICATION_TIMEOUT
        records = get_authentication_records(self.request, self.request.user)
        if any(record["at"] >= oldest for record in records):
            return False
        required: bool = super().is_reauthentication_required(app=app, **kwargs)
        return required

    def get_reauthentication_methods(self, user: AbstractBaseUser | AnonymousUser) -> list[dict[str, Any]]:
        """A passkey first, where there is one: no false website can ask for it. Then a code, and the password last."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        return methods[::-1]


class MfaAdapter(DefaultMFAAdapter):
    """Second factors. Secrets of authenticator apps are encrypted before they are stored."""

    def encrypt(self, text: str) -> str:
        return _box().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _box().decrypt(encrypted_text.encode()).decode()

    def get_totp_issuer(self) -> str:
        return settings.SITE_NAME

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        """Staff may change their second factor but not be without one."""
        if not authenticator.user.works_here or authenticator.type == Authenticator.Type.RECOVERY_CODES:
            return True
        kinds = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
        others = Authenticator.objects.filter(user=authenticator.user, type__in=kinds).exclude(pk=authenticator.pk)
        return bool(others.exists())

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        entity: dict[str, str] = super().get_public_key_credential_rp_entity()
        # Bound to where the portal is, not to whatever host name a request came under.
        return {**entity, "id": urlsplit(settings.SITE_URL).hostname or entity["id"], "name": settings.SITE_NAME}


def _box() -> MultiFernet:
    # A retired SECRET_KEY goes to SECRET_KEY_FALLBACKS, and what it encrypted can still be read.
    return MultiFernet([_key(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _key(secret: str | bytes) -> Fernet:
    digest = hashlib.sha256(b"musubi second factor\x00" + force_bytes(secret)).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
