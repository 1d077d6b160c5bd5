"""What the chain tells the loan desk: events of the vault, and what became of the calls it asked for."""

from __future__ import annotations

from typing import Final

from chain.followups import followup, on_event, on_event_final, on_event_undone
from chain.models import ChainTransaction, EventLog
from lending.services import deliveries
from lending.services.collateral import ether

TX = ChainTransaction.State
_DEAD: Final = frozenset({TX.REVERTED, TX.CANCELLED, TX.EXPIRED, TX.REFUSED})


@on_event("Deposited")
def collateral_arrived(log: EventLog) -> None:
    ether.deposit_seen(log, is_final=False)


@on_event_final("Deposited")
def collateral_is_final(log: EventLog) -> None:
    ether.deposit_seen(log, is_final=True)


@on_event_undone("Deposited")
def collateral_was_undone(log: EventLog) -> None:
    ether.deposit_undone(log)


@on_event("ReleaseProposed")
def release_was_proposed(log: EventLog) -> None:
    ether.release_proposed(log)


@on_event("Released")
def release_was_made(log: EventLog) -> None:
    ether.released(log, is_final=False)


@on_event_final("Released")
def release_is_final(log: EventLog) -> None:
    ether.released(log, is_final=True)


@on_event_final("Sold")
def collateral_reached_the_exchange(log: EventLog) -> None:
    number = int(log.args["saleId"], 16)
    if number < 2**63:
        deliveries.sold(
            delivery_id=number,
            account=log.args["account"],
            wei=int(log.args["amount"]),
            txid=log.transaction_hash,
        )


@followup("lending.sale_recorded")
@followup("lending.sale_executed")
def delivery_settled(transaction: ChainTransaction, state: str) -> None:
    if state in _DEAD:
        deliveries.vault_failed(delivery_id=int(transaction.subject.partition(":")[2]), code=transaction.error_code)


@followup("lending.release_proposed")
@followup("lending.release_executed")
def release_settled(transaction: ChainTransaction, state: str) -> None:
    if state in _DEAD:
        ether.release_failed(withdrawal_id=int(transaction.subject.partition(":")[2]), code=transaction.error_code)
