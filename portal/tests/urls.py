"""Pages that exist only in tests: one for each rule a view can wear."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext_lazy as _

from portal import urls as real
from portal.access import auditor_may_read, role_required, signed_in, value_action
from portal.exceptions import DomainError, NotPermitted
from portal.idempotency import acts_once, new_token
from portal.models import Role, User


class NodeAway(DomainError):
    status_code = 503


def refuse(request: HttpRequest) -> HttpResponse:
    raise DomainError(_("The amount must be more than zero."), code="test.refused")


def forbid(request: HttpRequest) -> HttpResponse:
    raise NotPermitted("no", code="test.forbidden")


def away(request: HttpRequest) -> HttpResponse:
    raise NodeAway("later", code="test.away")


@role_required(Role.KYC_OFFICER)
def officers(request: HttpRequest) -> HttpResponse:
    return HttpResponse("officers")


@auditor_may_read(Role.KYC_OFFICER)
def officers_and_auditors(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.method or "")


@value_action
def move(request: HttpRequest) -> HttpResponse:
    return HttpResponse(
        f"moved {request.POST['amount']} {request.GET.get('to', '')}".strip() if request.POST else "form"
    )


@signed_in
@acts_once
def name_once(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        if not request.POST.get("name"):
            return HttpResponse("a name is needed", status=422)
        user = User.objects.get(email=request.user.get_username())
        user.display_name += request.POST["name"]
        user.save()
        if request.POST["name"] == "refuse":
            raise DomainError("no", code="test.refused")
        return redirect(f"/named/{len(user.display_name)}/")
    return HttpResponse(new_token(User.objects.get(email=request.user.get_username())))


urlpatterns = [
    *real.urlpatterns,
    path("test/refuse/", refuse),
    path("test/forbid/", forbid),
    path("test/away/", away),
    path("test/officers/", officers),
    path("test/officers-auditors/", officers_and_auditors),
    path("test/move/", move, name="move"),
    path("test/once/", name_once),
]
handler400, handler403 = real.handler400, real.handler403
handler404, handler500 = real.handler404, real.handler500
