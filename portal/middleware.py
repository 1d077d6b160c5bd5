"""Middleware of every request."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Final

from allauth.account.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve, reverse
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from portal.exceptions import DomainError
from portal.models import User
from portal.selectors import has_second_factor

logger = logging.getLogger(__name__)
GetResponse = Callable[[HttpRequest], HttpResponse]


class PreferredLanguageMiddleware:
    """A signed-in person reads the portal in the language they chose, on whatever machine."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if isinstance(request.user, User) and request.user.language != translation.get_language():
            translation.activate(request.user.language)
            request.LANGUAGE_CODE = request.user.language
        response = self.get_response(request)
        response.headers.setdefault("Content-Language", translation.get_language() or settings.LANGUAGE_CODE)
        return response


class SessionActivityMiddleware:
    """Notes where and when a session was last used: at once when it comes from elsewhere, otherwise each minute.

    In place of allauth's own, which writes a row at every request.
    """

    EVERY_SECONDS: Final = 60

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.session.session_key and request.user.is_authenticated and self._is_news(request):
            UserSession.objects.create_from_request(request)
        return self.get_response(request)

    def _is_news(self, request: HttpRequest) -> bool:
        """Without Redis everything is: then each request writes, as allauth does."""
        origin = (
            str(request.session.session_key),
            str(get_adapter().get_client_ip(request)),
            request.headers.get("User-Agent", ""),
        )
        latest = hashlib.sha256("\n".join(origin[1:]).encode()).hexdigest()
        key = f"portal:seen:{hashlib.sha256(origin[0].encode()).hexdigest()}"
        if cache.get(key) == latest:
            return False
        cache.set(key, latest, self.EVERY_SECONDS)
        return True


class StaffSecondFactorMiddleware:
    """Staff without a second factor reach only the pages on which they set one up, and the way out."""

    # Names of views; `mfa_*` and what their re-authentication needs. Everything else waits.
    OPEN_NAMES: Final = frozenset(
        {
            "account_logout",
            "account_reauthenticate",
            "account_login",
            "portal:language",
            "portal:theme",
            "portal:healthz",
        }
    )

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        if isinstance(user, User) and user.works_here and not self._is_open(request) and not has_second_factor(user):
            messages.warning(request, _("People who work here need a second factor. Set one up to go on."))
            return redirect("mfa_index")
        return self.get_response(request)

    def _is_open(self, request: HttpRequest) -> bool:
        try:
            name = resolve(request.path_info).view_name
        except Resolver404:
            return True
        return name in self.OPEN_NAMES or name.startswith("mfa_")


class BackOfficePolicyMiddleware:
    """Pages beneath /admin/ get the content policy their framework needs; all others keep the strict one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path_info.startswith(reverse("admin:index")):
            response._csp_replace = settings.BACK_OFFICE_SECURITY_POLICY  # type: ignore[attr-defined]
        return response


class DomainErrorMiddleware:
    """A refusal that no view caught becomes a calm page that says so, with its own HTTP status.

    A live fragment gets the same words as a notice, placed where the frame keeps refusals.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, DomainError):
            return None
        logger.info("refused: %s", exception.code, extra={"refusal": exception.context})
        return refusal(request, exception)


def refusal(request: HttpRequest, error: DomainError) -> HttpResponse:
    """The page (or, for htmx, the fragment) that says why something was refused."""
    context = {"message": error.message, "code": error.code, "status": error.status_code}
    if request.headers.get("HX-Request"):
        response = render(request, "errors/refusal_fragment.html", context, status=error.status_code)
        response["HX-Retarget"] = "#refusal"
        response["HX-Reswap"] = "innerHTML"
        return response
    return render(request, "errors/refusal.html", context, status=error.status_code)
