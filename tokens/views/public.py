"""What anybody may see of a security."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from chain.exceptions import InvalidAddress
from chain.gateway import parse_address
from chain.public.selectors import code_verdict, documents_on_chain, newest_reading
from chain.selectors import chain_status
from tokens.forms import DocumentCheckForm
from tokens.published import published_security


@require_safe
def security(request: HttpRequest, token: str) -> HttpResponse:
    """One security by the address of its contract: what it is, how much of it there is, its documents by hash."""
    try:
        found = published_security(parse_address(token))
    except InvalidAddress:
        found = None
    if found is None:
        raise Http404
    reading = newest_reading()
    context = {
        "reading": reading,
        "code": code_verdict(reading, found.figures.token),
        "on_chain": documents_on_chain(reading, found.figures.token),
        "security": found.security,
        "figures": found.figures,
        "shows_terms": found.shows_terms,
        "documents": list(found.security.documents.all()),
        "form": DocumentCheckForm(),
        "status": chain_status(),
    }
    return render(request, "tokens/public/security.html", context)
