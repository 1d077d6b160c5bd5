"""Credit: what an applicant sends in, and what two officers decide about it."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from kyc.selectors import InvestorStatus, investor_status, party_for
from lending.forms import ConfirmForm, CreditDecisionForm, CreditForm, EvidenceForm, ReasonForm
from lending.models import CreditApplication, CreditDecision, CreditLine
from lending.selectors import credit as selectors
from lending.selectors import terms as terms_selectors
from lending.services import credit as services
from lending.views.common import desk_reader, is_officer, officer_only, officer_step
from portal.access import signed_in, value_action
from portal.acting import act, act_in, person
from portal.idempotency import acts_once

State = CreditApplication.State


# --- the applicant -------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@value_action
@acts_once
def credit_apply(request: HttpRequest) -> HttpResponse:
    """Ask for a credit line, or answer again what was sent back."""
    user = person(request)
    again = CreditApplication.objects.filter(applicant=user, state=State.SENT_BACK).first()
    form = CreditForm(request.POST or None, initial=_answers(again))
    if request.method == "POST" and form.is_valid():
        made: list[CreditApplication] = []
        if act_in(form, lambda: made.append(services.submit_credit_application(actor=user, **form.cleaned_data))):
            return redirect("lending:credit", made[0].pk)
    context = {
        "form": form,
        "again": again,
        "is_verified": investor_status(user) == InvestorStatus.ACTIVE,
        "party": party_for(user),
        "terms": terms_selectors.terms_for(user),
    }
    return render(request, "lending/credit_apply.html", context, status=400 if form.errors else 200)


def _answers(application: CreditApplication | None) -> dict[str, Any]:
    if application is None:
        return {"currency": "JPY"}
    names = ("currency", "amount", "purpose", "purpose_detail", "annual_income", "income_year")
    answers = {name: getattr(application, name) for name in names}
    for name in ("amount", "annual_income"):
        if answers[name] is not None:
            answers[name] = f"{answers[name]:,.{0 if application.currency == 'JPY' else 2}f}"
    return answers


@require_safe
@signed_in
def credit_detail(request: HttpRequest, application_id: int) -> HttpResponse:
    return _own_page(request, _own(request, application_id))


def _own(request: HttpRequest, application_id: int) -> CreditApplication:
    found = CreditApplication.objects.filter(pk=application_id, applicant=person(request)).first()
    if found is None:
        raise Http404
    return found


def _own_page(request: HttpRequest, application: CreditApplication, form: EvidenceForm | None = None) -> HttpResponse:
    context = {
        "application": application,
        "evidence": application.evidence.all(),
        "form": form or EvidenceForm(),
        "line": CreditLine.objects.filter(application=application).first(),
        "is_open": application.state in CreditApplication.OPEN,
    }
    return render(request, "lending/credit_detail.html", context, status=400 if form and form.errors else 200)


@require_POST
@signed_in
def evidence_add(request: HttpRequest, application_id: int) -> HttpResponse:
    application = _own(request, application_id)
    form = EvidenceForm(request.POST, request.FILES)
    if form.is_valid():
        upload = form.cleaned_data["file"]
        done = act_in(
            form,
            lambda: services.add_income_evidence(
                application_id=application.pk,
                actor=person(request),
                kind=form.cleaned_data["kind"],
                chunks=upload.chunks(),
                size=upload.size,
            ),
        )
        if done:
            return redirect("lending:credit", application.pk)
    return _own_page(request, application, form)


@require_POST
@signed_in
def credit_withdraw(request: HttpRequest, application_id: int) -> HttpResponse:
    application = _own(request, application_id)
    act(
        request,
        lambda: services.withdraw_credit_application(application_id=application.pk, actor=person(request)),
        _("Your application is withdrawn."),
    )
    return redirect("lending:credit", application.pk)


@require_safe
@signed_in
def evidence_file(request: HttpRequest, evidence_id: int) -> HttpResponse:
    """A document in the clear for its owner and for officers; every viewing by staff is recorded."""
    opened = services.open_income_evidence(evidence_id=evidence_id, reader=person(request))
    response = HttpResponse(opened.content, content_type=opened.content_type)
    # Shown as what it was checked to be, and never as a page of ours.
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cache-Control"] = "private, no-store"
    return response


# --- the desk ------------------------------------------------------------------------------------------------------


@require_safe
@desk_reader
def credit_queue(request: HttpRequest) -> HttpResponse:
    """What waits for an officer, oldest first."""
    chosen = request.GET.get("state", "")
    context = {
        "page": selectors.queue(state=chosen, page=request.GET.get("page", "1")),
        "counts": selectors.queue_counts(),
        "chosen_state": chosen,
        "is_officer": is_officer(request),
    }
    return render(request, "lending/credit_queue.html", context)


@require_safe
@desk_reader
def credit_case(request: HttpRequest, application_id: int) -> HttpResponse:
    return _case_page(request, _case(application_id))


def _case(application_id: int) -> CreditApplication:
    found = selectors.cases().filter(pk=application_id).first()
    if found is None:
        raise Http404
    return found


def _case_page(request: HttpRequest, application: CreditApplication, **bound: Any) -> HttpResponse:
    officer = person(request)
    proposal = (
        application.decisions.filter(round=application.round, verdict=CreditDecision.Verdict.APPROVE)
        .order_by("-id")
        .first()
    )
    acts = is_officer(request) and officer.pk != application.applicant_id
    context = {
        "application": application,
        "party": party_for(application.applicant),
        "evidence": application.evidence.all(),
        "decisions": application.decisions.select_related("officer"),
        "lines": selectors.lines_of(application.subject),
        "terms": terms_selectors.terms_for(application.applicant, currency=application.currency),
        "proposal": proposal,
        "can_claim": acts and application.state == State.SUBMITTED,
        "can_decide": acts and application.state == State.IN_REVIEW and application.assigned_to_id == officer.pk,
        "can_confirm": acts
        and application.state == State.APPROVED_FIRST
        and proposal is not None
        and proposal.officer_id != officer.pk,
        "decision_form": CreditDecisionForm(currency=application.currency),
        "confirm_form": ConfirmForm(),
        **bound,
    }
    context["wrong_form"] = next(iter(bound.values()), None)
    return render(request, "lending/credit_case.html", context, status=400 if bound else 200)


@require_POST
@officer_only
def credit_claim(request: HttpRequest, application_id: int) -> HttpResponse:
    act(
        request,
        lambda: services.claim_credit_application(application_id=application_id, actor=person(request)),
        _("The application is yours to decide."),
    )
    return redirect("lending:credit-case", application_id)


@require_POST
@officer_only
def credit_release(request: HttpRequest, application_id: int) -> HttpResponse:
    act(
        request,
        lambda: services.release_credit_application(application_id=application_id, actor=person(request)),
        _("The application is back in the queue."),
    )
    return redirect("lending:credit-queue")


@officer_step
@acts_once
def credit_decide(request: HttpRequest, application_id: int) -> HttpResponse:
    application = _case(application_id)
    form = CreditDecisionForm(request.POST, currency=application.currency)
    if form.is_valid() and act_in(
        form,
        lambda: services.decide_credit(application_id=application.pk, actor=person(request), **form.cleaned_data),
    ):
        return redirect("lending:credit-case", application.pk)
    return _case_page(request, application, decision_form=form)


@officer_step
@acts_once
def credit_confirm(request: HttpRequest, application_id: int) -> HttpResponse:
    application = _case(application_id)
    form = ConfirmForm(request.POST)
    if form.is_valid() and act_in(
        form,
        lambda: services.confirm_credit(application_id=application.pk, actor=person(request), **form.cleaned_data),
    ):
        return redirect("lending:credit-case", application.pk)
    return _case_page(request, application, confirm_form=form)


@officer_step
def line_state(request: HttpRequest, line_id: int) -> HttpResponse:
    """Suspend, open again or close a credit line, with a reason."""
    line = CreditLine.objects.filter(pk=line_id).first()
    if line is None:
        raise Http404
    form = ReasonForm(request.POST)
    target = request.POST.get("target", "")
    if form.is_valid():
        act(
            request,
            lambda: services.set_line_state(
                line_id=line.pk, actor=person(request), target=target, reason=form.cleaned_data["reason"]
            ),
            _("The credit line was changed."),
        )
    return redirect("lending:credit-case", line.application_id)
