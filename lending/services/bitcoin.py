"""Watching Bitcoin through Esplora, and sending what was approved. Asks outside of transactions, writes in short ones."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from chain.services import open_incident
from chain.services.incidents import close_if_open
from lending.bitcoin import psbt
from lending.bitcoin.addresses import Branch, account_key
from lending.bitcoin.esplora import Coin, Esplora, Status, Transaction, esplora
from lending.bitcoin.exceptions import EsploraNonsense, EsploraNotFound, EsploraUnavailable
from lending.exceptions import LoanRefused
from lending.models import Asset, Delivery, Deposit, DepositAddress, Loan, Withdrawal
from lending.services.collateral.addresses import bitcoin_network, give_change_address
from lending.services.collateral.deposits import DepositFacts, advance_deposits, lose_deposit, observe_deposit
from lending.services.collateral.rescreening import require_not_frozen
from lending.services.collateral.withdrawals import (
    locked_withdrawal,
    move_withdrawal,
    note_final,
    note_lost,
    note_sent,
)
from lending.services.guards import require_officer
from portal import audit
from portal.models import User

logger = logging.getLogger(__name__)
_SWEEP_LOCK: Final = 0x42544353
#: Decided, and still to be looked at until it is settled.
_IN_BOOKS: Final = (Deposit.State.CREDITED, Deposit.State.CAME_BACK, Deposit.State.HELD)
_AWAY: Final = "lending.bitcoin_unavailable"
#: Loans whose borrowers wait for a deposit to be seen go first.
_IN_A_HURRY: Final = (Loan.State.COLLATERAL_PENDING, Loan.State.MARGIN_CALLED, Loan.State.IN_SALE)


def run_bitcoin_sweep() -> bool:
    """Look at open deposits, then at the addresses whose turn it is, then at what is on its way out.

    False if another runner has it, or the service is away or answers nonsense: what was done stays, the next sweep goes
    on. An outage is one incident, which closes itself.
    """
    if not settings.BITCOIN_ESPLORA_URL:
        advance_deposits()
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_SWEEP_LOCK])
        if not cursor.fetchone()[0]:
            return False
    try:
        return _swept_calmly(esplora())
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_SWEEP_LOCK])


def _swept_calmly(service: Esplora) -> bool:
    from lending.services.deliveries import follow_bitcoin

    try:
        tip = service.tip_height()
        watch_open(service, tip)
        _watch_addresses(service, tip)
        advance_deposits()
        follow_withdrawals(service, tip)
        follow_bitcoin(service, tip)
    except (EsploraUnavailable, EsploraNonsense) as error:
        logger.warning("bitcoin sweep: %s %s", error, error.detail)
        open_incident(kind=_AWAY, detail=f"Bitcoin cannot be watched: {error.detail}", dedupe_key=_AWAY)
        return False
    close_if_open(dedupe_key=_AWAY, reason="the service answers again")
    return True


def needed_confirmations(sats: int) -> int:
    """Confirmations a deposit of so many satoshi needs, by the settings; at least one."""
    steps = sorted(tuple(map(int, step.split(":"))) for step in settings.BITCOIN_CONFIRMATIONS)
    return max([1, *(confirmations for least, confirmations in steps if sats >= least)])


# --- what arrives -------------------------------------------------------------------------------------------------


def watch_open(service: Esplora, tip: int) -> None:
    """Every deposit that may still change: one question for each transaction, or for each block of those long confirmed."""
    rows = Deposit.objects.filter(
        Q(state__in=Deposit.OPEN) | Q(is_settled=False, state__in=_IN_BOOKS),
        network=bitcoin_network(),
    ).select_related("address")
    known = _KnownBlocks(service)
    by_txid: dict[str, list[Deposit]] = defaultdict(list)
    for row in rows.order_by("id"):
        by_txid[row.txid].append(row)
    for txid, deposits in by_txid.items():
        status = _status(service, txid, deposits[0], known)
        for deposit in deposits:
            if status is None:
                lose_deposit(deposit_id=deposit.pk, reason="the network no longer has the transaction")
                # Another transaction may have taken its place: read the address anew, first of all.
                DepositAddress.objects.filter(pk=deposit.address_id).update(looked_at=None, history="")
            else:
                observe_deposit(facts=_facts_again(deposit, status, tip))


class _KnownBlocks:
    """Hashes of the best chain's blocks, asked for once in a sweep."""

    def __init__(self, service: Esplora) -> None:
        self._service = service
        self._hashes: dict[int, str] = {}

    def has(self, height: int | None, block_hash: str) -> bool:
        if height is None or not block_hash:
            return False
        if height not in self._hashes:
            try:
                self._hashes[height] = self._service.block_hash(height)
            except EsploraNotFound:
                self._hashes[height] = ""
        return self._hashes[height] == block_hash


def _status(service: Esplora, txid: str, deposit: Deposit, known: _KnownBlocks) -> Status | None:
    """Where the transaction stands; None if it is gone. While its block is in the best chain nobody need ask."""
    if known.has(deposit.block_height, deposit.block_hash):
        return Status(True, int(deposit.block_height or 0), deposit.block_hash, 0)
    try:
        return service.status(txid)
    except EsploraNotFound:
        return None


def _facts_again(deposit: Deposit, status: Status, tip: int) -> DepositFacts:
    return _facts(
        address=deposit.address.address,
        txid=deposit.txid,
        position=deposit.position,
        sats=int(deposit.units),
        senders=tuple(deposit.senders),
        status=status,
        tip=tip,
    )


def _facts(
    *, address: str, txid: str, position: int, sats: int, senders: tuple[str, ...], status: Status, tip: int
) -> DepositFacts:
    confirmations = tip - status.height + 1 if status.confirmed else 0
    return DepositFacts(
        network=bitcoin_network(),
        address=address,
        asset=Asset.BTC,
        txid=txid,
        position=position,
        units=sats,
        senders=senders,
        height=status.height if status.confirmed else None,
        block_hash=status.block_hash,
        is_confirmed=confirmations >= needed_confirmations(sats),
        is_settled=confirmations >= settings.BITCOIN_SETTLED_DEPTH,
    )


def _watch_addresses(service: Esplora, tip: int) -> None:
    """Addresses whose turn it is: half of the round for those that somebody waits for, the rest in order."""
    watched = DepositAddress.objects.filter(
        network=bitcoin_network(), asset=Asset.BTC, purpose=DepositAddress.Purpose.DEPOSIT
    ).order_by(F("looked_at").asc(nulls_first=True), "id")
    most = settings.BITCOIN_SWEEP_ADDRESSES
    hurried = list(watched.filter(loan__state__in=_IN_A_HURRY)[: most // 2])
    others = watched.exclude(pk__in=[row.pk for row in hurried])[: most - len(hurried)]
    for address in [*hurried, *others]:
        look_at_address(service, address, tip)


def look_at_address(service: Esplora, address: DepositAddress, tip: int) -> None:
    """Record every payment to one address. Its history is read while something waits, or when its length changed."""
    confirmed, waiting = service.transaction_count(address.address)
    history = f"{confirmed}/{waiting}"
    if waiting or history != address.history:
        for found in service.transactions(address.address):
            _record(found, tip)
    DepositAddress.objects.filter(pk=address.pk).update(looked_at=timezone.now(), history=history)


def _record(found: Transaction, tip: int) -> None:
    """Each output that pays a deposit address of ours is a deposit, whichever address led here."""
    ours = set(
        DepositAddress.objects.filter(
            network=bitcoin_network(),
            purpose=DepositAddress.Purpose.DEPOSIT,
            address__in=[paid.address for paid in found.outputs if paid.address],
        ).values_list("address", flat=True)
    )
    for paid in found.outputs:
        if paid.address in ours and paid.sats > 0:
            observe_deposit(
                facts=_facts(
                    address=paid.address,
                    txid=found.txid,
                    position=paid.vout,
                    sats=paid.sats,
                    senders=found.senders,
                    status=found.status,
                    tip=tip,
                )
            )


# --- what leaves --------------------------------------------------------------------------------------------------


def prepare_psbt(*, withdrawal_id: int, actor: User) -> Withdrawal:
    """Make the unsigned transaction of an approved withdrawal: from this loan's counted coins to its return address.

    Made once: a second transaction beside it could pay twice, so asking again returns the same. Raises PsbtRefused.
    """
    require_officer(actor)
    service = esplora()
    row = Withdrawal.objects.select_related("loan").get(pk=withdrawal_id)
    if row.psbt:
        return row
    require_not_frozen(row.loan)
    coins = _spendable(service, row.loan, _allowed(row), change=row.deposit_id is None)
    rate = service.fee_rate(blocks=6)
    with transaction.atomic():
        row = locked_withdrawal(withdrawal_id)
        if row.psbt:
            return row
        if row.asset != Asset.BTC or row.state != Withdrawal.State.APPROVED:
            raise LoanRefused(
                _("Only an approved withdrawal of Bitcoin can be prepared."), code="lending.withdrawal.not_approved"
            )
        made, row.coins, row.change_address = _made(row.loan, coins, int(row.units), row.destination.address, rate)
        row.psbt, row.txid, row.fee_units = made.psbt, made.txid, made.fee_sats
        move_withdrawal(
            row, Withdrawal.State.PREPARED, actor, "prepared", "psbt", "txid", "fee_units", "change_address", "coins"
        )
    return row


def submit_signed(*, withdrawal_id: int, actor: User, signed: str) -> Withdrawal:
    """Send what the custodian signed, if it is the transaction that was prepared. Sent twice it is sent once."""
    require_officer(actor)
    row = Withdrawal.objects.get(pk=withdrawal_id)
    if row.state not in (Withdrawal.State.PREPARED, Withdrawal.State.SENT):
        raise LoanRefused(_("Nothing was prepared for this withdrawal."), code="lending.withdrawal.not_prepared")
    require_not_frozen(row.loan)
    raw = psbt.read_signed(signed, txid=row.txid)
    esplora().broadcast(raw)
    return note_sent(withdrawal_id=row.pk, txid=row.txid)


def prepare_delivery(*, delivery_id: int, actor: User) -> Delivery:
    """Make the unsigned transaction of a delivery to the exchange: from this loan's counted coins to the exchange's address.

    The network's fee is taken from the amount; the house makes it up at the exchange. Made once, as for a withdrawal.
    Raises PsbtRefused, and LoanRefused for what is no delivery of bitcoin to an exchange that waits to be sent.
    """
    from lending.services.deliveries import locked_delivery

    require_officer(actor)
    row = Delivery.objects.select_related("sale__loan").get(pk=delivery_id)
    if row.psbt:
        return row
    require_not_frozen(row.sale.loan)
    service = esplora()
    coins = _spendable(service, row.sale.loan, _counted(row.sale.loan), change=True)
    rate = service.fee_rate(blocks=2)
    with transaction.atomic():
        row = locked_delivery(delivery_id)
        if row.psbt:
            return row
        is_ours = row.asset == Asset.BTC and row.direction == Delivery.Direction.OUT
        if not is_ours or row.state != Delivery.State.REQUESTED or not settings.BITCOIN_SALE_ADDRESS:
            raise LoanRefused(
                _("Only bitcoin that waits to be sent to the exchange’s address can be prepared."),
                code="lending.delivery.not_preparable",
            )
        made, row.coins, row.change_address = _made(
            row.sale.loan, coins, int(row.units), settings.BITCOIN_SALE_ADDRESS, rate
        )
        row.psbt, row.reference = made.psbt, made.txid
        row.save(update_fields=["psbt", "reference", "coins", "change_address"])
        audit.record(
            action="lending.delivery.prepared",
            subject_type="lending.delivery",
            subject_id=row.pk,
            actor=actor,
            data={"sale": row.sale_id, "txid": made.txid, "fee": str(made.fee_sats)},
        )
    return row


def send_delivery(*, delivery_id: int, actor: User, signed: str) -> Delivery:
    """Send what the custodian signed, if it is the transaction that was prepared, and record it as sent. Twice is once."""
    from lending.services.deliveries import record_sent

    require_officer(actor)
    row = Delivery.objects.select_related("sale__loan").get(pk=delivery_id)
    if not row.psbt or row.state not in (Delivery.State.REQUESTED, Delivery.State.SENT):
        raise LoanRefused(_("Nothing was prepared for this delivery."), code="lending.delivery.not_prepared")
    require_not_frozen(row.sale.loan)
    raw = psbt.read_signed(signed, txid=row.reference)
    esplora().broadcast(raw)
    return record_sent(delivery_id=row.pk, txid=row.reference, actor=actor)


def _made(
    loan: Loan, coins: list[psbt.OwnCoin], sats: int, recipient: str, rate: float
) -> tuple[psbt.Prepared, list[list[Any]], DepositAddress | None]:
    """The transaction of `sats` to `recipient`, the coins it spends, and where its change goes; on the locked loan."""
    taken = _spoken_for(loan)
    chosen = _chosen([coin for coin in coins if (coin.txid, coin.vout) not in taken], sats)
    change = sum(coin.sats for coin in chosen) - sats
    address = give_change_address(loan=loan) if change > 0 else None
    made = psbt.prepare(
        key=account_key(),
        coins=chosen,
        sats=sats,
        recipient=recipient,
        change_index=int(address.index or 0) if address else 0,
        sats_per_vbyte=rate,
    )
    return made, [[coin.txid, coin.vout, coin.sats] for coin in chosen], address


def _spoken_for(loan: Loan) -> set[tuple[str, int]]:
    """Coins of the loan that something prepared or sent spends."""
    leaving = [Withdrawal.State.PREPARED, Withdrawal.State.SENT]
    under_way = [Delivery.State.REQUESTED, Delivery.State.SENT]
    lists = [
        *Withdrawal.objects.filter(loan=loan, state__in=leaving).values_list("coins", flat=True),
        *Delivery.objects.filter(sale__loan=loan, state__in=under_way).values_list("coins", flat=True),
    ]
    return {(txid, vout) for coins in lists for txid, vout, _sats in coins}


def _spendable(service: Esplora, loan: Loan, allowed: set[tuple[str, int]], *, change: bool) -> list[psbt.OwnCoin]:
    """Confirmed coins of the loan that may be spent: the `allowed` ones and, if so, our own change."""
    addresses = DepositAddress.objects.filter(loan=loan, network=bitcoin_network()).order_by("id")
    return [
        _own(service, coin, address)
        for address in addresses
        for coin in service.coins(address.address)
        if coin.status.confirmed and ((coin.txid, coin.vout) in allowed or (change and _is_change(coin, address)))
    ]


def _is_change(coin: Coin, address: DepositAddress) -> bool:
    """True for what an earlier transaction of ours left over. What strangers paid to such an address stays where it is."""
    return (
        Withdrawal.objects.filter(txid=coin.txid, change_address=address).exists()
        or Delivery.objects.filter(reference=coin.txid, change_address=address).exists()
    )


def _allowed(row: Withdrawal) -> set[tuple[str, int]]:
    """Of a return the deposit alone, otherwise everything that counts."""
    if row.deposit_id is None:
        return _counted(row.loan)
    deposits = Deposit.objects.filter(pk=row.deposit_id, loan=row.loan, network=bitcoin_network())
    return set(deposits.filter(state=Deposit.State.HELD, is_blocked=False).values_list("txid", "position"))


def _counted(loan: Loan) -> set[tuple[str, int]]:
    states = [Deposit.State.CREDITED, Deposit.State.CAME_BACK]
    deposits = Deposit.objects.filter(loan=loan, network=bitcoin_network(), state__in=states)
    return set(deposits.values_list("txid", "position"))


def _own(service: Esplora, coin: Coin, address: DepositAddress) -> psbt.OwnCoin:
    branch = Branch.DEPOSIT if address.purpose == DepositAddress.Purpose.DEPOSIT else Branch.CHANGE
    return psbt.OwnCoin(
        coin.txid, coin.vout, coin.sats, branch, int(address.index or 0), service.raw_transaction(coin.txid)
    )


def _chosen(coins: list[psbt.OwnCoin], sats: int) -> list[psbt.OwnCoin]:
    """Largest first until there is enough, and never so that only dust would come back."""
    chosen: list[psbt.OwnCoin] = []
    total = 0
    for coin in sorted(coins, key=lambda coin: (-coin.sats, coin.txid, coin.vout)):
        if total == sats or total >= sats + psbt.DUST_SATS:
            break
        chosen.append(coin)
        total += coin.sats
    return chosen


def follow_withdrawals(service: Esplora, tip: int) -> None:
    rows = Withdrawal.objects.filter(
        network=bitcoin_network(), state__in=[Withdrawal.State.PREPARED, Withdrawal.State.SENT]
    )
    for row in rows.order_by("id"):
        try:
            status = service.status(row.txid)
        except EsploraNotFound:
            if row.state == Withdrawal.State.SENT:
                note_lost(withdrawal_id=row.pk)
            continue
        _follow(row, status, tip)


def _follow(row: Withdrawal, status: Status, tip: int) -> None:
    note_sent(withdrawal_id=row.pk, txid=row.txid)
    height = status.height if status.confirmed else None
    Withdrawal.objects.filter(pk=row.pk, state=Withdrawal.State.SENT).update(block_height=height)
    if status.confirmed and tip - status.height + 1 >= needed_confirmations(int(row.units)):
        note_final(withdrawal_id=row.pk, height=height)
