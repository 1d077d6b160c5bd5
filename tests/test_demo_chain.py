"""The demo's chain survives a killed node: every block that was final is there again, with the same hash."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from portal.demo.chain_keeper import Node
from portal.demo.services import Anvil

pytestmark = pytest.mark.chain


def wait_for_block(node: Node, number: int) -> None:
    while node.head() < number:
        time.sleep(0.1)


def test_a_killed_node_comes_back_with_every_final_block_and_balance(tmp_path: Path) -> None:
    chain = Anvil(tmp_path / "chain", tmp_path / "chain.log", port=18700)
    node = Node(chain.start())
    try:
        payer, payee = node.ask("eth_accounts")[:2]
        node.ask("eth_sendTransaction", {"from": payer, "to": payee, "value": "0x5"})
        wait_for_block(node, node.head() + 6)
        balance = node.ask("eth_getBalance", payee, "latest")
        final = int(node.ask("eth_getBlockByNumber", "finalized", False)["number"], 16)
        hashes = {number: node.block(number)["hash"] for number in range(final + 1)}

        assert chain.process is not None
        chain.process.kill()
        chain.process.wait()
        node = Node(chain.start())

        assert {number: node.block(number)["hash"] for number in range(final + 1)} == hashes
        assert node.ask("eth_getBalance", payee, "latest") == balance
        wait_for_block(node, final + 4)
    finally:
        chain.stop()


def test_a_snapshot_cut_off_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    chain = Anvil(tmp_path / "chain", tmp_path / "chain.log", port=18700)
    node = Node(chain.start())
    wait_for_block(node, 3)
    height = node.head()
    chain.stop()
    assert chain.keeper is not None
    snapshot = chain.keeper.snapshot_file
    snapshot.write_bytes(snapshot.read_bytes()[:100])
    node = Node(chain.start())
    try:
        assert node.head() >= height
    finally:
        chain.stop()
