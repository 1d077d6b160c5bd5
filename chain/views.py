"""Pages of the chain engine: one transaction, its events in words, and the console of those who run it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from chain import console as console_figures
from chain import selectors, services
from chain.forms import ReasonForm
from chain.models import ChainTransaction, Incident, Signer
from chain.templatetags.chain_pages import timeline_version
from portal.access import auditor_may_read, role_required, signed_in, value_action
from portal.exceptions import DomainError
from portal.models import Role, User

_HASH = re.compile(r"0x[0-9a-f]{64}")


def _user(request: HttpRequest) -> User:
    """The signed-in person; every view here stands behind `portal.access`."""
    assert isinstance(request.user, User)  # noqa: S101
    return request.user


def _get_transaction_for_user(request: HttpRequest, transaction_id: int) -> ChainTransaction:
    """The transaction if this person may see it. To anybody else it does not exist."""
    transaction = get_object_or_404(ChainTransaction.objects.select_related("signer", "depends_on"), pk=transaction_id)
    if not selectors.transaction_visible_to(_user(request), transaction):
        raise Http404
    return transaction


@require_safe
@signed_in
def transaction_detail(request: HttpRequest, transaction_id: int) -> HttpResponse:
    """One transaction: what it does, how far it is, and for those who run the engine its attempts."""
    transaction = _get_transaction_for_user(request, transaction_id)
    runs_engine = selectors.sees_everything(_user(request))
    context = {
        "transaction": transaction,
        "signer": transaction.signer,
        "names": selectors.names_for(_user(request), filter(None, [transaction.to, transaction.signer.address])),
        "attempts": list(transaction.attempts.all()) if runs_engine else [],
        "runs_engine": runs_engine,
        "may_cancel": _user(request).has_role(Role.ADMINISTRATOR) and transaction.state in _CANCELLABLE,
        "status": selectors.chain_status(),
    }
    return render(request, "chain/transaction_detail.html", context)


_CANCELLABLE = (ChainTransaction.State.QUEUED, ChainTransaction.State.SIGNED, ChainTransaction.State.BROADCAST)


@require_safe
@signed_in
def transaction_timeline(request: HttpRequest, transaction_id: int) -> HttpResponse:
    """The live fragment. Unchanged since `seen`: 204, and htmx leaves the page, and the reader's place in it, alone."""
    transaction = _get_transaction_for_user(request, transaction_id)
    if not transaction.is_settled and request.GET.get("seen") == timeline_version(transaction):
        return HttpResponse(status=204)
    response = render(request, "chain/timeline_fragment.html", {"transaction": transaction})
    if transaction.is_settled:
        # Other parts of the page may wait for the end: hx-trigger="transaction-settled from:body".
        response["HX-Trigger"] = "transaction-settled"
    return response


@require_POST
@role_required(Role.ADMINISTRATOR)
@value_action
def cancel_transaction(request: HttpRequest, transaction_id: int) -> HttpResponse:
    """Ask that a transaction not happen; what is mined decides."""
    return _act(
        request,
        lambda: services.request_cancellation(transaction_id=transaction_id, actor=_user(request)),
        _("The cancellation was asked for. What is really mined decides."),
        redirect("chain:transaction", transaction_id),
    )


@require_safe
@signed_in
def transaction_events(request: HttpRequest, transaction_hash: str) -> HttpResponse:
    """What one transaction on the chain did to our contracts, in words."""
    transaction_hash = transaction_hash.lower()
    if not _HASH.fullmatch(transaction_hash):
        raise Http404
    seen = selectors.transaction_seen_by(_user(request), transaction_hash)
    if seen is None:
        raise Http404
    return render(request, "chain/transaction_events.html", {"seen": seen, "status": selectors.chain_status()})


@require_safe
@auditor_may_read(Role.ADMINISTRATOR)
def console(request: HttpRequest) -> HttpResponse:
    """Signers, queues, incidents and the index, for those who run the engine."""
    context: dict[str, Any] = {
        "figures": console_figures.console_figures(),
        "status": selectors.chain_status(),
        "may_act": _user(request).has_role(Role.ADMINISTRATOR),
    }
    return render(request, "chain/console.html", context)


@require_POST
@role_required(Role.ADMINISTRATOR)
def close_incident(request: HttpRequest, incident_id: int) -> HttpResponse:
    """A person looked at the incident and says what came of it."""
    get_object_or_404(Incident, pk=incident_id)
    return _with_reason(
        request,
        lambda reason: services.close_incident(incident_id=incident_id, actor=_user(request), reason=reason),
        _("The incident was closed."),
    )


@require_POST
@role_required(Role.ADMINISTRATOR)
@value_action
def resume_signer(request: HttpRequest, signer_id: int) -> HttpResponse:
    """Let a halted signer sign again."""
    get_object_or_404(Signer, pk=signer_id)
    return _with_reason(
        request,
        lambda reason: services.resume_signer(signer_id=signer_id, actor=_user(request), reason=reason),
        _("The signing key may sign again."),
    )


def _with_reason(request: HttpRequest, action: Callable[[str], object], done: str) -> HttpResponse:
    form = ReasonForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(str(error) for error in form.errors["reason"]))
        return redirect("chain:console")
    return _act(request, lambda: action(form.cleaned_data["reason"]), done, redirect("chain:console"))


def _act(request: HttpRequest, action: Callable[[], object], done: str, back: HttpResponse) -> HttpResponse:
    try:
        action()
    except DomainError as error:
        messages.error(request, str(error.message))
    else:
        messages.success(request, done)
    return back
