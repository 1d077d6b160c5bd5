"""How much is sold. Pure arithmetic, no database.

With coverage c, target r and cost f of a sale, proceeds per debt are (r − c)(1 − f) / (r(1 − f) − 1) (DOMAIN.md §4). In
amounts, with worth W and debt D: what is sold is worth x = (r·D − W) / (r(1 − f) − 1). Selling x leaves W − x of
collateral against D − x(1 − f) of debt, and their ratio is r.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

from lending.money import ASSET_DIGITS, EXACT

_BPS: Final = Decimal(10_000)
#: A slice must bring whole minor units, or nothing could be booked for it.
SMALLEST: Final = Decimal(10)


@dataclass(frozen=True, slots=True)
class Slice:
    """Base units of one asset to sell now."""

    asset: str
    units: int


def worth_to_sell(*, worth: Decimal, debt: Decimal, target_bps: int, cost_bps: int) -> Decimal:
    """Worth of collateral to sell so that coverage is `target_bps` afterwards; zero if it is there, all if it cannot be.

    `debt` and `worth` in the currency; `cost_bps` is what fees and slippage take of the proceeds.
    """
    target, keep = Decimal(target_bps) / _BPS, 1 - Decimal(cost_bps) / _BPS
    missing = EXACT.subtract(EXACT.multiply(target, debt), worth)
    if missing <= 0:
        return Decimal(0)
    # No more is sold than pays the debt: below coverage of 1 / (1 − f) the formula asks for more than there is.
    most = min(worth, EXACT.divide(debt, keep))
    return min(most, EXACT.divide(missing, EXACT.subtract(EXACT.multiply(target, keep), Decimal(1))))


def next_slice(
    *,
    holdings: dict[str, int],
    prices: dict[str, Decimal],
    debt: Decimal,
    target_bps: int,
    cost_bps: int,
    slice_limit: Decimal,
    close_out_below: Decimal,
    repay: Decimal | None = None,
    least: Mapping[str, int] | None = None,
) -> Slice | None:
    """The next slice, or None when the target is reached or nothing is left that can be sold.

    Of two assets the one that is worth more in this loan goes first (bitcoin when equal): it moves the price least for
    its size, and the loan is left less lopsided. A slice is worth at most `slice_limit`. If less than `close_out_below`
    of an asset would remain, it goes along; nor is less than that sold, or the last yen would be sold for in ever smaller
    slices whenever the market takes more than was expected. With `repay` just that much money is wanted, after costs,
    whatever the target says; then nothing more is sold along. Rounded up to a whole base unit, so the target is met and not just missed.

    `least`: base units of the smallest order the exchange takes. No slice is smaller, and none is cut so that what is
    left to be sold would be. An asset of which less is there cannot be sold. With `repay`, less than that still wanted
    ends the sale: nothing more is sold than was asked for.
    """
    least = least or {}
    values = {asset: _worth(units, asset, prices) for asset, units in holdings.items() if units}
    worth = sum(values.values(), Decimal(0))
    wanted = worth_to_sell(worth=worth, debt=debt, target_bps=target_bps, cost_bps=cost_bps)
    if repay is not None:
        wanted = min(worth, EXACT.divide(min(repay, debt), 1 - Decimal(cost_bps) / _BPS))
        close_out_below = Decimal(0)
    sellable = {asset: value for asset, value in values.items() if holdings[asset] >= least.get(asset, 0)}
    if wanted <= 0 or not sellable:
        return None
    asset = max(sellable, key=lambda each: (sellable[each], each == "BTC"))
    smallest = _worth(least.get(asset, 0), asset, prices)
    if repay is not None:
        amount = _cut(min(wanted, values[asset]), slice_limit, smallest)
        if amount < smallest:
            return None
    else:
        along = max(close_out_below, smallest)
        amount = min(max(wanted, along, SMALLEST), values[asset], slice_limit)
        if values[asset] - amount < along and values[asset] <= slice_limit + along:
            return Slice(asset, holdings[asset])
    units = EXACT.scaleb(EXACT.divide(amount, prices[asset]), ASSET_DIGITS[asset])
    whole = int(units.to_integral_value(rounding=ROUND_CEILING))
    return Slice(asset, min(holdings[asset], max(1, whole, least.get(asset, 0))))


def _cut(wanted: Decimal, limit: Decimal, smallest: Decimal) -> Decimal:
    """A slice of at most `limit` that leaves either nothing of `wanted` or enough for another order."""
    if wanted <= limit:
        return max(wanted, min(SMALLEST, limit))
    short = smallest - (wanted - limit)
    return limit - short if 0 < short <= limit - smallest else limit


def _worth(units: int, asset: str, prices: Mapping[str, Decimal]) -> Decimal:
    return EXACT.multiply(EXACT.scaleb(Decimal(units), -ASSET_DIGITS[asset]), prices[asset])
