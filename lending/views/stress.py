"""Stress tests: earlier runs, a new one, and what came out."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from lending.forms import StressForm
from lending.models import StressRun
from lending.money import money
from lending.services.guards import require_officer
from lending.services.stress import ask_stress
from lending.stress import Parameters
from lending.views.common import desk_reader, is_officer
from portal.acting import person
from portal.idempotency import acts_once


@require_http_methods(["GET", "HEAD", "POST"])
@desk_reader
@acts_once
def overview(request: HttpRequest) -> HttpResponse:
    """Earlier runs, and the form of a new one."""
    form = StressForm(request.POST or None)
    if request.method == "POST":
        require_officer(person(request))
        if form.is_valid():
            return redirect("lending:stress-run", _ask(request, form.cleaned_data).pk)
    context = {"form": form, "runs": StressRun.objects.all()[:50], "is_officer": is_officer(request)}
    return render(request, "lending/stress.html", context, status=400 if form.errors else 200)


def _ask(request: HttpRequest, data: dict[str, Any]) -> StressRun:
    same = ("deadline_hours", "slippage_bps", "outage_from_hour", "outage_hours")
    parameters = Parameters(**{name: data[name] for name in same}, response_bps=data["response_percent"] * 100)
    return ask_stress(actor=person(request), path=data["path"], shocks=data["shocks"], parameters=parameters)


@require_safe
@desk_reader
def detail(request: HttpRequest, run_id: int) -> HttpResponse:
    """One run: totals, and what happened when."""
    row = StressRun.objects.filter(pk=run_id).first()
    if row is None:
        raise Http404
    context = {"run": row, "results": [_shown(currency, each) for currency, each in row.results.items()]}
    return render(request, "lending/stress_run.html", context)


def _shown(currency: str, result: dict[str, Any]) -> dict[str, Any]:
    keys = ("proceeds", "shortfall", "uncovered", "debt")
    happened = [
        tick
        | {
            "hour": tick["minutes"] // 60,
            "sold": money(tick["proceeds"], currency),
            "short": money(tick["shortfall"], currency),
        }
        for tick in result["series"]
        if tick["reminders"] or tick["calls"] or tick["sales"] or tick["proceeds"] or tick["shortfall"]
    ]
    totals = result["totals"]
    chart, sold = [], 0
    for tick in result["series"]:
        sold += tick["proceeds"]
        chart.append((tick["minutes"] // 60, money(sold, currency).amount))
    return {
        "currency": currency,
        "totals": totals,
        "money": {key: money(totals[key], currency) for key in keys},
        "ticks": happened,
        "chart": chart,
    }
