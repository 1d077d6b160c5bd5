"""The simulator speaks the real API: bdk's own Esplora client, which is not ours, reads it and agrees."""

from __future__ import annotations

from pathlib import Path

import bdkpython as bdk
import pytest

from lending.bitcoin.addresses import Branch, account_key
from lending.bitcoin.simulator.chain import Chain, Refused
from lending.bitcoin.simulator.server import Simulator
from lending.bitcoin.simulator.transactions import parse


def _scanned(simulator: Simulator) -> bdk.Wallet:
    key = account_key()
    wallet = bdk.Wallet(
        key.descriptor(Branch.DEPOSIT),
        key.descriptor(Branch.CHANGE),
        bdk.Network.REGTEST,
        bdk.Persister.new_in_memory(),
    )
    client = bdk.EsploraClient(simulator.url)
    # The wallet starts at Bitcoin's own regtest genesis, the simulator at one of its own: only coins are compared.
    for tx, _block in simulator.chain.all():
        known = client.get_tx(bdk.Txid.from_string(tx.txid))
        assert known is not None
        wallet.apply_unconfirmed_txs([bdk.UnconfirmedTx(tx=known, last_seen=0)])
    return wallet


def test_bdks_own_client_reads_the_same_chain(simulator: Simulator, bitcoin: Chain) -> None:
    address = account_key().address(Branch.DEPOSIT, 0)
    txid = bitcoin.send({address: 123_456}, sender="alice")
    client = bdk.EsploraClient(simulator.url)
    assert client.get_height() == 5
    info = client.get_tx_info(bdk.Txid.from_string(txid))
    assert info is not None
    assert not info.status.confirmed
    bitcoin.mine()
    assert client.get_height() == 6
    assert str(client.get_block_hash(6)) == bitcoin.blocks[6].hash
    status = client.get_tx_status(bdk.Txid.from_string(txid))
    assert (status.confirmed, status.block_height) == (True, 6)
    transaction = client.get_tx(bdk.Txid.from_string(txid))
    assert transaction is not None
    assert str(transaction.compute_txid()) == txid
    assert _scanned(simulator).balance().total.to_sat() == 123_456


def test_transactions_survive_being_written_and_read(bitcoin: Chain) -> None:
    for tx, _block in bitcoin.all():
        assert parse(tx.serialised()) == tx
        assert str(bdk.Transaction(tx.serialised()).compute_txid()) == tx.txid


def test_it_goes_on_from_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "bitcoin.json"
    chain = Chain(path=path)
    first = chain.send({chain.wallet("bob"): 5_000})
    chain.mine()
    second = chain.send({chain.wallet("bob"): 6_000})
    again = Chain(path=path)
    assert [block.hash for block in again.blocks] == [block.hash for block in chain.blocks]
    assert again.find(first) is not None
    assert list(again.mempool) == [second]


def test_it_refuses_what_a_node_would_refuse(bitcoin: Chain) -> None:
    final = bitcoin.send({bitcoin.wallet("bob"): 5_000}, sender="alice", replaceable=False)
    with pytest.raises(Refused, match="conflict"):
        bitcoin.replace(final, {bitcoin.wallet("bob"): 4_000})
    with pytest.raises(Refused, match="decode"):
        bitcoin.broadcast(b"\x00" * 50)
    open_one = bitcoin.send({bitcoin.wallet("bob"): 5_000}, sender="carol", fee=5_000)
    with pytest.raises(Refused, match="insufficient fee"):
        bitcoin.replace(open_one, {bitcoin.wallet("bob"): 5_000}, fee=5_000)
