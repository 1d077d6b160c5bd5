"""The applicant's pages: task list, one subject per page, documents, check, status."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from kyc import sections, selectors, services
from kyc.exceptions import InvalidAnswers
from kyc.forms import EvidenceForm, OwnerForm, SectionForm, StartForm, SubmitForm
from kyc.models import Application, BeneficialOwner, Evidence
from kyc.progress import applicant_progress
from kyc.sections import Progress, Section
from portal.access import signed_in
from portal.exceptions import DomainError
from portal.models import User


def _me(request: HttpRequest) -> User:
    """Who is signed in; the access decorator has made sure that somebody is."""
    return cast(User, request.user)


def _mine(request: HttpRequest) -> Application:
    application = selectors.current_application(_me(request))
    if application is None:
        raise Http404
    return application


def _fail(form: Any, error: DomainError) -> None:
    """Put a refusal where the person looks: beside the fields it is about, else above the form."""
    for field, sentences in getattr(error, "errors", {}).items():
        for sentence in sentences:
            form.add_error(field if field in form.fields else None, sentence)
    if not form.errors:
        form.add_error(None, str(error.message))


@require_http_methods(["GET", "POST"])
@signed_in
def application_start(request: HttpRequest) -> HttpResponse:
    """Choose how to apply; somebody with an open application goes on with it."""
    user = _me(request)
    current = selectors.current_application(user)
    if current is not None and current.state not in Application.CLOSED:
        return redirect("kyc:application" if current.is_editable else "kyc:status")
    form = StartForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        services.start_application(user=user, kind=form.cleaned_data["kind"])
        return redirect("kyc:application")
    return render(request, "kyc/application_start.html", {"form": form, "previous": current})


@require_safe
@signed_in
@never_cache
def application_tasks(request: HttpRequest) -> HttpResponse:
    """The task list: every section with its state."""
    user = _me(request)
    application = selectors.current_application(user)
    if application is None:
        return redirect("kyc:application-start")
    if not application.is_editable:
        return redirect("kyc:status")
    progress = sections.progress(application)
    done = sum(state == Progress.DONE for state in progress.values())
    items = [_task(section, progress[section.key]) for section in sections.sections_of(application)]
    context = {
        "application": application,
        "items": items,
        "done": done,
        "total": len(items),
        "all_done": done == len(items),
        "sent_back": application.evidence.filter(state=Evidence.State.SENT_BACK),
    }
    return render(request, "kyc/application_tasks.html", context)


_TONES = {
    Progress.DONE: "good",
    Progress.IN_PROGRESS: "info",
    Progress.NOT_STARTED: "neutral",
    Progress.SENT_BACK: "warn",
}


def _task(section: Section, progress: Progress) -> dict[str, Any]:
    return {
        "label": section.title,
        "href": _url_of(section.key),
        "state": progress.label,
        "tone": _TONES[progress],
    }


def _url_of(key: str) -> str:
    from django.urls import reverse

    special = {"evidence": "kyc:evidence", "owners": "kyc:owners"}
    return reverse(special[key]) if key in special else reverse("kyc:section", args=[key])


def _editable(request: HttpRequest) -> Application | None:
    application = _mine(request)
    return application if application.is_editable else None


@require_http_methods(["GET", "POST"])
@signed_in
@never_cache
def section_edit(request: HttpRequest, key: str) -> HttpResponse:
    """One subject. “Save and leave” keeps what is there; “Save and continue” asks for all of it."""
    application = _editable(request)
    if application is None:
        return _not_editable(request)
    section = sections.section_of(application, key)
    if section is None or not section.fields:
        raise Http404
    leaving = "leave" in request.POST
    form = SectionForm(application, section, request.POST or None, complete=not leaving)
    if request.method == "POST" and form.is_valid():
        try:
            services.update_section(
                application_id=application.pk, user=_me(request), section=key, answers=form.cleaned_data
            )
        except DomainError as error:
            _fail(form, error)
        else:
            return _after_section(request, application, key, leaving)
    return _section_page(request, application, section, form)


def _section_page(request: HttpRequest, application: Application, section: Section, form: SectionForm) -> HttpResponse:
    order = [item.key for item in sections.sections_of(application)]
    context = {"application": application, "section": section, "form": form}
    context |= {"number": order.index(section.key) + 1, "total": len(order), "back_to_check": "check" in request.GET}
    return render(request, "kyc/section_edit.html", context, status=422 if form.errors else 200)


def _after_section(request: HttpRequest, application: Application, key: str, leaving: bool) -> HttpResponse:
    if leaving:
        messages.success(request, _("Saved. You can go on whenever you like."))
        return redirect("kyc:application")
    if "check" in request.GET:
        return redirect("kyc:application-check")
    order = [item.key for item in sections.sections_of(application)]
    following = order[order.index(key) + 1 :]
    return redirect(_url_of(following[0])) if following else redirect("kyc:application")


def _not_editable(request: HttpRequest) -> HttpResponse:
    messages.info(request, _("The application has been submitted and cannot be changed now. Nothing was changed."))
    return redirect("kyc:status")


@require_safe
@signed_in
@never_cache
def owner_list(request: HttpRequest) -> HttpResponse:
    application = _editable(request)
    if application is None:
        return _not_editable(request)
    if not application.is_corporate:
        raise Http404
    return render(request, "kyc/owner_list.html", {"application": application, "owners": application.owners.all()})


@require_http_methods(["GET", "POST"])
@signed_in
@never_cache
def owner_edit(request: HttpRequest, owner_id: int | None = None) -> HttpResponse:
    application = _editable(request)
    if application is None:
        return _not_editable(request)
    owner = get_object_or_404(BeneficialOwner, pk=owner_id, application=application) if owner_id else None
    form = OwnerForm(request.POST or None, initial=_owner_initial(owner))
    if request.method == "POST" and form.is_valid():
        try:
            services.save_owner(
                application_id=application.pk, user=_me(request), answers=form.answers(), owner_id=owner_id
            )
        except InvalidAnswers as error:
            if "share_bps" in error.errors:
                error.errors["share"] = error.errors.pop("share_bps")
            _fail(form, error)
        else:
            return redirect("kyc:owners")
    status = 422 if form.errors else 200
    return render(request, "kyc/owner_edit.html", {"form": form, "owner": owner}, status=status)


def _owner_initial(owner: BeneficialOwner | None) -> dict[str, Any]:
    if owner is None:
        return {}
    names = ("name", "name_kana", "name_romaji", "birth_date", "nationality", "address")
    return {**{name: getattr(owner, name) for name in names}, "share": owner.share_bps / 100}


@require_POST
@signed_in
def owner_remove(request: HttpRequest, owner_id: int) -> HttpResponse:
    services.remove_owner(application_id=_mine(request).pk, user=_me(request), owner_id=owner_id)
    return redirect("kyc:owners")


@require_http_methods(["GET", "POST"])
@signed_in
@never_cache
def evidence_list(request: HttpRequest) -> HttpResponse:
    """The documents, and a form for one more. With ?replaces= it takes the place of one sent back."""
    application = _editable(request)
    if application is None:
        return _not_editable(request)
    replaced = _replaced(request, application)
    initial = {"kind": replaced.kind} if replaced else {}
    form = EvidenceForm(application, request.POST or None, request.FILES or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        upload = form.cleaned_data["file"]
        try:
            services.add_evidence(
                application_id=application.pk,
                user=_me(request),
                kind=form.cleaned_data["kind"],
                file_name=upload.name,
                chunks=upload.chunks(),
                size=upload.size,
                replaces_id=replaced.pk if replaced else None,
            )
        except DomainError as error:
            form.add_error("file", str(error.message))
        else:
            messages.success(request, _("The document was received."))
            return redirect("kyc:evidence")
    held = application.evidence.filter(state__in=["stored", "sent_back"])
    context = {"application": application, "form": form, "replaced": replaced, "evidence": held}
    context["verifies"] = sections.evidence_verifies(application)
    return render(request, "kyc/evidence_list.html", context, status=422 if form.errors else 200)


def _replaced(request: HttpRequest, application: Application) -> Evidence | None:
    pk = request.GET.get("replaces", "")
    if not pk.isdigit():
        return None
    return application.evidence.filter(pk=int(pk), state=Evidence.State.SENT_BACK).first()


@require_POST
@signed_in
def evidence_remove(request: HttpRequest, evidence_id: int) -> HttpResponse:
    evidence = get_object_or_404(Evidence, pk=evidence_id, application__user=request.user.pk)
    try:
        services.remove_evidence(evidence_id=evidence.pk, user=_me(request))
    except DomainError as error:
        messages.error(request, str(error.message))
    return redirect("kyc:evidence")


@require_safe
@signed_in
@never_cache
def evidence_file(request: HttpRequest, evidence_id: int) -> HttpResponse:
    """The document itself, to its owner and to officers; each viewing by staff is in the audit trail."""
    try:
        opened = services.open_evidence(evidence_id=evidence_id, reader=_me(request))
    except Evidence.DoesNotExist as error:
        raise Http404 from error
    response = HttpResponse(opened.content, content_type=opened.content_type)
    is_image = opened.content_type.startswith("image/")
    response.headers["Content-Disposition"] = _disposition("inline" if is_image else "attachment", opened.file_name)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    # Nothing inside the file may run, load or be framed, whatever a browser takes it for.
    response._csp_config = {"default-src": ["'none'"], "sandbox": [""], "frame-ancestors": ["'none'"]}  # type: ignore[attr-defined]
    return response


def _disposition(kind: str, file_name: str) -> str:
    from django.utils.http import content_disposition_header

    return content_disposition_header(as_attachment=kind == "attachment", filename=file_name) or kind


@require_http_methods(["GET", "POST"])
@signed_in
@never_cache
def application_check(request: HttpRequest) -> HttpResponse:
    """Check your answers, declare, submit."""
    application = _mine(request)
    if not application.is_editable:
        return redirect("kyc:status")
    form = SubmitForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.submit_application(application_id=application.pk, user=_me(request), declares=True)
        except DomainError as error:
            form.add_error(None, str(error.message))
        else:
            return redirect("kyc:status")
    progress = sections.progress(application)
    pages = [
        (section, _url_of(section.key), selectors.answers_of(application, section), progress[section.key])
        for section in sections.sections_of(application)
    ]
    context = {
        "application": application,
        "form": form,
        "pages": pages,
        "owners": application.owners.all(),
        "evidence": application.evidence.filter(state="stored"),
        "all_done": all(state == Progress.DONE for state in progress.values()),
    }
    return render(request, "kyc/application_check.html", context, status=422 if form.errors else 200)


@require_safe
@signed_in
@never_cache
def status(request: HttpRequest) -> HttpResponse:
    """Where the application is, from received to effective, with the transaction. The middle part refreshes itself."""
    application = selectors.current_application(_me(request))
    if application is None:
        return redirect("kyc:application-start")
    context = applicant_progress(application)
    template = "kyc/status_progress.html" if request.headers.get("HX-Request") else "kyc/status.html"
    response = render(request, template, context)
    if request.headers.get("HX-Request") and not context["is_moving"]:
        response.status_code = 286
    return response
