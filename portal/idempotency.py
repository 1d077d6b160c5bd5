"""Forms that act once, however often they are sent.

A page renders `{% once_token %}` inside its form; its view wears `@acts_once`. The token is bound to the person; the
first submission stores it with a digest of method, path and body, in the same transaction as what the view does.
A repeat is answered with the first answer's redirect and does nothing; the same token with another body is refused
with 409. An answer that is not a redirect (the form again, with its mistakes) leaves the token unused.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Final

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from portal.exceptions import DomainError
from portal.models import IdempotencyKey, User

FIELD: Final = "once_token"
_READS = ("GET", "HEAD", "OPTIONS")


class FormReplayed(DomainError):
    """The same form was sent before with other content, or its token is not this person's."""


def new_token(user: User) -> str:
    """A fresh token for one form, bound to `user` by a signature."""
    nonce = secrets.token_hex(12)
    return f"{nonce}{_signature(user, nonce)}"


def _signature(user: User, nonce: str) -> str:
    return salted_hmac("portal.idempotency", f"{user.pk}:{nonce}", algorithm="sha256").hexdigest()[:32]


def _is_ours(user: User, token: str) -> bool:
    nonce, signature = token[:24], token[24:]
    return secrets.compare_digest(signature, _signature(user, nonce))


def _parts(request: HttpRequest) -> Iterator[bytes]:
    yield f"{request.method} {request.path}".encode()
    for name in sorted(set(request.POST) - {"csrfmiddlewaretoken", FIELD}):
        yield from (f"\n{name}={value}".encode() for value in request.POST.getlist(name))
    for name in sorted(request.FILES):
        for file in request.FILES.getlist(name):
            yield f"\n{name}:{file.name}:".encode()
            yield from _chunks(file)


def _chunks(file: UploadedFile[Any]) -> Iterator[bytes]:
    yield from file.chunks()
    file.seek(0)


def fingerprint(request: HttpRequest) -> str:
    """SHA-256 over method, path, fields and files; the tokens themselves are left out."""
    digest = hashlib.sha256()
    for part in _parts(request):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def acts_once(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view's POST is carried out at most once per token. Everything it writes is one transaction.

    Put it beneath the access decorators. Raises `FormReplayed` (409) for a token with another body, and (400) for a
    form without a token of this person.
    """

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method in _READS:
            return view(request, *args, **kwargs)
        user, token = request.user, request.POST.get(FIELD, "")
        if not isinstance(user, User) or not _is_ours(user, token):
            raise FormReplayed(
                _("This form cannot be used. Nothing was changed. Reload the page and fill it in again."),
                code="portal.form.token_missing",
            )
        with transaction.atomic():
            return _answer(view, request, user, token, args, kwargs)

    return guarded


def _answer(
    view: Callable[..., HttpResponse], request: HttpRequest, user: User, token: str, args: Any, kwargs: Any
) -> HttpResponse:
    digest = fingerprint(request)
    # A second click waits here for the first to commit: the unique row is the lock.
    entry, is_new = IdempotencyKey.objects.get_or_create(user=user, key=token, defaults={"fingerprint": digest})
    if not is_new:
        return _repeat(entry, digest)
    response = view(request, *args, **kwargs)
    location = response.headers.get("Location") or response.headers.get("HX-Redirect", "")
    if location:
        entry.location = location
        entry.save(update_fields=["location"])
    else:
        entry.delete()
    return response


def _repeat(entry: IdempotencyKey, digest: str) -> HttpResponse:
    if entry.fingerprint != digest:
        raise FormReplayed(
            _(
                "This form was already sent with other content. Nothing more was done. Go back, reload the page and start again."
            ),
            code="portal.form.replayed",
        )
    return HttpResponseRedirect(entry.location)
