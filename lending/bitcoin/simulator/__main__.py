"""`python -m lending.bitcoin.simulator`: the SIMULATED Bitcoin network of the demo, in a process of its own.

While something waits, or was paid lately, a block is found every few seconds; otherwise the chain rests. Send coins with
`curl -d '{"outputs": {"<address>": 5000000}, "sender": "alice"}' <url>/sim/send`.
"""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

from lending.bitcoin.simulator.chain import Chain
from lending.bitcoin.simulator.custodian import PUBLISHED, kept_at
from lending.bitcoin.simulator.server import Simulator

#: Blocks that are found on top of the last payment.
_CONFIRMATIONS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=3002)
    parser.add_argument("--keep", type=Path, default=None, help="file that keeps the chain between runs")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two blocks")
    parser.add_argument("--custodian", type=Path, default=None, help="file that keeps the custodian's keys")
    options = parser.parse_args()
    chain = Chain(path=options.keep)
    custodian = kept_at(options.custodian) if options.custodian else PUBLISHED
    simulator = Simulator(chain, port=options.port, custodian=custodian)
    threading.Thread(target=_mine, args=(chain, options.every), daemon=True).start()
    simulator.serve_forever()


def _mine(chain: Chain, every: float) -> None:
    pause = threading.Event()
    while not pause.wait(every):
        if chain.is_busy(_CONFIRMATIONS):
            chain.mine()


if __name__ == "__main__":
    main()
