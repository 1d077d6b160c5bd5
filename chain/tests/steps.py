"""Steps the outbox tests share: payments from a funded signer on a node that mines only when told to."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from chain import services
from chain.models import ChainTransaction, Signer
from chain.testing import Anvil
from chain.types import Call, SignerRole

State = ChainTransaction.State
ETHER = 10**18


def funder_on(node: Anvil, *, wei: int = 1000 * ETHER) -> Signer:
    """The gas funder, with ETH: the one role that may make plain payments."""
    signer = services.create_platform_signer(role=SignerRole.GAS_FUNDER)
    node.set_balance(signer.address, wei)
    return signer


def payment(to: str, wei: int = 1) -> Call:
    return Call(to=to, data=b"", function="ETH.transfer", value_wei=wei)


def ask(call: Call, signer: Signer, key: str, **options: Any) -> ChainTransaction:
    """Enqueue in a transaction of its own, as a service of another app would."""
    with transaction.atomic():
        options = {"purpose": "test.payment"} | options
        return services.enqueue(call=call, signer=signer, idempotency_key=key, **options)


def pay(funder: Signer, key: str, *, wei: int = 1, **options: Any) -> ChainTransaction:
    """Enqueue a payment from the funder to the one wallet of the test."""
    wallet = Signer.objects.filter(role=SignerRole.CUSTODY).first() or services.create_custody_signer(label="wallet")
    return ask(payment(wallet.address, wei), funder, key, **options)


def fresh(row: ChainTransaction) -> ChainTransaction:
    return ChainTransaction.objects.select_related("signer").get(pk=row.pk)


def states(*rows: ChainTransaction) -> list[str]:
    return [fresh(row).state for row in rows]


def finalise(node: Anvil) -> None:
    """Mine until everything so far is final, and let the reconciler see it."""
    services.run_reconcile_sweep()
    node.mine(3)
    services.run_reconcile_sweep()


def received(node: Anvil) -> int:
    """What the one wallet of the test really got, in wei: counts what happened on the chain, not in our rows."""
    return node.balance(Signer.objects.get(role=SignerRole.CUSTODY).address)
