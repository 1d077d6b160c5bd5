"""The sweep: every accepted price finds the loans it breaches, in one statement, through the index of positions.

How a price finds a loan with two assets is told in docs/decisions/030-lending.md; `bounds` is its arithmetic, the SQL
beside this module its search and its exact verdict.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.db import connection, transaction
from django.db.utils import OperationalError
from django.utils import timezone

from lending.coverage import BUCKETS, REFERENCE_RATIO, WIDENING
from lending.models import Currency, PriceTick
from lending.services.monitoring_sql import CURE_SQL, FALL_SQL
from portal.wake import wake

logger = logging.getLogger(__name__)
#: Advisory lock: one sweep at a time. PostgreSQL frees it when the process dies.
_LOCK: Final = 0x4C535750
_DIGITS: Final = {"JPY": 1, "USD": 100}


@dataclass(frozen=True, slots=True)
class Found:
    """What a tick found: loans that came to a step, and loans that recovered."""

    breaches: int
    cures: int


@dataclass(frozen=True, slots=True)
class Bound:
    """A bucket, and the lowest and highest value of s·Pb + (1 − s)·Pe/k in it."""

    bucket: int
    low: float
    high: float


def bounds(*, btc: Decimal | None, eth: Decimal | None) -> list[Bound]:
    """The buckets that can be judged with these prices. The value is linear in s: its ends are at the bucket's ends.

    Without one of the two prices only loans that do not hold that asset are judged.
    """
    by_btc = float(btc) if btc is not None else None
    by_eth = float(eth) / REFERENCE_RATIO if eth is not None else None
    found: list[Bound] = []
    if by_eth is not None:
        found.append(_bound(0, by_eth, by_eth))
    if by_btc is not None and by_eth is not None:
        inner = BUCKETS - 2
        for bucket in range(1, BUCKETS - 1):
            ends = [s * by_btc + (1 - s) * by_eth for s in ((bucket - 1) / inner, bucket / inner)]
            found.append(_bound(bucket, *ends))
    if by_btc is not None:
        found.append(_bound(BUCKETS - 1, by_btc, by_btc))
    return found


def _bound(bucket: int, one: float, other: float) -> Bound:
    return Bound(bucket, min(one, other) * (1 - WIDENING), max(one, other) * (1 + WIDENING))


def run_sweep() -> bool:
    """Judge the book by the newest prices that wait, each currency in a transaction of its own; False if another runs.

    Older prices that wait are marked with it: what they would have found, the newest finds or has recovered. A crash
    rolls one currency back and the next sweep does it again; a breach that is written is carried out by its row.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return False
    try:
        for currency in Currency.values:
            _judge_newest(currency)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    return True


def _judge_newest(currency: str) -> None:
    tick_id = (
        PriceTick.objects.filter(currency=currency, evaluated_at=None)
        .order_by("-id")
        .values_list("pk", flat=True)
        .first()
    )
    if tick_id is None:
        return
    try:
        evaluate(tick_id=tick_id)
    except OperationalError as error:  # a deadlock with whoever holds many positions: the next sweep does it
        logger.warning("tick %s is judged again by the next sweep: %s", tick_id, type(error).__name__)


@transaction.atomic
def evaluate(*, tick_id: int) -> Found:
    """Judge every open loan of the tick's currency by its prices, exactly, reading only those near their next step.

    Afterwards each loan that came to a step has a `Breach` and its position waits for the step after; each that
    recovered has one of kind CURE; the tick is marked. Judged again it changes nothing.
    """
    tick = PriceTick.objects.select_for_update(of=("self",)).select_related("btc", "eth").get(pk=tick_id)
    if tick.evaluated_at is not None:
        return Found(tick.breaches, tick.cures)
    now = timezone.now()
    btc, eth = tick.btc.value if tick.btc else None, tick.eth.value if tick.eth else None
    edges = bounds(btc=btc, eth=eth)
    parameters: dict[str, Any] = {
        "tick": tick.pk,
        "now": now,
        "currency": tick.currency,
        "minor": _DIGITS[tick.currency],
        "btc": btc or Decimal(0),
        "eth": eth or Decimal(0),
        "buckets": [edge.bucket for edge in edges],
        "lows": [edge.low for edge in edges],
        "highs": [edge.high for edge in edges],
        "ratio": REFERENCE_RATIO,
        "widening": WIDENING,
    }
    with connection.cursor() as cursor:
        # How many rows a bucket's bound brings depends on the market, which no statistics know: the planner guesses a third
        # of the book and reads all of it. One index scan a bucket is right whatever the price; for this transaction only.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_hashjoin = off")
        cursor.execute("SET LOCAL enable_mergejoin = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(FALL_SQL, parameters)
        breaches = int(cursor.fetchone()[0])
        cursor.execute(CURE_SQL, parameters)
        cures = int(cursor.fetchone()[0])
    tick.evaluated_at, tick.breaches, tick.cures = now, breaches, cures
    tick.save(update_fields=["evaluated_at", "breaches", "cures"])
    PriceTick.objects.filter(currency=tick.currency, evaluated_at=None, id__lt=tick.pk).update(evaluated_at=now)
    if breaches or cures:
        _wake_workers()
    return Found(breaches, cures)


def _wake_workers() -> None:
    from lending.tasks import act_on_breaches_task

    wake(act_on_breaches_task)
