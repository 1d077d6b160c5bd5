"""Ether's side: releases asked of the vault, and what its events say. Imports nothing of the node but `chain`'s values."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.db import transaction

from chain import operations
from chain.gateway import gateway
from chain.models import ChainTransaction, CollateralMovement, EventLog
from chain.selectors import collateral_movements, final_block, signer_for_role
from chain.services import enqueue, open_incident
from chain.types import SignerRole
from lending.models import Asset, Deposit, DepositAddress, Withdrawal
from lending.selectors.collateral import is_frozen
from lending.services.collateral.addresses import ether_network
from lending.services.collateral.deposits import DepositFacts, lose_deposit, observe_deposit
from lending.services.collateral.withdrawals import locked_withdrawal, note_final, note_sent

_NOBODY = "0x" + "00" * 20
#: A block after the vault's wait: a call that is tried earlier is refused for good.
MARGIN = timedelta(seconds=12)
_BATCH = 1000
TX = ChainTransaction.State
_DEAD = (TX.REVERTED, TX.CANCELLED, TX.EXPIRED, TX.REFUSED)
_PURPOSE = "lending.release_executed"


def release_id(withdrawal: Withdrawal) -> bytes:
    """The vault uses an id once, so a withdrawal is released once, whatever runs twice here."""
    return int(withdrawal.pk).to_bytes(32, "big")


def propose_release(row: Withdrawal) -> None:
    """Announce the release in the vault, in the transaction of the approval."""
    row.transaction = enqueue(
        call=operations.propose_collateral_release(_account(row), release_id(row), int(row.units)),
        signer=signer_for_role(SignerRole.COLLATERAL_AGENT),
        idempotency_key=f"lending.release:{row.pk}:propose",
        purpose="lending.release_proposed",
        subject=f"lending.withdrawal:{row.pk}",
    )
    row.save(update_fields=["transaction"])


@transaction.atomic
def execute_release(*, withdrawal_id: int, executable_at: int) -> None:
    """The vault has the proposal: make the release when its wait is over. Called again it changes nothing."""
    row = locked_withdrawal(withdrawal_id)
    asked = ChainTransaction.objects.filter(purpose=_PURPOSE, subject=f"lending.withdrawal:{row.pk}")
    # One at a time: another is asked for only when the one before can no longer do anything.
    # Frozen, it stays proposed: the sweep comes back to it when two people have cleared the loan.
    if row.state != Withdrawal.State.APPROVED or asked.exclude(state__in=_DEAD).exists() or is_frozen(row.loan):
        return
    row.transaction = enqueue(
        call=operations.execute_collateral_release(_account(row), release_id(row)),
        signer=signer_for_role(SignerRole.COLLATERAL_AGENT),
        idempotency_key=f"lending.release:{row.pk}:execute:{asked.count()}",
        purpose=_PURPOSE,
        subject=f"lending.withdrawal:{row.pk}",
        not_before=datetime.fromtimestamp(executable_at, UTC) + MARGIN,
    )
    row.save(update_fields=["transaction"])


def release_failed(*, withdrawal_id: int, code: str) -> None:
    """The vault refused, or nobody may send: the coins stay set aside, and a person looks at it."""
    open_incident(
        kind="lending.release_failed",
        detail=f"The vault did not make the release of withdrawal {withdrawal_id}: {code or 'stopped'}.",
        dedupe_key=f"release_failed:{withdrawal_id}",
        data={"withdrawal": withdrawal_id},
    )


# --- events ---------------------------------------------------------------------------------------------------------


def deposit_seen(log: EventLog, *, is_final: bool) -> None:
    """The vault took in Ether for an account: seen when indexed, confirmed when its block is final."""
    address = _address(log)
    if address is None:
        return
    sender, origin = log.args["from"], log.args["origin"]
    observe_deposit(
        facts=DepositFacts(
            network=ether_network(),
            address=address.address,
            asset=Asset.ETH,
            txid=log.transaction_hash,
            position=log.log_index,
            units=int(log.args["amount"]),
            # Who is not known is nobody's guess: two people look at it.
            senders=() if sender == _NOBODY else tuple(dict.fromkeys((sender, origin))),
            height=log.block_number,
            block_hash=log.block_hash,
            is_confirmed=is_final,
            is_settled=is_final,
            loan_id=address.loan_id,
        )
    )


def deposit_undone(log: EventLog) -> None:
    """A reorganisation took the event back. The same payment in another block is seen anew."""
    deposit = Deposit.objects.filter(
        network=ether_network(), txid=log.transaction_hash, position=log.log_index, block_hash=log.block_hash
    ).first()
    if deposit is not None:
        lose_deposit(deposit_id=deposit.pk, reason="reorganised away")


def release_proposed(log: EventLog) -> None:
    if (pk := _withdrawal(log)) is not None:
        execute_release(withdrawal_id=pk, executable_at=int(log.args["executableAt"]))


def released(log: EventLog, *, is_final: bool) -> None:
    if (pk := _withdrawal(log)) is None:
        return
    row = note_sent(withdrawal_id=pk, txid=log.transaction_hash)
    if log.args["to"] != row.destination.address:
        # The vault's own change took effect between the approval and the payment.
        open_incident(
            kind="lending.released_elsewhere",
            detail=f"The vault paid withdrawal {pk} to {log.args['to']}, approved was {row.destination.address}.",
            dedupe_key=f"released_elsewhere:{pk}",
            data={"withdrawal": pk, "paid": log.args["to"]},
        )
    if is_final:
        note_final(withdrawal_id=pk, height=log.block_number)


# --- what a handler missed -------------------------------------------------------------------------------------------


def run_ether_sweep() -> None:
    """Everything the index knows and we do not: deposits, their finality and undoing, and releases. Events are told once,
    so what failed then is taken up here. Raises NodeUnavailable when a release has to be asked about and nobody answers.
    """
    for movement in _deposits_behind():
        deposit_seen(movement.log, is_final=movement.block_number <= final_block())
    for deposit in Deposit.objects.filter(network=ether_network(), is_settled=False).exclude(
        state__in=[Deposit.State.ORPHANED, Deposit.State.RETURNED]
    ):
        logs = EventLog.objects.filter(transaction_hash=deposit.txid, log_index=deposit.position, canonical=True)
        if not logs.filter(block_hash=deposit.block_hash).exists():
            lose_deposit(deposit_id=deposit.pk, reason="reorganised away")
    for row in Withdrawal.objects.filter(
        network=ether_network(), state__in=[Withdrawal.State.APPROVED, Withdrawal.State.SENT]
    ).order_by("id"):
        _follow(row)


def _deposits_behind() -> Iterator[CollateralMovement]:
    """Deposits in the index that we have not, or not as final, in the chain's order."""
    accounts = DepositAddress.objects.filter(asset=Asset.ETH, network=ether_network()).order_by("id")
    names = list(accounts.values_list("account", flat=True))
    known = set(
        Deposit.objects.filter(network=ether_network())
        .exclude(state__in=[Deposit.State.SEEN, Deposit.State.ORPHANED])
        .values_list("txid", "position")
    )
    for start in range(0, len(names), _BATCH):
        rows = collateral_movements(names[start : start + _BATCH]).filter(kind=CollateralMovement.Kind.DEPOSITED)
        for row in rows.select_related("log"):
            if (row.transaction_hash, row.log.log_index) not in known:
                yield row


def _follow(row: Withdrawal) -> None:
    account = _account(row)
    made = (
        collateral_movements([account])
        .filter(kind=CollateralMovement.Kind.RELEASED, reference="0x" + release_id(row).hex())
        .select_related("log")
        .first()
    )
    if made is not None:
        released(made.log, is_final=made.block_number <= final_block())
        return
    proposed = row.transaction is not None and row.transaction.state in (TX.FINAL, *_DEAD)
    if row.state == Withdrawal.State.APPROVED and proposed:
        wei, executable_at = gateway().collateral_release(account, release_id(row))
        if wei:
            execute_release(withdrawal_id=row.pk, executable_at=executable_at)


def _address(log: EventLog) -> DepositAddress | None:
    return DepositAddress.objects.filter(
        asset=Asset.ETH, network=ether_network(), account=log.args["account"].lower()
    ).first()


def _withdrawal(log: EventLog) -> int | None:
    pk = int(log.args["releaseId"], 16)
    known = (
        pk < 2**63
        and Withdrawal.objects.filter(
            pk=pk,
            asset=Asset.ETH,
            network=ether_network(),
            loan__deposit_addresses__account=log.args["account"].lower(),
        ).exists()
    )
    return pk if known else None


def _account(row: Withdrawal) -> str:
    return DepositAddress.objects.get(loan_id=row.loan_id, asset=Asset.ETH, network=row.network).account
