"""Keeping our signers able to pay for gas: top-ups by the gas funder, through the same outbox."""

from __future__ import annotations

import logging

from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum

from chain.models import ChainTransaction, Signer
from chain.rpc import as_int, node
from chain.services import outbox
from chain.services.incidents import open_incident
from chain.services.market import look
from chain.services.sweeps import sweep
from chain.types import Call, SignerRole

logger = logging.getLogger(__name__)

State = ChainTransaction.State
PURPOSE = "chain.top_up"


@sweep("funding")
def run_funding_sweep() -> None:
    """Queue a top-up for every signer whose estimated rows cost more than it has. Repeating it is harmless.

    One top-up per signer is under way at a time; its idempotency key counts the signer's earlier ones.
    """
    short = Signer.objects.filter(
        transactions__state=State.QUEUED, transactions__gas_limit__isnull=False, halted_reason=""
    ).exclude(role=SignerRole.GAS_FUNDER)
    poor = list(short.distinct())
    funder = Signer.objects.filter(chain_id=settings.CHAIN_ID, role=SignerRole.GAS_FUNDER).first()
    if not poor or funder is None:
        return
    rpc = node()
    fee = look(rpc).fees.max_fee
    balances = rpc.gather([("eth_getBalance", [signer.address, "latest"]) for signer in poor])
    for signer, balance in zip(poor, balances, strict=True):
        missing = needed_wei(signer, max_fee=fee) - as_int(balance)
        if missing > 0:
            top_up(funder=funder, signer=signer, missing_wei=missing)
    _warn_if_funder_is_short(funder)


def needed_wei(signer: Signer, *, max_fee: int) -> int:
    """The most that everything estimated and not yet mined can cost the signer, in wei, at `max_fee` per gas."""
    rows = signer.transactions.filter(state__in=[State.QUEUED, *outbox.UNMINED], gas_limit__isnull=False)
    total = rows.aggregate(gas=Sum("gas_limit"), value=Sum(F("value_wei")))
    return int(total["gas"] or 0) * max_fee + int(total["value"] or 0)


@transaction.atomic
def top_up(*, funder: Signer, signer: Signer, missing_wei: int) -> ChainTransaction | None:
    """Ask for one payment to `signer`: twice what is missing, at least the usual sum, at most the limit.

    None while an earlier one is under way.
    """
    Signer.objects.select_for_update(no_key=True).get(pk=signer.pk)
    earlier = ChainTransaction.objects.filter(purpose=PURPOSE, subject=f"chain.signer:{signer.pk}")
    if earlier.filter(state__in=[State.QUEUED, *outbox.UNMINED]).exists():
        return None
    amount = min(max(2 * missing_wei, settings.CHAIN_TOP_UP_WEI), settings.CHAIN_TOP_UP_LIMIT_WEI)
    return outbox.enqueue(
        call=Call(to=signer.address, data=b"", function="ETH.transfer", value_wei=amount),
        signer=funder,
        idempotency_key=key_of(signer.chain_id, signer.address, earlier.count()),
        purpose=PURPOSE,
        subject=f"chain.signer:{signer.pk}",
    )


def key_of(chain_id: int, address: str, number: int) -> str:
    """The idempotency key of the top-up of `address` that follows `number` earlier ones."""
    return f"top-up:{chain_id}:{address}:{number}"


def _warn_if_funder_is_short(funder: Signer) -> None:
    """A top-up that has an estimate and no nonce is one the funder cannot pay."""
    if funder.transactions.filter(state=State.QUEUED, gas_limit__isnull=False).exists():
        open_incident(
            kind="chain.gas_funder_empty",
            detail=f"The gas funder {funder.address} does not have enough ETH for the top-ups that are asked of it.",
            dedupe_key=f"gas-funder-empty:{funder.pk}",
            data={"signer": funder.pk},
        )
