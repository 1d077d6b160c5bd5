"""The terms and limits an installation begins with. Working choices: rows of the database, marked as not verified.

Published (DOMAIN.md §4): amounts in yen, 4–8 % a year, one year, 200/150/120 %, late charge 15 %, one third of the income.
Not published, so chosen: amounts in dollars, reminders, targets, the deadline, costs, slices, smallest deposits, limits.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

from lending.models import Limit, ProductTerms

FIRST_DAY: Final = date(2026, 1, 1)
SOURCE: Final = "DOMAIN.md §4 (published terms of the product; the rest are working choices, unverified)"

_COMMON: Final[dict[str, Any]] = {
    "rate_min_bps": 400,
    "rate_max_bps": 800,
    "late_rate_bps": 1500,
    "term_months": 12,
    "origination_bps": 20_000,
    "reminder_first_bps": 17_500,
    "reminder_second_bps": 16_000,
    "call_bps": 15_000,
    "sale_bps": 12_000,
    "call_target_bps": 20_000,
    "sale_target_bps": 15_000,
    "withdrawal_floor_bps": 20_000,
    "call_deadline_hours": 48,
    "sale_cost_bps": 100,
    "deposit_min_sats": 100_000,
    "deposit_min_wei": 10**16,
}
_BY_CURRENCY: Final[dict[str, dict[str, Any]]] = {
    "JPY": {
        "slice_limit": Decimal(50_000_000),
        "close_out_below": Decimal(100_000),
        "amount_max": Decimal(500_000_000),
    },
    "USD": {"slice_limit": Decimal(300_000), "close_out_below": Decimal(700), "amount_max": Decimal(3_500_000)},
}
_SMALLEST: Final = {
    ("JPY", "individual"): Decimal(2_000_000),
    ("JPY", "corporate"): Decimal(5_000_000),
    ("USD", "individual"): Decimal(15_000),
    ("USD", "corporate"): Decimal(35_000),
}
_LIMITS: Final = {
    ("borrower", ""): {"JPY": 500_000_000, "USD": 3_500_000},
    ("group", ""): {"JPY": 1_000_000_000, "USD": 7_000_000},
    ("asset", "BTC"): {"JPY": 20_000_000_000, "USD": 140_000_000},
    ("asset", "ETH"): {"JPY": 10_000_000_000, "USD": 70_000_000},
    ("book", ""): {"JPY": 25_000_000_000, "USD": 175_000_000},
}


def ensure_first_terms(**kwargs: Any) -> None:
    """After the tables are made: the first terms and limits, unless somebody entered any already."""
    if kwargs.get("using", "default") != "default":
        return
    if not ProductTerms.objects.exists():
        ProductTerms.objects.bulk_create(_terms(currency, kind) for currency, kind in _SMALLEST)
    if not Limit.objects.exists():
        Limit.objects.bulk_create(
            Limit(
                scope=scope,
                asset=asset,
                currency=currency,
                amount=Decimal(amount),
                state=Limit.State.APPROVED,
                reason=SOURCE,
            )
            for (scope, asset), amounts in _LIMITS.items()
            for currency, amount in amounts.items()
        )


def _terms(currency: str, kind: str) -> ProductTerms:
    return ProductTerms(
        currency=currency,
        borrower_kind=kind,
        effective_from=FIRST_DAY,
        state=ProductTerms.State.APPROVED,
        amount_min=_SMALLEST[currency, kind],
        income_divisor=3 if kind == "individual" else None,
        source=SOURCE,
        **_BY_CURRENCY[currency],
        **_COMMON,
    )
