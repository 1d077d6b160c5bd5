"""A chain in memory that answers like a node, to walk the indexer through histories that no node produces on demand.

The real node is asked in test_index_node.py; here thousands of short histories with reorganisations are tried.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from chain.abi import artifact, signature_of, type_of
from chain.events import RawLog
from chain.exceptions import NodeUnavailable
from chain.models import Contract
from chain.reader import Header, Heads, HistoryMoved, Reader

GENESIS_AT = datetime(2026, 4, 1, tzinfo=UTC)
TOKEN = Contract.Kind.SECURITY_TOKEN.value
SBT = Contract.Kind.INVESTOR_SBT.value
VAULT = Contract.Kind.COLLATERAL_VAULT.value


@dataclass(frozen=True)
class Event:
    """One event to put in a block."""

    kind: str
    address: str
    name: str
    args: dict[str, Any]


@dataclass
class SimulatedBlock:
    header: Header
    events: list[Event]
    logs: list[RawLog] = field(default_factory=list)


def raw_log(event: Event, header: Header, index: int) -> RawLog:
    """The event as `eth_getLogs` would give it."""
    entry = next(e for e in artifact(event.kind).abi if e["type"] == "event" and e["name"] == event.name)
    indexed = [p for p in entry["inputs"] if p["indexed"]]
    plain = [p for p in entry["inputs"] if not p["indexed"]]
    return {
        "address": event.address.lower(),
        "topics": [
            "0x" + keccak(text=signature_of(entry)).hex(),
            *("0x" + encode([type_of(p)], [event.args[p["name"]]]).hex() for p in indexed),
        ],
        "data": "0x" + encode([type_of(p) for p in plain], [event.args[p["name"]] for p in plain]).hex(),
        "blockNumber": hex(header.number),
        "blockHash": header.hash,
        "logIndex": hex(index),
        "transactionHash": "0x" + hashlib.sha256(f"{header.hash}{index}".encode()).hexdigest(),
        "removed": False,
    }


class SimulatedChain(Reader):
    """Blocks one can add, replace and make final. `finalized` is the newest final block, -1 for none."""

    def __init__(self) -> None:
        self.blocks: list[SimulatedBlock] = []
        self.finalized = -1
        self.chain_id = settings.CHAIN_ID
        self.is_down = False
        self.largest_range: int | None = None
        self.ranges: list[tuple[int, int]] = []
        self._salt = 0
        self.mine([])

    # --- what the test does to it ---

    def mine(self, *blocks: list[Event]) -> None:
        """Add one block per list of events."""
        for events in blocks:
            self._salt += 1
            number = len(self.blocks)
            parent = self.blocks[-1].header.hash if self.blocks else "0x" + "0" * 64
            block_hash = "0x" + hashlib.sha256(f"{parent}/{number}/{self._salt}".encode()).hexdigest()
            header = Header(number, block_hash, parent, GENESIS_AT + timedelta(seconds=number))
            logs = [raw_log(event, header, index) for index, event in enumerate(events)]
            self.blocks.append(SimulatedBlock(header, events, logs))

    def drop(self, count: int) -> list[SimulatedBlock]:
        """Take the newest `count` blocks away; they can be put back with `restore`."""
        dropped = self.blocks[len(self.blocks) - count :]
        del self.blocks[len(self.blocks) - count :]
        return dropped

    def restore(self, blocks: list[SimulatedBlock]) -> None:
        """Make these very blocks, hashes and all, canonical again on top."""
        assert blocks[0].header.parent_hash == self.blocks[-1].header.hash
        self.blocks.extend(blocks)

    @property
    def head(self) -> int:
        return len(self.blocks) - 1

    def events(self, *, through: int | None = None) -> list[tuple[SimulatedBlock, Event]]:
        """Every event up to a block, in order."""
        last = self.head if through is None else through
        return [(block, event) for block in self.blocks[: last + 1] for event in block.events]

    # --- what the indexer asks ---

    def heads(self) -> Heads:
        if self.is_down:
            raise NodeUnavailable("down")
        return Heads(self.chain_id, self.head, min(self.finalized, self.head))

    def headers(self, numbers: Iterable[int]) -> list[Header | None]:
        return [self.blocks[n].header if 0 <= n <= self.head else None for n in numbers]

    def headers_by_hash(self, hashes: Iterable[str]) -> dict[str, Header]:
        known = {block.header.hash: block.header for block in self.blocks}
        try:
            return {h: known[h] for h in hashes}
        except KeyError as error:
            raise HistoryMoved from error

    def logs_in_range(self, first: int, last: int, addresses: Sequence[str]) -> list[RawLog]:
        self.ranges.append((first, last))
        if self.largest_range is not None and last - first + 1 > self.largest_range:
            raise NodeUnavailable("query timed out")
        return self._logs(self.blocks[first : last + 1], addresses)

    def logs_of_blocks(self, hashes: Sequence[str], addresses: Sequence[str]) -> list[RawLog]:
        known = {block.header.hash: block for block in self.blocks}
        if any(h not in known for h in hashes):
            raise HistoryMoved
        return self._logs([known[h] for h in hashes], addresses)

    @staticmethod
    def _logs(blocks: Sequence[SimulatedBlock], addresses: Sequence[str]) -> list[RawLog]:
        wanted = {address.lower() for address in addresses}
        return [log for block in blocks for log in block.logs if log["address"] in wanted]
