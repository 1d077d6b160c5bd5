"""Whole minor units, and the way to and from what people read. Pure arithmetic, no database.

The ledger counts in whole numbers of each unit's smallest part: yen, cents, satoshi, wei.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_UP, Context, Decimal
from typing import Final

from portal.money import MINOR_DIGITS, Money

ASSET_DIGITS: Final = {"BTC": 8, "ETH": 18}
DIGITS: Final = MINOR_DIGITS | ASSET_DIGITS
CURRENCIES: Final = tuple(MINOR_DIGITS)
ASSETS: Final = tuple(ASSET_DIGITS)
#: Wide enough for any product of wei, a price and a debt: nothing here is rounded unless it says so.
EXACT: Final = Context(prec=120)


class NotWhole(ValueError):
    """The amount has parts below the unit's smallest."""


def to_minor(amount: Decimal, unit: str) -> int:
    """`amount` of `unit` in its smallest parts. Raises `NotWhole` rather than round."""
    scaled = EXACT.scaleb(amount, DIGITS[unit])
    if not scaled.is_finite() or scaled != scaled.to_integral_value(context=EXACT):
        raise NotWhole(f"{amount} {unit} is not a whole number of its smallest unit")
    return int(scaled)


def from_minor(minor: int, unit: str) -> Decimal:
    """The amount that `minor` smallest parts of `unit` are."""
    return EXACT.scaleb(Decimal(minor), -DIGITS[unit])


def money(minor: int, currency: str) -> Money:
    """`minor` yen or cents as `Money`."""
    return Money(from_minor(minor, currency), currency)


def floor_minor(amount: Decimal, currency: str) -> int:
    """Whole minor units of `amount`, the rest cut off: what is owed to us is never rounded up."""
    return int(EXACT.scaleb(amount, DIGITS[currency]).to_integral_value(rounding=ROUND_DOWN, context=EXACT))


def ceil_minor(amount: Decimal, currency: str) -> int:
    """Whole minor units that are at least `amount`."""
    return int(EXACT.scaleb(amount, DIGITS[currency]).to_integral_value(rounding=ROUND_UP, context=EXACT))
