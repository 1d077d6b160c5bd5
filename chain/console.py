"""The figures of the chain console."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.db.models import Count, Q, QuerySet

from chain.exceptions import NodeUnavailable
from chain.head import TIMEOUT_SECONDS, head_memory
from chain.models import Block, ChainTransaction, Contract, Cursor, EventLog, FollowedContract, Incident, Signer
from chain.rpc import Rpc, RpcError, as_int
from chain.types import SignerRole

#: Custody signers are as many as investors; the console lists those that need somebody, and counts the rest.
_SHOWN_INCIDENTS: Final = 20
_SHOWN_CUSTODY: Final = 20


@dataclass(frozen=True, slots=True)
class SignerLine:
    """One signer. `balance_wei` and `chain_nonce` are None while the node does not answer."""

    signer: Signer
    queued: int
    unsettled: int
    balance_wei: int | None
    chain_nonce: int | None

    @property
    def balance_eth(self) -> str:
        """The balance with four decimals, rounded down; a signer about to run dry must not look richer than it is."""
        if self.balance_wei is None:
            return "—"
        whole, rest = divmod(self.balance_wei, 10**18)
        return f"{whole:,}.{rest // 10**14:04d}"

    @property
    def gap(self) -> int:
        """Nonces given but not in a block yet."""
        return 0 if self.chain_nonce is None else max(self.signer.next_nonce - self.chain_nonce, 0)


@dataclass(frozen=True, slots=True)
class QueueLine:
    """How many transactions are in one state."""

    state: ChainTransaction.State
    count: int


@dataclass(frozen=True, slots=True)
class ConsoleFigures:
    """Everything the console shows."""

    signers: list[SignerLine]
    custody_signers: int
    queues: list[QueueLine]
    oldest: list[ChainTransaction]
    open_incidents: list[Incident]
    closed_incidents: list[Incident]
    cursor: Cursor | None
    blocks: int
    events: int
    contracts: list[Contract]
    catching_up: int

    @property
    def has_halted(self) -> bool:
        return any(line.signer.halted_reason for line in self.signers)


def console_figures() -> ConsoleFigures:
    """Read everything for the console: a constant number of queries, and one short question to the node."""
    chain_id = settings.CHAIN_ID
    incidents = Incident.objects.select_related("closed_by").order_by("-opened_at")
    return ConsoleFigures(
        signers=_signer_lines(),
        custody_signers=Signer.objects.filter(chain_id=chain_id, role=SignerRole.CUSTODY).count(),
        queues=_queues(),
        oldest=list(_unsettled().select_related("signer").order_by("created_at")[:5]),
        open_incidents=list(incidents.filter(closed_at=None)),
        closed_incidents=list(incidents.exclude(closed_at=None)[:_SHOWN_INCIDENTS]),
        cursor=Cursor.objects.filter(chain_id=chain_id).first(),
        blocks=Block.objects.filter(chain_id=chain_id).count(),
        events=EventLog.objects.filter(chain_id=chain_id, canonical=True).count(),
        contracts=list(Contract.objects.filter(chain_id=chain_id).order_by("deployed_block", "id")),
        catching_up=FollowedContract.objects.filter(contract__chain_id=chain_id, joined=False).count(),
    )


def _unsettled() -> QuerySet[ChainTransaction]:
    return ChainTransaction.objects.filter(is_settled=False)


def _queues() -> list[QueueLine]:
    counts = dict(_unsettled().values_list("state").annotate(count=Count("id")))
    return [QueueLine(state, counts[state]) for state in ChainTransaction.State if counts.get(state)]


def _signer_lines() -> list[SignerLine]:
    state = ChainTransaction.State
    unsettled = Q(transactions__is_settled=False)
    counted = Signer.objects.filter(chain_id=settings.CHAIN_ID).annotate(
        queued=Count("transactions", filter=Q(transactions__state=state.QUEUED)),
        unsettled=Count("transactions", filter=unsettled),
    )
    platform = list(counted.exclude(role=SignerRole.CUSTODY).order_by("role", "id"))
    custody = counted.filter(role=SignerRole.CUSTODY).filter(Q(unsettled__gt=0) | ~Q(halted_reason=""))
    shown = platform + list(custody.order_by("id")[:_SHOWN_CUSTODY])
    answers = _ask_node(shown)
    return [
        SignerLine(
            signer=signer,
            queued=signer.queued,
            unsettled=signer.unsettled,
            balance_wei=answers[2 * i] if answers else None,
            chain_nonce=answers[2 * i + 1] if answers else None,
        )
        for i, signer in enumerate(shown)
    ]


def _ask_node(signers: Sequence[Signer]) -> list[int] | None:
    """Balance and nonce of every signer, alternating; None while the node is down. Never waits long for it."""
    if not signers or head_memory.head() is None:
        return None
    requests = [
        (method, [signer.address, "latest"])
        for signer in signers
        for method in ("eth_getBalance", "eth_getTransactionCount")
    ]
    try:
        return [as_int(answer) for answer in Rpc(settings.CHAIN_RPC_URL, timeout=TIMEOUT_SECONDS).gather(requests)]
    except (NodeUnavailable, RpcError):
        return None
