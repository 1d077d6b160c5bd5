"""Accepted prices, and whether one can be relied on now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from lending.coverage import Prices
from lending.models import Asset, Breaker, Observation, Price, PricePolicy, PriceSource
from lending.models.prices import Pair, pair_of
from portal.memo import once_per_request

#: The newest price of each pair that is not older than its rule allows; now, none while the pair's breaker is open.
_HELD: Final = """
    SELECT held.* FROM lending_pricepolicy AS policy
    CROSS JOIN LATERAL (
        SELECT * FROM lending_price
        WHERE pair = policy.pair AND at <= %(moment)s AND at > %(moment)s - policy.valid_seconds * interval '1 second'
        ORDER BY at DESC, id DESC LIMIT 1
    ) AS held
    WHERE NOT (%(is_now)s AND EXISTS (
        SELECT FROM lending_breaker AS breaker WHERE breaker.pair = policy.pair AND breaker.state = %(open)s
    ))
"""


def accepted_price(pair: str, *, at: datetime | None = None) -> Price | None:
    """The price of `pair` that holds at `at` (default: now); None if there is none, it is too old or the breaker is open.

    For a moment in the past the breaker's state is not known any more: the newest price that held then is the answer.
    """
    return accepted_prices(at=at).get(pair)


@once_per_request
def accepted_prices(*, at: datetime | None = None) -> dict[str, Price]:
    """The prices that hold at `at` (default: now) by pair, as `accepted_price` tells them. One query, once per page."""
    values = {"moment": at or timezone.now(), "is_now": at is None, "open": Breaker.State.OPEN.value}
    return {price.pair: price for price in Price.objects.raw(_HELD, values)}


def prices_of(currency: str, *, at: datetime | None = None) -> Prices:
    """Both prices in `currency` that hold; None for an asset without one."""
    held = accepted_prices(at=at)
    btc, eth = (held.get(pair_of(asset, currency)) for asset in (Asset.BTC, Asset.ETH))
    return Prices(currency=currency, btc=btc.value if btc else None, eth=eth.value if eth else None)


@dataclass(frozen=True, slots=True)
class PairStatus:
    """How one pair stands, for the desk."""

    pair: str
    price: Price | None
    breaker: Breaker | None
    policy: PricePolicy | None
    answers: list[Observation]

    @property
    def is_broken(self) -> bool:
        return self.price is None


def pair_statuses() -> list[PairStatus]:
    """Every pair with its price, its breaker and what each source answered last."""
    policies = {row.pair: row for row in PricePolicy.objects.all()}
    breakers = {row.pair: row for row in Breaker.objects.select_related("last_round")}
    return [
        PairStatus(
            pair=pair,
            price=accepted_price(pair),
            breaker=breakers.get(pair),
            policy=policies.get(pair),
            answers=_last_answers(breakers.get(pair)),
        )
        for pair in Pair.values
    ]


def broken_pairs() -> list[str]:
    """Pairs without a price that can be relied on: the book is marked with them, and nothing is sold by them."""
    return [pair for pair in Pair.values if pair != Pair.USD_JPY and accepted_price(pair) is None]


def price_history(pair: str, *, limit: int = 200) -> QuerySet[Price]:
    """Accepted prices of `pair`, newest first, each with the observations that made it."""
    answers = Prefetch("observations", queryset=Observation.objects.select_related("source"))
    return Price.objects.filter(pair=pair).prefetch_related(answers).order_by("-id")[:limit]


def price_sources() -> QuerySet[PriceSource]:
    """Everybody who is or was asked."""
    return PriceSource.objects.order_by("pair", "kind", "exchange")


def _last_answers(breaker: Breaker | None) -> list[Observation]:
    if breaker is None or breaker.last_round_id is None:
        return []
    rows = Observation.objects.filter(price_round_id=breaker.last_round_id, source__pair=breaker.pair)
    return list(rows.select_related("source"))
