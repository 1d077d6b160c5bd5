"""Stress tests: earlier runs, a new one, and what came out."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from lending.forms import StressForm, stress_initial
from lending.models import StressRun
from lending.selectors import stress as selectors
from lending.services.guards import require_officer
from lending.services.stress import ask_stress
from lending.stress import Parameters
from lending.stress_paths import PATHS
from lending.views.common import desk_reader, is_officer
from portal.acting import person
from portal.idempotency import acts_once


@require_http_methods(["GET", "HEAD", "POST"])
@desk_reader
@acts_once
def overview(request: HttpRequest) -> HttpResponse:
    """Earlier runs, and the form of a new one; `?again=` fills in what an earlier one asked."""
    form = StressForm(request.POST or None, initial=_again(request))
    if request.method == "POST":
        require_officer(person(request))
        if form.is_valid():
            data = form.cleaned_data
            row = ask_stress(
                actor=person(request), path=data["path"], drawn=data["drawn"], parameters=data["parameters"]
            )
            return redirect("lending:stress-run", row.pk)
    context = {"form": form, "runs": selectors.recent_runs(), "is_officer": is_officer(request)}
    return render(request, "lending/stress.html", context, status=400 if form.errors else 200)


def _again(request: HttpRequest) -> dict[str, object]:
    number = request.GET.get("again", "")
    row = StressRun.objects.filter(pk=int(number)).first() if number.isdecimal() and len(number) < 10 else None
    return stress_initial(row) if row else {}


@require_safe
@desk_reader
def detail(request: HttpRequest, run_id: int) -> HttpResponse:
    """One run: how far it is, then totals, what drove it, and what happened when."""
    row = StressRun.objects.select_related("asked_by").filter(pk=run_id).first()
    if row is None:
        raise Http404
    path = PATHS.get(row.path_code)
    context = {
        "run": row,
        "path_words": selectors.run_words(row),
        "assumed": path.assumed if path else "",
        "tail_hours": Parameters().tail_hours,
        "slices": Parameters().slices_per_tick,
        "results": selectors.outcomes(row),
        "price_names": ["BTC", "ETH"],
        "count_names": [_("Calls"), _("Sales")],
        "is_officer": is_officer(request),
    }
    return render(request, "lending/stress_run.html", context)
