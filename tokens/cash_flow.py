"""What a bond pays by its terms, and on which days: interest each half-year, and the face value at maturity."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_DOWN, Decimal
from typing import Final

from dateutil.relativedelta import relativedelta

from portal.money import Money
from tokens.models import Security

#: Interest on one yen (or dollar) of face value is cut below 13 decimals (DOMAIN §3).
_INTEREST_STEP: Final = Decimal(1).scaleb(-13)
_PERIODS_A_YEAR: Final = 2


@dataclass(frozen=True, slots=True)
class CashFlow:
    """What is paid on one day, before tax."""

    on: date
    interest: Money
    redemption: Money

    @property
    def total(self) -> Money:
        return self.interest + self.redemption


def cash_flow(security: Security, units: int) -> list[CashFlow]:
    """Every payment on `units` base units by the terms alone, oldest first, before tax.

    Interest days are counted back from maturity by half-years. A full half-year pays half the annual rate; a shorter
    first period is pro-rated by days within that half-year. The interest on one yen of face is truncated below 13
    decimals and the payment to the minor unit, so `units` are those of one holder (source of all: DOMAIN §3).
    """
    face = security.value_of(units)
    nothing = Money(Decimal(0), security.currency)
    return [
        CashFlow(
            on=end,
            interest=(face * _per_face(security, begin, end)).truncated(),
            redemption=face if end == security.maturity_date else nothing,
        )
        for begin, end in _periods(security)
    ]


def _periods(security: Security) -> Iterator[tuple[date, date]]:
    """First and last day of each interest period; the days of payment are the last ones."""
    days = [security.maturity_date]
    while days[-1] > security.issue_date:
        # From maturity each time: counted on from 28 February, a bond of the 31st would stay on the 28th.
        days.append(_half_years_before(security.maturity_date, len(days)))
    days[-1] = security.issue_date
    return itertools.pairwise(days[::-1])


def _half_years_before(day: date, count: int) -> date:
    earlier: date = day - relativedelta(months=12 // _PERIODS_A_YEAR * count)
    return earlier


def _per_face(security: Security, begin: date, end: date) -> Decimal:
    """Interest of one period on one yen (or dollar) of face value."""
    half = Decimal(security.rate_bps) / 10_000 / _PERIODS_A_YEAR
    regular = _regular_begin(security.maturity_date, end)
    share = Decimal((end - begin).days) / (end - regular).days
    return (half * share).quantize(_INTEREST_STEP, rounding=ROUND_DOWN)


def _regular_begin(maturity: date, end: date) -> date:
    """Where the half-year that ends on `end` begins, whether the bond was out already or not."""
    count = 0
    while _half_years_before(maturity, count) > end:
        count += 1
    return _half_years_before(maturity, count + 1)
