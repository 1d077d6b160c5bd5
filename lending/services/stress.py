"""Asking for a stress run, and calculating it in a worker. The row is the queue; the book is only read."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from lending.coverage import Prices
from lending.exceptions import NoAcceptedPrice
from lending.models import Loan, MarginCall, Position, Price, ProductTerms, StressRun
from lending.models.prices import pair_of
from lending.selectors.prices import accepted_price
from lending.selectors.valuation import no_price
from lending.services.guards import move, require_officer
from lending.stress import Holding, Parameters, Result, Terms, run
from lending.stress_paths import PATHS, Point
from portal import audit
from portal.models import User
from portal.wake import wake

logger = logging.getLogger(__name__)
ENGINE: Final = "loan desk"
SUBJECT: Final = "lending.stressrun"
#: A run that nothing was heard of for so long has lost its worker. It reports every few seconds.
LOST: Final = timedelta(minutes=5)
_REPORT_SECONDS: Final = 1.0
#: Rows that one reading of the book brings.
_CHUNK: Final = 5_000
State, Problem = StressRun.State, StressRun.Problem
_PARAMETERS: Final = ("deadline_hours", "response_bps", "slippage_bps", "outage_from_hour", "outage_hours")


@transaction.atomic
def ask_stress(*, actor: User, path: str, drawn: Sequence[Point] = (), parameters: Parameters) -> StressRun:
    """A queued run of the historical `path`, or without one of the points that were drawn after the beginning."""
    from lending.tasks import run_stress_task

    require_officer(actor)
    points = PATHS[path].points if path else (Point(0, 10_000, 10_000), *drawn)
    row = StressRun.objects.create(
        path_code=path,
        points=[asdict(point) for point in points],
        asked_by=actor,
        **{name: getattr(parameters, name) for name in _PARAMETERS},
    )
    audit.record(
        action="lending.stress.asked", subject_type=SUBJECT, subject_id=row.pk, actor=actor, to_state=str(row.state)
    )
    wake(run_stress_task, row.pk)
    return row


def execute_waiting(*, run_id: int | None = None) -> int:
    """Calculate the run, or every one that waits; one whose worker was lost is marked as failed. How many ran."""
    lost = timezone.now() - LOST
    for pk in list(StressRun.objects.filter(state=State.RUNNING, seen_at__lt=lost).values_list("pk", flat=True)):
        _fail(pk, Problem.LOST, unheard_since=lost)
    waiting = StressRun.objects.filter(state=State.QUEUED).order_by("id")
    found = list((waiting.filter(pk=run_id) if run_id else waiting).values_list("pk", flat=True))
    return sum(_execute(pk) for pk in found)


def _execute(pk: int) -> bool:
    row = _claim(pk)
    if row is None:
        return False
    try:
        results = _calculate(row)
    except NoAcceptedPrice:
        _fail(pk, Problem.PRICE)
    except Exception:
        logger.exception("stress run %s could not be calculated", pk)
        _fail(pk, Problem.ERROR)
    else:
        _finish(pk, results)
    return True


@transaction.atomic
def _claim(pk: int) -> StressRun | None:
    """QUEUED → RUNNING, by one worker; None if another was first."""
    row = StressRun.objects.select_for_update().get(pk=pk)
    if row.state != State.QUEUED:
        return None
    row.book_at = row.seen_at = timezone.now()
    row.loans = _book().count()
    also = ["book_at", "seen_at", "loans"]
    move(row, State.RUNNING, actor=ENGINE, action="lending.stress.running", subject=SUBJECT, also=also)
    return row


@transaction.atomic
def _finish(pk: int, results: dict[str, Any]) -> None:
    """RUNNING → DONE with what came out; nothing if the run was given up meanwhile."""
    row = StressRun.objects.select_for_update().get(pk=pk)
    if row.state != State.RUNNING:
        return
    row.results, row.ended_at, row.progress = results, timezone.now(), row.loans
    also = ["results", "ended_at", "progress"]
    move(row, State.DONE, actor=ENGINE, action="lending.stress.done", subject=SUBJECT, also=also)


@transaction.atomic
def _fail(pk: int, problem: str, *, unheard_since: datetime | None = None) -> None:
    """RUNNING → FAILED; with `unheard_since` only if nothing was heard of it since then."""
    row = StressRun.objects.select_for_update().get(pk=pk)
    if row.state != State.RUNNING or (unheard_since and row.seen_at and row.seen_at >= unheard_since):
        return
    row.problem, row.ended_at = problem, timezone.now()
    also = ["problem", "ended_at"]
    move(row, State.FAILED, actor=ENGINE, action="lending.stress.failed", subject=SUBJECT, also=also, reason=problem)


def _calculate(row: StressRun) -> dict[str, Any]:
    currencies = _book().order_by().values_list("currency", flat=True).distinct()
    prices = {currency: _prices(currency) for currency in sorted(currencies)}
    found = run(
        _holdings(row.book_at or timezone.now()),
        start={currency: Prices(currency, held["BTC"].value, held["ETH"].value) for currency, held in prices.items()},
        points=[Point(**point) for point in row.points],
        parameters=replace(Parameters(), **{name: getattr(row, name) for name in _PARAMETERS}),
        progress=_Reporter(row.pk).report,
    )
    return {currency: _kept(result, prices[currency]) for currency, result in found.items()}


class _Reporter:
    """Says every second or so how far a run is, and that it is still there."""

    def __init__(self, pk: int) -> None:
        self.pk, self.last = pk, time.monotonic()

    def report(self, count: int) -> None:
        if time.monotonic() - self.last >= _REPORT_SECONDS:
            self.last = time.monotonic()
            StressRun.objects.filter(pk=self.pk).update(progress=count, seen_at=timezone.now())


def _kept(result: Result, prices: dict[str, Price]) -> dict[str, Any]:
    """What of a result is kept: totals, every tick's figures, what drove it, and the prices it began with."""
    return {
        "totals": result.totals(),
        "series": [tick.figures() for tick in result.ticks],
        "first": {what: list(when) for what, when in result.first.items()},
        "largest": [asdict(each) for each in result.largest()],
        "prices": {asset: {"id": price.pk, "value": str(price.value)} for asset, price in prices.items()},
    }


def _prices(currency: str) -> dict[str, Price]:
    found = {}
    for asset in ("BTC", "ETH"):
        price = accepted_price(pair_of(asset, currency))
        if price is None:
            raise no_price(pair_of(asset, currency))
        found[asset] = price
    return found


def _book() -> Any:
    return Position.objects.filter(loan__state__in=Loan.OPEN, debt__gt=0)


def _holdings(now: datetime) -> Iterator[Holding]:
    """The book as one statement sees it, by the number of the loan, a chunk of rows in memory at a time."""
    opened = dict(MarginCall.objects.filter(state=MarginCall.State.OPEN).values_list("loan_id", "opened_at"))
    kinds: dict[int, Terms] = {}
    columns = (
        "loan_id", "currency", "btc_sats", "eth_wei", "debt", "stage", "loan__state", "loan__terms_id", "loan__borrower_id",
    )  # fmt: skip
    rows = _book().order_by("loan_id").values_list(*columns)
    for loan_id, currency, sats, wei, debt, stage, state, terms_id, borrower in rows.iterator(chunk_size=_CHUNK):
        if terms_id not in kinds:
            kinds[terms_id] = _terms(ProductTerms.objects.get(pk=terms_id))
        called = state == Loan.State.MARGIN_CALLED
        yield Holding(
            loan_id, currency, sats, int(wei), debt, kinds[terms_id], max(0, stage - 1),
            called_at=-int((now - opened.get(loan_id, now)).total_seconds() // 60) if called else None,
            in_sale=state == Loan.State.IN_SALE, borrower=borrower,
        )  # fmt: skip


def _terms(row: ProductTerms) -> Terms:
    same = (
        "origination_bps", "reminder_first_bps", "reminder_second_bps", "call_bps", "sale_bps", "call_target_bps",
        "sale_target_bps", "call_cure_bps", "slice_limit", "close_out_below",
    )  # fmt: skip
    return Terms(
        **{name: getattr(row, name) for name in same}, cured_by_price=row.call_cured_by_price,
        cost_bps=row.sale_cost_bps + row.sale_fee_bps, fee_bps=row.sale_fee_bps,
    )  # fmt: skip
