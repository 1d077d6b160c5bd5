"""Who works here and as what: for administrators."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from portal import services
from portal.access import auditor_may_read, role_required, value_action
from portal.exceptions import DomainError
from portal.forms import PeopleFilterForm, RoleForm
from portal.models import AuditEntry, Role, User
from portal.selectors import people


@require_safe
@auditor_may_read(Role.ADMINISTRATOR)
def people_list(request: HttpRequest) -> HttpResponse:
    form = PeopleFilterForm(request.GET or None)
    search = form.cleaned_data["search"] if form.is_valid() else ""
    page = Paginator(people(search=search), 50).get_page(request.GET.get("page"))
    return render(request, "portal/people.html", {"form": form, "page": page})


@require_safe
@auditor_may_read(Role.ADMINISTRATOR)
def person_detail(request: HttpRequest, user_id: int) -> HttpResponse:
    return _person_page(request, get_object_or_404(User, pk=user_id), RoleForm())


@require_POST
@role_required(Role.ADMINISTRATOR)
@value_action
def change_role(request: HttpRequest, user_id: int) -> HttpResponse:
    """Give or take one role, with a reason. Nobody changes their own."""
    person = get_object_or_404(User, pk=user_id)
    form = RoleForm(request.POST)
    if not form.is_valid():
        return _person_page(request, person, form, status=422)
    change = services.give_role if form.cleaned_data["change"] == RoleForm.GIVE else services.take_role
    try:
        change(
            user_id=person.pk,
            role=Role(form.cleaned_data["role"]),
            actor=User.objects.get(email=request.user.get_username()),
            reason=form.cleaned_data["reason"],
        )
    except DomainError as error:
        form.add_error(None, str(error.message))
        return _person_page(request, person, form, status=error.status_code)
    messages.success(request, _("The role was changed. It counts from the person's next page on."))
    return redirect("portal:person", user_id=person.pk)


def _person_page(request: HttpRequest, person: User, form: RoleForm, status: int = 200) -> HttpResponse:
    history = AuditEntry.objects.filter(subject_type="portal.user", subject_id=str(person.pk))[:20]
    labels = [Role(name).label for name in sorted(person.roles)]
    may_change = isinstance(request.user, User) and request.user.has_role(Role.ADMINISTRATOR)
    context = {"may_change": may_change, "person": person, "form": form, "history": history, "person_roles": labels}
    return render(request, "portal/person.html", context, status=status)
