"""Client of an Esplora-compatible HTTP API (github.com/Blockstream/esplora/blob/master/API.md).

Strict: an answer that lacks a field, has one of another type, or contradicts itself raises `EsploraNonsense`, and nothing
of it is used. Amounts are satoshi, hashes lower-case hexadecimal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.utils.translation import gettext as _

from lending.bitcoin.exceptions import BitcoinNotSetUp, EsploraNonsense, EsploraNotFound, EsploraUnavailable

MAX_SATS: Final = 21_000_000 * 100_000_000
_HASH: Final = re.compile(r"[0-9a-f]{64}")
#: Confirmed transactions in one page; the API says 25, and a page below that is the last.
_PAGE: Final = 25
#: An address with more history than this is no deposit address of ours.
_MAX_PAGES: Final = 400
_MAX_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Status:
    """Where a transaction stands. Unconfirmed: height -1, no hash."""

    confirmed: bool
    height: int
    block_hash: str
    time: int


@dataclass(frozen=True, slots=True)
class Spent:
    """An output that a transaction spends. `address` is empty where the script has none."""

    txid: str
    vout: int
    address: str
    sats: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Paid:
    """An output of a transaction."""

    vout: int
    address: str
    sats: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction. A coinbase has no `inputs`."""

    txid: str
    inputs: tuple[Spent, ...]
    outputs: tuple[Paid, ...]
    fee: int
    status: Status

    @property
    def senders(self) -> tuple[str, ...]:
        """Addresses whose coins it spends, each once, in order."""
        return tuple(dict.fromkeys(spent.address for spent in self.inputs if spent.address))


@dataclass(frozen=True, slots=True)
class Coin:
    """An output that nobody has spent."""

    txid: str
    vout: int
    sats: int
    status: Status


class Esplora:
    """One service. Every call answers within the timeout or raises EsploraUnavailable."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise BitcoinNotSetUp(
                _("Bitcoin is not set up here yet: %(setting)s must be %(wanted)s.")
                % {"setting": "BITCOIN_ESPLORA_URL", "wanted": "https://…"},
                code="lending.bitcoin.not_set_up",
                setting="BITCOIN_ESPLORA_URL",
            )
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "musubi"

    def tip_height(self) -> int:
        return _count(self._text("/blocks/tip/height"), "tip height")

    def tip_hash(self) -> str:
        return _hash(self._text("/blocks/tip/hash"), "tip hash")

    def block_hash(self, height: int) -> str:
        """The hash of the block at a height of the best chain. Raises EsploraNotFound above the tip."""
        return _hash(self._text(f"/block-height/{height}"), "block hash")

    def status(self, txid: str) -> Status:
        """Where a transaction stands. Raises EsploraNotFound if the service has not heard of it (any longer)."""
        return _status(self._json(f"/tx/{txid}/status"))

    def transaction(self, txid: str) -> Transaction:
        found = _transaction(self._json(f"/tx/{txid}"))
        if found.txid != txid:
            raise EsploraNonsense(f"asked for {txid}, got {found.txid}")
        return found

    def raw_transaction(self, txid: str) -> bytes:
        text = self._text(f"/tx/{txid}/hex")
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise EsploraNonsense("raw transaction is not hexadecimal") from None

    def transactions(self, address: str) -> Iterator[Transaction]:
        """Every transaction that touches an address: unconfirmed ones first, then from the newest block down."""
        page = _list(self._json(f"/address/{address}/txs"), "transactions")
        for _number in range(_MAX_PAGES):
            confirmed = [found for found in map(_transaction, page) if found.status.confirmed]
            yield from (_transaction(item) for item in page)
            if len(confirmed) < _PAGE:
                return
            page = _list(self._json(f"/address/{address}/txs/chain/{confirmed[-1].txid}"), "transactions")
        raise EsploraNonsense(f"more than {_MAX_PAGES} pages of transactions")

    def transaction_count(self, address: str) -> tuple[int, int]:
        """How many transactions touch an address: (confirmed, waiting). Cheap; tells whether to read them."""
        answer = _object(self._json(f"/address/{address}"), "address")
        return (
            _count(_object(answer.get("chain_stats"), "chain_stats").get("tx_count"), "tx_count"),
            _count(_object(answer.get("mempool_stats"), "mempool_stats").get("tx_count"), "tx_count"),
        )

    def confirmed_balance(self, address: str) -> int:
        """Satoshi on an address by the blocks of the best chain; what only waits is not counted either way."""
        stats = _object(_object(self._json(f"/address/{address}"), "address").get("chain_stats"), "chain_stats")
        funded = _sats(stats.get("funded_txo_sum"), "funded_txo_sum")
        return _sats(funded - _sats(stats.get("spent_txo_sum"), "spent_txo_sum"), "balance")

    def coins(self, address: str) -> list[Coin]:
        """What lies on an address unspent, waiting outputs included."""
        return [_coin(item) for item in _list(self._json(f"/address/{address}/utxo"), "utxo")]

    def fee_rate(self, *, blocks: int) -> float:
        """Satoshi per virtual byte that should bring a transaction into one of the next blocks; at least 1."""
        rates = _object(self._json("/fee-estimates"), "fee estimates")
        rate = rates.get(str(blocks), 1.0)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 100_000:
            raise EsploraNonsense("fee estimate out of range")
        return max(1.0, float(rate))

    def broadcast(self, raw: bytes) -> str:
        """Hand in a signed transaction; its txid. Raises EsploraUnavailable with what the node said against it."""
        return _hash(self._ask("POST", "/tx", data=raw.hex()).text.strip(), "txid")

    def _json(self, path: str) -> Any:
        try:
            return self._ask("GET", path).json()
        except requests.JSONDecodeError:
            raise EsploraNonsense(f"{path} is not JSON") from None

    def _text(self, path: str) -> str:
        return self._ask("GET", path).text.strip()

    def _ask(self, method: str, path: str, *, data: str | None = None) -> requests.Response:
        try:
            response = self._session.request(
                method, self._url + path, data=data, timeout=self._timeout, allow_redirects=False
            )
        except requests.RequestException as error:
            raise EsploraUnavailable(f"{path}: {type(error).__name__}") from error
        if response.status_code == requests.codes.not_found:
            raise EsploraNotFound(path)
        if response.status_code != requests.codes.ok:
            raise EsploraUnavailable(f"{path}: {response.status_code} {response.text[:200]}")
        if len(response.content) > _MAX_BYTES:
            raise EsploraNonsense(f"{path} is too long")
        return response


def esplora() -> Esplora:
    """The service of this installation."""
    return Esplora(settings.BITCOIN_ESPLORA_URL, timeout=settings.BITCOIN_ESPLORA_TIMEOUT)


def _transaction(data: Any) -> Transaction:
    item = _object(data, "transaction")
    inputs = [_object(vin, "input") for vin in _list(item.get("vin"), "inputs")]
    outputs = [_object(vout, "output") for vout in _list(item.get("vout"), "outputs")]
    found = Transaction(
        txid=_hash(item.get("txid"), "txid"),
        inputs=tuple(_spent(vin) for vin in inputs if vin.get("is_coinbase") is not True),
        outputs=tuple(_paid(number, vout) for number, vout in enumerate(outputs)),
        fee=_sats(item.get("fee"), "fee"),
        status=_status(item.get("status")),
    )
    if not found.outputs or not inputs:
        raise EsploraNonsense("a transaction without inputs or outputs")
    if found.inputs and sum(i.sats for i in found.inputs) != sum(o.sats for o in found.outputs) + found.fee:
        raise EsploraNonsense(f"{found.txid} does not add up")
    return found


def _spent(data: dict[str, Any]) -> Spent:
    prevout = _object(data.get("prevout"), "prevout")
    return Spent(
        txid=_hash(data.get("txid"), "input txid"),
        vout=_count(data.get("vout"), "vout"),
        address=_address(prevout),
        sats=_sats(prevout.get("value"), "value"),
        sequence=_count(data.get("sequence"), "sequence"),
    )


def _paid(number: int, data: dict[str, Any]) -> Paid:
    return Paid(vout=number, address=_address(data), sats=_sats(data.get("value"), "value"))


def _coin(data: Any) -> Coin:
    item = _object(data, "utxo")
    return Coin(
        txid=_hash(item.get("txid"), "txid"),
        vout=_count(item.get("vout"), "vout"),
        sats=_sats(item.get("value"), "value"),
        status=_status(item.get("status")),
    )


def _status(data: Any) -> Status:
    item = _object(data, "status")
    confirmed = item.get("confirmed")
    if confirmed is True:
        return Status(
            True,
            _count(item.get("block_height"), "block height"),
            _hash(item.get("block_hash"), "block hash"),
            _count(item.get("block_time"), "block time"),
        )
    if confirmed is False:
        return Status(False, -1, "", 0)
    raise EsploraNonsense("status without confirmed")


def _address(data: dict[str, Any]) -> str:
    address = data.get("scriptpubkey_address", "")
    if not isinstance(address, str) or len(address) > 100:
        raise EsploraNonsense("address is not text")
    return address


def _hash(value: Any, what: str) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise EsploraNonsense(f"{what} is not a hash")
    return value


def _count(value: Any, what: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise EsploraNonsense(f"{what} is not a count")
    return value


def _sats(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SATS:
        raise EsploraNonsense(f"{what} is not an amount")
    return value


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EsploraNonsense(f"{what} is not an object")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise EsploraNonsense(f"{what} is not a list")
    return value
