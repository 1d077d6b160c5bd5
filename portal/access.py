"""Who may open a page, and what must have happened just before something of value moves."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from allauth.account import app_settings as account_settings
from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.reauthentication import suspend_request
from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _

from portal.exceptions import NotPermitted
from portal.models import Role, User
from portal.selectors import has_second_factor

View = Callable[..., HttpResponseBase]
RETURN_KEY = "return_after_second_factor"
_READS = ("GET", "HEAD", "OPTIONS")


def _go_to_sign_in(request: HttpRequest) -> HttpResponseBase:
    """The sign-in page, with the way back. A live fragment tells htmx to move the whole page there."""
    if request.headers.get("HX-Request"):
        response = HttpResponse(status=204)
        # The fragment's own address is no page: come back to the page it stood on.
        back = request.headers.get("HX-Current-URL", "")
        response["HX-Redirect"] = f"{reverse('account_login')}?{urlencode({'next': _local_path(request, back)})}"
        return response
    back = request.get_full_path() if request.method in _READS else reverse("portal:dashboard")
    return redirect_to_login(back)


def _local_path(request: HttpRequest, url: str) -> str:
    allowed = url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure())
    return url if allowed else reverse("portal:dashboard")


def signed_in(view: View) -> View:
    """Anybody with an account; others are sent to sign in and brought back."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _go_to_sign_in(request)
        return view(request, *args, **kwargs)

    return guarded


def role_required(*roles: str, read_only: tuple[str, ...] = ()) -> Callable[[View], View]:
    """Only people with one of `roles`; those with one of `read_only` may look (GET) but not act.

    Visitors are sent to sign in. Everybody else is refused with `NotPermitted` (403), whatever the page holds.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not isinstance(request.user, User):
                return _go_to_sign_in(request)
            allowed = {*roles, *(read_only if request.method in _READS else ())}
            if not request.user.roles & allowed:
                raise NotPermitted(
                    _("Your account may not open this page. Nothing was changed. Ask an administrator if you need it."),
                    code="portal.access.role_missing",
                )
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def auditor_may_read(*roles: str) -> Callable[[View], View]:
    """`role_required(*roles)`, and auditors may look without acting."""
    return role_required(*roles, read_only=(Role.AUDITOR,))


def _recently_used_second_factor(request: HttpRequest, user: User) -> bool:
    oldest = time.time() - account_settings.REAUTHENTICATION_TIMEOUT
    records = get_authentication_records(request, user)
    return any(record["method"] == "mfa" and record["at"] >= oldest for record in records)


def _set_up_second_factor(request: HttpRequest) -> HttpResponseBase:
    messages.info(
        request, _("To move something of value, set up a second factor first. You come back here when it is done.")
    )
    request.session[RETURN_KEY] = request.get_full_path()
    return redirect("mfa_index")


def _confirm_second_factor(request: HttpRequest) -> HttpResponseBase:
    """Ask for the second factor. What was posted (fields, not files) waits in the session and is then carried out once."""
    has_passkey = Authenticator.objects.filter(user=request.user, type=Authenticator.Type.WEBAUTHN).exists()
    where = reverse("mfa_reauthenticate_webauthn" if has_passkey else "mfa_reauthenticate")
    suspend_request(request, where)
    # allauth finds what waits by its path; the query is kept with it.
    return redirect(f"{where}?{urlencode({'next': request.path})}")


def value_action(view: View) -> View:
    """Something of value moves: signed in, second factor set up, and used within the last five minutes.

    Put it on the whole view (form and submission). Who has no second factor is sent to set one up and brought back;
    who has not used it lately is asked for it, and what they had posted is then carried out, not lost.
    """

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not isinstance(request.user, User):
            return _go_to_sign_in(request)
        if not has_second_factor(request.user):
            return _set_up_second_factor(request)
        if request.method not in _READS and not _recently_used_second_factor(request, request.user):
            return _confirm_second_factor(request)
        return view(request, *args, **kwargs)

    guarded.moves_value = True  # type: ignore[attr-defined]
    return guarded
