"""Pages of the demonstration: who to sign in as, and the mail that was sent. They exist only while `DEMO` is set."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal.demo.mail import sent_mail
from portal.demo.people import BY_KEY, PEOPLE, current_code, password, seconds_left, stranger_address
from portal.models import User

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
    return render(request, "demo/people.html", {**_accounts(), "addresses": _addresses()})


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


@demo_only
def inbox(request: HttpRequest) -> HttpResponse:
    recipient = request.GET.get("to", "").strip().lower()
    folder = Path(getattr(settings, "EMAIL_FILE_PATH", "") or ".")
    mails = sent_mail(folder, recipient=recipient) if getattr(settings, "EMAIL_FILE_PATH", "") else []
    return render(request, "demo/inbox.html", {"mails": mails, "recipient": recipient})
