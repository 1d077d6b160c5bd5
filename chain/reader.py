"""What the indexer asks the node: headers, and logs of our contracts, by range or by block hash."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from django.conf import settings

from chain.events import RawLog, block_time
from chain.rpc import Request, Rpc, RpcError, as_int

#: Reading logs of many blocks may take a node long; the range shrinks well before this.
READ_TIMEOUT_SECONDS: Final = 30.0


class HistoryMoved(Exception):
    """Two answers of the node belong to different histories: it reorganised or lags. Asking again helps."""


@dataclass(frozen=True, slots=True)
class Header:
    """What we keep of a block."""

    number: int
    hash: str
    parent_hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Heads:
    """The node's newest block and the newest one that can no longer be undone (-1: it does not say)."""

    chain_id: int
    head: int
    finalized: int


def _header(raw: Any) -> Header | None:
    if raw is None or isinstance(raw, RpcError):
        return None
    return Header(
        number=as_int(raw["number"]), hash=raw["hash"], parent_hash=raw["parentHash"], at=block_time(raw["timestamp"])
    )


class Reader:
    """Reads one node. Every method raises `NodeUnavailable`, and `RpcError` where the node refuses."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def heads(self) -> Heads:
        """Newest and finalised block; the finality depth of the settings replaces the node's `finalized` tag."""
        chain_id, latest, final = self._rpc.batch(
            [("eth_chainId", []), ("eth_blockNumber", []), ("eth_getBlockByNumber", ["finalized", False])]
        )
        for answer in (chain_id, latest):
            if isinstance(answer, RpcError):
                raise answer
        head = as_int(latest)
        if settings.CHAIN_FINALITY_DEPTH is not None:
            return Heads(as_int(chain_id), head, max(head - settings.CHAIN_FINALITY_DEPTH, -1))
        header = _header(final)
        return Heads(as_int(chain_id), head, min(header.number, head) if header else -1)

    def headers(self, numbers: Iterable[int]) -> list[Header | None]:
        """Canonical headers by number; None where the node has no such block."""
        requests: list[Request] = [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
        return [_header(answer) for answer in self._rpc.gather(requests)]

    def headers_by_hash(self, hashes: Iterable[str]) -> dict[str, Header]:
        """Headers by hash. Raises `HistoryMoved` if the node does not know one."""
        wanted = list(dict.fromkeys(hashes))
        answers = self._rpc.gather([("eth_getBlockByHash", [block_hash, False]) for block_hash in wanted])
        found = {header.hash: header for header in map(_header, answers) if header}
        if len(found) != len(wanted):
            raise HistoryMoved
        return found

    def logs_in_range(self, first: int, last: int, addresses: Sequence[str]) -> list[RawLog]:
        """Logs of `addresses` in blocks first..last, in order. Only for blocks that are final."""
        query = {"fromBlock": hex(first), "toBlock": hex(last), "address": list(addresses)}
        logs: list[RawLog] = self._rpc.call("eth_getLogs", query)
        if any(log.get("removed") for log in logs):
            raise HistoryMoved
        return logs

    def logs_of_blocks(self, hashes: Sequence[str], addresses: Sequence[str]) -> list[RawLog]:
        """Logs of `addresses` in exactly these blocks, in order. A node that lacks one says so: `HistoryMoved`."""
        answers = self._rpc.batch([("eth_getLogs", [{"blockHash": h, "address": list(addresses)}]) for h in hashes])
        if any(isinstance(answer, RpcError) for answer in answers):
            raise HistoryMoved
        return [log for answer in answers for log in answer]


@lru_cache(maxsize=8)
def _reader(url: str, pid: int) -> Reader:
    return Reader(Rpc(url, timeout=max(READ_TIMEOUT_SECONDS, settings.CHAIN_RPC_TIMEOUT)))


def reader() -> Reader:
    """The reader of `CHAIN_RPC_URL`; one per process."""
    return _reader(settings.CHAIN_RPC_URL, os.getpid())
