"""A simulator of exchanges, for the demo and tests: public tickers, and Kraken's orders (`execution.kraken_simulator`).

It speaks the real exchanges' HTTP API as ccxt calls it.

Nothing here is a price: an operator sets what it says, `POST /sim/prices {"BTC/JPY": "14000000"}`, and breaks single
exchanges, `POST /sim/faults {"kraken": "hang" | "nonsense" | "error" | ""}`. Listens on loopback only.

Run `python -m lending.prices.simulator PORT`.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from lending.execution.kraken_simulator import COST_MIN, LEAST, Down, NoAnswer, Orders

START: Final = {
    "BTC/JPY": Decimal(15_000_000),
    "ETH/JPY": Decimal(500_000),
    "BTC/USD": Decimal(100_000),
    "ETH/USD": Decimal("3333.33"),
    "USD/JPY": Decimal(150),
}
_KRAKEN: Final = {
    "XXBTZJPY": "BTC/JPY",
    "XETHZJPY": "ETH/JPY",
    "XXBTZUSD": "BTC/USD",
    "XETHZUSD": "ETH/USD",
    "ZUSDZJPY": "USD/JPY",
}
_KRAKEN_CODES: Final = {"BTC": "XXBT", "ETH": "XETH", "USD": "ZUSD", "JPY": "ZJPY"}
_HANG_SECONDS: Final = 30.0
#: Each exchange quotes a little beside the others, in basis points.
_BESIDE: Final = {"kraken": 0, "bitflyer": 4, "bitbank": -3, "coincheck": 6, "bitstamp": 5}


class Market:
    """What the simulated exchanges say."""

    def __init__(self) -> None:
        self.prices = dict(START)
        self.faults: dict[str, str] = {}
        self.orders = Orders(
            lambda pair: Decimal(self.quote("kraken", pair)[0]),
            lambda: self.faults.get("kraken/orders", ""),
            _KRAKEN,
        )

    def quote(self, exchange: str, pair: str) -> tuple[str, str, str]:
        """Best bid, best ask and last trade as text."""
        last = self.prices[pair] * (10_000 + _BESIDE[exchange]) / 10_000
        half = last / 10_000
        return tuple(f"{each:.5f}" for each in (last - half, last + half, last))  # type: ignore[return-value]


def kraken(market: Market, path: str, query: dict[str, str]) -> Any:
    if path.endswith("/AssetPairs"):
        result = {
            name: {
                "altname": pair.replace("/", ""), "wsname": pair, "base": _KRAKEN_CODES[pair[:3]],
                "quote": _KRAKEN_CODES[pair[4:]], "pair_decimals": 1, "lot_decimals": 8, "fees": [[0, 0.26]],
                "fees_maker": [[0, 0.16]], "ordermin": str(LEAST.get(pair[:3], 5)), "costmin": COST_MIN[pair[4:]],
                "status": "online",
            }
            for name, pair in _KRAKEN.items()
        }  # fmt: skip
        return {"error": [], "result": result}
    if path.endswith("/Assets"):
        codes = {name: {"aclass": "currency", "altname": code, "decimals": 10} for code, name in _KRAKEN_CODES.items()}
        return {"error": [], "result": codes}
    name = query["pair"]
    bid, ask, last = market.quote("kraken", _KRAKEN[name])
    ticker = {"a": [ask, "1", "1"], "b": [bid, "1", "1"], "c": [last, "1"], "v": ["1", "1"], "p": [last, last],
              "t": [1, 1], "l": [last, last], "h": [last, last], "o": last}  # fmt: skip
    return {"error": [], "result": {name: ticker}}


def bitflyer(market: Market, path: str, query: dict[str, str]) -> Any:
    if "/getmarkets" in path:
        found = [{"product_code": f"{coin}_JPY", "market_type": "Spot"} for coin in ("BTC", "ETH")]
        return found if path.endswith("/getmarkets") else []
    bid, ask, last = market.quote("bitflyer", query["product_code"].replace("_", "/"))
    return {
        "product_code": query["product_code"], "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3],
        "best_bid": float(bid), "best_ask": float(ask), "ltp": float(last), "volume_by_product": 1.0,
    }  # fmt: skip


def bitbank(market: Market, path: str, query: dict[str, str]) -> Any:
    if path.endswith("/pairs"):
        pairs = [
            {
                "name": f"{coin}_jpy", "base_asset": coin, "quote_asset": "jpy", "maker_fee_rate_base": "0",
                "taker_fee_rate_base": "0", "maker_fee_rate_quote": "0", "taker_fee_rate_quote": "0.0012",
                "unit_amount": "0.0001", "limit_max_amount": "1000", "price_digits": 0, "amount_digits": 4,
                "is_enabled": True,
            }
            for coin in ("btc", "eth")
        ]  # fmt: skip
        return {"success": 1, "data": {"pairs": pairs}}
    pair = path.rsplit("/", 2)[-2].upper().replace("_", "/")
    bid, ask, last = market.quote("bitbank", pair)
    now = int(time.time() * 1000)
    return {
        "success": 1,
        "data": {"sell": ask, "buy": bid, "high": last, "low": last, "last": last, "vol": "1", "timestamp": now},
    }


def coincheck(market: Market, path: str, query: dict[str, str]) -> Any:
    bid, ask, last = market.quote("coincheck", "BTC/JPY")
    return {"last": float(last), "bid": float(bid), "ask": float(ask), "high": float(last), "low": float(last),
            "volume": 1.0, "timestamp": int(time.time())}  # fmt: skip


def bitstamp(market: Market, path: str, query: dict[str, str]) -> Any:
    if "trading-pairs-info" in path or path.rstrip("/").endswith("/markets"):
        return [
            {
                "name": pair, "market_symbol": pair.replace("/", "").lower(), "url_symbol": pair.replace("/", "").lower(),
                "base_currency": pair[:3], "counter_currency": "USD", "base_decimals": 8, "counter_decimals": 2,
                "minimum_order": "10 USD", "minimum_order_value": "10", "trading": "Enabled", "description": pair.replace("/", " / "),
                "instant_order_counter_decimals": 2, "instant_and_market_orders": "Enabled", "market_type": "SPOT",
            }
            for pair in ("BTC/USD", "ETH/USD")
        ]  # fmt: skip
    if "currencies" in path:
        return []
    pair = next(pair for pair in ("BTC/USD", "ETH/USD") if pair.replace("/", "").lower() in path)
    bid, ask, last = market.quote("bitstamp", pair)
    return {"timestamp": str(int(time.time())), "bid": bid, "ask": ask, "last": last, "high": last, "low": last,
            "open": last, "vwap": last, "volume": "1", "pair": pair}  # fmt: skip


EXCHANGES: Final[dict[str, Callable[[Market, str, dict[str, str]], Any]]] = {
    "kraken": kraken, "bitflyer": bitflyer, "bitbank": bitbank, "coincheck": coincheck, "bitstamp": bitstamp,
}  # fmt: skip


class Simulator:
    """A running simulator on a loopback port. Use as a context manager, or `serve_forever` in a process of its own."""

    def __init__(self, *, port: int = 0) -> None:
        self.market = Market()
        handler = type("Handler", (_Handler,), {"market": self.market})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve_forever(self) -> None:
        self._server.serve_forever()

    def __enter__(self) -> Simulator:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    market: Market

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        exchange = parts.path.split("/")[1]
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        fault = self.market.faults.get(exchange, "")
        if exchange == "sim":
            self._send(200, {pair: str(price) for pair, price in self.market.prices.items()})
        elif exchange not in EXCHANGES:
            self._send(404, {"error": "no such exchange"})
        elif fault == "error":
            self.send_error(503)  # an HTML page, as a proxy in front of an exchange answers
        elif fault == "nonsense":
            self._send(
                200, {"error": [], "success": 1, "data": {"last": "cheap"}, "result": {}, "ltp": "NaN", "last": "NaN"}
            )
        else:
            if fault == "hang":
                time.sleep(_HANG_SECONDS)
            try:
                self._send(200, EXCHANGES[exchange](self.market, parts.path.rstrip("/"), query))
            except (KeyError, StopIteration):
                self._send(404, {"error": "no such market"})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/kraken/private/0/private/"):
            self._private(self.path.rpartition("/")[2], raw.decode())
            return
        body = json.loads(raw or b"{}")
        if self.path == "/sim/prices":
            self.market.prices.update({pair: Decimal(str(value)) for pair, value in body.items() if pair in START})
        elif self.path == "/sim/faults":
            self.market.faults.update(body)
        else:
            self._send(404, {})
            return
        self._send(200, {"ok": True})

    def _private(self, method: str, body: str) -> None:
        try:
            self._send(200, self.market.orders.answer(method, body, dict(self.headers.items())))
        except Down:
            self.send_error(503)
        except NoAnswer:
            self.close_connection = True

    def _send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        return


if __name__ == "__main__":
    Simulator(port=int(sys.argv[1])).serve_forever()
