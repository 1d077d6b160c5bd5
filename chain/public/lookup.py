"""What the chain says of one address or one transaction, for anybody who asks.

An address is answered from the index. A transaction is asked of the node, in two batches and within a second each, and
answered from the index where the node is away. Only what everybody can read on the chain is said; nothing comes from
the outbox, and never which other addresses are the same person's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from django.conf import settings

from chain import abi
from chain.events import block_time, checksummed, decode_log
from chain.exceptions import NodeUnavailable
from chain.gateway import ZERO_ADDRESS
from chain.models import Contract, Cursor
from chain.rpc import Request, Rpc, RpcError, as_int
from chain.selectors import balances_for, events_of, sbts_for
from chain.types import Restriction, SbtView
from chain.wording import restriction_of_error

#: A page waits for the node no longer than this, for each of its two batches.
TIMEOUT_SECONDS: Final = 1.0
_MOVES_UNITS: Final = {"transfer": (None, 0, 1), "transferFrom": (0, 1, 2)}  # places of sender, recipient, units


@dataclass(frozen=True, slots=True)
class Admission:
    """How one address stands with one security: whether it may receive it, and whether part of what it holds is frozen."""

    token: str
    is_admitted: bool
    is_frozen: bool


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """One address as of the cursor. `contract`: the kind, if it is a contract of the platform."""

    address: str
    sbt: SbtView | None
    admissions: tuple[Admission, ...]
    contract: str


def look_up_address(address: str) -> AddressFacts:
    """What the index knows of `address` (checksummed). Six queries; the node is not asked."""
    balances = balances_for([address])
    kinds = Contract.objects.filter(chain_id=settings.CHAIN_ID, address=address).values_list("kind", flat=True)
    return AddressFacts(
        address=address,
        sbt=sbts_for([address]).get(address),
        admissions=tuple(Admission(row.token, row.is_admitted, row.frozen_units > 0) for row in balances),
        contract=kinds.first() or "",
    )


class Outcome(StrEnum):
    """What became of a transaction, as far as it concerns us."""

    MOVED = "moved"  # units of a security of ours
    OTHER = "other"  # it called a contract of ours, and no units moved
    REFUSED = "refused"  # by the contract: nothing moved
    WAITING = "waiting"  # sent to a contract of ours, in no block yet
    FOREIGN = "foreign"  # in a block, or waiting, and not for a contract of ours
    UNKNOWN = "unknown"  # to the node: never sent, dropped, or of another chain
    UNREACHABLE = "unreachable"  # the node is away and the index does not have it


@dataclass(frozen=True, slots=True)
class Move:
    """Units of one security from one address to another; the zero address issues or redeems."""

    token: str
    sender: str
    recipient: str
    units: int

    @property
    def kind(self) -> str:
        if self.sender == ZERO_ADDRESS:
            return "issued"
        return "redeemed" if self.recipient == ZERO_ADDRESS else "transferred"


@dataclass(frozen=True, slots=True)
class TransactionFacts:
    """One transaction. `moves`: what moved, or what was asked for where it was refused.

    `is_final` is only true where the chain itself has made the block final and the index has seen it so.
    """

    hash: str
    outcome: Outcome
    moves: tuple[Move, ...] = ()
    restriction: Restriction | None = None
    error_code: str = ""
    block_number: int | None = None
    at: datetime | None = None
    is_final: bool = False
    from_index: bool = False


def look_up_transaction(transaction_hash: str) -> TransactionFacts:
    """What became of a transaction (0x and 64 small hex digits). Three queries and two batches at most; never raises."""
    cursor = Cursor.objects.filter(chain_id=settings.CHAIN_ID).first() or Cursor(chain_id=settings.CHAIN_ID)
    ours = dict(Contract.objects.filter(chain_id=settings.CHAIN_ID).values_list("address", "kind"))
    known = _from_index(transaction_hash, cursor)
    try:
        asked = _Node(Rpc(settings.CHAIN_RPC_URL, timeout=TIMEOUT_SECONDS), ours, cursor.final_number)
        answered = asked.facts(transaction_hash)
    except (NodeUnavailable, RpcError):
        return known or TransactionFacts(transaction_hash, Outcome.UNREACHABLE)
    # A node that lags behind, or was replaced by one that does, knows less than the index.
    return known if known and answered.outcome == Outcome.UNKNOWN else answered


def _from_index(transaction_hash: str, cursor: Cursor) -> TransactionFacts | None:
    events = list(events_of(transaction_hash))
    if not events:
        return None
    moves = tuple(
        _move(event.address, event.args)
        for event in events
        if event.event == "Transfer" and "value" in event.args  # the SBT's Transfer carries an id, not units
    )
    return TransactionFacts(
        hash=transaction_hash,
        outcome=Outcome.MOVED if moves else Outcome.OTHER,
        moves=moves,
        block_number=events[0].block_number,
        at=events[0].block.at,
        is_final=events[0].block_number <= cursor.final_number,
        from_index=True,
    )


def _move(token: str, args: Mapping[str, Any]) -> Move:
    return Move(token, args["from"], args["to"], int(args["value"]))


class _Node:
    """One question to the node. `ours`: kinds by address; `final`: the last block the index knows to be final."""

    def __init__(self, rpc: Rpc, ours: Mapping[str, str], final: int) -> None:
        self.rpc = rpc
        self.ours = ours
        self.final = final

    def facts(self, transaction_hash: str) -> TransactionFacts:
        sent, receipt = self.rpc.gather(
            [
                ("eth_getTransactionByHash", [transaction_hash]),
                ("eth_getTransactionReceipt", [transaction_hash]),
            ]
        )
        facts = TransactionFacts(transaction_hash, Outcome.UNKNOWN)
        if sent is None:
            return facts
        if receipt is None:
            return replace(facts, outcome=Outcome.WAITING if self._is_ours(sent["to"]) else Outcome.FOREIGN)
        # Receipts from before 2017 (Byzantium) have no status; none of those is for a contract of ours.
        if as_int(receipt.get("status", "0x1")) == 1:
            return self._succeeded(facts, receipt)
        return self._failed(facts, sent, receipt)

    def _is_ours(self, address: str | None) -> bool:
        return bool(address) and checksummed(str(address)) in self.ours

    def _succeeded(self, facts: TransactionFacts, receipt: Mapping[str, Any]) -> TransactionFacts:
        (block,) = self.rpc.gather([_block(receipt)])
        placed = self._placed(facts, receipt, block)
        moves = tuple(self._moves(receipt))
        touched = self._is_ours(receipt["to"]) or any(self._is_ours(log["address"]) for log in receipt["logs"])
        # A deployment names no address; the contract it made may be one of ours.
        touched = touched or self._is_ours(receipt.get("contractAddress"))
        return replace(
            placed,
            moves=moves,
            outcome=Outcome.MOVED if moves else Outcome.OTHER if touched else Outcome.FOREIGN,
        )

    def _moves(self, receipt: Mapping[str, Any]) -> list[Move]:
        found = []
        for raw in receipt["logs"]:
            kind = self.ours.get(checksummed(raw["address"]))
            if kind == Contract.Kind.SECURITY_TOKEN:
                log = decode_log(raw, kind=kind, at=block_time("0x0"))
                if log.event == "Transfer":
                    found.append(_move(log.address, log.args))
        return found

    def _failed(self, facts: TransactionFacts, sent: Mapping[str, Any], receipt: Mapping[str, Any]) -> TransactionFacts:
        if not self._is_ours(sent["to"]):
            (block,) = self.rpc.gather([_block(receipt)])
            return replace(self._placed(facts, receipt, block), outcome=Outcome.FOREIGN)
        block, replayed = self.rpc.batch([_block(receipt), _replay(sent, as_int(receipt["blockNumber"]) - 1)])
        if isinstance(block, RpcError):
            raise block
        error_code = ""
        if isinstance(replayed, RpcError) and replayed.is_revert:
            error_code = abi.decode_error(replayed.revert_data)
        elif as_int(receipt["gasUsed"]) >= as_int(sent["gas"]):
            error_code = "out of gas"
        return replace(
            self._placed(facts, receipt, block),
            outcome=Outcome.REFUSED,
            moves=self._asked_for(sent),
            error_code=error_code,
            restriction=restriction_of_error(error_code),
        )

    def _asked_for(self, sent: Mapping[str, Any]) -> tuple[Move, ...]:
        token = checksummed(sent["to"])
        decoded = abi.decode_arguments(self.ours[token], bytes.fromhex(sent["input"][2:]))
        if self.ours[token] != Contract.Kind.SECURITY_TOKEN or decoded is None or decoded[0] not in _MOVES_UNITS:
            return ()
        function, values = decoded
        sender, recipient, units = _MOVES_UNITS[function]
        payer = sent["from"] if sender is None else values[sender]
        return (Move(token, checksummed(payer), checksummed(values[recipient]), int(values[units])),)

    def _placed(
        self, facts: TransactionFacts, receipt: Mapping[str, Any], block: Mapping[str, Any] | None
    ) -> TransactionFacts:
        number = as_int(receipt["blockNumber"])
        stands = block is not None and block["hash"] == receipt["blockHash"]
        return replace(
            facts,
            block_number=number,
            at=block_time(block["timestamp"]) if block else None,
            is_final=stands and number <= self.final,
        )


def _block(receipt: Mapping[str, Any]) -> Request:
    return "eth_getBlockByNumber", [receipt["blockNumber"], False]


def _replay(sent: Mapping[str, Any], block: int) -> Request:
    """The same call on the state before its block: what the contract then says is, but for its neighbours, why it failed."""
    call = {name: sent[name] for name in ("from", "to", "value") if sent.get(name)}
    return "eth_call", [call | {"data": sent["input"]}, hex(block)]
