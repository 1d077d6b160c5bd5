"""Emergency actions of an administrator: each with a reason, the second factor and an audit row."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from chain.selectors import token_state
from portal.access import role_required, value_action
from portal.exceptions import DomainError
from portal.models import Role
from tokens import selectors, services
from tokens.forms import ControlForm, RecoveryForm
from tokens.models import Recovery
from tokens.views.common import act, person, security_or_404

administrators = role_required(Role.ADMINISTRATOR)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators
@value_action
def control(request: HttpRequest, security_id: int) -> HttpResponse:
    """Pause, unpause, freeze or dismiss."""
    security = security_or_404(security_id)
    form = ControlForm(request.POST or None, initial=_initial(request))
    if request.method == "POST" and form.is_valid():
        try:
            services.request_control(security_id=security.pk, actor=person(request), **_values(form))
        except DomainError as error:
            form.add_error(None, str(error.message))
        else:
            return redirect("tokens:security-detail", security.pk)
    context = {
        "form": form,
        "security": security,
        "chain_state": token_state(security.token) if security.token else None,
        "holders": selectors.holders_report(security).holders,
    }
    return render(request, "tokens/control.html", context, status=400 if form.errors else 200)


def _initial(request: HttpRequest) -> dict[str, Any]:
    return {
        "form_token": uuid.uuid4(),
        "kind": request.GET.get("kind", ""),
        "holder": request.GET.get("holder", ""),
    }


def _values(form: ControlForm) -> dict[str, Any]:
    return {name: form.cleaned_data[name] for name in ("kind", "holder", "units", "reason", "form_token")}


@require_http_methods(["GET", "HEAD", "POST"])
@administrators
@value_action
def recovery_new(request: HttpRequest, security_id: int) -> HttpResponse:
    """Announce that a lost wallet is replaced by another wallet of the same person."""
    security = security_or_404(security_id)
    form = RecoveryForm(request.POST or None, initial={"lost": request.GET.get("lost", "")})
    if request.method == "POST" and form.is_valid():
        try:
            services.announce_recovery(security_id=security.pk, actor=person(request), **form.cleaned_data)
        except DomainError as error:
            form.add_error(None, str(error.message))
        else:
            return redirect("tokens:security-detail", security.pk)
    context = {"form": form, "security": security}
    return render(request, "tokens/recovery_new.html", context, status=400 if form.errors else 200)


@require_POST
@administrators
@value_action
def recovery_complete(request: HttpRequest, recovery_id: int) -> HttpResponse:
    recovery = Recovery.objects.filter(pk=recovery_id).first()
    act(
        request,
        lambda: services.complete_recovery(recovery_id=recovery_id, actor=person(request)),
        _("The units are being moved to the new wallet."),
    )
    if recovery is None:
        return redirect("tokens:security-list")
    return redirect("tokens:security-detail", recovery.security_id)
