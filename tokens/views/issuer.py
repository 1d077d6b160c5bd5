"""The issuer's desk: securities, their placement, their holders, and who may receive them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chain.selectors import chain_status, token_state, transaction_timeline
from kyc.selectors import verified_parties, wallet_keepers
from portal.access import role_required, value_action
from portal.exceptions import DomainError
from portal.idempotency import acts_once
from portal.models import Role, User
from tokens import selectors, services
from tokens.cash_flow import cash_flow
from tokens.forms import (
    AllocateForm,
    DocumentForm,
    InviteForm,
    PaymentForm,
    ReasonForm,
    SecurityFilterForm,
    SecurityForm,
)
from tokens.models import Security, Subscription
from tokens.services.securities import DOCUMENT_MAX_BYTES
from tokens.views.common import act, csv_file, person, security_or_404

READERS = (Role.ISSUER, Role.ADMINISTRATOR, Role.AUDITOR)
readers = role_required(*READERS)
issuers = role_required(Role.ISSUER)
approvers = role_required(Role.ISSUER, Role.ADMINISTRATOR)


@require_safe
@readers
def security_list(request: HttpRequest) -> HttpResponse:
    form = SecurityFilterForm(request.GET or None)
    data = form.cleaned_data if form.is_valid() else {}
    rows = selectors.securities(state=data.get("state", ""), search=data.get("search", ""))
    page = Paginator(rows, 50).get_page(request.GET.get("page"))
    return render(request, "tokens/security_list.html", {"form": form, "page": page})


@require_http_methods(["GET", "HEAD", "POST"])
@issuers
@acts_once
def security_new(request: HttpRequest) -> HttpResponse:
    form = SecurityForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            security = services.create_security(actor=person(request), terms=form.terms())
        except DomainError as error:
            _show(form, error)
        else:
            return redirect("tokens:security-detail", security.pk)
    return render(request, "tokens/security_form.html", {"form": form}, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@issuers
def security_edit(request: HttpRequest, security_id: int) -> HttpResponse:
    security = security_or_404(security_id)
    form = SecurityForm(request.POST or None, initial=SecurityForm.initial_of(security))
    if request.method == "POST" and form.is_valid():
        try:
            services.update_security(security_id=security.pk, actor=person(request), terms=form.terms())
        except DomainError as error:
            _show(form, error)
        else:
            return redirect("tokens:security-detail", security.pk)
    context = {"form": form, "security": security}
    return render(request, "tokens/security_form.html", context, status=400 if form.errors else 200)


def _show(form: SecurityForm, error: DomainError) -> None:
    """A refusal beside the fields it names; above all of them when it names none of this form's."""
    fields = error.context.get("fields")
    named = {name: texts for name, texts in fields.items() if name in form.fields} if isinstance(fields, dict) else {}
    for name, texts in named.items():
        for text in texts:
            form.add_error(name, text)
    if not named:
        form.add_error(None, str(error.message))


@require_safe
@readers
def security_detail(request: HttpRequest, security_id: int) -> HttpResponse:
    return render(request, "tokens/security_detail.html", _security_context(request, security_or_404(security_id)))


@require_safe
@readers
def security_status(request: HttpRequest, security_id: int) -> HttpResponse:
    """The part of the page that is asked again while the contract is being put on the chain."""
    return render(request, "tokens/security_status.html", _security_context(request, security_or_404(security_id)))


def _security_context(request: HttpRequest, security: Security) -> dict[str, Any]:
    user, states = person(request), Security.State
    is_approver = user.has_role(Role.ISSUER) or user.has_role(Role.ADMINISTRATOR)
    return {
        "security": security,
        "chain_state": token_state(security.token) if security.token else None,
        "status": chain_status(),
        "flows": cash_flow(security, security.authorised_units),
        "documents": security.documents.all(),
        "document_form": DocumentForm(),
        "reason_form": ReasonForm(),
        "deployment": transaction_timeline(security.deployment) if security.deployment else [],
        "configuration": transaction_timeline(security.configuration) if security.configuration else [],
        "is_live": security.state == states.DEPLOYING,
        "can_edit": user.has_role(Role.ISSUER) and security.state == states.DRAFT,
        "can_approve": is_approver and security.state == states.AWAITING_APPROVAL and security.created_by_id != user.pk,
        "is_own": security.created_by_id == user.pk,
        "can_retry": is_approver and security.state == states.FAILED,
        "is_issuer": user.has_role(Role.ISSUER),
        "is_administrator": user.has_role(Role.ADMINISTRATOR),
        "notice_duty": selectors.notice_duty(security),
        "controls": security.control_actions.select_related("requested_by", "transaction")[:20],
        "recoveries": security.recoveries.select_related("requested_by")[:20],
        "requests": selectors.admission_requests_open(security) if security.is_on_chain else [],
    }


# --- actions on a security -------------------------------------------------------------------------------


@require_POST
@issuers
def document_add(request: HttpRequest, security_id: int) -> HttpResponse:
    security = security_or_404(security_id)
    form = DocumentForm(request.POST, request.FILES)
    if not form.is_valid():
        context = {**_security_context(request, security), "document_form": form}
        return render(request, "tokens/security_detail.html", context, status=400)
    file, name = form.cleaned_data["file"], form.cleaned_data["name"]
    # One byte more than allowed is enough to refuse it; a huge upload is never read into memory whole.
    content = file.read(DOCUMENT_MAX_BYTES + 1)
    act(
        request,
        lambda: services.add_document(security_id=security.pk, actor=person(request), name=name, content=content),
        _("The document is kept, and its hash will be in the contract."),
    )
    return redirect("tokens:security-detail", security.pk)


@require_POST
@issuers
def document_remove(request: HttpRequest, security_id: int, document_id: int) -> HttpResponse:
    act(
        request,
        lambda: services.remove_document(document_id=document_id, actor=person(request)),
        _("The document is taken out of the issue."),
    )
    return redirect("tokens:security-detail", security_id)


def _action(
    request: HttpRequest, security_id: int, service: Callable[..., Model | None], done: str, **extra: Any
) -> HttpResponse:
    security_or_404(security_id)
    act(request, lambda: service(security_id=security_id, actor=person(request), **extra), done)
    return redirect("tokens:security-detail", security_id)


@require_POST
@issuers
def security_submit(request: HttpRequest, security_id: int) -> HttpResponse:
    done = _("The terms are fixed. A second person has to approve them now.")
    return _action(request, security_id, services.submit_security, done)


@require_http_methods(["GET", "HEAD", "POST"])
@approvers
@value_action
def security_approve(request: HttpRequest, security_id: int) -> HttpResponse:
    """The second person reads the terms once more, then the contract is put on the chain."""
    security = security_or_404(security_id)
    if request.method == "POST":
        return _action(
            request, security_id, services.approve_security, _("Approved. The contract is being put on the chain.")
        )
    context = {
        "security": security,
        "documents": security.documents.all(),
        "is_own": security.created_by == request.user,
    }
    return render(request, "tokens/security_approve.html", context)


@require_POST
@approvers
def security_send_back(request: HttpRequest, security_id: int) -> HttpResponse:
    reason = request.POST.get("reason", "")
    return _action(request, security_id, services.send_back_security, _("Sent back for correction."), reason=reason)


@require_POST
@issuers
def security_cancel(request: HttpRequest, security_id: int) -> HttpResponse:
    return _action(request, security_id, services.cancel_security, _("The draft is cancelled."))


@require_POST
@approvers
@value_action
def security_retry(request: HttpRequest, security_id: int) -> HttpResponse:
    return _action(request, security_id, services.retry_deployment, _("It is being tried again."))


@require_POST
@issuers
def security_close(request: HttpRequest, security_id: int) -> HttpResponse:
    return _action(request, security_id, services.close_offering, _("The offering is closed."))


# --- holders ---------------------------------------------------------------------------------------------


@require_safe
@readers
def holders(request: HttpRequest, security_id: int) -> HttpResponse:
    security = security_or_404(security_id)
    report = selectors.holders_report(security)
    context = {"security": security, "report": report, "status": chain_status()}
    return render(request, "tokens/holders.html", context)


@require_safe
@readers
def holders_file(request: HttpRequest, security_id: int) -> HttpResponse:
    security = security_or_404(security_id)
    return csv_file(selectors.holders_csv(security), f"holders-{security.isin}.csv")


# --- the placement board ---------------------------------------------------------------------------------


@require_safe
@readers
def placement(request: HttpRequest, security_id: int) -> HttpResponse:
    security = security_or_404(security_id)
    return render(request, "tokens/placement.html", _placement_context(request, security))


def _placement_context(request: HttpRequest, security: Security) -> dict[str, Any]:
    board = selectors.board_for(security)
    invited = {line.subscription.investor_id for line in board.lines}
    return {
        "security": security,
        "board": board,
        "target": [security.authorised_units],
        "unit_size": 10**security.decimals,
        "status": chain_status(),
        "invite_form": InviteForm(people=_invitable(request, invited)),
        "search": request.GET.get("search", ""),
        "is_issuer": person(request).has_role(Role.ISSUER),
        "is_live": any(line.subscription.state in _MOVING for line in board.lines),
    }


_MOVING = (Subscription.State.ISSUING, Subscription.State.IN_BLOCK)


def _invitable(request: HttpRequest, invited: set[int]) -> list[tuple[User, str]]:
    parties = verified_parties(search=request.GET.get("search", ""))
    return [(party.user, party.name) for party in parties if party.user_id not in invited]


@require_POST
@issuers
def invite(request: HttpRequest, security_id: int) -> HttpResponse:
    security = security_or_404(security_id)
    form = InviteForm(request.POST, people=_invitable(request, set()))
    if not form.is_valid():
        context = {**_placement_context(request, security), "invite_form": form}
        return render(request, "tokens/placement.html", context, status=400)
    investor = form.cleaned_data["investor"]
    act(
        request,
        lambda: services.invite_investor(security_id=security.pk, investor=investor, actor=person(request)),
        _("Invited, and entered in the ledger of solicited persons."),
    )
    return redirect("tokens:placement", security.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@readers
def subscription_work(request: HttpRequest, subscription_id: int) -> HttpResponse:
    """One subscription on the issuer's desk: payment, allocation, issue."""
    subscription = _subscription(subscription_id)
    return render(request, "tokens/subscription_work.html", _work_context(request, subscription))


def _subscription(subscription_id: int) -> Subscription:
    rows = Subscription.objects.select_related("security", "investor", "mint", "admission")
    subscription = rows.filter(pk=subscription_id).first()
    if subscription is None:
        raise Http404
    return subscription


def _work_context(request: HttpRequest, subscription: Subscription) -> dict[str, Any]:
    board = selectors.board_for(subscription.security)
    line = next(line for line in board.lines if line.subscription.pk == subscription.pk)
    return {
        "security": subscription.security,
        "subscription": subscription,
        "line": line,
        "board": board,
        "payment_form": PaymentForm(currency=subscription.security.currency, initial={"amount": _plain(line.missing)}),
        "allocate_form": AllocateForm(initial={"units": min(subscription.units, board.available_units)}),
        "admission": transaction_timeline(subscription.admission) if subscription.admission else [],
        "timeline": transaction_timeline(subscription.mint) if subscription.mint else [],
        "is_live": subscription.state in _MOVING,
        "is_issuer": person(request).has_role(Role.ISSUER),
    }


def _plain(money: Any) -> str:
    return f"{money.truncated().amount:f}" if money.amount else ""


@require_POST
@issuers
@value_action
def payment_record(request: HttpRequest, subscription_id: int) -> HttpResponse:
    subscription = _subscription(subscription_id)
    form = PaymentForm(request.POST, currency=subscription.security.currency)
    if not form.is_valid():
        context = {**_work_context(request, subscription), "payment_form": form}
        return render(request, "tokens/subscription_work.html", context, status=400)
    data = form.cleaned_data
    act(
        request,
        lambda: services.record_payment(
            subscription_id=subscription.pk,
            actor=person(request),
            money=form.money(),
            received_on=data["received_on"],
            reference=data["reference"],
        ),
        _("The payment is booked. What is still missing, if anything, is shown below."),
    )
    return redirect("tokens:subscription-work", subscription.pk)


@require_POST
@issuers
@value_action
def allocate(request: HttpRequest, subscription_id: int) -> HttpResponse:
    subscription = _subscription(subscription_id)
    form = AllocateForm(request.POST)
    if not form.is_valid():
        context = {**_work_context(request, subscription), "allocate_form": form}
        return render(request, "tokens/subscription_work.html", context, status=400)
    units = form.cleaned_data["units"]
    act(
        request,
        lambda: services.allocate_subscription(subscription_id=subscription.pk, actor=person(request), units=units),
        _("The allocation is recorded."),
    )
    return redirect("tokens:subscription-work", subscription.pk)


@require_POST
@issuers
@value_action
def issue(request: HttpRequest, subscription_id: int) -> HttpResponse:
    subscription = _subscription(subscription_id)
    act(
        request,
        lambda: services.issue_allotment(subscription_id=subscription.pk, actor=person(request)),
        _("The units are being issued. They are final once the block is."),
    )
    return redirect("tokens:subscription-work", subscription.pk)


# --- admissions ------------------------------------------------------------------------------------------


@require_safe
@readers
def admissions(request: HttpRequest) -> HttpResponse:
    requests = list(selectors.admission_requests_open())
    context = {
        "requests": requests,
        "names": selectors.names_for(person(request), [row.wallet for row in requests]),
        "kinds": wallet_keepers(row.wallet for row in requests),
        "is_issuer": person(request).has_role(Role.ISSUER),
        "reason_form": ReasonForm(),
    }
    return render(request, "tokens/admissions.html", context)


@require_POST
@issuers
@value_action
def admission_approve(request: HttpRequest, request_id: int) -> HttpResponse:
    act(
        request,
        lambda: services.approve_admission(request_id=request_id, actor=person(request)),
        _("Approved. The admission is being recorded on the chain."),
    )
    return redirect("tokens:admissions")


@require_POST
@issuers
def admission_decline(request: HttpRequest, request_id: int) -> HttpResponse:
    act(
        request,
        lambda: services.decline_admission(
            request_id=request_id, actor=person(request), reason=request.POST.get("reason", "")
        ),
        _("Declined. The person sees the reason."),
    )
    return redirect("tokens:admissions")
