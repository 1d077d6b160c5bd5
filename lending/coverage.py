"""What collateral is worth against a debt, and the number that lets a price find a loan. Pure arithmetic, no database.

Amounts of collateral are base units (satoshi, wei), debts whole minor units (yen, cents), prices the currency for one
whole coin, coverage basis points of the debt. Verdicts are taken by multiplication and never divide.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from lending.money import ASSET_DIGITS, EXACT, floor_minor, from_minor

BPS: Final = 10_000
#: One ether in bitcoin, for the index only: any fixed number is right, one near the market makes buckets narrow.
REFERENCE_RATIO: Final = 0.03
#: 0: only ether, `BUCKETS - 1`: only bitcoin, equal parts of the share between.
BUCKETS: Final = 64
#: What doubles can be off by, many times over: a loan may be read in vain, never missed.
WIDENING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Prices:
    """Accepted prices of one whole coin in one currency. An asset that nobody holds needs none."""

    currency: str
    btc: Decimal | None
    eth: Decimal | None


def value(*, btc_sats: int, eth_wei: int, prices: Prices) -> Decimal:
    """Worth of the collateral in the currency, exact. Raises `ValueError` when a price that is needed is missing."""
    total = Decimal(0)
    for units, asset, price in ((btc_sats, "BTC", prices.btc), (eth_wei, "ETH", prices.eth)):
        if units == 0:
            continue
        if price is None or price <= 0:
            raise ValueError(f"no price of {asset} in {prices.currency}")
        total = EXACT.add(total, EXACT.multiply(from_minor(units, asset), price))
    return total


def reaches(*, worth: Decimal, debt: int, currency: str, bps: int) -> bool:
    """True if `worth` is at least `bps` of `debt` minor units. Without debt always true."""
    return EXACT.multiply(worth, Decimal(BPS)) >= EXACT.multiply(from_minor(debt, currency), Decimal(bps))


def falls_to(*, worth: Decimal, debt: int, currency: str, bps: int) -> bool:
    """True if `worth` is at most `bps` of `debt` minor units: a reminder or a sale is due. Without debt never."""
    if debt <= 0:
        return False
    return EXACT.multiply(worth, Decimal(BPS)) <= EXACT.multiply(from_minor(debt, currency), Decimal(bps))


def coverage_bps(*, worth: Decimal, debt: int, currency: str) -> int | None:
    """Coverage for people to read, cut to whole basis points; None without debt. Verdicts use `reaches`."""
    if debt <= 0:
        return None
    return int(EXACT.divide(EXACT.multiply(worth, Decimal(BPS)), from_minor(debt, currency)))


def room(*, worth: Decimal, debt: int, currency: str, bps: int) -> int:
    """Minor units that may be lent on top of `debt` so that coverage stays at `bps` or more; never below zero."""
    most = floor_minor(EXACT.divide(EXACT.multiply(worth, Decimal(BPS)), Decimal(bps)), currency)
    return max(0, most - debt)


def share_bucket(*, btc_sats: int, eth_wei: int) -> int:
    """Which bucket of s, bitcoin's part of the collateral at the reference ratio, a loan is in."""
    if eth_wei == 0:
        return BUCKETS - 1
    if btc_sats == 0:
        return 0
    btc, eth = _coins(btc_sats, eth_wei)
    share = btc / (btc + REFERENCE_RATIO * eth)
    return 1 + min(BUCKETS - 3, int(share * (BUCKETS - 2)))


def reach(*, btc_sats: int, eth_wei: int, debt: int, currency: str, bps: int) -> float | None:
    """The value of s·Pb + (1 − s)·Pe / k at which coverage is `bps`, widened upwards; None without debt.

    With debt and no collateral it is infinite: every price is too low.
    """
    if debt <= 0:
        return None
    btc, eth = _coins(btc_sats, eth_wei)
    in_btc = btc + REFERENCE_RATIO * eth
    if in_btc == 0:
        return float("inf")
    return float(from_minor(debt, currency)) * bps / BPS / in_btc * (1 + WIDENING)


def cure_reach(*, btc_sats: int, eth_wei: int, debt: int, currency: str, bps: int) -> float | None:
    """Like `reach` for a rising price: widened downwards, so that a cure is looked at rather early."""
    found = reach(btc_sats=btc_sats, eth_wei=eth_wei, debt=debt, currency=currency, bps=bps)
    return None if found is None else found * (1 - 2 * WIDENING)


def _coins(btc_sats: int, eth_wei: int) -> tuple[float, float]:
    return btc_sats / 10 ** ASSET_DIGITS["BTC"], eth_wei / 10 ** ASSET_DIGITS["ETH"]
