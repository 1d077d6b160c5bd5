"""Deposits that do not count, or were found on a list later: what two people decide about them, and returns by hand."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from lending.forms import DispositionForm, HandReturnForm, WrongAssetForm
from lending.models import Deposit, Disposition, HandReturn, Loan
from lending.selectors.collateral import listed_deposits
from lending.services.collateral import (
    confirm_disposition,
    decide_hand_return,
    propose_disposition,
    record_hand_return,
    record_wrong_asset,
)
from lending.views.common import decider_only, hits_reader, officer_only
from portal.access import value_action
from portal.acting import act, person
from portal.models import Role


@require_safe
@hits_reader
def hits(request: HttpRequest) -> HttpResponse:
    """Deposits whose sender is on a sanctions list, for the KYC officers who decide about them."""
    reader = person(request)
    context = {
        "deposits": listed_deposits()[:100],
        "disposition_form": DispositionForm(),
        "reads_loans": bool(reader.roles & {Role.LOAN_OFFICER, Role.AUDITOR}),
    }
    return render(request, "lending/hits.html", context)


def _acted(request: HttpRequest, action: Callable[[], object], done: str) -> HttpResponse:
    act(request, action, done)
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    """To the list this person came from."""
    at_desk = person(request).has_role(Role.LOAN_OFFICER)
    return redirect("lending:work" if at_desk else "lending:hits")


@require_POST
@decider_only
@value_action
def disposition(request: HttpRequest, deposit_id: int) -> HttpResponse:
    """Propose what is to become of a deposit."""
    get_object_or_404(Deposit, pk=deposit_id)
    form = DispositionForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Give a reason. Nothing was changed."))
        return _back(request)
    reason, verdict = form.cleaned_data["reason"], form.cleaned_data["verdict"]
    return _acted(
        request,
        lambda: propose_disposition(deposit_id=deposit_id, actor=person(request), verdict=verdict, reason=reason),
        _("Proposed. Another officer decides."),
    )


@require_POST
@decider_only
@value_action
def disposition_confirm(request: HttpRequest, disposition_id: int) -> HttpResponse:
    """Say whether one agrees with the colleague's proposal."""
    get_object_or_404(Disposition, pk=disposition_id)
    agrees = request.POST.get("verdict") == "agree"
    reason = request.POST.get("reason", "")
    return _acted(
        request,
        lambda: confirm_disposition(disposition_id=disposition_id, actor=person(request), agrees=agrees, reason=reason),
        _("Decided."),
    )


@require_POST
@officer_only
@value_action
def wrong_asset(request: HttpRequest, loan_id: int) -> HttpResponse:
    """An officer saw another asset at an address of the loan."""
    get_object_or_404(Loan, pk=loan_id)
    form = WrongAssetForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Fill in every field. Nothing was changed."))
    else:
        act(
            request,
            lambda: record_wrong_asset(loan_id=loan_id, actor=person(request), **form.cleaned_data),
            _("Recorded. Two officers decide what becomes of it."),
        )
    return redirect("lending:loan-case", loan_id)


@require_POST
@officer_only
@value_action
def hand_return_record(request: HttpRequest, deposit_id: int) -> HttpResponse:
    """The officer who sent it back says by which transaction."""
    get_object_or_404(Deposit, pk=deposit_id)
    form = HandReturnForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Fill in every field. Nothing was changed."))
        return _back(request)
    return _acted(
        request,
        lambda: record_hand_return(deposit_id=deposit_id, actor=person(request), **form.cleaned_data),
        _("Recorded. Another officer looks at the transaction and confirms."),
    )


@require_POST
@officer_only
@value_action
def hand_return_decide(request: HttpRequest, return_id: int) -> HttpResponse:
    """The second officer looked at the transaction."""
    get_object_or_404(HandReturn, pk=return_id)
    agrees = request.POST.get("verdict") == "agree"
    return _acted(
        request,
        lambda: decide_hand_return(return_id=return_id, actor=person(request), agrees=agrees),
        _("Decided."),
    )
