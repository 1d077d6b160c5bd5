"""What a person sets for themselves."""

from __future__ import annotations

import json

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from portal import services
from portal.access import signed_in
from portal.forms import LanguageForm, SettingsForm, ThemeForm
from portal.models import Theme, User
from portal.selectors import theme_for


@require_POST
def choose_language(request: HttpRequest) -> HttpResponse:
    """Switch the language of this browser and, for a signed-in person, of their account."""
    form = LanguageForm(request.POST)
    response = _back(request)
    if form.is_valid():
        language = form.cleaned_data["language"]
        if isinstance(request.user, User):
            services.set_language(user_id=request.user.pk, language=language)
        services.remember_language(response, language)
    return response


@require_POST
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Switch the colours of this browser and, for a signed-in person, of their account.

    A page that runs our script stays as it is, form input included, and is told the choice by the event `theme`.
    """
    form = ThemeForm(request.POST)
    is_live = bool(request.headers.get("HX-Request"))
    response = HttpResponse(status=204 if form.is_valid() else 400) if is_live else _back(request)
    if form.is_valid():
        theme = form.cleaned_data["theme"]
        if isinstance(request.user, User):
            services.set_theme(user_id=request.user.pk, theme=theme)
        services.remember_theme(response, theme)
        response["HX-Trigger"] = json.dumps({"theme": theme})
    return response


def _back(request: HttpRequest) -> HttpResponseRedirect:
    """To the page of ours that the form names, else to the first."""
    target = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        target = reverse("portal:home")
    return HttpResponseRedirect(target)


@require_http_methods(["GET", "POST"])
@signed_in
def edit_settings(request: HttpRequest) -> HttpResponse:
    user = User.objects.get(email=request.user.get_username())
    theme = theme_for(request) or Theme.SYSTEM
    initial = {"display_name": user.display_name, "language": user.language, "theme": theme}
    form = SettingsForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        services.change_settings(
            user_id=user.pk,
            display_name=form.cleaned_data["display_name"],
            language=form.cleaned_data["language"],
            theme=form.cleaned_data["theme"],
        )
        with translation.override(form.cleaned_data["language"]):
            messages.success(request, _("Your settings were saved."))
        response = redirect("portal:settings")
        services.remember_language(response, form.cleaned_data["language"])
        services.remember_theme(response, form.cleaned_data["theme"])
        return response
    return render(request, "portal/settings.html", {"form": form})


@require_POST
@signed_in
def end_session(request: HttpRequest, session_id: int) -> HttpResponse:
    """Sign one other browser of this person out; the present one has its own way out."""
    ended = services.end_session(
        user_id=request.user.pk or 0, session_id=session_id, keep=request.session.session_key or ""
    )
    if ended:
        messages.success(request, _("That browser is signed out."))
    else:
        messages.info(request, _("That browser was signed out already."))
    return redirect("usersessions_list")
