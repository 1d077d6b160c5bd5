"""The rules and sources an installation begins with. Working choices: rows of the database, changed there."""

from __future__ import annotations

from typing import Any, Final

from lending.models import Breaker, Pair, PricePolicy, PriceSource

#: Which exchange is asked for which pair. All have public tickers that need no key.
EXCHANGES: Final = {
    "bitflyer": (Pair.BTC_JPY, Pair.ETH_JPY),
    "bitbank": (Pair.BTC_JPY, Pair.ETH_JPY),
    "coincheck": (Pair.BTC_JPY,),
    "kraken": (Pair.BTC_JPY, Pair.ETH_JPY, Pair.BTC_USD, Pair.ETH_USD, Pair.USD_JPY),
    "bitstamp": (Pair.BTC_USD, Pair.ETH_USD),
}
#: Chainlink's feeds of these pairs say their price at the latest after an hour.
FEED_MAX_AGE_SECONDS: Final = 4_000
#: Currencies are asked of one exchange only, so one answer is enough; it values nothing and only contradicts.
_QUORUM: Final = {Pair.USD_JPY: 1}


def ensure_price_rules(**kwargs: Any) -> None:
    """After the tables are made: a rule and a breaker per pair, and sources unless somebody entered any already."""
    if kwargs.get("using", "default") != "default":
        return
    for pair in Pair:
        PricePolicy.objects.get_or_create(pair=pair, defaults={"quorum": _QUORUM.get(pair, 2)})
        Breaker.objects.get_or_create(pair=pair)
    if not PriceSource.objects.exists():
        PriceSource.objects.bulk_create(
            PriceSource(pair=pair, kind=PriceSource.Kind.EXCHANGE, exchange=exchange)
            for exchange, pairs in EXCHANGES.items()
            for pair in pairs
        )


def ensure_feeds(addresses: dict[str, str]) -> None:
    """Ask these Chainlink feeds too, by pair (`chain.selectors.price_feeds`)."""
    for pair, address in addresses.items():
        if pair in Pair.values:
            PriceSource.objects.get_or_create(
                pair=pair,
                kind=PriceSource.Kind.FEED,
                feed_address=address,
                defaults={"max_age_seconds": FEED_MAX_AGE_SECONDS},
            )
