"""Decoding logs of our contracts: one table by topic, then slicing. Source of the encoding: Solidity's ABI specification.

web3.py decodes each log through the whole ABI machinery (about 4,000 a second); a static argument is 32 bytes at a known
place, so it is cut out here. Only events with dynamic arguments go through `eth_abi`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chain.abi import artifact, signature_of, type_of

#: The name under which a log is kept that no event of the contract's ABI explains.
UNKNOWN: Final = "Unknown"
#: One 32-byte word in hex.
_WORD: Final = 64

RawLog = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DecodedLog:
    """One log of one of our contracts. `args`: integers as decimal strings, bytes as 0x-hex, addresses checksummed."""

    kind: str
    address: str
    event: str
    args: dict[str, Any]
    block_number: int
    block_hash: str
    at: datetime
    log_index: int
    transaction_hash: str


@lru_cache(maxsize=1 << 17)
def checksummed(digits: str) -> str:
    """The address in the last 20 bytes of a word; remembered, since the hash costs more than all the rest of a log."""
    return to_checksum_address("0x" + digits[-40:])


def _uint(word: str) -> str:
    return str(int(word, 16))


def _bool(word: str) -> bool:
    return word[-1] == "1"


def _signed(word: str) -> str:
    value = int(word, 16)
    return str(value - (1 << 256) if value >> 255 else value)


def _fixed_bytes(size: int) -> Callable[[str], str]:
    return lambda word: "0x" + word[: size * 2]


def _reader(kind: str) -> Callable[[str], Any] | None:
    """What turns one word into a value; None for a type that is not one word."""
    if kind.endswith("]") or kind.startswith("("):
        return None
    if kind == "address":
        return checksummed
    if kind == "bool":
        return _bool
    if kind.startswith("uint"):
        return _uint
    if kind.startswith("int"):
        return _signed
    if kind.startswith("bytes") and kind != "bytes":
        return _fixed_bytes(int(kind[5:]))
    return None


def _plain(kind: str, value: Any) -> Any:
    """A value from `eth_abi` in the form of `DecodedLog.args`."""
    if isinstance(value, list | tuple):
        inner = kind.rpartition("[")[0] if kind.endswith("]") else ""
        return [_plain(inner, item) for item in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return to_checksum_address(value) if kind == "address" else value


class EventDecoder:
    """Decodes the logs of one event."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.name: str = entry["name"]
        self.topic = "0x" + keccak(text=signature_of(entry)).hex()
        indexed = [p for p in entry["inputs"] if p["indexed"]]
        plain = [p for p in entry["inputs"] if not p["indexed"]]
        # An indexed dynamic value is on chain as its hash only.
        self._topics = [(p["name"], _reader(type_of(p)) or _fixed_bytes(32)) for p in indexed]
        self._types = [type_of(p) for p in plain]
        self._names = [p["name"] for p in plain]
        readers = [_reader(kind) for kind in self._types]
        self._words = None if None in readers else list(zip(self._names, readers, strict=True))

    def args(self, topics: Sequence[str], data: str) -> dict[str, Any] | None:
        """The arguments by name; None if the log does not have the shape of this event."""
        if len(topics) != len(self._topics) + 1:
            return None
        found = {name: read(topic[2:]) for (name, read), topic in zip(self._topics, topics[1:], strict=True)}
        rest = self._from_words(data) if self._words is not None else self._from_abi(data)
        return None if rest is None else found | rest

    def _from_words(self, data: str) -> dict[str, Any] | None:
        words = self._words or []
        if len(data) - 2 < len(words) * _WORD:
            return None
        return {
            name: read(data[2 + i * _WORD : 2 + (i + 1) * _WORD])  # type: ignore[misc]
            for i, (name, read) in enumerate(words)
        }

    def _from_abi(self, data: str) -> dict[str, Any] | None:
        try:
            values = decode(self._types, bytes.fromhex(data[2:]))
        except (DecodingError, ValueError):
            return None
        return {n: _plain(t, v) for n, t, v in zip(self._names, self._types, values, strict=True)}


@lru_cache(maxsize=16)
def decoders(kind: str) -> dict[str, EventDecoder]:
    """The events of one contract of ours by topic. By contract, since ERC-20 and ERC-721 share `Transfer`'s topic."""
    return {d.topic: d for d in (EventDecoder(e) for e in artifact(kind).abi if e["type"] == "event")}


def decode_log(raw: RawLog, *, kind: str, at: datetime) -> DecodedLog:
    """`raw` as `eth_getLogs` gives it. A log that the ABI does not explain is kept as `UNKNOWN` with its topics and data."""
    topics: Sequence[str] = raw["topics"]
    decoder = decoders(kind).get(topics[0]) if topics else None
    args = decoder.args(topics, raw["data"]) if decoder else None
    return DecodedLog(
        kind=kind,
        address=checksummed(raw["address"]),
        event=decoder.name if decoder and args is not None else UNKNOWN,
        args=args if args is not None else {"topics": list(topics), "data": raw["data"]},
        block_number=int(raw["blockNumber"], 16),
        block_hash=raw["blockHash"],
        at=at,
        log_index=int(raw["logIndex"], 16),
        transaction_hash=raw["transactionHash"],
    )


def block_time(timestamp: str) -> datetime:
    """A block's `0x`-hex Unix time."""
    return datetime.fromtimestamp(int(timestamp, 16), tz=UTC)
