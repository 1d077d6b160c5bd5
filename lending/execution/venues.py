"""Where collateral is sold. An order has a client id of ours; placing it again with the same id is asking what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import cache
from typing import Any, Final, Protocol

from django.conf import settings

from lending.money import ASSET_DIGITS, EXACT

#: After so long the exchange itself refuses an order that was lost on the way, so that not found means not placed.
ORDER_LIFE: Final = timedelta(seconds=10)


class VenueUnavailable(Exception):
    """No answer: nothing is known about what became of the order. Ask again."""


class VenueNonsense(Exception):
    """An answer that cannot be true. Nothing is booked and a person looks."""


class OrderRefused(Exception):
    """The exchange says that the order was not and will not be placed."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One order to sell: at least `limit_price`, whatever cannot be sold at once is cancelled."""

    client_order_id: str
    symbol: str
    asset: str
    units: int
    limit_price: Decimal
    #: The exchange refuses it after this moment, whoever sends it: a worker that slept sells nothing late.
    void_after: datetime | None = None

    @property
    def amount(self) -> Decimal:
        return EXACT.scaleb(Decimal(self.units), -ASSET_DIGITS[self.asset])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the exchange says of an order. `is_final`: it cannot change any more."""

    exchange_order_id: str
    is_final: bool
    units: int
    proceeds: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest order a venue takes: in coins and in money; zero where it names none."""

    coins: Decimal = Decimal(0)
    money: Decimal = Decimal(0)

    def units(self, asset: str, price: Decimal) -> int:
        """Base units of `asset` that satisfy both at `price`, rounded up."""
        coins = max(self.coins, EXACT.divide(self.money, price))
        return int(EXACT.scaleb(coins, ASSET_DIGITS[asset]).to_integral_value(rounding=ROUND_CEILING))


class Venue(Protocol):
    name: str

    def smallest(self, symbol: str) -> Smallest:
        """The smallest order in that market. Asked outside of any transaction."""

    def place(self, ticket: Ticket) -> Outcome | None:
        """Place the order; None if it was taken and must be asked for."""

    def find(self, ticket: Ticket) -> Outcome | None:
        """What became of the order with that client id; None if the exchange never saw it."""


class PaperVenue:
    """No exchange: every order is filled whole at its limit plus nothing, without a fee. For the demo without one."""

    name = "paper"

    def smallest(self, symbol: str) -> Smallest:
        return Smallest()

    def place(self, ticket: Ticket) -> Outcome | None:
        return self.find(ticket)

    def find(self, ticket: Ticket) -> Outcome | None:
        proceeds = EXACT.multiply(ticket.amount, ticket.limit_price)
        return Outcome(f"paper-{ticket.client_order_id}", True, ticket.units, proceeds, Decimal(0))


class CcxtVenue:
    """An exchange through ccxt that takes a client order id and looks orders up by it (Kraken).

    Only the answer to placing an order can refuse it. Whatever goes wrong when it is looked up says nothing about it.
    """

    def __init__(self, exchange: str, *, key: str, secret: str, base_url: str = "") -> None:
        from lending.prices.exchanges import new_client

        self.name = exchange
        # ccxt keeps to the real exchange's rate; the simulator has none.
        self._client = new_client(exchange, base_url, apiKey=key, secret=secret, enableRateLimit=not base_url)

    def smallest(self, symbol: str) -> Smallest:
        """ccxt's `limits` of the market, which the exchange publishes with its markets (loaded once a process)."""
        limits = self._call("load_markets").get(symbol, {}).get("limits", {})
        found = [Decimal(str((limits.get(name) or {}).get("min") or 0)) for name in ("amount", "cost")]
        if not all(value.is_finite() and value >= 0 for value in found):
            raise VenueNonsense(f"smallest order of {symbol}: {found}"[:200])
        return Smallest(*found)

    def place(self, ticket: Ticket) -> Outcome | None:
        import ccxt

        deadline = ticket.void_after or datetime.now(UTC) + ORDER_LIFE
        params = {
            "clientOrderId": ticket.client_order_id,
            "timeinforce": "IOC",
            "oflags": "fciq",  # its fee is taken from the money, not from the coins
            "deadline": deadline.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        try:
            self._call(
                "create_order", ticket.symbol, "limit", "sell", str(ticket.amount), str(ticket.limit_price), params
            )
        except VenueUnavailable as error:
            if isinstance(error.__cause__, (ccxt.InsufficientFunds, ccxt.InvalidOrder)):
                raise OrderRefused(str(error)) from error
            raise
        return self.find(ticket)

    def find(self, ticket: Ticket) -> Outcome | None:
        params = {"clientOrderId": ticket.client_order_id}
        # Open before closed: an order that ends between the two questions is seen by the second.
        for where in ("fetch_open_orders", "fetch_closed_orders"):
            found = self._call(where, None, None, None, dict(params))
            mine = [o for o in found if isinstance(o, dict) and o.get("clientOrderId") == ticket.client_order_id]
            if len(mine) > 1:
                raise VenueNonsense(f"{len(mine)} orders under one client id")
            if mine:
                return judged(mine[0], ticket)
        return None

    def _call(self, method: str, *args: Any) -> Any:
        import ccxt

        try:
            return getattr(self._client, method)(*args)
        except ccxt.BaseError as error:
            raise VenueUnavailable(f"{type(error).__name__}: {error}"[:200]) from error
        except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
            raise VenueNonsense(f"{type(error).__name__}: {error}"[:200]) from error


def judged(order: dict[str, Any], ticket: Ticket) -> Outcome:
    """An order of ccxt as an outcome. Raises `VenueNonsense` for what our order cannot have become."""
    try:
        filled = Decimal(str(order.get("filled") or 0))
        cost = Decimal(str(order.get("cost") or 0))
        fee = Decimal(str((order.get("fee") or {}).get("cost") or 0))
    except (InvalidOperation, AttributeError) as error:
        raise VenueNonsense(f"no numbers: {error}") from error
    units = EXACT.scaleb(filled, ASSET_DIGITS[ticket.asset])
    status = order.get("status")
    wrong = (
        not (filled.is_finite() and cost.is_finite() and fee.is_finite())
        or units < 0
        or units > ticket.units
        or units != units.to_integral_value()
        or cost < 0
        or not 0 <= fee <= cost
        or (order.get("fee") or {}).get("currency") not in (None, ticket.symbol.partition("/")[2])
        or order.get("side") not in (None, "sell")
        or order.get("symbol") not in (None, ticket.symbol)
        or cost < EXACT.multiply(filled, ticket.limit_price) * Decimal("0.9999")
        or (filled == 0) != (cost == 0)
        or status not in ("open", "closed", "canceled", "expired", "rejected")
    )
    if wrong:
        raise VenueNonsense(f"filled {filled}, cost {cost}, fee {fee}, status {status}"[:200])
    return Outcome(str(order.get("id") or ""), status != "open", int(units), cost, fee)


def venue(name: str = "") -> Venue:
    """The back end `name`, or the one of the settings."""
    name = name or settings.SALE_VENUE
    if name == "paper":
        return PaperVenue()
    return _exchange(name, settings.SALE_API_KEY, settings.SALE_API_SECRET, settings.EXCHANGE_SIMULATOR_URL)


@cache
def _exchange(name: str, key: str, secret: str, base_url: str) -> CcxtVenue:
    """One client per process: it remembers the markets and counts its nonces up."""
    return CcxtVenue(name, key=key, secret=secret, base_url=base_url)
