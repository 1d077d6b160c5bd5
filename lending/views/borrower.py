"""The borrower's pages: what one owes, what stands for it, at which price the next step comes, and what to do about it."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from kyc.selectors import InvestorStatus, investor_status
from lending.forms import AcceptForm, CoinForm, DrawForm, LoanForm, RepayFromCollateralForm, ReturnAddressForm
from lending.models import Asset, CreditLine, Loan, LoanDocument
from lending.selectors import borrower as selectors
from lending.selectors import credit as credit_selectors
from lending.selectors import proofs as proof_selectors
from lending.selectors.ledger import entries_of
from lending.services import documents, draws, endings, loans, repayments
from lending.services.collateral import addresses as collateral_addresses
from lending.services.collateral import return_addresses, withdrawals
from portal.access import signed_in, value_action
from portal.acting import act, act_in, person
from portal.idempotency import acts_once

State = Loan.State


@require_safe
@signed_in
def overview(request: HttpRequest) -> HttpResponse:
    """Everything one borrows, and how to begin."""
    user = person(request)
    context = {
        "standings": [selectors.standing_of(loan) for loan in selectors.loans_for(user)[:50]],
        "lines": credit_selectors.lines_for(user),
        "applications": credit_selectors.applications_for(user)[:10],
        "is_verified": investor_status(user) == InvestorStatus.ACTIVE,
    }
    return render(request, "lending/loans.html", context)


def _own(request: HttpRequest, loan_id: int) -> Loan:
    loan = selectors.loans_for(person(request)).filter(pk=loan_id).first()
    if loan is None:
        raise Http404
    return loan


@require_http_methods(["GET", "HEAD", "POST"])
@value_action
@acts_once
def loan_request(request: HttpRequest, line_id: int) -> HttpResponse:
    """Ask for a loan under one's own line."""
    user = person(request)
    line = CreditLine.objects.filter(pk=line_id, borrower=user).first()
    if line is None:
        raise Http404
    form = LoanForm(request.POST or None, currency=line.currency, initial={"collateral_plan": "BTC"})
    if request.method == "POST" and form.is_valid():
        made: list[Loan] = []
        if act_in(form, lambda: made.append(loans.request_loan(line_id=line.pk, actor=user, **form.cleaned_data))):
            return redirect("lending:loan", made[0].pk)
    return render(
        request, "lending/loan_request.html", {"form": form, "line": line}, status=400 if form.errors else 200
    )


@require_safe
@signed_in
def loan_detail(request: HttpRequest, loan_id: int) -> HttpResponse:
    loan = _own(request, loan_id)
    return render(request, "lending/loan_detail.html", _context(loan))


@require_safe
@signed_in
def loan_status(request: HttpRequest, loan_id: int) -> HttpResponse:
    """The part of the page that asks again by itself: state, coverage, steps."""
    loan = _own(request, loan_id)
    response = render(request, "lending/loan_status.html", _status(loan))
    if loan.state != request.GET.get("state", loan.state):
        # The buttons and lists of the page no longer fit: show it anew.
        response.headers["HX-Redirect"] = reverse("lending:loan", args=[loan.pk])
    return response


def _status(loan: Loan) -> dict[str, Any]:
    """Where the loan stands now."""
    return {
        "loan": loan,
        "standing": selectors.standing_of(loan),
        "call": selectors.open_call(loan),
        "surplus": selectors.surplus_owed(loan),
        "room": selectors.draw_room(loan) if loan.state in (State.COLLATERAL_PENDING, State.ACTIVE) else None,
        "is_live": loan.state not in Loan.ENDED,
        "status_url": reverse("lending:loan-status", args=[loan.pk]),
    }


def _context(loan: Loan) -> dict[str, Any]:
    status = _status(loan)
    return {
        **status,
        "sales": selectors.sales_of(loan),
        "draws": loan.draws.order_by("-id"),
        "repayments": loan.repayments.order_by("-id"),
        "deposits": selectors.deposits_of(loan)[:50],
        "withdrawals": selectors.withdrawals_of(loan)[:20],
        "documents": loan.documents.order_by("-id"),
        "renewal": loan.renewals.first(),
        "proof": _proof(loan),
        "chart": selectors.chart_of(status["standing"]),
        "chart_marks": selectors.marks_of(loan),
        "takes_collateral": loan.state in Loan.TAKES_COLLATERAL,
        "can_draw": loan.state in (State.COLLATERAL_PENDING, State.ACTIVE),
        "can_cancel": loan.state in (State.APPLIED, State.APPROVED, State.COLLATERAL_PENDING),
        "is_open": loan.state in Loan.OPEN,
    }


def _proof(loan: Loan) -> dict[str, Any] | None:
    """The published proof that counts this loan's collateral, if one does, and whether its path holds."""
    published = proof_selectors.newest_proof()
    if published is None or not loan.proof_leaves.filter(proof=published).exists():
        return None
    return {"published": published, "holds": proof_selectors.is_proven(loan, published)}


@require_http_methods(["GET", "HEAD", "POST"])
@value_action
@acts_once
def contract_accept(request: HttpRequest, loan_id: int) -> HttpResponse:
    """Read the contract, then accept exactly that document."""
    loan = _own(request, loan_id)
    if loan.state != State.APPROVED:
        return redirect("lending:loan", loan.pk)
    language = str(getattr(request, "LANGUAGE_CODE", "ja"))[:2]
    contracts = loan.documents.filter(kind=LoanDocument.Kind.CONTRACT)
    contract = contracts.filter(language=language).first() or contracts.first()
    if contract is None:
        raise Http404
    form = AcceptForm(request.POST or None, initial={"sha256": contract.sha256})
    if request.method == "POST" and form.is_valid():
        wanted = form.cleaned_data["sha256"]
        if act_in(form, lambda: loans.accept_contract(loan_id=loan.pk, actor=person(request), sha256=wanted)):
            return redirect("lending:loan", loan.pk)
    context = {"form": form, "loan": loan, "contract": contract}
    return render(request, "lending/contract_accept.html", context, status=400 if form.errors else 200)


@require_POST
@signed_in
def loan_cancel(request: HttpRequest, loan_id: int) -> HttpResponse:
    loan = _own(request, loan_id)
    act(
        request,
        lambda: loans.cancel_loan(loan_id=loan.pk, actor=person(request)),
        _("The loan is cancelled. Nothing is owed."),
    )
    return redirect("lending:loan", loan.pk)


# --- money ---------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@value_action
@acts_once
def draw(request: HttpRequest, loan_id: int) -> HttpResponse:
    """Ask for money under a loan, within both caps."""
    loan = _own(request, loan_id)
    form = DrawForm(request.POST or None, currency=loan.currency)
    if request.method == "POST" and form.is_valid():
        key = f"draw:{loan.pk}:{form.cleaned_data['form_token']}"
        amount = form.cleaned_data["amount"]
        if act_in(
            form,
            lambda: draws.request_draw(loan_id=loan.pk, actor=person(request), amount=amount, form_key=key),
        ):
            return redirect("lending:loan", loan.pk)
    context = {"form": form, "loan": loan, "room": selectors.draw_room(loan), "standing": selectors.standing_of(loan)}
    return render(request, "lending/draw.html", context, status=400 if form.errors else 200)


@require_POST
@signed_in
def draw_cancel(request: HttpRequest, loan_id: int, draw_id: int) -> HttpResponse:
    loan = _own(request, loan_id)
    act(
        request,
        lambda: draws.cancel_draw(draw_id=draw_id, actor=person(request)),
        _("The draw is cancelled. Nothing was paid out."),
    )
    return redirect("lending:loan", loan.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@value_action
@acts_once
def repay(request: HttpRequest, loan_id: int) -> HttpResponse:
    """How to repay by bank transfer, and asking to repay with deposited collateral."""
    loan = _own(request, loan_id)
    form = RepayFromCollateralForm(request.POST or None, currency=loan.currency)
    if request.method == "POST" and form.is_valid():
        amount = form.cleaned_data["amount"]
        if act_in(
            form,
            lambda: repayments.request_repayment_from_collateral(loan_id=loan.pk, actor=person(request), amount=amount),
        ):
            return redirect("lending:loan", loan.pk)
    context = {"form": form, "loan": loan, "standing": selectors.standing_of(loan)}
    return render(request, "lending/repay.html", context, status=400 if form.errors else 200)


@require_POST
@signed_in
def renew(request: HttpRequest, loan_id: int) -> HttpResponse:
    loan = _own(request, loan_id)
    act(
        request,
        lambda: endings.request_renewal(loan_id=loan.pk, actor=person(request)),
        _("You asked for a renewal. An officer decides and you are told."),
    )
    return redirect("lending:loan", loan.pk)


# --- collateral ----------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def deposit(request: HttpRequest, loan_id: int) -> HttpResponse:
    """The loan's own addresses, with QR codes; made on request."""
    loan = _own(request, loan_id)
    if request.method == "POST":
        asset = request.POST.get("asset", "")
        act(
            request,
            lambda: collateral_addresses.give_deposit_address(loan_id=loan.pk, asset=asset, actor=person(request)),
            _("This is the address of your loan. Send only this asset to it."),
        )
        return redirect("lending:deposit", loan.pk)
    addresses = selectors.addresses_of(loan)
    given = {row.asset for row in addresses}
    deposits = list(selectors.deposits_of(loan)[:50])
    context = {
        "loan": loan,
        "addresses": addresses,
        "missing": [(asset.value, asset.label) for asset in Asset if asset.value not in given],
        "deposits": deposits,
        "all_settled": loan.state not in Loan.TAKES_COLLATERAL,
    }
    return render(request, "lending/deposit.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@value_action
@acts_once
def withdraw(request: HttpRequest, loan_id: int) -> HttpResponse:
    """Take out collateral that coverage does not need, to one's registered address."""
    loan = _own(request, loan_id)
    form = CoinForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        if act_in(
            form,
            lambda: withdrawals.request_withdrawal(
                loan_id=loan.pk,
                actor=person(request),
                asset=data["asset"],
                units=data["amount"],
                form_key=str(data["form_token"]),
            ),
        ):
            return redirect("lending:loan", loan.pk)
    context = {"form": form, "loan": loan, "standing": selectors.standing_of(loan)}
    return render(request, "lending/withdraw.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@value_action
@acts_once
def own_addresses(request: HttpRequest) -> HttpResponse:
    """Where one's collateral goes back to, per asset; a change waits and a second person approves it."""
    user = person(request)
    form = ReturnAddressForm(request.POST or None, initial={"asset": request.GET.get("asset", "BTC")})
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        if act_in(
            form,
            lambda: return_addresses.request_return_address(actor=user, asset=data["asset"], address=data["address"]),
        ):
            return redirect("lending:return-addresses")
    context = {"form": form, "addresses": selectors.return_addresses_of(user)}
    return render(request, "lending/return_addresses.html", context, status=400 if form.errors else 200)


@require_POST
@signed_in
def own_address_cancel(request: HttpRequest, address_id: int) -> HttpResponse:
    act(
        request,
        lambda: return_addresses.cancel_return_address(address_id=address_id, actor=person(request)),
        _("The new address will not be used."),
    )
    return redirect("lending:return-addresses")


@require_safe
@signed_in
def own_proof(request: HttpRequest, loan_id: int) -> HttpResponse:
    """The file with which the borrower checks, anywhere, that their collateral is counted."""
    loan = _own(request, loan_id)
    published = proof_selectors.newest_proof()
    content = proof_selectors.own_proof(loan, published) if published else None
    if content is None:
        raise Http404
    response = JsonResponse(content, json_dumps_params={"indent": 2})
    response["Content-Disposition"] = f'attachment; filename="proof-{loan.reference}.json"'
    response["Cache-Control"] = "private, no-store"
    return response


# --- papers --------------------------------------------------------------------------------------------------------


@require_safe
@signed_in
def document(request: HttpRequest, document_id: int) -> HttpResponse:
    """A PDF of a loan, for the borrower, the desk and auditors."""
    opened = documents.open_document(document_id=document_id, reader=person(request))
    response = HttpResponse(opened.content, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="{opened.file_name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox; plugin-types application/pdf"
    response["Cache-Control"] = "private, no-store"
    return response


@require_safe
@signed_in
def history(request: HttpRequest, loan_id: int) -> HttpResponse:
    """Every entry of the books about this loan."""
    loan = _own(request, loan_id)
    return render(request, "lending/history.html", {"loan": loan, "entries": entries_of(loan)})
