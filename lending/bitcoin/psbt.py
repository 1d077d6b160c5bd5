"""Unsigned transactions for the custodian (BIP 174), and reading what comes back signed.

What is spent is chosen by the caller, coin by coin; what it goes to is one address of the borrower. The network's fee is
taken from the amount that leaves, so exactly `sats` leave the account and the ledger needs no guess.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import bdkpython as bdk
from django.utils.translation import gettext as _

from lending.bitcoin.addresses import NETWORKS, AccountKey, Branch
from lending.bitcoin.exceptions import PsbtRefused

#: Nodes do not carry outputs below their dust limit; 546 is the highest of the usual ones (P2PKH).
DUST_SATS: Final = 546
#: More inputs than this make a transaction that hardware signers take minutes over.
MAX_COINS: Final = 100


@dataclass(frozen=True, slots=True)
class OwnCoin:
    """An unspent output on an address of the account. `raw` is the whole transaction that made it."""

    txid: str
    vout: int
    sats: int
    branch: Branch
    index: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transaction that waits for signatures. Its txid is known already: signatures are no part of it (BIP 141)."""

    psbt: str
    txid: str
    fee_sats: int
    paid_sats: int
    change_sats: int


def prepare(
    *, key: AccountKey, coins: Sequence[OwnCoin], sats: int, recipient: str, change_index: int, sats_per_vbyte: float
) -> Prepared:
    """Spend all of `coins`: `sats` less the fee to `recipient`, the rest to the account's change address `change_index`.

    Raises PsbtRefused when coins are missing, or when either part would be too small for the network.
    """
    total = sum(coin.sats for coin in coins)
    change = total - sats
    _check(coins, sats=sats, change=change)
    wallet = _wallet(key, coins, change_index)
    builder = bdk.TxBuilder().manually_selected_only().version(2)
    builder = builder.add_utxos([bdk.OutPoint(txid=bdk.Txid.from_string(c.txid), vout=c.vout) for c in coins])
    builder = builder.fee_rate(bdk.FeeRate.from_sat_per_kwu(round(sats_per_vbyte * 250)))
    target = bdk.Address(recipient, NETWORKS[key.network]).script_pubkey()
    builder = builder.drain_to(target)
    if change:
        address = bdk.Address(key.address(Branch.CHANGE, change_index), NETWORKS[key.network])
        builder = builder.add_recipient(address.script_pubkey(), bdk.Amount.from_sat(change))
    try:
        psbt = builder.finish(wallet)
    except bdk.CreateTxError as error:
        raise _too_small(type(error).__name__) from error
    fee = psbt.fee()
    transaction = psbt.extract_tx_unchecked_fee_rate()
    # Where too little is left for an output, bdk leaves it to the miners without a word.
    paid = [out.value.to_sat() for out in transaction.output() if out.script_pubkey.to_bytes() == target.to_bytes()]
    if paid != [sats - fee]:
        raise _too_small("the fee takes all of it")
    return Prepared(
        psbt=psbt.serialize(),
        txid=str(transaction.compute_txid()),
        fee_sats=fee,
        paid_sats=sats - fee,
        change_sats=change,
    )


def read_signed(text: str, *, txid: str) -> bytes:
    """The bytes of the signed transaction, from a signed PSBT (Base64) or raw hexadecimal.

    Raises PsbtRefused unless it is complete and the very transaction that was prepared: same coins, same outputs.
    """
    transaction = _transaction(text.strip())
    found = str(transaction.compute_txid())
    if found != txid:
        raise PsbtRefused(
            _("This is another transaction than the one that was prepared. It was not sent. Sign the file from here."),
            code="lending.psbt.another",
            found=found,
        )
    if not all(spent.witness for spent in transaction.input()):
        raise PsbtRefused(
            _("Signatures are still missing. It was not sent. Sign it with every key that is needed."),
            code="lending.psbt.unsigned",
        )
    return bytes(transaction.serialize())


def _check(coins: Sequence[OwnCoin], *, sats: int, change: int) -> None:
    if not coins or change < 0:
        raise PsbtRefused(
            _("Not enough confirmed coins lie on this loan's addresses. Nothing was prepared."),
            code="lending.psbt.too_little",
            missing=-change,
        )
    if len(coins) > MAX_COINS:
        raise PsbtRefused(
            _("Too many small coins would have to be spent at once. Withdraw in smaller parts."),
            code="lending.psbt.too_many_coins",
        )
    if sats <= 0 or 0 < change < DUST_SATS:
        raise _too_small("dust")


def _too_small(detail: str) -> PsbtRefused:
    return PsbtRefused(
        _("After the network's fee too little would be left for the Bitcoin network to carry. Choose another amount."),
        code="lending.psbt.too_small",
        detail=detail,
    )


def _wallet(key: AccountKey, coins: Sequence[OwnCoin], change_index: int) -> bdk.Wallet:
    """A wallet that can look but not sign, and knows of nothing but these coins. Lives in memory, for one transaction."""
    wallet = bdk.Wallet(
        key.descriptor(Branch.DEPOSIT),
        key.descriptor(Branch.CHANGE),
        NETWORKS[key.network],
        bdk.Persister.new_in_memory(),
    )
    highest = {branch: max((c.index for c in coins if c.branch is branch), default=0) for branch in Branch}
    wallet.reveal_addresses_to(bdk.KeychainKind.EXTERNAL, highest[Branch.DEPOSIT])
    wallet.reveal_addresses_to(bdk.KeychainKind.INTERNAL, max(highest[Branch.CHANGE], change_index))
    raws = {coin.txid: coin.raw for coin in coins}
    wallet.apply_unconfirmed_txs([bdk.UnconfirmedTx(tx=bdk.Transaction(raw), last_seen=0) for raw in raws.values()])
    return wallet


def _transaction(text: str) -> bdk.Transaction:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return _from_psbt(text)
    try:
        return bdk.Transaction(raw)
    except bdk.TransactionError as error:
        raise _unreadable() from error


def _from_psbt(text: str) -> bdk.Transaction:
    try:
        result = bdk.Psbt(text).finalize()
        return result.psbt.extract_tx()
    except (bdk.PsbtParseError, bdk.ExtractTxError, binascii.Error) as error:
        raise _unreadable() from error


def _unreadable() -> PsbtRefused:
    return PsbtRefused(
        _("This is no signed transaction. It was not sent. Paste the signed PSBT (Base64) or the raw transaction."),
        code="lending.psbt.unreadable",
    )
