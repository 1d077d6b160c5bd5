"""First page, dashboard, health."""

from __future__ import annotations

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal.access import RETURN_KEY, signed_in
from portal.models import User
from portal.selectors import has_second_factor, needs_recovery_codes, next_steps_for, summaries_for


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What this is, in words, for a visitor."""
    return render(request, "portal/home.html")


@require_safe
@signed_in
def dashboard(request: HttpRequest) -> HttpResponse:
    """What needs this person next."""
    user = request.user
    if not isinstance(user, User):
        return redirect("account_login")
    return render(
        request,
        "portal/dashboard.html",
        {
            "steps": next_steps_for(user),
            "summaries": summaries_for(user),
            "second_factor": has_second_factor(user),
            "needs_recovery_codes": needs_recovery_codes(user),
            "return_to": request.session.get(RETURN_KEY),
        },
    )


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """Whether this process can serve: it answers and its database answers. Says nothing about the chain or Redis."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Browsers that ask for the old name get the drawing, under its hashed address."""
    return redirect(static("favicon.svg"))
