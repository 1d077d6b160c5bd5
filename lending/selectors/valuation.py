"""What a loan's collateral is worth at the accepted prices."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext_lazy as _

from lending import coverage
from lending.coverage import Prices
from lending.exceptions import NoAcceptedPrice
from lending.models import Loan, Position
from lending.money import money
from lending.selectors import prices as price_selectors
from portal.money import Money


@dataclass(frozen=True, slots=True)
class Valuation:
    """A loan's collateral against its debt at one moment. `names` says which accepted prices it was judged by."""

    loan_id: int
    currency: str
    btc_sats: int
    eth_wei: int
    debt: int
    worth: Decimal
    prices: Prices
    names: dict[str, Any] = field(default_factory=dict)

    @property
    def coverage_bps(self) -> int | None:
        return coverage.coverage_bps(worth=self.worth, debt=self.debt, currency=self.currency)

    @property
    def debt_money(self) -> Money:
        return money(self.debt, self.currency)

    def reaches(self, bps: int) -> bool:
        return coverage.reaches(worth=self.worth, debt=self.debt, currency=self.currency, bps=bps)

    def room(self, bps: int) -> int:
        """Minor units that may still be lent so that coverage stays at `bps`."""
        return coverage.room(worth=self.worth, debt=self.debt, currency=self.currency, bps=bps)


def value_loan(loan: Loan, *, at: datetime | None = None) -> Valuation:
    """Value `loan` by its position. Without collateral no price is needed.

    Raises `NoAcceptedPrice` if a price that is needed is not accepted at that moment.
    """
    position = Position.objects.filter(loan=loan).first() or Position(loan=loan, currency=loan.currency)
    return value_position(position, at=at)


def value_position(position: Position, *, at: datetime | None = None) -> Valuation:
    """Like `value_loan`, for a position that was read already."""
    sats, wei = int(position.btc_sats), int(position.eth_wei)
    found: dict[str, Decimal | None] = {"BTC": None, "ETH": None}
    names: dict[str, Any] = {}
    for asset, units in (("BTC", sats), ("ETH", wei)):
        if units:
            pair = f"{asset}/{position.currency}"
            price = price_selectors.accepted_price(pair, at=at)
            if price is None:
                raise no_price(pair)
            found[asset] = price.value
            names[pair] = {"price": price.pk, "value": str(price.value)}
    prices = Prices(currency=position.currency, btc=found["BTC"], eth=found["ETH"])
    return Valuation(
        loan_id=position.loan_id,
        currency=position.currency,
        btc_sats=sats,
        eth_wei=wei,
        debt=position.debt,
        worth=coverage.value(btc_sats=sats, eth_wei=wei, prices=prices),
        prices=prices,
        names=names,
    )


def no_price(pair: str) -> NoAcceptedPrice:
    return NoAcceptedPrice(
        _(
            "There is no accepted price of %(pair)s at the moment, so nothing can be valued. Nothing was changed. Try again later."
        )
        % {"pair": pair},
        code="lending.price.none",
    )
