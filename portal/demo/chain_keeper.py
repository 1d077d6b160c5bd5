"""Keeps the demo's chain on disk, so that even a killed node comes back with every block that was final.

Two files. `snapshot.json.gz` is the node's own whole state, taken right after a block with transactions in it (and
now and then without), written beside and renamed. `blocks.jsonl` gets one line for each block since: an empty block
changes nothing but the chain of blocks, so putting those headers back restores the same chain with the same hashes.
What the node writes when it ends in order (`exit.json`) is used when it is newer.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import threading
import urllib.request
from io import TextIOWrapper
from pathlib import Path
from typing import Any

_SNAPSHOT_EVERY_BLOCKS = 300
#: Twice a block: a block is final two blocks after it was made.
_LOOK_EVERY_SECONDS = 0.4
#: Older blocks kept in a new journal, so that its first new block can be seen to follow the snapshot's last.
_OVERLAP = 8

State = dict[str, Any]


class Node:
    """The few questions asked of an anvil node."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, *params: object) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, data=body, headers={"content-type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            return json.load(response)["result"]

    def head(self) -> int:
        return int(self.ask("eth_blockNumber"), 16)

    def block(self, number: int) -> State:
        block: State = self.ask("eth_getBlockByNumber", hex(number), False)
        return block

    def answers(self) -> bool:
        try:
            return self.head() >= 0
        except (OSError, ValueError):
            return False


class ChainKeeper:
    """Follows one node and writes down its chain; afterwards, puts the chain together for the next start."""

    def __init__(self, folder: Path) -> None:
        self.snapshot_file = folder / "snapshot.json.gz"
        self.journal_file = folder / "blocks.jsonl"
        self.exit_file = folder / "exit.json"
        self.load_file = folder / "load.json"
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, node: Node) -> None:
        """Keep the chain of `node` until `stop`; a node that does not answer is waited for."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._follow, args=(node,), name="chain-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread:
            self._thread.join(30)
            self._thread = None

    def _follow(self, node: Node) -> None:
        seen = saved = -1
        with contextlib.ExitStack() as stack:
            journal = stack.enter_context(self.journal_file.open("a"))
            while not self._stopping.wait(_LOOK_EVERY_SECONDS):
                # The node is busy or gone: the supervisor decides what that means, here it is only asked again.
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                    head = node.head()
                    seen = min(max(seen, head - 2 * _OVERLAP), head) if seen < 0 else seen
                    blocks = [node.block(number) for number in range(seen + 1, head + 1)]
                    _write(journal, blocks)
                    seen = head
                    busy = any(block["transactions"] for block in blocks)
                    if busy or saved < 0 or head - saved >= _SNAPSHOT_EVERY_BLOCKS:
                        self._take_snapshot(node)
                        saved = head
                        journal.close()
                        journal = stack.enter_context(self._new_journal(node, head))

    def _take_snapshot(self, node: Node) -> None:
        dumped = bytes.fromhex(node.ask("anvil_dumpState")[2:])
        draft = self.snapshot_file.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(dumped if dumped[:2] == b"\x1f\x8b" else gzip.compress(dumped, 1))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.snapshot_file)

    def _new_journal(self, node: Node, head: int) -> TextIOWrapper:
        draft = self.journal_file.with_suffix(".new")
        journal = draft.open("w")
        _write(journal, [node.block(number) for number in range(max(head - _OVERLAP, 0), head + 1)])
        draft.replace(self.journal_file)
        return journal

    # --- putting it together again -----------------------------------------------------------------------------

    def saved_chain(self) -> Path | None:
        """A file anvil can load, with the highest chain that was kept; None when there is none."""
        states = [state for state in (_read(self.snapshot_file, gzip.open), _read(self.exit_file, open)) if state]
        if not states:
            return None
        best = max(states, key=lambda state: int(state["best_block_number"]))
        with contextlib.suppress(OSError):
            _append_blocks(best, _read_journal(self.journal_file))
        self.load_file.write_text(json.dumps(best))
        return self.load_file


def _write(journal: TextIOWrapper, blocks: list[State]) -> None:
    journal.writelines(json.dumps(block) + "\n" for block in blocks)
    journal.flush()


def _read(path: Path, opener: Any) -> State | None:
    """The state in a file, or None where it is absent or was cut off while it was written."""
    try:
        with opener(path, "rb") as file:
            state: State = json.load(file)
        return state if int(state["best_block_number"]) >= 0 else None
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None


def _read_journal(path: Path) -> dict[int, State]:
    """Blocks by number; a later line for the same number wins, and a half-written last line is left out."""
    blocks: dict[int, State] = {}
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError, KeyError):
            block = json.loads(line)
            blocks[int(block["number"], 16)] = block
    return blocks


def _append_blocks(state: State, journal: dict[int, State]) -> None:
    """Put the empty blocks that follow the state's last one behind it, as long as each names the one before."""
    number = int(state["best_block_number"])
    template = next(block for block in state["blocks"] if int(block["header"]["number"], 16) == number)
    while (block := journal.get(number + 1)) and number in journal:
        if block["transactions"] or block["parentHash"] != journal[number]["hash"]:
            return
        number += 1
        header = {name: block[name] for name in template["header"] if name in block}
        state["blocks"].append({**template, "header": header, "transactions": []})
        state["best_block_number"] = number
        state["block"] |= {
            "number": block["number"],
            "timestamp": block["timestamp"],
            "basefee": int(block["baseFeePerGas"], 16),
            "prevrandao": block["mixHash"],
        }
