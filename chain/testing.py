"""A real EVM node for tests, and the means to steer it: blocks, forks of history, dropped transactions."""

from __future__ import annotations

import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from chain.exceptions import NodeUnavailable
from chain.rpc import Rpc, as_int


class Anvil:
    """One running anvil. `mine` and friends are requests to it; nothing here touches the database."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.process = process
        self.rpc = Rpc(url, timeout=10.0)

    def call(self, method: str, *params: Any) -> Any:
        return self.rpc.call(method, *params)

    def mine(self, blocks: int = 1) -> None:
        """Put `blocks` blocks on the chain, the pool's transactions in the first of them."""
        for _block in range(blocks):
            self.call("evm_mine")

    def set_automine(self, on: bool) -> None:
        """On: every transaction gets a block at once. Off: only `mine` makes blocks."""
        self.call("evm_setAutomine", on)

    def snapshot(self) -> str:
        return str(self.call("evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        """Back to a snapshot, which is used up by it. The pool is emptied too."""
        if not self.call("evm_revert", snapshot):
            raise AssertionError(f"anvil does not know snapshot {snapshot}")

    def reorg(self, depth: int) -> None:
        """Replace the newest `depth` blocks by empty ones; their transactions are gone, not back in the pool."""
        self.call("anvil_reorg", depth, [])

    def drop(self, transaction_hash: str) -> None:
        """Take one transaction out of the pool."""
        self.call("anvil_dropTransaction", transaction_hash)

    def pool(self) -> list[str]:
        """Hashes of the transactions that wait, in the pool's pending and queued parts."""
        content = self.call("txpool_content")
        return [tx["hash"] for part in content.values() for sender in part.values() for tx in sender.values()]

    def head(self) -> int:
        return as_int(self.call("eth_blockNumber"))

    def balance(self, address: str) -> int:
        return as_int(self.call("eth_getBalance", address, "latest"))

    def set_balance(self, address: str, wei: int) -> None:
        self.call("anvil_setBalance", address, hex(wei))

    def count(self, address: str) -> int:
        """Transactions of `address` that are in blocks."""
        return as_int(self.call("eth_getTransactionCount", address, "latest"))

    def pass_time(self, seconds: int) -> None:
        """Let the chain's clock jump, and make a block at the new time."""
        self.call("evm_increaseTime", hex(seconds))
        self.mine()

    def set_base_fee(self, wei: int) -> None:
        """The base fee of the next block."""
        self.call("anvil_setNextBlockBaseFeePerGas", hex(wei))


def anvil_binary() -> str:
    """The native binary that npm installed: its wrapper script would be one more process to end."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"anvil-{platform.system().lower()}-{machine}"
    bundled = Path(settings.BASE_DIR) / "node_modules" / "@foundry-rs" / name / "bin" / "anvil"
    found = str(bundled) if bundled.exists() else shutil.which("anvil")
    if found is None:
        raise RuntimeError("anvil is not installed: run npm ci")
    return found


@contextmanager
def anvil(
    *, mining: bool = True, block_time: int | None = None, port: int | None = None, begins_at: int | None = None
) -> Iterator[Anvil]:
    """Start anvil on a free port and end it afterwards. Its clock begins at `begins_at` (Unix seconds), or now.

    Finality follows two blocks behind the head (one slot per epoch). `mining=False` makes blocks only on request.
    """
    port = port or free_port()
    command = [anvil_binary(), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(settings.CHAIN_ID)]
    command += ["--slots-in-an-epoch", "1", "--silent", "--accounts", "1", "--base-fee", str(10**9)]
    if begins_at is not None:
        command += ["--timestamp", str(begins_at)]
    if block_time is not None:
        command += ["--block-time", str(block_time)]
    elif not mining:
        command += ["--no-mining"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 (our own)
    node = Anvil(f"http://127.0.0.1:{port}", process)
    try:
        _wait_until_it_answers(node)
        yield node
    finally:
        process.terminate()
        process.wait(timeout=10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(node: Anvil) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            node.call("eth_chainId")
        except NodeUnavailable:
            if time.monotonic() > until or node.process.poll() is not None:
                raise
            time.sleep(0.05)
        else:
            return
