"""Interest to the last part of a yen and a cent. Pure arithmetic in whole numbers, no database.

Actual/365 fixed: a day costs principal × rate / 365, also in a leap year (so 366 days cost more than the yearly rate).
A day is charged on the principal that stands at its end: the day of a draw counts, the day of a repayment does not
(one end counted). Interest earns no interest. Through the due day the contract's rate holds, from the day after it the
late rate, which takes the place of the contract's rate (late damages, Civil Code art. 419).

A rate is whole basis points, so a day's interest is a whole number of parts, 1/3,650,000 of a minor unit each. Parts are
added up for ever and nothing is rounded; what is owed is the whole minor units in them. Daily runs and one run after a
gap therefore come to the same yen. Sources and what is a working choice: docs/decisions/036-loan-life.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

DAYS: Final = 365
BPS: Final = 10_000
PARTS: Final = DAYS * BPS


@dataclass(frozen=True, slots=True)
class Days:
    """How many charged days fall to each rate."""

    regular: int
    late: int


def days_between(*, through: date, target: date, due_on: date) -> Days:
    """Days after `through` up to and with `target`: regular up to and with `due_on`, late after it. Never negative."""
    total = max(0, (target - through).days)
    late = max(0, (target - max(through, due_on)).days)
    return Days(regular=total - late, late=late)


def parts(*, principal: int, rate_bps: int, days: int) -> int:
    """What `days` days cost on `principal` minor units, in parts. Raises `ValueError` for what no loan has."""
    if principal < 0 or days < 0:
        raise ValueError("neither principal nor days are negative")
    if rate_bps <= 0:
        raise ValueError("a rate is more than zero")
    return principal * rate_bps * days


def whole(earned: int) -> int:
    """The whole minor units in `earned` parts: what is owed, the rest cut off."""
    return earned // PARTS
