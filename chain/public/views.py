"""Pages of the chain that everybody may read."""

from __future__ import annotations

from typing import Any

from allauth.core import ratelimit
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chain.public import selectors
from chain.public.forms import CheckForm
from chain.public.lookup import look_up_address, look_up_transaction
from chain.registry import public_securities
from chain.selectors import chain_status


@require_safe
def roles(request: HttpRequest) -> HttpResponse:
    """Who may do what, how fast, and who can stop it."""
    reading = selectors.newest_reading()
    context = {
        "reading": reading,
        "is_old": reading is not None and selectors.is_old(reading),
        "powers": selectors.powers(reading) if reading else None,
    }
    return render(request, "chain/public/roles.html", context)


@require_safe
def contracts(request: HttpRequest) -> HttpResponse:
    """Where every contract stands, and whether its code is the one it should be."""
    reading = selectors.newest_reading()
    context = {
        "reading": reading,
        "is_old": reading is not None and selectors.is_old(reading),
        "lines": selectors.code_lines(reading) if reading else (),
    }
    return render(request, "chain/public/contracts.html", context)


@require_safe
@never_cache
def check(request: HttpRequest) -> HttpResponse:
    """An address or a transaction, by what the chain says of it. The question stands in the page's address."""
    if "q" not in request.GET:
        return render(request, "chain/public/check.html", {"form": CheckForm()})
    refused = ratelimit.consume_or_429(request, action="public_check", limit_get=True)
    if refused is not None:
        return refused
    form = CheckForm(request.GET)
    if not form.is_valid():
        return render(request, "chain/public/check.html", {"form": form}, status=422)
    return render(request, "chain/public/check.html", {"form": form, "status": chain_status()} | _answer(form))


def _answer(form: CheckForm) -> dict[str, Any]:
    asked: str = form.cleaned_data["q"]
    names = public_securities.names()
    if form.asks_for_transaction:
        facts = look_up_transaction(asked)
        moves = [(move, names.get(move.token)) for move in facts.moves]
        return {"transaction": facts, "moves": moves, "reason": selectors.refusal_reason(facts)}
    found = look_up_address(asked)
    by_token = {row.token: row for row in found.admissions}
    admissions = [(name, by_token.get(token)) for token, name in names.items()]
    return {"found": found, "admissions": admissions, "contract": selectors.kind_words(found.contract)}
