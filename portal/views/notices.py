"""What a person was told, and what they want by e-mail."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.access import signed_in
from portal.models import User
from portal.notices import selectors, services


@require_safe
@signed_in
def notice_list(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)
    page = Paginator(selectors.notices_of(user), 25).get_page(request.GET.get("page"))
    context = {"page": page, "notices": selectors.in_words(page), "unread": selectors.unread_count(user)}
    return render(request, "portal/notices/list.html", context)


@require_safe
@signed_in
def notice_detail(request: HttpRequest, notice_id: int) -> HttpResponse:
    """One notice in full; opening it is reading it."""
    user = cast(User, request.user)
    notice = get_object_or_404(selectors.notices_of(user), pk=notice_id)
    services.mark_read(user=user, notice_id=notice.pk)
    return render(request, "portal/notices/detail.html", {"view": selectors.in_words([notice])[0]})


@require_POST
@signed_in
def mark_all_read(request: HttpRequest) -> HttpResponse:
    services.mark_read(user=cast(User, request.user))
    return redirect("portal:notices")


@require_http_methods(["GET", "POST"])
@signed_in
def notice_preferences(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)
    if request.method == "POST":
        services.choose_notices(user=user, by_email=request.POST.getlist("kind"))
        messages.success(request, _("Your choice was saved."))
        return redirect("portal:notice-preferences")
    return render(request, "portal/notices/preferences.html", {"groups": selectors.kinds_by_group(user)})
