"""Passing units on: form with pre-check, confirmation with the second factor, status until final."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chain.exceptions import InvalidAddress
from chain.gateway import parse_address
from chain.selectors import chain_status, outside_timeline, transaction_timeline
from portal.access import signed_in, value_action
from portal.exceptions import DomainError
from portal.models import User
from tokens import selectors, services
from tokens.exceptions import FormReused
from tokens.forms import AddressBookForm, AddressFileForm, TransferForm
from tokens.models import Security, Transfer
from tokens.types import HoldingView, Precheck, TransferView
from tokens.views.common import act, csv_file, person


@require_safe
@signed_in
def transfers(request: HttpRequest) -> HttpResponse:
    user = person(request)
    sendable = [row for row in selectors.holdings_for(user) if row.units]
    return render(request, "tokens/transfers.html", {"transfers": selectors.transfers_for(user), "sendable": sendable})


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def transfer_new(request: HttpRequest, security_id: int) -> HttpResponse:
    """Recipient and amount. What passes the pre-check goes on to the confirmation; nothing is asked of the chain yet."""
    user = person(request)
    security, holding = _holding_of(user, security_id, _sender(request))
    form = TransferForm(request.POST or None, security=security, initial=_initial(request))
    verdict = None
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        verdict = selectors.precheck(user, security, data["recipient"], data["amount"], sender=data["sender"])
        if verdict.can_send:
            return redirect(_confirm_url(security, data))
        form.add_error(None, verdict.refusal)
    context = {
        "form": form,
        "security": security,
        "holding": holding,
        "verdict": verdict,
        "book": selectors.address_book_for(user),
        "status": chain_status(),
    }
    return render(request, "tokens/transfer_new.html", context, status=400 if form.errors else 200)


def _initial(request: HttpRequest) -> dict[str, Any]:
    return {
        "form_token": uuid.uuid4(),
        "recipient": request.GET.get("recipient", ""),
        "amount": request.GET.get("amount", ""),
        "sender": request.GET.get("sender", ""),
    }


def _sender(request: HttpRequest) -> str:
    """The wallet that was chosen to send from; "" for the one the platform keeps. Nonsense is nobody's wallet."""
    text = request.POST.get("sender") or request.GET.get("sender") or ""
    try:
        return parse_address(text) if text else ""
    except InvalidAddress:
        raise Http404 from None


def _confirm_url(security: Security, data: dict[str, Any]) -> str:
    names = ("recipient", "amount", "form_token", "sender")
    query = {name: data[name] for name in names if data[name] or name != "sender"}
    return f"{reverse('tokens:transfer-confirm', args=[security.pk])}?{urlencode(query)}"


@require_safe
@signed_in
def transfer_precheck(request: HttpRequest, security_id: int) -> HttpResponse:
    """The answer while the holder types."""
    user = person(request)
    sender = _sender(request)
    security, _holding = _holding_of(user, security_id, sender)
    verdict = selectors.precheck_typed(
        user, security, request.GET.get("recipient", ""), request.GET.get("amount", ""), sender=sender
    )
    return render(request, "tokens/precheck.html", {"verdict": verdict, "security": security})


@require_http_methods(["GET", "HEAD", "POST"])
@value_action
def transfer_confirm(request: HttpRequest, security_id: int) -> HttpResponse:
    """Who gives what to whom, in one sentence; then the second factor; then it is asked of the chain, once."""
    user = person(request)
    security, holding = _holding_of(user, security_id, _sender(request))
    form = TransferForm(request.POST if request.method == "POST" else request.GET, security=security)
    if not form.is_valid():
        messages.error(request, _("This transfer is not complete. Nothing was sent. Enter it again."))
        return redirect("tokens:transfer-new", security.pk)
    data = form.cleaned_data
    if request.method == "POST":
        try:
            transfer = services.request_transfer(
                security_id=security.pk,
                actor=user,
                recipient=data["recipient"],
                units=data["amount"],
                form_token=data["form_token"],
                sender=data["sender"],
            )
        except FormReused:
            raise
        except DomainError as error:
            return _confirmation(request, security, holding, data, refusal=error)
        return redirect("tokens:transfer-detail", transfer.pk)
    return _confirmation(request, security, holding, data)


def _confirmation(
    request: HttpRequest,
    security: Security,
    holding: HoldingView,
    data: dict[str, Any],
    refusal: DomainError | None = None,
) -> HttpResponse:
    verdict: Precheck = selectors.precheck(
        person(request), security, data["recipient"], data["amount"], sender=data["sender"]
    )
    context = {
        "security": security,
        "holding": holding,
        "recipient": data["recipient"],
        "units": data["amount"],
        "value": security.value_of(data["amount"]),
        "form_token": data["form_token"],
        "sender": data["sender"],
        "verdict": verdict,
        "refusal": refusal,
        "status": chain_status(),
    }
    return render(request, "tokens/transfer_confirm.html", context, status=refusal.status_code if refusal else 200)


@require_safe
@signed_in
def transfer_detail(request: HttpRequest, transfer_id: int) -> HttpResponse:
    return render(request, "tokens/transfer_detail.html", _transfer_context(request, transfer_id))


@require_safe
@signed_in
def transfer_status(request: HttpRequest, transfer_id: int) -> HttpResponse:
    """The part of the page that is asked again until the transfer can no longer be undone."""
    return render(request, "tokens/transfer_status.html", _transfer_context(request, transfer_id))


def _transfer_context(request: HttpRequest, transfer_id: int) -> dict[str, Any]:
    view: TransferView | None = selectors.transfer_for(person(request), transfer_id)
    if view is None:
        raise Http404
    transfer = view.transfer
    transaction, outside = transfer.transaction, transfer.outside
    timeline = transaction_timeline(transaction) if transaction else outside_timeline(outside) if outside else []
    followed = transaction or outside
    is_mine = transfer.requested_by_id == person(request).pk
    return {
        "view": view,
        "transfer": transfer,
        "security": transfer.security,
        "value": transfer.security.value_of(transfer.units),
        "timeline": timeline,
        "outside": outside,
        "may_sign": is_mine and outside is not None and transfer.state == transfer.State.REQUESTED,
        "names": selectors.names_for(person(request), [transfer.sender, transfer.recipient]),
        "is_live": followed is not None and not followed.is_settled and transfer.state != transfer.State.NOT_SENT,
        "status": chain_status(),
    }


# --- a transfer that the holder's own wallet sends -------------------------------------------------------


@require_POST
@signed_in
def transfer_begin(request: HttpRequest, transfer_id: int) -> HttpResponse:
    """What the wallet is to send, as JSON; checked once more at this moment."""
    user = person(request)
    if not Transfer.objects.filter(pk=transfer_id, requested_by=user, outside__isnull=False).exists():
        raise Http404
    try:
        call = services.call_for_wallet(transfer_id=transfer_id, actor=user)
    except DomainError as error:
        return JsonResponse({"refusal": str(error.message), "code": error.code}, status=error.status_code)
    return JsonResponse({"from": call.sender, "to": call.to, "data": "0x" + call.data.hex()})


@require_POST
@signed_in
def transfer_report(request: HttpRequest, transfer_id: int) -> HttpResponse:
    """The hash that the wallet gave back. Whether it is this transfer is looked up, not believed."""
    return _with_own(
        request,
        transfer_id,
        lambda user: services.report_transfer(
            transfer_id=transfer_id, actor=user, transaction_hash=request.POST.get("hash", "")
        ),
        _("Your wallet sent it. It is followed here until it is final."),
    )


@require_POST
@signed_in
def transfer_give_up(request: HttpRequest, transfer_id: int) -> HttpResponse:
    return _with_own(
        request,
        transfer_id,
        lambda user: services.give_up_transfer(transfer_id=transfer_id, actor=user),
        _("The transfer is given up. Nothing has moved."),
    )


def _with_own(request: HttpRequest, transfer_id: int, action: Callable[[User], Transfer], done: str) -> HttpResponse:
    user = person(request)
    if not Transfer.objects.filter(pk=transfer_id, requested_by=user, outside__isnull=False).exists():
        raise Http404
    act(request, lambda: action(user), done)
    return redirect("tokens:transfer-detail", transfer_id)


def _holding_of(user: User, security_id: int, sender: str = "") -> tuple[Security, HoldingView]:
    """A security this person may pass on from the wallet at `sender` (default: the one the platform keeps), and what they have of it."""
    security = Security.objects.filter(pk=security_id, state__in=Security.ON_CHAIN).first()
    holding = selectors.holding_for(user, security, sender=sender) if security else None
    if security is None or holding is None or not (holding.units or holding.is_admitted):
        raise Http404
    return security, holding


# --- address book ----------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def address_book(request: HttpRequest) -> HttpResponse:
    user = person(request)
    form = AddressBookForm(request.POST or None, initial={"address": request.GET.get("address", "")})
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        saved = act(
            request,
            lambda: services.save_address(actor=user, label=data["label"], address=data["address"]),
            _("The address is saved."),
        )
        if saved:
            return redirect("tokens:address-book")
    context = {"form": form, "file_form": AddressFileForm(), "book": selectors.address_book_for(user)}
    return render(request, "tokens/address_book.html", context, status=400 if form.errors else 200)


@require_safe
@signed_in
def address_book_file(request: HttpRequest) -> HttpResponse:
    return csv_file(selectors.address_book_csv(person(request)), "address-book.csv")


@require_POST
@signed_in
def address_import(request: HttpRequest) -> HttpResponse:
    """Many recipients from a file: all of them, or none and the line that was wrong."""
    form = AddressFileForm(request.POST, request.FILES)
    if not form.is_valid():
        messages.error(request, " ".join(str(each) for each in form.errors.get("file", [])))
    else:
        try:
            count = services.import_addresses(actor=person(request), content=form.cleaned_data["file"])
        except DomainError as error:
            messages.error(request, str(error.message), extra_tags=error.code)
        else:
            messages.success(request, _("Recipients read from the file: %(count)s.") % {"count": count})
    return redirect("tokens:address-book")


@require_POST
@signed_in
def address_remove(request: HttpRequest, entry_id: int) -> HttpResponse:
    act(
        request,
        lambda: services.remove_address(actor=person(request), entry_id=entry_id),
        _("The address is removed from your book."),
    )
    return redirect("tokens:address-book")
