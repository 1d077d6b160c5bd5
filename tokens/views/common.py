"""What every view of this app needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from django.contrib import messages
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.http import content_disposition_header

from portal.exceptions import DomainError, NotPermitted
from portal.models import User
from tokens.models import Security


def person(request: HttpRequest) -> User:
    """Who is signed in; the access decorator has made sure somebody is."""
    return cast(User, request.user)


def act(request: HttpRequest, action: Callable[[], Model | None], done: str) -> bool:
    """Carry out `action`; say `done`, or the refusal in its own words. False when it was refused."""
    try:
        action()
    except NotPermitted:
        raise
    except DomainError as error:
        messages.error(request, str(error.message), extra_tags=error.code)
        return False
    messages.success(request, done)
    return True


def security_or_404(security_id: int) -> Security:
    security = Security.objects.filter(pk=security_id).first()
    if security is None:
        raise Http404
    return security


def csv_file(content: str, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or "attachment"
    response["Cache-Control"] = "private, no-store"
    return response
