"""What anybody may read, signed in or not."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.registry import public_parts


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """Each app's part, in order. Nothing here is about a person."""
    parts = sorted(public_parts, key=lambda part: part.order)
    shown = [{"template": part.template, "content": part.content()} for part in parts]
    return render(request, "portal/public.html", {"parts": shown})
