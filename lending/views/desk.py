"""The desk: the book, what waits, one loan, limits, prices, and the proofs that all of it stands for something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chain.selectors import chain_status
from lending.forms import (
    BookFilterForm,
    DispositionForm,
    HandReturnForm,
    LimitForm,
    ReasonForm,
    RepaymentForm,
    WrongAssetForm,
)
from lending.models import Delivery, Draw, Loan, Sale
from lending.selectors import book as selectors
from lending.selectors import borrower as loan_selectors
from lending.selectors import collateral as collateral_selectors
from lending.selectors import prices as price_selectors
from lending.selectors import proofs as proof_selectors
from lending.selectors import risk as risk_selectors
from lending.selectors import terms as terms_selectors
from lending.services import bitcoin, deliveries, draws, endings, loans, proofs, reconciliation, repayments, sales
from lending.services import prices as price_services
from lending.services import terms as terms_services
from lending.services.collateral import return_addresses, withdrawals
from lending.views.common import desk_reader, is_officer, officer_only, officer_step
from portal.acting import act, act_in, person
from portal.idempotency import acts_once
from portal.models import AuditEntry

State = Loan.State


@require_safe
@desk_reader
def book(request: HttpRequest) -> HttpResponse:
    """Open loans, the one closest to its next step first; or whatever was searched for."""
    form = BookFilterForm(request.GET)
    chosen = form.cleaned_data if form.is_valid() else {}
    currency = chosen.get("currency") or "JPY"
    context: dict[str, Any] = {"form": form, "totals": selectors.totals(), "broken": price_selectors.broken_pairs()}
    if chosen.get("state") or chosen.get("search"):
        page = selectors.searched(
            state=chosen.get("state", ""),
            currency=chosen.get("currency", ""),
            search=chosen.get("search", ""),
            page=request.GET.get("page", "1"),
        )
        context |= {"lines": selectors.lines_of(list(page)), "page": page}
    else:
        number = request.GET.get("page", "1")
        nearest = selectors.nearest(currency=currency, number=int(number) if number.isdigit() else 1)
        context |= {"lines": nearest.lines, "nearest": nearest, "currency": currency}
    return render(request, "lending/book.html", context)


@require_safe
@desk_reader
def risk(request: HttpRequest) -> HttpResponse:
    """Coverage over the book, concentration, and every limit with what stands against it."""
    currencies = [
        {
            "currency": currency,
            "distribution": selectors.distribution(currency),
            "uses": risk_selectors.limits_in_use(currency),
            "biggest_share": risk_selectors.biggest_share(currency),
        }
        for currency in ("JPY", "USD")
    ]
    context = {
        "currencies": currencies,
        "limits": risk_selectors.limits(),
        "form": LimitForm(),
        "is_officer": is_officer(request),
    }
    return render(request, "lending/risk.html", context)


@officer_step
@acts_once
def limit_enter(request: HttpRequest) -> HttpResponse:
    form = LimitForm(request.POST)
    if form.is_valid() and act_in(form, lambda: terms_services.enter_limit(actor=person(request), **form.cleaned_data)):
        return redirect("lending:risk")
    context = {"form": form, "limits": risk_selectors.limits(), "is_officer": True, "currencies": []}
    return render(request, "lending/risk.html", context, status=400)


@officer_step
def limit_decide(request: HttpRequest, limit_id: int) -> HttpResponse:
    approve = request.POST.get("verdict") == "approve"
    act(
        request,
        lambda: terms_services.decide_limit(limit_id=limit_id, actor=person(request), approve=approve),
        _("The limit was decided."),
    )
    return redirect("lending:risk")


@require_safe
@desk_reader
def terms(request: HttpRequest) -> HttpResponse:
    """Every version of the product terms: which is in force, and where its numbers come from."""
    return render(request, "lending/terms.html", {"rows": terms_selectors.all_terms()})


# --- what waits ----------------------------------------------------------------------------------------------------


@require_safe
@desk_reader
def work(request: HttpRequest) -> HttpResponse:
    """Everything that waits for an officer, by kind, the most urgent first."""
    context = {
        "setbacks": selectors.setbacks()[:100],
        "calls": selectors.calls_open()[:100],
        "sales": selectors.sales_running()[:100],
        "deliveries": selectors.deliveries_open()[:100],
        "loans": selectors.loans_to_approve()[:50],
        "draws": selectors.draws_to_release()[:50],
        "repayments": selectors.repayments_to_confirm()[:50],
        "deposits": collateral_selectors.held_deposits()[:50],
        "withdrawals": selectors.withdrawals_open()[:50],
        "addresses": selectors.return_addresses_to_approve()[:50],
        "renewals": selectors.renewals_to_decide()[:50],
        "write_offs": selectors.write_offs_to_decide()[:50],
        "past_due": selectors.past_due()[:50],
        "broken": price_selectors.broken_pairs(),
        "is_officer": is_officer(request),
        "disposition_form": DispositionForm(),
        "hand_return_form": HandReturnForm(),
        "reads_loans": True,
    }
    return render(request, "lending/work.html", context)


@require_safe
@desk_reader
def loan_case(request: HttpRequest, loan_id: int) -> HttpResponse:
    return _case_page(request, _loan(loan_id))


def _loan(loan_id: int) -> Loan:
    rows = Loan.objects.select_related(
        "borrower__party", "terms", "line", "position", "first_approval_by", "approved_by"
    )
    loan = rows.filter(pk=loan_id).first()
    if loan is None:
        raise Http404
    return loan


@require_safe
@desk_reader
def loan_case_status(request: HttpRequest, loan_id: int) -> HttpResponse:
    """The part of the page that asks again by itself.

    When the loan went on, the rest of the page no longer fits. That is said and not put right unasked: somebody may be
    writing into one of its forms.
    """
    loan = _loan(loan_id)
    shown = request.GET.get("state", "")
    shown = shown if shown in State.values else ""
    return render(request, "lending/loan_status.html", {**_status(loan), "shown_state": shown})


def _status(loan: Loan) -> dict[str, Any]:
    """Where the loan stands now."""
    return {
        "loan": loan,
        "standing": loan_selectors.standing_of(loan),
        "room": loan_selectors.draw_room(loan) if loan.state in (State.COLLATERAL_PENDING, State.ACTIVE) else None,
        "call": loan_selectors.open_call(loan),
        "surplus": loan_selectors.surplus_owed(loan),
        "is_live": loan.state not in Loan.ENDED,
        "status_url": reverse("lending:loan-case-status", args=[loan.pk]),
    }


def _case_page(request: HttpRequest, loan: Loan, **bound: Any) -> HttpResponse:
    officer = person(request)
    status = _status(loan)
    acts = is_officer(request) and officer.pk != loan.borrower_id
    context = {
        **status,
        "calls": loan.calls.order_by("-id"),
        "sales": loan_selectors.sales_of(loan),
        "draws": loan.draws.select_related("released_by").order_by("-id"),
        "repayments": loan.repayments.order_by("-id"),
        "deposits": loan_selectors.deposits_of(loan)[:50],
        "withdrawals": loan_selectors.withdrawals_of(loan)[:20],
        "documents": loan.documents.order_by("-id"),
        "chart": loan_selectors.chart_of(status["standing"]),
        "chart_marks": loan_selectors.marks_of(loan),
        "history": AuditEntry.objects.filter(subject_type="lending.loan", subject_id=str(loan.pk)).order_by(
            "-sequence"
        )[:50],
        "acts": acts,
        "can_approve": acts and loan.state == State.APPLIED and loan.first_approval_by_id != officer.pk,
        "can_take_money": acts and loan.state in repayments.OWING,
        "can_write_off": acts and loan.state == State.SOLD_OUT,
        "repayment_form": RepaymentForm(currency=loan.currency),
        "reason_form": ReasonForm(),
        "wrong_asset_form": WrongAssetForm(),
        **bound,
    }
    context["wrong_form"] = next(iter(bound.values()), None)
    return render(request, "lending/loan_case.html", context, status=400 if bound else 200)


def _acted(request: HttpRequest, action: Callable[[], object], done: str, loan_id: int | None = None) -> HttpResponse:
    act(request, action, done)
    return redirect("lending:loan-case", loan_id) if loan_id else redirect("lending:work")


@officer_step
def loan_approve(request: HttpRequest, loan_id: int) -> HttpResponse:
    return _acted(
        request,
        lambda: loans.approve_loan(loan_id=loan_id, actor=person(request)),
        _("Your approval is recorded. After the second one the contract goes to the borrower."),
        loan_id,
    )


@officer_step
def loan_decline(request: HttpRequest, loan_id: int) -> HttpResponse:
    reason = request.POST.get("reason", "")
    return _acted(
        request,
        lambda: loans.decline_loan(loan_id=loan_id, actor=person(request), reason=reason),
        _("The loan is declined. The borrower is told."),
        loan_id,
    )


@officer_step
@acts_once
def draw_release(request: HttpRequest, draw_id: int) -> HttpResponse:
    draw = Draw.objects.filter(pk=draw_id).first()
    if draw is None:
        raise Http404
    reference = request.POST.get("bank_reference", "")
    return _acted(
        request,
        lambda: draws.release_draw(draw_id=draw_id, actor=person(request), bank_reference=reference),
        _("The draw is booked as paid out."),
    )


@require_POST
@officer_only
def draw_refuse(request: HttpRequest, draw_id: int) -> HttpResponse:
    reason = request.POST.get("reason", "")
    return _acted(
        request,
        lambda: draws.refuse_draw(draw_id=draw_id, actor=person(request), reason=reason),
        _("The draw is refused. The borrower is told."),
    )


@officer_step
@acts_once
def repayment_record(request: HttpRequest, loan_id: int) -> HttpResponse:
    loan = _loan(loan_id)
    form = RepaymentForm(request.POST, currency=loan.currency)
    if form.is_valid() and act_in(
        form,
        lambda: repayments.record_repayment(loan_id=loan.pk, actor=person(request), **form.cleaned_data),
    ):
        return redirect("lending:loan-case", loan.pk)
    return _case_page(request, loan, repayment_form=form)


@officer_step
@acts_once
def repayment_confirm(request: HttpRequest, repayment_id: int) -> HttpResponse:
    return _acted(
        request,
        lambda: repayments.confirm_repayment(repayment_id=repayment_id, actor=person(request)),
        _("The repayment is booked."),
    )


@require_POST
@officer_only
def repayment_reject(request: HttpRequest, repayment_id: int) -> HttpResponse:
    reason = request.POST.get("reason", "")
    return _acted(
        request,
        lambda: repayments.reject_repayment(repayment_id=repayment_id, actor=person(request), reason=reason),
        _("The record is rejected. Nothing was booked."),
    )


@officer_step
def renewal_decide(request: HttpRequest, renewal_id: int) -> HttpResponse:
    reason = request.POST.get("reason", "")
    if request.POST.get("verdict") == "grant":
        return _acted(
            request,
            lambda: endings.grant_renewal(renewal_id=renewal_id, actor=person(request)),
            _("The loan is renewed."),
        )
    return _acted(
        request,
        lambda: endings.refuse_renewal(renewal_id=renewal_id, actor=person(request), reason=reason),
        _("The renewal is refused. The borrower is told."),
    )


@officer_step
def write_off_propose(request: HttpRequest, loan_id: int) -> HttpResponse:
    reason = request.POST.get("reason", "")
    return _acted(
        request,
        lambda: endings.propose_write_off(loan_id=loan_id, actor=person(request), reason=reason),
        _("Proposed. Another officer decides."),
        loan_id,
    )


@officer_step
def sale_resume(request: HttpRequest, loan_id: int) -> HttpResponse:
    """Let a sale go on that stopped at an answer of the exchange which cannot be true."""
    sale = _loan(loan_id).sales.filter(pause=Sale.Pause.NONSENSE).first()
    if sale is None:
        raise Http404
    reason = request.POST.get("reason", "")
    return _acted(
        request,
        lambda: sales.resume_sale(sale_id=sale.pk, actor=person(request), reason=reason),
        _("The sale goes on. The exchange is asked again about its last order first."),
        loan_id,
    )


@officer_step
def write_off_decide(request: HttpRequest, write_off_id: int) -> HttpResponse:
    approve = request.POST.get("verdict") == "approve"
    return _acted(
        request,
        lambda: endings.decide_write_off(write_off_id=write_off_id, actor=person(request), approve=approve),
        _("The write-off is decided."),
    )


# --- collateral ----------------------------------------------------------------------------------------------------


@officer_step
def withdrawal_decide(request: HttpRequest, withdrawal_id: int) -> HttpResponse:
    """The first officer checks, the second approves; either may refuse."""
    officer, verdict = person(request), request.POST.get("verdict", "")
    steps: dict[str, tuple[Callable[[], object], str]] = {
        "check": (
            lambda: withdrawals.check_withdrawal(withdrawal_id=withdrawal_id, actor=officer),
            _("Checked. Another officer approves."),
        ),
        "approve": (
            lambda: withdrawals.approve_withdrawal(withdrawal_id=withdrawal_id, actor=officer),
            _("Approved. The collateral is on its way out."),
        ),
        "refuse": (
            lambda: withdrawals.refuse_withdrawal(
                withdrawal_id=withdrawal_id, actor=officer, reason=request.POST.get("reason", "")
            ),
            _("Refused. Nothing has moved."),
        ),
    }
    if verdict not in steps:
        raise Http404
    action, done = steps[verdict]
    return _acted(request, action, done)


@officer_step
def delivery_act(request: HttpRequest, delivery_id: int) -> HttpResponse:
    """Collateral to or from the exchange: one officer records what was sent, another that it arrived."""
    officer, chosen = person(request), request.POST.get("act", "")
    if not Delivery.objects.filter(pk=delivery_id).exists():
        raise Http404
    steps: dict[str, tuple[Callable[[], object], str]] = {
        "sent": (
            lambda: deliveries.record_sent(delivery_id=delivery_id, actor=officer, txid=request.POST.get("txid", "")),
            _("Recorded as sent. Another officer confirms that it arrived."),
        ),
        "arrived": (
            lambda: deliveries.confirm_arrival(delivery_id=delivery_id, actor=officer),
            _("Recorded as arrived. The sale goes on by itself."),
        ),
        "failed": (
            lambda: deliveries.give_up(delivery_id=delivery_id, actor=officer, reason=request.POST.get("reason", "")),
            _("Recorded as failed. Nothing has moved."),
        ),
        "prepare": (
            lambda: bitcoin.prepare_delivery(delivery_id=delivery_id, actor=officer),
            _("The transaction is ready to be signed."),
        ),
        "send": (
            lambda: bitcoin.send_delivery(
                delivery_id=delivery_id, actor=officer, signed=request.POST.get("signed", "")
            ),
            _("The signed transaction was sent to the network."),
        ),
        "retry": (lambda: deliveries.retry(delivery_id=delivery_id, actor=officer), _("Asked for again.")),
    }
    if chosen not in steps:
        raise Http404
    action, done = steps[chosen]
    return _acted(request, action, done)


@officer_step
def return_address_decide(request: HttpRequest, address_id: int) -> HttpResponse:
    officer = person(request)
    if request.POST.get("verdict") == "approve":
        return _acted(
            request,
            lambda: return_addresses.approve_return_address(address_id=address_id, actor=officer),
            _("The address is approved."),
        )
    reason = request.POST.get("reason", "")
    return _acted(
        request,
        lambda: return_addresses.refuse_return_address(address_id=address_id, actor=officer, reason=reason),
        _("The address is refused. The one before stays good."),
    )


# --- prices and proofs ---------------------------------------------------------------------------------------------


@require_safe
@desk_reader
def prices(request: HttpRequest) -> HttpResponse:
    """Every pair with its accepted price, its breaker, and what each source said."""
    pair = request.GET.get("pair", "BTC/JPY")
    context = {
        "statuses": price_selectors.pair_statuses(),
        "pair": pair,
        "history": price_selectors.price_history(pair, limit=60),
        "sources": price_selectors.price_sources(),
        "is_officer": is_officer(request),
    }
    return render(request, "lending/prices.html", context)


@officer_step
def breaker_reset(request: HttpRequest) -> HttpResponse:
    """A person looked at a jump and lets the next median pass."""
    pair, reason = request.POST.get("pair", ""), request.POST.get("reason", "")
    act(
        request,
        lambda: price_services.reset_breaker(pair=pair, actor=person(request), reason=reason),
        _("The next price is accepted without comparing it to the last."),
    )
    return redirect("lending:prices")


@officer_step
def psbt_prepare(request: HttpRequest, withdrawal_id: int) -> HttpResponse:
    """Build the unsigned transaction of an approved return of bitcoin."""
    return _acted(
        request,
        lambda: bitcoin.prepare_psbt(withdrawal_id=withdrawal_id, actor=person(request)),
        _("The transaction is ready to be signed."),
    )


@require_safe
@officer_only
def psbt_file(request: HttpRequest, withdrawal_id: int) -> HttpResponse:
    """The unsigned transaction for the custodian's signing device."""
    return _psbt(selectors.withdrawals_open(), withdrawal_id, "withdrawal")


@require_safe
@officer_only
def delivery_psbt(request: HttpRequest, delivery_id: int) -> HttpResponse:
    """The same for a delivery to the exchange."""
    return _psbt(selectors.deliveries_open(), delivery_id, "delivery")


def _psbt(rows: QuerySet[Any], pk: int, name: str) -> HttpResponse:
    row = rows.filter(pk=pk).exclude(psbt="").first()
    if row is None:
        raise Http404
    response = HttpResponse(row.psbt, content_type="text/plain")
    response["Content-Disposition"] = f'attachment; filename="{name}-{row.pk}.psbt"'
    response["Cache-Control"] = "private, no-store"
    return response


@officer_step
def psbt_signed(request: HttpRequest, withdrawal_id: int) -> HttpResponse:
    """Take the signed transaction back and send it."""
    signed = request.POST.get("signed", "")
    return _acted(
        request,
        lambda: bitcoin.submit_signed(withdrawal_id=withdrawal_id, actor=person(request), signed=signed),
        _("The signed transaction was sent to the network."),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@desk_reader
def assurance(request: HttpRequest) -> HttpResponse:
    """Books against chains, and the published proof of collateral. An officer may run either now."""
    if request.method == "POST":
        officer = person(request)
        if request.POST.get("run") == "proof":
            act(request, lambda: proofs.publish_proof(actor=officer), _("A new proof is published."))
        else:
            act(request, reconciliation.reconcile_collateral, _("The books were compared with the chains."))
        return redirect("lending:assurance")
    context = {
        "runs": proof_selectors.newest_runs(),
        "proof": proof_selectors.newest_proof(),
        "status": chain_status(),
        "is_officer": is_officer(request),
    }
    return render(request, "lending/assurance.html", context)
