"""What views do around one service call: who is asking, how a refusal is said, how a file is handed over."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from django.contrib import messages
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.utils.http import content_disposition_header

from portal.exceptions import DomainError, NotPermitted
from portal.models import User


def person(request: HttpRequest) -> User:
    """Who is signed in; the access decorator has made sure somebody is."""
    return cast(User, request.user)


def act(request: HttpRequest, action: Callable[[], object], done: str) -> bool:
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


def act_in(form: Form, action: Callable[[], object]) -> bool:
    """Carry out `action` for a valid form; a refusal becomes the form's own error. False when it was refused."""
    try:
        action()
    except NotPermitted:
        raise
    except DomainError as error:
        form.add_error(None, str(error.message))
        return False
    return True


def csv_file(content: str, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or "attachment"
    response["Cache-Control"] = "private, no-store"
    return response
