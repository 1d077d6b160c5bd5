from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lending.bitcoin.simulator.chain import Chain
from lending.bitcoin.simulator.server import Simulator


@pytest.fixture
def bitcoin(settings: Any) -> Iterator[Chain]:
    """A simulated Bitcoin network that the desk is set up to ask: three confirmations, six from one bitcoin up."""
    chain = Chain()
    chain.mine(5)
    with Simulator(chain) as running:
        settings.BITCOIN_ESPLORA_URL = running.url
        settings.BITCOIN_CONFIRMATIONS = ["0:3", "100000000:6"]
        settings.BITCOIN_SETTLED_DEPTH = 12
        yield chain
