from __future__ import annotations

from collections.abc import Iterator

import pytest

from lending.bitcoin.esplora import Esplora
from lending.bitcoin.simulator.chain import Chain
from lending.bitcoin.simulator.server import Simulator


@pytest.fixture
def bitcoin() -> Chain:
    """A simulated chain with a few blocks."""
    chain = Chain()
    chain.mine(5)
    return chain


@pytest.fixture
def simulator(bitcoin: Chain) -> Iterator[Simulator]:
    with Simulator(bitcoin) as running:
        yield running


@pytest.fixture
def esplora(simulator: Simulator) -> Esplora:
    return Esplora(simulator.url, timeout=5)
