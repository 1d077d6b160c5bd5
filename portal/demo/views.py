"""Pages of the demonstration: who to sign in as, and the mail that was sent. They exist only while `DEMO` is set."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from portal.demo import drill_picture, drill_runs, market
from portal.demo.forms import MarketForm
from portal.demo.mail import sent_mail
from portal.demo.people import BY_KEY, PEOPLE, current_code, password, seconds_left, stranger_address
from portal.models import Role, User

View = Callable[[HttpRequest], HttpResponse]


def demo_only(view: View) -> View:
    """Answer 404 wherever this is not a demonstration: these pages give passwords away."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        if not settings.DEMO:
            raise Http404
        return view(request)

    return never_cache(require_safe(guarded))


def _accounts() -> dict[str, Any]:
    return {
        "accounts": [{"person": person, "code": current_code(person.totp_secret)} for person in PEOPLE],
        "password": password(),
        "seconds_left": seconds_left(),
    }


@demo_only
def people(request: HttpRequest) -> HttpResponse:
    return render(request, "demo/people.html", {**_accounts(), "addresses": _addresses(), "market": _market()})


def _market() -> dict[str, Any] | None:
    """Prices as the simulated exchanges say them; None where there are none to steer."""
    if not market.is_there():
        return None
    try:
        told = market.prices()
    except market.MarketRefused:
        return None
    return {"rows": [(pair, told[pair]) for pair in sorted(told)], "falls": (10, 25, 40)}


@never_cache
@require_POST
def steer_market(request: HttpRequest) -> HttpResponse:
    """Set a price, let prices fall, send coins, find blocks: only in a demonstration, by anybody, like everything here."""
    if not (settings.DEMO and market.is_there()):
        raise Http404
    form = MarketForm(request.POST)
    try:
        if not form.is_valid():
            raise market.MarketRefused
        done = form.carry_out()
    except (market.MarketRefused, OSError, ValueError, KeyError):
        messages.error(request, _("The simulated market did not take that. Nothing was changed."))
    else:
        messages.success(request, done)
    return redirect(reverse("demo:people") + "#market")


def _addresses() -> list[tuple[str | Promise, str]]:
    """Wallets a visitor may want to send to."""
    from kyc.selectors import primary_wallet

    shown: list[tuple[str | Promise, str]] = []
    for key, label in (("investor_a", _("Investor A")), ("investor_b", _("Investor B"))):
        user = User.objects.filter(email=BY_KEY[key].email).first()
        wallet = primary_wallet(user) if user else None
        if wallet:
            shown.append((label, wallet.address))
    return [*shown, (_("The stranger"), stranger_address())]


@demo_only
def codes(request: HttpRequest) -> HttpResponse:
    """The table alone, polled while the page is open so that the codes shown are good."""
    return render(request, "demo/accounts.html", _accounts())


# --- drills --------------------------------------------------------------------------------------------------------


@demo_only
def drills(request: HttpRequest) -> HttpResponse:
    """Choose a theft, start it, watch it."""
    from chain.drills import wording

    choices = [(code, wording.title(code), wording.must_end(code)) for code in drill_runs.REHEARSED]
    live = [choice for choice in choices if choice[0] in drill_runs.LIVE]
    context = {"live": live, "choices": choices, "opens_desk": _opens_desk(request), **_drill_shown()}
    return render(request, "demo/drills.html", context)


@demo_only
def drill_state(request: HttpRequest) -> HttpResponse:
    """The running drill alone, polled while it runs; 286 tells htmx to stop. Nothing new: 204, and the place is kept."""
    shown = {**_drill_shown(), "opens_desk": _opens_desk(request)}
    run = shown["run"]
    if run is not None and run.is_running and request.GET.get("seen") == shown["seen"]:
        return HttpResponse(status=204)
    return render(request, "demo/drill_state.html", shown, status=200 if run is not None and run.is_running else 286)


def _drill_shown() -> dict[str, Any]:
    run = drill_runs.current()
    seen = f"{run.began}:{run.mode}:{len(run.steps)}:{run.result is not None}" if run else ""
    return {"run": run, "seen": seen, "picture": drill_picture.picture_of(run) if run else None, "people": BY_KEY}


def _opens_desk(request: HttpRequest) -> bool:
    """False for who is signed in as somebody to whom the incident desk is closed: their link would lead to a refusal."""
    user = request.user
    return not isinstance(user, User) or any(
        user.has_role(role) for role in (Role.ADMINISTRATOR, Role.KYC_OFFICER, Role.AUDITOR)
    )


@never_cache
@require_POST
def start_drill(request: HttpRequest) -> HttpResponse:
    """Start one, if none runs and no urgent alarm of an earlier one is open."""
    from chain.desk.models import Alarm

    if not settings.DEMO:
        raise Http404
    live = request.POST.get("live") == "1"
    urgent = Alarm.objects.filter(severity=Alarm.Severity.ACT).exclude(state=Alarm.State.CLOSED)
    try:
        if live and urgent.exists():
            messages.error(request, _("An urgent alarm is still open at the incident desk: bring it to its end first."))
        else:
            drill_runs.start(code=request.POST.get("code", ""), live=live)
    except drill_runs.DrillRuns:
        messages.error(request, _("A drill runs already. Nothing was started: wait for its end."))
    except ValueError:
        messages.error(request, _("There is no such drill. Nothing was started."))
    return redirect("demo:drills")


@demo_only
def inbox(request: HttpRequest) -> HttpResponse:
    recipient = request.GET.get("to", "").strip().lower()
    folder = Path(getattr(settings, "EMAIL_FILE_PATH", "") or ".")
    mails = sent_mail(folder, recipient=recipient) if getattr(settings, "EMAIL_FILE_PATH", "") else []
    return render(request, "demo/inbox.html", {"mails": mails, "recipient": recipient})
