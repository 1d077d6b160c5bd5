"""Does the ledger we show agree with the chain? Supply, every balance and all collateral, at one finalised block."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, Sum, When

from chain.abi import encode_call
from chain.exceptions import NodeUnavailable
from chain.models import CollateralMovement, Contract, Cursor, FollowedContract, Holding
from chain.rpc import Request, Rpc, RpcError, as_hex, as_int, node
from chain.services.incidents import close_if_open, open_incident

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that we and the chain disagree on. `what`: `supply` or `total`, the holder's address, or the account. Base units."""

    token: str
    what: str
    ours: int
    theirs: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What was compared, at which block. `block` is -1 when there was nothing final to compare."""

    block: int
    figures: int = 0
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Figure:
    token: str
    what: str
    ours: int
    data: bytes


def reconcile_ledger(rpc: Rpc | None = None) -> Reconciliation:
    """Compare supply and every balance of every security with the chain at the last finalised block.

    A difference opens one incident per security; agreement closes it. Nothing is corrected: a person decides.
    Holders whom we show with nothing are compared too while we know of them. Raises `NodeUnavailable`, also if the
    node no longer has the state of that block.
    """
    block, figures = _our_figures()
    if block < 0:
        return Reconciliation(block=-1)
    theirs = _their_figures(rpc or node(), figures, block)
    differences = [
        Difference(token=figure.token, what=figure.what, ours=figure.ours, theirs=found)
        for figure, found in zip(figures, theirs, strict=True)
        if found != figure.ours
    ]
    _report(block, {figure.token for figure in figures}, differences)
    logger.info("compared %s figures at block %s: %s differ", len(figures), block, len(differences))
    return Reconciliation(block=block, figures=len(figures), differences=differences)


@transaction.atomic
def _our_figures() -> tuple[int, list[_Figure]]:
    """What the ledger says at its final block. The cursor is locked meanwhile, so no step moves that block."""
    cursor = Cursor.objects.select_for_update().filter(chain_id=settings.CHAIN_ID).first()
    if cursor is None or cursor.final_number < 0:
        return -1, []
    read = FollowedContract.objects.filter(joined=True, contract__chain_id=cursor.chain_id)
    tokens = read.filter(
        contract__kind=Contract.Kind.SECURITY_TOKEN, contract__deployed_block__lte=cursor.final_number
    ).values_list("contract__address", flat=True)
    by_token: defaultdict[str, list[Holding]] = defaultdict(list)
    for holding in Holding.objects.filter(chain_id=cursor.chain_id, token__in=list(tokens)).order_by("holder"):
        by_token[holding.token].append(holding)
    figures = [figure for token in tokens for figure in _figures(token, by_token[token])]
    vault = read.filter(
        contract__kind=Contract.Kind.COLLATERAL_VAULT, contract__deployed_block__lte=cursor.final_number
    ).first()
    return cursor.final_number, figures + (_vault_figures(vault.contract.address, cursor) if vault else [])


def _vault_figures(vault: str, cursor: Cursor) -> list[_Figure]:
    """The vault's total and every account that was ever paid into, as the indexed movements add up."""
    kind = Contract.Kind.COLLATERAL_VAULT.value
    signed = Case(When(kind=CollateralMovement.Kind.DEPOSITED, then=F("amount_wei")), default=-F("amount_wei"))
    final = CollateralMovement.objects.filter(chain_id=cursor.chain_id, block_number__lte=cursor.final_number)
    held = dict(final.values_list("account").annotate(wei=Sum(signed)).order_by("account"))
    balances = [
        _Figure(vault, account, int(wei), encode_call(kind, "balanceOf", bytes.fromhex(account[2:])))
        for account, wei in held.items()
    ]
    return [_Figure(vault, "total", int(sum(held.values())), encode_call(kind, "totalCollateral")), *balances]


def _figures(token: str, holdings: Sequence[Holding]) -> list[_Figure]:
    supply = sum(holding.final_units for holding in holdings)
    kind = Contract.Kind.SECURITY_TOKEN.value
    return [
        _Figure(token, "supply", supply, encode_call(kind, "totalSupply")),
        *(_Figure(token, h.holder, h.final_units, encode_call(kind, "balanceOf", h.holder)) for h in holdings),
    ]


def _their_figures(rpc: Rpc, figures: Sequence[_Figure], block: int) -> list[int]:
    requests: list[Request] = [
        ("eth_call", [{"to": figure.token, "data": as_hex(figure.data)}, hex(block)]) for figure in figures
    ]
    return [_number(answer) for answer in rpc.gather(requests)]


def _number(answer: Any) -> int:
    """A contract that is not there answers with nothing: that is no balance at all, so it differs from ours."""
    return as_int(answer) if len(answer) > 2 else -1


def _report(block: int, tokens: set[str], differences: Sequence[Difference]) -> None:
    for token in sorted(tokens):
        found = [d for d in differences if d.token == token]
        key = f"ledger_differs:{settings.CHAIN_ID}:{token}"
        if not found:
            close_if_open(dedupe_key=key, reason=f"agrees with the chain at block {block}")
            continue
        open_incident(
            kind="chain.ledger_differs",
            detail=f"The ledger of {token} differs from the chain at block {block} in {len(found)} figures.",
            dedupe_key=key,
            data={
                "block": block,
                "differences": [{"what": d.what, "ours": str(d.ours), "theirs": str(d.theirs)} for d in found[:100]],
            },
        )


def run_reconciliation() -> bool:
    """The nightly check. False when the node could not answer; the next run asks again."""
    try:
        reconcile_ledger()
    except (NodeUnavailable, RpcError) as error:
        logger.warning("the ledger could not be compared: %s", error)
        return False
    return True
