"""Asking for a stress run, and calculating it in a worker. The row is the queue; the book is only read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from lending.coverage import Prices
from lending.models import Loan, Position, ProductTerms, StressRun
from lending.selectors.prices import accepted_price
from lending.selectors.valuation import no_price
from lending.services.guards import move, require_officer
from lending.stress import Holding, Parameters, Terms, run
from lending.stress_paths import HOUR, PATHS, Point
from portal import audit
from portal.models import User
from portal.wake import wake

logger = logging.getLogger(__name__)
ENGINE: Final = "loan desk"
SUBJECT: Final = "lending.stressrun"
State = StressRun.State


@transaction.atomic
def ask_stress(*, actor: User, path: str, shocks: list[tuple[int, int, int]], parameters: Parameters) -> StressRun:
    """A queued run of a historical path, or of shocks (hour, fall of BTC and of ETH in percent of the start)."""
    from lending.tasks import run_stress_task

    require_officer(actor)
    drawn = [Point(0, 10_000, 10_000), *(Point(h * HOUR, (100 - b) * 100, (100 - e) * 100) for h, b, e in shocks)]
    points = PATHS[path].points if path else drawn
    row = StressRun.objects.create(
        path_code=path, points=[asdict(point) for point in points], parameters=asdict(parameters), asked_by=actor
    )
    audit.record(
        action="lending.stress.asked", subject_type=SUBJECT, subject_id=row.pk, actor=actor, to_state=str(row.state)
    )
    wake(run_stress_task, row.pk)
    return row


def execute_waiting(*, run_id: int | None = None) -> int:
    """Calculate the run, or every one that waits; what a killed worker left behind is marked as failed."""
    lost = timezone.now() - timedelta(hours=2, minutes=5)
    for pk in StressRun.objects.filter(state=State.RUNNING, book_at__lt=lost).values_list("pk", flat=True):
        _end(pk, State.FAILED, {})
    waiting = StressRun.objects.filter(state=State.QUEUED).order_by("id")
    found = list((waiting.filter(pk=run_id) if run_id else waiting).values_list("pk", flat=True))
    return sum(_execute(pk) for pk in found)


def _execute(pk: int) -> bool:
    row = _claim(pk)
    if row is None:
        return False
    try:
        results = _calculate(row)
    except Exception:
        logger.exception("stress run %s could not be calculated", pk)
        _end(pk, State.FAILED, {})
    else:
        _end(pk, State.DONE, results)
    return True


@transaction.atomic
def _claim(pk: int) -> StressRun | None:
    row = StressRun.objects.select_for_update().get(pk=pk)
    if row.state != State.QUEUED:
        return None
    row.book_at = timezone.now()
    move(row, State.RUNNING, actor=ENGINE, action="lending.stress.running", subject=SUBJECT, also=["book_at"])
    return row


@transaction.atomic
def _end(pk: int, target: str, results: dict[str, Any]) -> None:
    row = StressRun.objects.select_for_update().get(pk=pk)
    if row.state != State.RUNNING:
        return
    row.results, row.ended_at = results, timezone.now()
    move(row, target, actor=ENGINE, action=f"lending.stress.{target}", subject=SUBJECT, also=["results", "ended_at"])


def _calculate(row: StressRun) -> dict[str, Any]:
    def progress(count: int) -> None:
        StressRun.objects.filter(pk=row.pk).update(progress=count)

    book = Position.objects.filter(loan__state__in=Loan.OPEN, debt__gt=0)
    currencies = book.order_by().values_list("currency", flat=True).distinct()
    found = run(
        _holdings(), start={currency: _prices(currency) for currency in currencies},
        points=[Point(**point) for point in row.points], parameters=Parameters(**row.parameters), progress=progress,
    )  # fmt: skip
    return {
        currency: {"totals": each.totals(), "series": [asdict(tick) for tick in each.ticks]}
        for currency, each in found.items()
    }


def _prices(currency: str) -> Prices:
    found = {}
    for asset in ("BTC", "ETH"):
        price = accepted_price(f"{asset}/{currency}")
        if price is None:
            raise no_price(f"{asset}/{currency}")
        found[asset] = price.value
    return Prices(currency=currency, btc=found["BTC"], eth=found["ETH"])


def _holdings() -> Iterator[Holding]:
    kinds: dict[int, Terms] = {}
    rows = Position.objects.filter(loan__state__in=Loan.OPEN, debt__gt=0).select_related("loan__terms").order_by("loan")
    for row in rows.iterator(chunk_size=2000):
        terms = kinds.setdefault(row.loan.terms_id, _terms(row.loan.terms))
        yield Holding(
            row.loan_id, row.currency, row.btc_sats, int(row.eth_wei), row.debt, terms, max(0, row.stage - 1),
            called_at=0 if row.loan.state == Loan.State.MARGIN_CALLED else None,
            in_sale=row.loan.state == Loan.State.IN_SALE, borrower=row.loan.borrower_id,
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
