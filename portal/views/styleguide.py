"""Every element and frame, shown."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from django.views.decorators.http import require_safe

from portal.money import Money
from portal.templatetags.musubi import ICONS

ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"
HASH = "0x88df016429689c079f3b2f6ad39fa052532c56795b733da78a91ebe6a713944b"


class SampleForm(forms.Form):
    """One field of each kind, bound with mistakes, as a reader meets it."""

    recipient = forms.CharField(
        label=gettext_lazy("Recipient"), help_text=gettext_lazy("An address that starts with 0x.")
    )
    quantity = forms.IntegerField(label=gettext_lazy("Quantity"), min_value=1)
    day = forms.DateField(label=gettext_lazy("Day"), widget=forms.DateInput({"type": "date"}))
    note = forms.CharField(label=gettext_lazy("Note"), required=False, widget=forms.Textarea({"rows": 3}))
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        choices=[("individual", gettext_lazy("Individual")), ("corporate", gettext_lazy("Corporate"))],
        widget=forms.RadioSelect,
    )
    agreed = forms.BooleanField(label=gettext_lazy("I have read the explanation"))
    file = forms.FileField(label=gettext_lazy("Document"), help_text=gettext_lazy("JPEG, PNG or PDF, up to 10 MB."))


class SampleFilterForm(forms.Form):
    is_search = True
    search = forms.CharField(label=gettext_lazy("Name"), required=False, widget=forms.TextInput({"type": "search"}))
    state = forms.ChoiceField(label=gettext_lazy("State"), required=False, choices=[("", gettext_lazy("All"))])


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/styleguide.html", sample_context())


def sample_context() -> dict[str, Any]:
    """A value for every element; times are relative, so countdowns run."""
    now = timezone.now()
    return {
        "yen": Money(Decimal("1000000000"), "JPY"),
        "dollars": Money(Decimal("1234.5"), "USD"),
        "address": ADDRESS,
        "hash": HASH,
        "now": now,
        "soon": now + timedelta(hours=5, minutes=12),
        "timeline": [
            _step("asked", now - timedelta(minutes=3)),
            _step("submitted", now - timedelta(minutes=2), transaction_hash=""),
            _step("in_block", now - timedelta(minutes=1), block_number=19_482_113),
            _step("final", None),
        ],
        "refused": [_step("asked", now - timedelta(minutes=3)), _step("refused", now, detail="21")],
        "steps": [
            {"label": _("About you"), "href": "#steps", "state": _("Done"), "tone": "good"},
            {
                "label": _("Documents"),
                "href": "#steps",
                "state": pgettext("form", "In progress"),
                "tone": "info",
                "is_current": True,
            },
            {"label": _("Check and submit"), "href": "", "state": _("Not yet possible"), "tone": "neutral"},
        ],
        "sample_form": SampleForm({"quantity": "0", "note": ""}, auto_id="sample_%s"),
        "blank_form": SampleForm(auto_id="blank_%s"),
        "filter_form": SampleFilterForm(auto_id="filter_%s"),
        "page": Paginator(range(1, 240), 20).get_page(3),
        "status": SimpleNamespace(
            head=19_482_120, finalized=19_482_050, indexed=19_482_119, indexed_at=now, node_is_up=True
        ),
        "chart": [("6/1", 212), ("6/2", 208), ("6/3", 190), ("6/4", 194), ("6/5", 171), ("6/6", 183), ("6/7", 205)],
        "chart_marks": [200, 150, 120],
        "chart_two": [("6/1", 212, 180), ("6/2", 208, 195), ("6/3", 190, 201)],
        "chart_names": ["BTC", "ETH"],
        "chart_money": [("2027/5/31", 4_000, 0), ("2027/11/30", 4_000, 1_000_000)],
        "chart_money_names": [_("Interest"), _("Redemption")],
        "chart_none": [],
        "icon_names": sorted(ICONS),
        "tones": ["neutral", "info", "good", "warn", "bad"],
    }


def _step(key: str, at: Any, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"key": key, "at": at, "transaction_hash": "", "block_number": None, "detail": "", **more})
