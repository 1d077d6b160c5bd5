"""A person's wallets: what they are, adding one's own, signing in with it; and the officers' list of those that wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.core import ratelimit
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chain.selectors import sbts_for
from kyc import selectors, services
from kyc.forms import ReasonForm, WalletProofForm
from kyc.models import OfficerKey, WalletChallenge
from kyc.selectors import InvestorStatus
from kyc.views.officer import officer_only, reader
from portal.access import signed_in, value_action
from portal.exceptions import DomainError
from portal.models import Role, User

_NONCE = "wallet_sign_in_nonce"
Purpose = WalletChallenge.Purpose


def _person(request: HttpRequest) -> User:
    return cast(User, request.user)


@require_safe
@signed_in
@never_cache
def wallets(request: HttpRequest) -> HttpResponse:
    """Every wallet of this person with the state of its token."""
    user = _person(request)
    rows = selectors.wallets_with_requests(user)
    tokens = sbts_for([row.address for row in rows])
    context = {
        "rows": [(row, tokens.get(row.address), getattr(row, "request", None)) for row in rows],
        "is_verified": selectors.investor_status(user) == InvestorStatus.ACTIVE,
        "is_live": any(getattr(row, "request", None) and row.request.state in _MOVING for row in rows),
    }
    return render(request, "kyc/wallets.html", context)


_MOVING = ("requested", "issuing", "in_block")


@require_http_methods(["GET", "HEAD", "POST"])
@value_action
@never_cache
def wallet_new(request: HttpRequest) -> HttpResponse:
    """Prove that a wallet is one's own; it is registered for good, and an officer is asked for its token."""
    form = WalletProofForm(request.POST or None)
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            services.link_wallet(user=_person(request), text=form.text(), signature=form.as_bytes())
        except DomainError as error:
            form.add_error(None, str(error.message))
            status = error.status_code
        else:
            messages.success(
                request,
                _("The wallet is yours here from now on. An officer signs next, so that it can hold securities."),
            )
            return redirect("kyc:wallets")
    return render(
        request, "kyc/wallet_new.html", {"form": form}, status=422 if form.errors and status == 200 else status
    )


@require_POST
def wallet_message(request: HttpRequest, purpose: str) -> HttpResponse:
    """The text to sign, as JSON. For signing in its nonce is kept with this browser."""
    address = request.POST.get("address", "")
    if purpose == Purpose.LINK and not request.user.is_authenticated:
        return JsonResponse({"refusal": _("You are not signed in any more. Sign in and try again.")}, status=403)
    if not ratelimit.consume(request, action="login"):
        return JsonResponse({"refusal": _("Too many attempts. Wait a minute and try again.")}, status=429)
    user = _person(request) if purpose == Purpose.LINK else None
    try:
        text, nonce = services.ask_for_proof(purpose=purpose, address=address, user=user)
    except DomainError as error:
        return JsonResponse({"refusal": str(error.message), "code": error.code}, status=error.status_code)
    if purpose == Purpose.SIGN_IN:
        request.session[_NONCE] = nonce
    return JsonResponse({"message": text})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def wallet_sign_in(request: HttpRequest) -> HttpResponseBase:
    """Sign in with one's own wallet in place of the password; the second factor comes next, where there is one."""
    if request.user.is_authenticated:
        return redirect(_next(request) or "portal:dashboard")
    form = WalletProofForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if not ratelimit.consume(request, action="login"):
            form.add_error(None, _("Too many attempts. Wait a minute and try again."))
        else:
            try:
                user = services.person_signing_in(
                    text=form.text(), signature=form.as_bytes(), nonce=str(request.session.pop(_NONCE, ""))
                )
            except DomainError as error:
                form.add_error(None, str(error.message))
            else:
                record_authentication(request, user, method="wallet")
                return perform_login(request, Login(user=user, email=user.email, redirect_url=_next(request) or None))
    context = {"form": form, "next": _next(request)}
    return render(request, "kyc/wallet_sign_in.html", context, status=422 if form.errors else 200)


def _next(request: HttpRequest) -> str:
    target = request.POST.get("next") or request.GET.get("next") or ""
    allowed = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if allowed else ""


# --- officers ------------------------------------------------------------------------------------------------------


@require_safe
@reader
@never_cache
def wallet_requests(request: HttpRequest) -> HttpResponse:
    """Further wallets that wait for a signature, oldest first."""
    officer = _person(request)
    context = {
        "requests": selectors.wallet_requests_open()[:100],
        "key": OfficerKey.objects.filter(user=officer).first(),
        "reason_form": ReasonForm(),
        "is_officer": officer.has_role(Role.KYC_OFFICER),
    }
    return render(request, "kyc/wallet_requests.html", context)


@require_POST
@officer_only
def wallet_request_sign(request: HttpRequest, request_id: int) -> HttpResponse:
    """On to the page on which the officer signs in their own wallet."""
    try:
        record = services.prepare_wallet_attestation(request_id=request_id, officer=_person(request))
    except DomainError as error:
        messages.error(request, str(error.message), extra_tags=error.code)
        return redirect("kyc:wallet-requests")
    return redirect("kyc:attestation", attestation_id=record.pk)


@require_POST
@officer_only
@value_action
def wallet_request_attest(request: HttpRequest, request_id: int) -> HttpResponse:
    """Sign with the key held here (demo)."""
    return _decided(
        request,
        lambda: services.attest_wallet(request_id=request_id, officer=_person(request)),
        _("Signed. The token is being issued."),
    )


@require_POST
@officer_only
def wallet_request_decline(request: HttpRequest, request_id: int) -> HttpResponse:
    reason = request.POST.get("reason", "")
    return _decided(
        request,
        lambda: services.decline_wallet(request_id=request_id, officer=_person(request), reason=reason),
        _("The request was declined."),
    )


def _decided(request: HttpRequest, act: Callable[[], object], done: str) -> HttpResponse:
    try:
        act()
    except DomainError as error:
        messages.error(request, str(error.message), extra_tags=error.code)
    else:
        messages.success(request, done)
    return redirect("kyc:wallet-requests")
