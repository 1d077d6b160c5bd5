"""Chainlink feeds, read through the chain's gateway (AggregatorV3Interface)."""

from __future__ import annotations

from decimal import Decimal

from chain.exceptions import CallRefused, NodeUnavailable
from chain.gateway import gateway
from lending.prices.acceptance import Quote
from lending.prices.exchanges import SourceFailed


def quote(address: str) -> Quote:
    """The feed's last round at the head of the chain. Raises `SourceFailed`."""
    try:
        answer = gateway().price_feed(address)
    except NodeUnavailable as error:
        raise SourceFailed("unreachable", str(error)[:200]) from error
    except CallRefused as error:
        raise SourceFailed("nonsense", str(error)[:200]) from error
    return Quote(Decimal(answer.answer).scaleb(-answer.decimals), answer.updated_at)
