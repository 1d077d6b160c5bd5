"""How fast the indexer takes in logs, beside plain web3.py on the same node and the same logs in the same run.

A contract that only emits ERC-20 `Transfer` events is put on a fresh node, and makes `LOGS` of them. They are then read

- by web3.py as its documentation shows: `contract.events.Transfer().get_logs(from_block, to_block)`, in ranges of 50
  blocks (its result is decoded events in memory; nothing is stored),
- by the same in two parts, `eth.get_logs` and then `process_log` on each,
- by our decoder alone, and
- by `index_once` as production runs it: read, decode, store blocks and events, fold balances, holders and supply,
  advance the cursor, in a PostgreSQL database of its own that is dropped afterwards.

Each is run `ROUNDS` times and the median is shown. Run `make bench-index`. Ends in one line `RATIO name=value …`.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings.test")

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402
from eth_utils.crypto import keccak  # noqa: E402
from web3 import Web3  # noqa: E402

from chain.abi import artifact  # noqa: E402
from chain.events import block_time, decode_log  # noqa: E402
from chain.models import Contract, EventLog, Holding, TokenState  # noqa: E402
from chain.reader import Reader  # noqa: E402
from chain.rpc import Rpc  # noqa: E402
from chain.services.indexer import forget_chain, index_once  # noqa: E402
from chain.testing import Anvil, anvil  # noqa: E402

LOGS, PER_TRANSACTION, HOLDERS, ROUNDS = 20_000, 200, 1_024, 3
EMITTER = "0x00000000000000000000000000000000E317e200"
WEB3_RANGE = 50
KIND = Contract.Kind.SECURITY_TOKEN.value


def emitter_code() -> str:
    """Runtime code: for n = calldata word down to 1, emit Transfer(0, 1 + (n-1) mod HOLDERS, 1)."""
    topic = keccak(text="Transfer(address,address,uint256)").hex()
    body = (
        "5f35"  # PUSH0 CALLDATALOAD                     n
        "5b80156044576001900360015f5280"  # loop: while n: n -= 1; mem[0] = 1; n n
        f"61{HOLDERS - 1:04x}16600101"  # (n & mask) + 1          recipient
        f"5f7f{topic}60205fa3"  # log3(0, 32, topic, 0, recipient)
        "600256"  # again
        "5b00"  # end
    )
    code = bytes.fromhex(body)
    end = code.rindex(bytes.fromhex("5b00"))
    return "0x" + body.replace("604457", f"60{end:02x}57", 1)


def make_logs(node: Anvil) -> None:
    """Put the emitter on the chain and let it emit; then make every block final."""
    account = node.call("eth_accounts")[0]
    node.call("anvil_setCode", EMITTER, emitter_code())
    call = {"from": account, "to": EMITTER, "data": f"0x{PER_TRANSACTION:064x}", "gas": hex(5_000_000)}
    for _ in range(LOGS // PER_TRANSACTION):
        node.call("eth_sendTransaction", call)
    node.call("anvil_mine", hex(8))


def web3_get_logs(url: str) -> int:
    """The documented way: decoded events, range by range."""
    w3 = Web3(Web3.HTTPProvider(url))
    event = w3.eth.contract(address=Web3.to_checksum_address(EMITTER), abi=artifact(KIND).abi).events.Transfer()
    head = w3.eth.block_number
    return sum(
        len(event.get_logs(from_block=first, to_block=min(first + WEB3_RANGE - 1, head)))
        for first in range(0, head + 1, WEB3_RANGE)
    )


def web3_process_log(url: str) -> int:
    """Raw logs through web3.py, then one `process_log` each."""
    w3 = Web3(Web3.HTTPProvider(url))
    address = Web3.to_checksum_address(EMITTER)
    event = w3.eth.contract(address=address, abi=artifact(KIND).abi).events.Transfer()
    head, count = w3.eth.block_number, 0
    for first in range(0, head + 1, WEB3_RANGE):
        last = min(first + WEB3_RANGE - 1, head)
        for log in w3.eth.get_logs({"address": address, "fromBlock": first, "toBlock": last}):
            event.process_log(log)
            count += 1
    return count


def our_decoder(url: str) -> int:
    """Reading and decoding as the indexer does, without storing."""
    source = Reader(Rpc(url, timeout=30))
    logs = source.logs_in_range(0, source.heads().head, [EMITTER])
    at = block_time("0x0")
    return len([decode_log(log, kind=KIND, at=at) for log in logs])


def our_index(url: str) -> int:
    """Everything: read, decode, store, project, advance."""
    settings.CHAIN_RPC_URL = url
    source = Reader(Rpc(url, timeout=30))
    while not index_once(source).is_current:
        pass
    return EventLog.objects.count()


def check_projections() -> None:
    """What was indexed is right, or the figures mean nothing."""
    state = TokenState.objects.get()
    held = sum(Holding.objects.values_list("units", flat=True))
    assert (state.supply_units, held, state.holders) == (LOGS, LOGS, min(PER_TRANSACTION, HOLDERS)), state


def median_seconds(run: Callable[[], int], prepare: Callable[[], None] = lambda: None) -> float:
    """Median of `ROUNDS` runs, each of which must find every log."""
    taken = []
    for _ in range(ROUNDS):
        prepare()
        started = time.perf_counter()
        count = run()
        taken.append(time.perf_counter() - started)
        assert count == LOGS, f"{count} of {LOGS} logs"
    return statistics.median(taken)


def forget() -> None:
    forget_chain(chain_id=settings.CHAIN_ID, actor="bench", reason="next round")


def measure(url: str) -> list[tuple[str, float]]:
    """(what, seconds) of each way."""
    rows = [
        ("web3.py get_logs, decoded, not stored", median_seconds(lambda: web3_get_logs(url))),
        ("web3.py eth.get_logs + process_log, not stored", median_seconds(lambda: web3_process_log(url))),
        ("ours: read and decode, not stored", median_seconds(lambda: our_decoder(url))),
        ("ours: read, decode, store, project", median_seconds(lambda: our_index(url), forget)),
    ]
    check_projections()
    return rows


def report(rows: list[tuple[str, float]]) -> None:
    """The table, and the line that machines read."""
    print(f"{LOGS:,} Transfer logs, {PER_TRANSACTION} in a block; median of {ROUNDS} runs\n")
    print(f"{'':<50}{'seconds':>9}{'logs/s':>12}")
    for what, seconds in rows:
        print(f"{what:<50}{seconds:>9.2f}{LOGS / seconds:>12,.0f}")
    web3, process, decode, full = (LOGS / seconds for _what, seconds in rows)
    print(
        f"\nRATIO index_logs_per_s={full:.0f} web3_logs_per_s={web3:.0f} index_vs_web3={full / web3:.2f} "
        f"index_vs_process_log={full / process:.2f} decode_logs_per_s={decode:.0f} decode_vs_web3={decode / web3:.2f}"
    )


def main() -> None:
    creation: Any = connection.creation
    creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        Contract.objects.create(
            chain_id=settings.CHAIN_ID, kind=KIND, address=EMITTER_CHECKSUMMED, deployed_block=0, bytecode_hash="0x"
        )
        with anvil() as node:
            make_logs(node)
            report(measure(node.url))
    finally:
        creation.destroy_test_db(settings.DATABASES["default"]["NAME"], verbosity=0)


EMITTER_CHECKSUMMED = Web3.to_checksum_address(EMITTER)

if __name__ == "__main__":
    main()
