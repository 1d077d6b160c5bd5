"""What the node says about the chain at this moment: head, finality, fees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from chain.exceptions import NodeUnavailable, WrongChain
from chain.rpc import Rpc, RpcError, as_int

_GWEI: Final = 10**9


@dataclass(frozen=True, slots=True)
class Fees:
    """Fees per gas in wei, as EIP-1559 names them."""

    max_fee: int
    priority: int

    def raised(self) -> Fees:
        """Both raised by an eighth, rounded up: nodes replace a pooled transaction for 10 % more, some for 12.5 %."""
        return Fees(max_fee=-(-self.max_fee * 9 // 8), priority=-(-max(self.priority, 1) * 9 // 8))

    def at_least(self, other: Fees) -> Fees:
        return Fees(max_fee=max(self.max_fee, other.max_fee), priority=max(self.priority, other.priority))


@dataclass(frozen=True, slots=True)
class Market:
    """One look at the node."""

    head: int
    head_hash: str
    finalized: int
    base_fee: int
    tip: int

    @property
    def fees(self) -> Fees:
        """Enough for the base fee to double before the transaction is mined, never above the cap."""
        return Fees(max_fee=min(2 * self.base_fee + self.tip, fee_cap()), priority=min(self.tip, fee_cap()))

    @property
    def is_affordable(self) -> bool:
        """Whether the cap leaves room for the next block at all."""
        return self.base_fee + self.tip <= fee_cap()


def fee_cap() -> int:
    """The most we ever offer per gas, in wei."""
    return int(settings.CHAIN_MAX_FEE_GWEI) * _GWEI


def look(rpc: Rpc) -> Market:
    """Ask the node in one batch. Raises `NodeUnavailable`, or `WrongChain` if it serves another chain than ours."""
    asked: list[tuple[str, list[Any]]] = [
        ("eth_chainId", []),
        ("eth_getBlockByNumber", ["latest", False]),
        ("eth_maxPriorityFeePerGas", []),
    ]
    if settings.CHAIN_FINALITY_DEPTH is None:
        asked.append(("eth_getBlockByNumber", ["finalized", False]))
    chain_id, latest, tip, *finalized = rpc.batch(asked)
    for answer in (chain_id, latest):
        if isinstance(answer, RpcError) or answer is None:
            raise NodeUnavailable(f"the node does not know its own head: {answer}")
    check_chain_id(as_int(chain_id))
    head = as_int(latest["number"])
    return Market(
        head=head,
        head_hash=latest["hash"],
        finalized=_finalized(head, finalized[0] if finalized else None),
        base_fee=as_int(latest.get("baseFeePerGas") or "0x0"),
        # A node without a suggestion still takes one gwei on every chain we know of.
        tip=_GWEI if isinstance(tip, RpcError) else as_int(tip),
    )


def check_chain_id(found: int) -> None:
    """Raise `WrongChain` unless the node serves the chain of `CHAIN_ID`."""
    if found != settings.CHAIN_ID:
        raise WrongChain(
            _("The node at CHAIN_RPC_URL serves another chain than CHAIN_ID says. Nothing was sent."),
            expected=settings.CHAIN_ID,
            found=found,
        )


def _finalized(head: int, block: Any) -> int:
    """Number of the newest block that can no longer change; -1 while there is none."""
    if settings.CHAIN_FINALITY_DEPTH is not None:
        return max(head - int(settings.CHAIN_FINALITY_DEPTH), -1)
    if isinstance(block, RpcError) or block is None:
        return -1
    return as_int(block["number"])
