"""The officers' pages: the queue, the case with evidence and hits side by side, decisions, signatures."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chain import attestation as chain_attestation
from chain import selectors as chain_selectors
from kyc import sections, selectors, services
from kyc.forms import (
    ConfirmForm,
    DecisionForm,
    HitDecisionForm,
    HitProposalForm,
    QueueFilterForm,
    ReasonForm,
    RenewForm,
    SignatureForm,
)
from kyc.models import Application, AttestationRecord, Evidence, OfficerKey, ScreeningHit, ScreeningRun
from kyc.progress import latest_step
from kyc.selectors import COUNT_CAP, QueueFilter
from kyc.services.attestations import as_attestation
from portal.access import auditor_may_read, role_required, value_action
from portal.exceptions import DomainError
from portal.models import AuditEntry, Role, User

reader = auditor_may_read(Role.KYC_OFFICER)
officer_only = role_required(Role.KYC_OFFICER)
State = Application.State


def _officer(request: HttpRequest) -> User:
    """Who is signed in; the access decorator has made sure that somebody is."""
    return cast(User, request.user)


@require_safe
@reader
@never_cache
def case_queue(request: HttpRequest) -> HttpResponse:
    """The queue. Filters and place live in the address; the panel keeps the place in the list."""
    form = QueueFilterForm(request.GET)
    chosen = form.cleaned_data if form.is_valid() else {}
    filters = QueueFilter(
        state=chosen.get("state", ""),
        kind=chosen.get("kind", ""),
        owner=chosen.get("owner", ""),
        age_days=int(chosen.get("age") or 0),
        open_hits=chosen.get("hits") == "open",
        search=chosen.get("search", ""),
    )
    page = selectors.queue(filters=filters, officer=_officer(request), after=request.GET.get("after", ""))
    counts = selectors.queue_counts()
    ages = selectors.queue_ages()
    context = {
        "ages": list(zip(_age_labels(), (min(count, COUNT_CAP) for count in ages.counts), strict=True)),
        "age_names": [_("Applications")],
        "age_cap": COUNT_CAP if max(ages.counts) > COUNT_CAP else 0,
        "oldest": ages.oldest,
        "form": form,
        "page": page,
        "counts": [
            (state, state.label, f"{COUNT_CAP}+" if counts[state] > COUNT_CAP else str(counts[state]))
            for state in Application.WITH_OFFICERS
        ],
        "is_officer": _officer(request).has_role(Role.KYC_OFFICER),
        "chosen_state": filters.state,
    }
    return render(request, "kyc/case_queue.html", context)


def _age_labels() -> list[str]:
    return [_("< 1 day"), _("1–3 days"), _("3–7 days"), _("> 7 days")]


@require_safe
@reader
@never_cache
def case_panel(request: HttpRequest, application_id: int) -> HttpResponse:
    """The side panel of the queue: enough to decide whether to open it."""
    application = _case(application_id)
    context = {"application": application, "actions": _actions(application, _officer(request))}
    return render(request, "kyc/case_panel.html", context)


def _case(application_id: int) -> Application:
    related = ("user", "assigned_to", "individual", "corporate", "verification_rule")
    cases = Application.objects.select_related(*related).exclude(state=State.DRAFT)
    return get_object_or_404(cases, pk=application_id)


@require_safe
@reader
@never_cache
def case_detail(request: HttpRequest, application_id: int) -> HttpResponse:
    return _case_page(request, _case(application_id))


def _case_page(
    request: HttpRequest, application: Application, *, status: int = 200, **forms_with_errors: forms.Form
) -> HttpResponse:
    officer = _officer(request)
    step = latest_step(application)
    runs = list(application.screening_runs.filter(round=application.round))
    is_searching = any(run.state == ScreeningRun.State.PENDING for run in runs)
    context = {
        "application": application,
        "is_searching": is_searching,
        # The part that asked again by itself while lists were searched, and now need not any more.
        "was_searching": "searching" in request.GET and not is_searching,
        "pages": [
            (section, selectors.answers_of(application, section))
            for section in sections.sections_of(application)
            if section.fields
        ],
        "owners": application.owners.all(),
        "evidence": application.evidence.exclude(state=Evidence.State.DELETED),
        "runs": runs,
        "hits": _hits(application, officer),
        "decisions": application.decisions.select_related("officer", "evidence"),
        "history": AuditEntry.objects.filter(subject_type="kyc.application", subject_id=str(application.pk))[:30],
        "step": step,
        "chain_steps": chain_selectors.transaction_timeline(step.transaction) if step and step.transaction else [],
        "wallet": selectors.primary_wallet(application.user),
        "actions": _actions(application, officer),
        "decision_form": DecisionForm(application),
        "confirm_form": ConfirmForm(),
        "reason_form": ReasonForm(),
        "renew_form": RenewForm(),
        "key": OfficerKey.objects.filter(user=officer).first(),
        **forms_with_errors,
    }
    context["wrong_form"] = next(iter(forms_with_errors.values()), None)
    return render(request, "kyc/case_detail.html", context, status=status)


def _hits(application: Application, officer: User) -> list[dict[str, Any]]:
    hits = application.hits.filter(run__round=application.round)
    rows = hits.select_related("entry", "run", "proposed_by", "decided_by", "carried_from")
    return [
        {
            "hit": hit,
            "proposal_form": HitProposalForm() if hit.state == ScreeningHit.State.OPEN else None,
            "decision_form": HitDecisionForm()
            if hit.state == ScreeningHit.State.PROPOSED and hit.proposed_by_id != officer.pk
            else None,
        }
        for hit in rows
    ]


def _actions(application: Application, officer: User) -> dict[str, bool]:
    """What this officer may do with this case now, for the buttons; the services check again."""
    state, mine = application.state, application.assigned_to_id == officer.pk
    may_act = officer.has_role(Role.KYC_OFFICER) and application.user_id != officer.pk
    free = application.assigned_to_id in (None, officer.pk)
    first = application.decisions.filter(officer=officer, verdict="approve", is_standing=True).exists()
    second_ok = state != State.APPROVED_FIRST or not first
    waits = state in Application.WITH_OFFICERS
    return {
        "act": may_act,
        "claim": may_act and waits and application.assigned_to_id is None and second_ok,
        "release": may_act and waits and mine,
        "decide": may_act and state == State.IN_REVIEW and mine,
        "confirm": may_act and state == State.APPROVED_FIRST and free and not first,
        "own_approval": may_act and state == State.APPROVED_FIRST and first,
        "sign": may_act and state in (State.APPROVED, State.ATTESTED) and free,
        "retry": may_act and state == State.ATTESTED and free,
        "suspend": may_act and state in (State.PENDING, State.ACTIVE, State.EXPIRED),
        "reinstate": may_act and state == State.SUSPENDED,
        "revoke": may_act and state == State.SUSPENDED,
        "renew": may_act and state in (State.ACTIVE, State.EXPIRED),
        "screen": may_act and (waits or state in Application.ON_CHAIN),
    }


def _do(request: HttpRequest, application_id: int, act: Callable[[], object], done: str) -> HttpResponse:
    """One act on a case: its result, or its refusal, as a message on the case's page."""
    try:
        act()
    except DomainError as error:
        messages.error(request, str(error.message), extra_tags=error.code)
    else:
        messages.success(request, done)
    return redirect("kyc:case", application_id=application_id)


@require_safe
@officer_only
def case_next(request: HttpRequest) -> HttpResponse:
    """The oldest case this officer may take."""
    after = request.GET.get("after", "")
    case = selectors.next_case(officer=_officer(request), after_id=int(after) if after.isdigit() else None)
    if case is None:
        messages.info(request, _("Nothing waits for you."))
        return redirect("kyc:queue")
    return redirect("kyc:case", application_id=case.pk)


@require_POST
@officer_only
def case_claim(request: HttpRequest, application_id: int) -> HttpResponse:
    officer = _officer(request)
    return _do(
        request,
        application_id,
        lambda: services.claim(application_id=application_id, officer=officer),
        _("The case is yours."),
    )


@require_POST
@officer_only
def case_release(request: HttpRequest, application_id: int) -> HttpResponse:
    officer = _officer(request)
    return _do(
        request,
        application_id,
        lambda: services.release(application_id=application_id, officer=officer),
        _("The case is back in the queue."),
    )


@require_POST
@officer_only
def case_decide(request: HttpRequest, application_id: int) -> HttpResponse:
    """Approve, reject, or send one document back."""
    application = _case(application_id)
    form = DecisionForm(application, request.POST)
    if not form.is_valid():
        return _case_page(request, application, status=422, decision_form=form)
    answers = form.cleaned_data
    try:
        services.decide(
            application_id=application_id,
            officer=_officer(request),
            verdict=answers["verdict"],
            reason=answers["reason"],
            risk_rating=answers["risk_rating"],
            evidence_id=answers["evidence"].pk if answers["evidence"] else None,
        )
    except DomainError as error:
        form.add_error(None, str(error.message))
        return _case_page(request, _case(application_id), status=error.status_code, decision_form=form)
    messages.success(request, _("The decision was recorded."))
    return redirect("kyc:case", application_id=application_id)


@require_POST
@officer_only
def case_confirm(request: HttpRequest, application_id: int) -> HttpResponse:
    """The second officer confirms, or returns the case."""
    form = ConfirmForm(request.POST)
    if not form.is_valid():
        return _case_page(request, _case(application_id), status=422, confirm_form=form)
    try:
        services.confirm(
            application_id=application_id,
            officer=_officer(request),
            agrees=form.cleaned_data["agrees"] == "yes",
            reason=form.cleaned_data["reason"],
        )
    except DomainError as error:
        form.add_error(None, str(error.message))
        return _case_page(request, _case(application_id), status=error.status_code, confirm_form=form)
    messages.success(request, _("The decision was recorded."))
    return redirect("kyc:case", application_id=application_id)


@require_POST
@officer_only
@value_action
def case_attest(request: HttpRequest, application_id: int) -> HttpResponse:
    """Sign with the key held here (demo); the token is asked for at once."""
    officer = _officer(request)
    return _do(
        request,
        application_id,
        lambda: services.attest(application_id=application_id, officer=officer),
        _("Signed. The token is being issued."),
    )


@require_POST
@officer_only
@value_action
def case_retry(request: HttpRequest, application_id: int) -> HttpResponse:
    officer = _officer(request)
    return _do(
        request,
        application_id,
        lambda: services.retry_issue(application_id=application_id, officer=officer),
        _("The token is being issued."),
    )


@require_POST
@officer_only
def attestation_prepare(request: HttpRequest, application_id: int) -> HttpResponse:
    """Make the typed data to sign in one's own wallet, and show it."""
    return _prepare(request, application_id)


def _prepare(request: HttpRequest, application_id: int) -> HttpResponse:
    purpose = AttestationRecord.Purpose.RENEW if "risk_rating" in request.POST else AttestationRecord.Purpose.ISSUE
    try:
        record = services.prepare_attestation(
            application_id=application_id,
            officer=_officer(request),
            purpose=purpose,
            reason=request.POST.get("reason", ""),
            risk_rating=request.POST.get("risk_rating", ""),
        )
    except DomainError as error:
        messages.error(request, str(error.message), extra_tags=error.code)
        return redirect("kyc:case", application_id=application_id)
    return redirect("kyc:attestation", attestation_id=record.pk)


@require_http_methods(["GET", "POST"])
@officer_only
@value_action
@never_cache
def attestation_sign(request: HttpRequest, attestation_id: int) -> HttpResponse:
    """What to sign (EIP-712), in words and in full, and a place for the signature."""
    records = AttestationRecord.objects.select_related("application", "application__user")
    record = get_object_or_404(records, pk=attestation_id, officer=request.user.pk)
    form = SignatureForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.submit_attestation(attestation_id=record.pk, officer=_officer(request), signature=form.as_bytes())
        except DomainError as error:
            form.add_error(None, str(error.message))
        else:
            messages.success(request, _("Signed. The token is being issued."))
            return redirect("kyc:case", application_id=record.application_id)
    context = {
        "record": record,
        "application": record.application,
        "key": OfficerKey.objects.filter(user=request.user.pk).first(),
        "form": form,
        "typed_data": json.dumps(chain_attestation.typed_data(as_attestation(record)), indent=2, ensure_ascii=False),
    }
    return render(request, "kyc/attestation_sign.html", context, status=422 if form.errors else 200)


@require_POST
@officer_only
def case_screen(request: HttpRequest, application_id: int) -> HttpResponse:
    """Run what has not finished again."""
    officer = _officer(request)
    return _do(
        request,
        application_id,
        lambda: services.run_again(application_id=application_id, officer=officer),
        _("The screening is running again."),
    )


@require_POST
@officer_only
def hit_propose(request: HttpRequest, hit_id: int) -> HttpResponse:
    hit = get_object_or_404(ScreeningHit, pk=hit_id)
    form = HitProposalForm(request.POST)
    answers = form.cleaned_data if form.is_valid() else {"verdict": "", "reason": ""}
    officer = _officer(request)
    return _do(
        request,
        hit.application_id,
        lambda: services.propose_disposition(
            hit_id=hit_id, officer=officer, verdict=answers.get("verdict", ""), reason=answers.get("reason", "")
        ),
        _("Recorded. A second officer has to decide."),
    )


@require_POST
@officer_only
def hit_decide(request: HttpRequest, hit_id: int) -> HttpResponse:
    hit = get_object_or_404(ScreeningHit, pk=hit_id)
    form = HitDecisionForm(request.POST)
    answers = form.cleaned_data if form.is_valid() else {}
    officer = _officer(request)
    return _do(
        request,
        hit.application_id,
        lambda: services.decide_hit(
            hit_id=hit_id,
            officer=officer,
            agrees=answers.get("agrees") == "yes",
            reason=answers.get("reason", ""),
        ),
        _("The hit was decided."),
    )


_LIFECYCLE = {"suspend": services.suspend, "reinstate": services.reinstate, "revoke": services.revoke}


@require_POST
@officer_only
@value_action
def case_lifecycle(request: HttpRequest, application_id: int, step: str) -> HttpResponse:
    """Suspend, reinstate or revoke, with a reason."""
    officer, reason = _officer(request), request.POST.get("reason", "")
    return _do(
        request,
        application_id,
        lambda: _LIFECYCLE[step](application_id=application_id, officer=officer, reason=reason),
        _("Asked of the chain. Its progress stands below."),
    )


@require_POST
@officer_only
@value_action
def case_renew(request: HttpRequest, application_id: int) -> HttpResponse:
    """Renew with the key held here; without one the officer signs in their own wallet."""
    officer = _officer(request)
    key = OfficerKey.objects.filter(user=officer).first()
    if key is None or key.signer_id is None:
        return _prepare(request, application_id)
    return _do(
        request,
        application_id,
        lambda: services.renew(
            application_id=application_id,
            officer=officer,
            reason=request.POST.get("reason", ""),
            risk_rating=request.POST.get("risk_rating", ""),
        ),
        _("Signed. The renewal is on its way."),
    )


@require_safe
@reader
@never_cache
def case_progress(request: HttpRequest, application_id: int) -> HttpResponse:
    """The chain's part of the case page; refreshes itself until it is final."""
    application = _case(application_id)
    step = latest_step(application)
    context = {
        "application": application,
        "step": step,
        "chain_steps": chain_selectors.transaction_timeline(step.transaction) if step and step.transaction else [],
    }
    response = render(request, "kyc/case_progress.html", context)
    if application.state != request.GET.get("state", application.state):
        # The buttons of the page no longer fit: show it anew.
        response.headers["HX-Redirect"] = reverse("kyc:case", args=[application.pk])
    elif step is None or step.outcome in ("final", "failed"):
        response.status_code = 286
    return response
