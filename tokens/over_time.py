"""What holdings were worth at face, day by day, from the movements the index knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from portal.money import Money


@dataclass(frozen=True, slots=True)
class ValueLine:
    """Values at the end of days, oldest first, in one currency."""

    currency: str
    points: list[tuple[date, Decimal]]


#: More points than a screen shows apart help nobody, and a table of them even less.
MOST_POINTS = 60


def values_over_time(changes: Iterable[tuple[date, Money]], *, until: date) -> list[ValueLine]:
    """One line per currency, from nothing on the day before the first change to `until`, at most `MOST_POINTS` points.

    The points lie evenly in time and each has every change up to the end of its day, so none is lost between two.
    """
    by_currency: dict[str, list[tuple[date, Decimal]]] = {}
    for day, change in sorted(changes, key=lambda pair: pair[0]):
        by_currency.setdefault(change.currency, []).append((day, change.amount))
    return [ValueLine(currency, _points(by_currency[currency], until)) for currency in sorted(by_currency)]


def _points(changes: list[tuple[date, Decimal]], until: date) -> list[tuple[date, Decimal]]:
    first = changes[0][0] - timedelta(days=1)
    days = (max(until, changes[-1][0]) - first).days
    count = min(days + 1, MOST_POINTS)
    points, value, seen = [], Decimal(0), 0
    for index in range(count):
        day = first + timedelta(days=days * index // (count - 1))
        while seen < len(changes) and changes[seen][0] <= day:
            value += changes[seen][1]
            seen += 1
        points.append((day, value))
    return points
