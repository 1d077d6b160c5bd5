"""Public tickers of exchanges through ccxt. ccxt is the client for the real exchange and for the simulator alike."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from lending.prices.acceptance import Quote

#: What one request may take. A source that drips its answer is given up by the round's own deadline.
TIMEOUT_MS: Final = 4_000
_WIDEST_SPREAD: Final = Decimal("0.02")

_clients: dict[tuple[str, str], Any] = {}
_lock = threading.Lock()


class SourceFailed(Exception):
    """An exchange gave no usable answer; `problem` is an `Observation.Problem`."""

    def __init__(self, problem: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem


def new_client(exchange: str, base_url: str = "", **options: Any) -> Any:
    """A ccxt client of `exchange`, with every address of its API moved to `base_url` if one is given.

    Numbers come as text, so none passes through a float. Raises `SourceFailed` for a name ccxt does not know.
    """
    import ccxt  # every exchange at once: tens of megabytes that only the process that asks has to carry

    if exchange not in ccxt.exchanges:
        raise SourceFailed("unreachable", f"ccxt knows no exchange {exchange}")
    client = getattr(ccxt, exchange)({"enableRateLimit": True, "timeout": TIMEOUT_MS, **options})
    client.number = str
    if base_url:
        client.urls["api"] = {name: f"{base_url}/{exchange}/{name}" for name in client.urls["api"]}
    return client


def client_for(exchange: str, base_url: str = "") -> Any:
    """The client of this process: it remembers the exchange's list of markets."""
    with _lock:
        key = (exchange, base_url)
        if key not in _clients:
            # A round asks for a handful of tickers every twenty seconds, far below any exchange's limit; ccxt's own
            # pause of a second between requests would eat the round's deadline.
            _clients[key] = new_client(exchange, base_url, enableRateLimit=False)
        return _clients[key]


def quotes(exchange: str, symbols: Sequence[str], base_url: str = "") -> dict[str, Quote | SourceFailed]:
    """What `exchange` says of each symbol; a symbol that failed brings its failure, the others stand."""
    try:
        client = client_for(exchange, base_url)
    except SourceFailed as failure:
        return dict.fromkeys(symbols, failure)
    found: dict[str, Quote | SourceFailed] = {}
    for symbol in symbols:
        try:
            found[symbol] = quote_of(client.fetch_ticker(symbol))
        except SourceFailed as failure:
            found[symbol] = failure
        except Exception as error:  # nothing an exchange answers may end the round
            found[symbol] = _failure(error)
    return found


def quote_of(ticker: Any) -> Quote:
    """The middle of best bid and ask; the last trade where both are not quoted or are far apart.

    Raises `SourceFailed` for what has no number in it. Whether a number makes sense is judged by `acceptance`.
    """
    if not isinstance(ticker, dict):
        raise SourceFailed("nonsense", f"a ticker that is a {type(ticker).__name__}")
    bid, ask, last = (_decimal(ticker.get(name)) for name in ("bid", "ask", "last"))
    timestamp = ticker.get("timestamp")
    try:
        at = datetime.fromtimestamp(int(timestamp) / 1000, tz=UTC) if timestamp else None
    except (ValueError, OverflowError, OSError) as error:
        raise SourceFailed("nonsense", f"no time: {str(timestamp)[:40]}") from error
    if bid is not None and ask is not None and 0 < bid <= ask and (ask - bid) <= bid * _WIDEST_SPREAD:
        return Quote((bid + ask) / 2, at)
    if last is None:
        raise SourceFailed("nonsense", "no price in the ticker")
    return Quote(last, at)


def _decimal(value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise SourceFailed("nonsense", f"not a number: {str(value)[:40]}") from error
    if not number.is_finite():
        raise SourceFailed("nonsense", f"not a number: {value}")
    return number


def _failure(error: Exception) -> SourceFailed:
    import ccxt

    detail = f"{type(error).__name__}: {error}"[:200]
    if isinstance(error, ccxt.RequestTimeout):
        return SourceFailed("timeout", detail)
    return SourceFailed("unreachable" if isinstance(error, ccxt.NetworkError) else "nonsense", detail)
