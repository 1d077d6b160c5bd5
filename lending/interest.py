"""Interest to the last part of a yen and a cent. Pure arithmetic, no database.

Actual/365 fixed: a day costs principal × rate / 365, also in a leap year (so 366 days cost more than the yearly rate).
A day is charged on the principal that stands at its end: the day of a draw counts, the day of a repayment does not
(one end counted). Interest earns no interest. Through the due day the contract's rate holds, from the day after it the
late rate, which takes the place of the contract's rate (late damages, Civil Code art. 419).
Source of the day count and of the places where it is configuration: docs/decisions/031-loan-life.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_DOWN, Context, Decimal
from typing import Final

DAYS: Final = 365
BPS: Final = 10_000
#: As many places as the columns keep. PostgreSQL computes the same quotient; `accrued` cuts it the same way.
PLACES: Final = Decimal(1).scaleb(-18)
_WIDE: Final = Context(prec=80, rounding=ROUND_DOWN)


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


def accrued(*, principal: Decimal, rate_bps: int, days: int) -> Decimal:
    """Interest on `principal` for `days` days, cut after 18 places. Raises `ValueError` for what no loan has."""
    if principal < 0 or days < 0:
        raise ValueError("neither principal nor days are negative")
    if rate_bps <= 0:
        raise ValueError("a rate is more than zero")
    exact = _WIDE.divide(_WIDE.multiply(principal, Decimal(rate_bps * days)), Decimal(BPS * DAYS))
    return exact.quantize(PLACES, rounding=ROUND_DOWN, context=_WIDE)
