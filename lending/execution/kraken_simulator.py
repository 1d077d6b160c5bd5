"""Kraken's private API as ccxt calls it, simulated: orders under client ids, signed requests, rising nonces.

Part of the exchange simulator (`lending.prices.simulator`). Immediate-or-cancel orders are filled at the simulated best
bid if that is no worse than their limit. Faults are set under the name `kraken/orders`:

`partial` half of an order is filled · `refuse` no funds · `lost` an order is carried out and its answer never comes ·
`mute` orders are carried out and no private answer comes · `nonsense` orders claim to have sold twice what was ordered ·
`down` 503 · `locked` the key is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final
from urllib.parse import parse_qs

KEY: Final = "simulated-key"
SECRET: Final = base64.b64encode(b"the simulator's secret, known to everybody").decode()
FEE: Final = Decimal("0.0026")
#: Kraken's smallest orders, in coins.
LEAST: Final = {"BTC": Decimal("0.00005"), "ETH": Decimal("0.001")}
#: … and in money, by currency.
COST_MIN: Final = {"USD": "0.5", "JPY": "20"}
_DIGITS: Final = Decimal("0.00000001")


class NoAnswer(Exception):
    """The connection ends without an answer."""


class Down(Exception):
    """An error page of a proxy."""


class Refused(Exception):
    """An error as Kraken writes it."""


class Orders:
    """The account's orders. `bid` tells the best bid of a pair, `fault` what is broken now."""

    def __init__(self, bid: Callable[[str], Decimal], fault: Callable[[], str], pairs: Mapping[str, str]) -> None:
        self._bid, self._fault, self._pairs = bid, fault, pairs
        self._lock = threading.Lock()
        self._nonce = 0
        self.rows: dict[str, dict[str, Any]] = {}

    def answer(self, method: str, body: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """What Kraken answers to `POST /0/private/<method>`. Raises `NoAnswer`, `Down`."""
        fault = self._fault()
        if fault == "down":
            raise Down
        form = {name: values[0] for name, values in parse_qs(body).items()}
        with self._lock:
            try:
                self._authenticate(method, body, form, headers, fault)
                result = self._handlers()[method](form, fault)
            except KeyError:
                return {"error": ["EGeneral:Unknown method"]}
            except Refused as error:
                return {"error": [str(error)]}
        if fault == "mute" or (fault == "lost" and method == "AddOrder"):
            raise NoAnswer
        return {"error": [], "result": result}

    def _authenticate(
        self, method: str, body: str, form: Mapping[str, str], headers: Mapping[str, str], fault: str
    ) -> None:
        nonce = form.get("nonce", "")
        digest = hashlib.sha256((nonce + body).encode()).digest()
        wanted = hmac.new(base64.b64decode(SECRET), f"/0/private/{method}".encode() + digest, hashlib.sha512).digest()
        if headers.get("API-Key") != KEY or fault == "locked":
            raise Refused("EAPI:Invalid key")
        if not hmac.compare_digest(base64.b64encode(wanted).decode(), headers.get("API-Sign", "")):
            raise Refused("EAPI:Invalid signature")
        if not nonce.isdigit() or int(nonce) <= self._nonce:
            raise Refused("EAPI:Invalid nonce")
        self._nonce = int(nonce)

    def _handlers(self) -> dict[str, Callable[[Mapping[str, str], str], Any]]:
        return {
            "AddOrder": self._add,
            "CancelOrder": self._cancel,
            "QueryOrders": self._query,
            "OpenOrders": lambda form, _fault: {"open": self._found(form, ("open",))},
            "ClosedOrders": lambda form, _fault: {"closed": self._found(form, ("closed", "canceled", "expired"))},
        }

    def _found(self, form: Mapping[str, str], states: tuple[str, ...]) -> dict[str, Any]:
        return {
            txid: row
            for txid, row in self.rows.items()
            if row["status"] in states and form.get("cl_ord_id", row["cl_ord_id"]) == row["cl_ord_id"]
        }

    def _query(self, form: Mapping[str, str], _fault: str) -> dict[str, Any]:
        return {txid: self.rows[txid] for txid in form.get("txid", "").split(",") if txid in self.rows}

    def _cancel(self, form: Mapping[str, str], _fault: str) -> dict[str, Any]:
        names = (form.get("txid"), form.get("cl_ord_id"))
        mine = [r for t, r in self.rows.items() if r["status"] == "open" and (t in names or r["cl_ord_id"] in names)]
        if not mine:
            raise Refused("EOrder:Unknown order")
        for row in mine:
            row["status"] = "canceled"
        return {"count": len(mine)}

    def _add(self, form: Mapping[str, str], fault: str) -> dict[str, Any]:
        pair = self._pairs.get(form.get("pair", ""))
        if pair is None:
            raise Refused("EQuery:Unknown asset pair")
        volume, limit = Decimal(form["volume"]), Decimal(form["price"])
        name = form.get("cl_ord_id", "")
        if len(name) > 18:
            raise Refused("EGeneral:Invalid arguments:cl_ord_id")
        if datetime.fromisoformat(form["deadline"]).timestamp() < time.time():
            raise Refused("EService:Deadline elapsed")
        if any(row["cl_ord_id"] == name and row["status"] == "open" for row in self.rows.values()):
            raise Refused("EOrder:Duplicate cl_ord_id")
        if volume < LEAST[pair[:3]] or volume * limit < Decimal(COST_MIN[pair[4:]]):
            raise Refused("EOrder:Order minimum not met")
        if fault == "refuse":
            raise Refused("EOrder:Insufficient funds")
        txid = f"O{len(self.rows):05d}-SIMUL-ATEDAA"
        self.rows[txid] = self._filled(form, pair, volume, limit, fault)
        return {"descr": {"order": f"sell {volume} {pair.replace('/', '')} @ limit {limit}"}, "txid": [txid]}

    def _filled(
        self, form: Mapping[str, str], pair: str, volume: Decimal, limit: Decimal, fault: str
    ) -> dict[str, Any]:
        price = self._bid(pair)
        done = volume if price >= limit else Decimal(0)
        if fault == "partial":
            done = (done / 2).quantize(_DIGITS, rounding=ROUND_DOWN)
        if fault == "nonsense":
            done = volume * 2
        cost = done * price
        return {
            "refid": None, "userref": None, "cl_ord_id": form.get("cl_ord_id", ""),
            "status": "closed" if done == volume else "canceled", "opentm": time.time(), "starttm": 0, "expiretm": 0,
            "descr": {
                "pair": pair.replace("/", ""), "type": form["type"], "ordertype": form["ordertype"], "price": str(limit),
                "price2": "0", "leverage": "none", "order": f"sell {volume} {pair} @ limit {limit}", "close": "",
            },
            "vol": f"{volume:.8f}", "vol_exec": f"{done:.8f}", "cost": f"{cost:.5f}", "fee": f"{cost * FEE:.5f}",
            "price": f"{price if done else 0:.5f}", "stopprice": "0.00000", "limitprice": "0.00000", "misc": "",
            "oflags": "fciq",
        }  # fmt: skip
