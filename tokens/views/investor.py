"""What an investor has and is offered."""

from __future__ import annotations

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chain.selectors import chain_status, outside_timeline, transaction_timeline
from kyc.selectors import primary_wallet, wallet_by_address, wallets_for
from portal.access import signed_in, value_action
from portal.exceptions import DomainError
from tokens import selectors, services
from tokens.cash_flow import cash_flow
from tokens.forms import ReceiveForm, SubscribeForm
from tokens.models import AdmissionRequest, Recovery, Security, SecurityDocument, Solicitation, Subscription
from tokens.services.guards import looks_after_securities
from tokens.services.placements import paid_so_far
from tokens.services.securities import document_storage
from tokens.views.common import act, csv_file, person


@require_safe
@signed_in
def holdings(request: HttpRequest) -> HttpResponse:
    user = person(request)
    context = {
        "portfolio": selectors.portfolio_for(user),
        "over_time": selectors.portfolio_over_time(user),
        "history": selectors.history_for(user, limit=10),
        "status": chain_status(),
        "offers": selectors.open_offers_to(user),
        "recoveries": selectors.open_recoveries_for(user),
    }
    return render(request, "tokens/holdings.html", context)


@require_safe
@signed_in
def holdings_file(request: HttpRequest) -> HttpResponse:
    return csv_file(selectors.holdings_csv(person(request)), "holdings.csv")


@require_safe
@signed_in
def holding_detail(request: HttpRequest, security_id: int) -> HttpResponse:
    user = person(request)
    security = _security_of(request, security_id)
    holdings = [row for row in selectors.holdings_for(user) if row.security.pk == security.pk]
    units = sum(row.units for row in holdings)
    context = {
        "security": security,
        "holdings": holdings,
        "flows": cash_flow(security, units) if units else [],
        "history": selectors.history_for(user, security=security, limit=100),
        "documents": security.documents.all(),
        "status": chain_status(),
    }
    return render(request, "tokens/holding_detail.html", context)


@require_safe
@signed_in
def history_file(request: HttpRequest, security_id: int) -> HttpResponse:
    security = _security_of(request, security_id)
    return csv_file(selectors.history_csv(person(request), security=security), f"history-{security.isin}.csv")


def _security_of(request: HttpRequest, security_id: int) -> Security:
    """A security on the chain that concerns this person; a private placement is nobody else's business."""
    known = {security.pk: security for security in selectors.securities_known_to(person(request))}
    if security_id not in known:
        raise Http404
    return known[security_id]


@require_safe
@signed_in
def document(request: HttpRequest, document_id: int) -> HttpResponseBase:
    """A document, for staff and for those who were solicited or hold."""
    row = SecurityDocument.objects.select_related("security").filter(pk=document_id).first()
    if row is None or not _may_read(request, row.security):
        raise Http404
    file = document_storage().open(row.path)
    response = FileResponse(file, as_attachment=True, filename=f"{row.name}.pdf", content_type=row.content_type)
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


def _may_read(request: HttpRequest, security: Security) -> bool:
    user = person(request)
    if looks_after_securities(user):
        return True
    if Solicitation.objects.filter(security=security, investor=user).exists():
        return True
    return any(known.pk == security.pk for known in selectors.securities_known_to(user))


# --- offers and subscriptions ----------------------------------------------------------------------------


@require_safe
@signed_in
def subscriptions(request: HttpRequest) -> HttpResponse:
    return render(request, "tokens/subscriptions.html", {"subscriptions": selectors.subscriptions_for(person(request))})


@require_safe
@signed_in
def subscription_detail(request: HttpRequest, subscription_id: int) -> HttpResponse:
    subscription = _subscription_of(request, subscription_id)
    return render(request, "tokens/subscription_detail.html", _subscription_context(subscription))


@require_safe
@signed_in
def subscription_status(request: HttpRequest, subscription_id: int) -> HttpResponse:
    """The part of the page that is asked again until the allotment is final."""
    subscription = _subscription_of(request, subscription_id)
    return render(request, "tokens/subscription_status.html", _subscription_context(subscription))


@require_http_methods(["GET", "HEAD", "POST"])
@value_action
def subscribe(request: HttpRequest, subscription_id: int) -> HttpResponse:
    subscription = _subscription_of(request, subscription_id)
    security = subscription.security
    if subscription.state != Subscription.State.INVITED:
        return redirect("tokens:subscription-detail", subscription.pk)
    wallets = selectors.effective_wallets(person(request))
    form = SubscribeForm(request.POST or None, security=security, wallets=wallets)
    if request.method == "POST" and form.is_valid():
        try:
            services.subscribe(
                subscription_id=subscription.pk,
                actor=person(request),
                units=form.cleaned_data["units"],
                acknowledgements=form.acknowledgements(),
                wallet=form.wallet(),
            )
        except DomainError as error:
            form.add_error(None, str(error.message))
        else:
            return redirect("tokens:subscription-detail", subscription.pk)
    context = {"form": form, "subscription": subscription, "security": security, "documents": security.documents.all()}
    return render(request, "tokens/subscription_subscribe.html", context, status=400 if form.errors else 200)


@require_POST
@signed_in
def decline(request: HttpRequest, subscription_id: int) -> HttpResponse:
    subscription = _subscription_of(request, subscription_id)
    act(
        request,
        lambda: services.decline_invitation(subscription_id=subscription.pk, actor=person(request)),
        _("You declined. Nothing else is needed."),
    )
    return redirect("tokens:subscription-detail", subscription.pk)


@require_POST
@signed_in
def withdraw(request: HttpRequest, subscription_id: int) -> HttpResponse:
    subscription = _subscription_of(request, subscription_id)
    act(
        request,
        lambda: services.withdraw_subscription(subscription_id=subscription.pk, actor=person(request)),
        _("Your subscription is withdrawn. Do not pay for it."),
    )
    return redirect("tokens:subscription-detail", subscription.pk)


def _subscription_of(request: HttpRequest, subscription_id: int) -> Subscription:
    subscription = selectors.subscriptions_for(person(request)).filter(pk=subscription_id).first()
    if subscription is None:
        raise Http404
    return subscription


def _subscription_context(subscription: Subscription) -> dict[str, object]:
    states = Subscription.State
    # The issuer goes on: days may pass, but whoever looks on sees it happen.
    waits = (states.SUBSCRIBED, states.PAID, states.ALLOCATED)
    paid = paid_so_far(subscription)
    kinds = {wallet.address: wallet.get_kind_display() for wallet in wallets_for(subscription.investor)}
    return {
        "subscription": subscription,
        "security": subscription.security,
        "documents": subscription.security.documents.all(),
        "due": subscription.due,
        "paid": paid,
        "missing": subscription.due - paid,
        "wallet_kind": kinds.get(subscription.wallet, ""),
        "allocated_value": subscription.security.value_of(subscription.allocated_units),
        "timeline": transaction_timeline(subscription.mint) if subscription.mint else [],
        "is_live": subscription.state in (states.ISSUING, states.IN_BLOCK, *waits),
        "look_again": "10s" if subscription.state in waits else "2s",
    }


# --- receiving -------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def receive(request: HttpRequest) -> HttpResponse:
    """One's own address to hand on, and asking to be admitted to a security by its ISIN."""
    user = person(request)
    wallets = selectors.effective_wallets(user)
    form = ReceiveForm(request.POST or None, wallets=wallets)
    if request.method == "POST" and form.is_valid():
        security = Security.objects.filter(isin=form.cleaned_data["isin"], state__in=Security.ON_CHAIN).first()
        if security is None:
            form.add_error("isin", _("There is no issued security with this ISIN. Nothing was asked for."))
        else:
            done = _("The issuer was asked. You see here when you are admitted.")
            wallet = form.wallet()
            act(
                request,
                lambda: services.request_admission(security_id=security.pk, actor=user, wallet=wallet),
                done,
            )
            return redirect("tokens:receive")
    context = {
        "form": form,
        "wallet": primary_wallet(user),
        "wallets": wallets,
        "is_verified": bool(wallets),
        "requests": selectors.admissions_for(user),
        "is_live": selectors.admissions_for(user).filter(state__in=AdmissionRequest.OPEN).exists(),
    }
    return render(request, "tokens/receive.html", context, status=400 if form.errors else 200)


# --- a recovery of one's own wallet ----------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@value_action
def recovery(request: HttpRequest, recovery_id: int) -> HttpResponse:
    """What was announced for one's own wallet, how it stands, and the button that stops it."""
    user = person(request)
    row = selectors.recoveries_for(user).filter(pk=recovery_id).first()
    if row is None:
        raise Http404
    if request.method == "POST":
        done = _("You objected. Once it is in a block, nothing can be moved out of this wallet by the recovery.")
        act(request, lambda: services.object_to_recovery(recovery_id=row.pk, actor=user), done)
        return redirect("tokens:recovery-detail", row.pk)
    wallet = wallet_by_address(row.lost)
    can_object = row.may_be_objected_to and not row.is_objected
    context = {
        "recovery": row,
        "security": row.security,
        "can_object": can_object,
        "is_custody": wallet is not None and wallet.signer_id is not None,
        # A page on which somebody signs is not taken away from under them.
        "is_live": not can_object and row.state in Recovery.OPEN and row.state != Recovery.State.OBJECTED,
        "own_timeline": outside_timeline(row.own_objection) if row.own_objection else [],
    }
    return render(request, "tokens/recovery_detail.html", context)


@require_POST
@signed_in
def objection_begin(request: HttpRequest, recovery_id: int) -> HttpResponse:
    """What the holder's own wallet is to send in order to object, as JSON."""
    user = person(request)
    if not selectors.recoveries_for(user).filter(pk=recovery_id).exists():
        raise Http404
    try:
        call = services.objection_for_wallet(recovery_id=recovery_id, actor=user)
    except DomainError as error:
        return JsonResponse({"refusal": str(error.message), "code": error.code}, status=error.status_code)
    return JsonResponse({"from": call.sender, "to": call.to, "data": "0x" + call.data.hex()})


@require_POST
@signed_in
def objection_report(request: HttpRequest, recovery_id: int) -> HttpResponse:
    """The hash that the wallet gave back. Whether it is the objection is looked up, not believed."""
    user = person(request)
    if not selectors.recoveries_for(user).filter(pk=recovery_id).exists():
        raise Http404
    sent = request.POST.get("hash", "")
    act(
        request,
        lambda: services.report_objection(recovery_id=recovery_id, actor=user, transaction_hash=sent),
        _("Your wallet sent it. Once it is in a block, nothing can be moved out of this wallet by the recovery."),
    )
    return redirect("tokens:recovery-detail", recovery_id)
