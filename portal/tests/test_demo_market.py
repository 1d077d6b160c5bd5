"""The market of the demonstration is moved as a whole: yen and dollars together, and it outlives a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lending.bitcoin.simulator.chain import Chain
from lending.bitcoin.simulator.server import Simulator as BitcoinSimulator
from lending.prices.simulator import Simulator as ExchangeSimulator
from portal.demo import market
from portal.demo.forms import MarketForm

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def kept(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Both simulators, and the file that keeps what was set."""
    monkeypatch.setenv("MUSUBI_RUN_DIR", str(tmp_path))
    (tmp_path / "exchanges").mkdir()
    with ExchangeSimulator() as exchanges, BitcoinSimulator(Chain()) as bitcoin:
        settings.DEMO, settings.EXCHANGE_SIMULATOR_URL, settings.BITCOIN_ESPLORA_URL = True, exchanges.url, bitcoin.url
        yield tmp_path / "exchanges" / "prices.json"


def test_a_price_in_yen_moves_the_dollars_with_it_so_that_the_cross_check_agrees(kept: Path) -> None:
    market.set_price("BTC", Decimal(9_000_000))
    told = market.prices()
    assert told["BTC/JPY"] == 9_000_000
    assert told["BTC/USD"] * told["USD/JPY"] == 9_000_000
    assert json.loads(kept.read_text())["BTC/JPY"] == "9000000"


def test_a_fall_takes_the_same_part_of_both_coins() -> None:
    before = market.prices()
    market.fall(40)
    after = market.prices()
    for asset in market.ASSETS:
        assert after[f"{asset}/JPY"] == before[f"{asset}/JPY"] * 60 / 100


@pytest.mark.parametrize("yen", ["0", "-1", "999", "1000000001"])
def test_a_price_beyond_reason_is_refused_and_nothing_moves(yen: str) -> None:
    before = market.prices()
    with pytest.raises(market.MarketRefused):
        market.set_price("BTC", Decimal(yen))
    assert market.prices() == before


def test_bitcoin_sent_from_the_panel_reaches_the_address_and_a_wrong_address_is_refused() -> None:
    address = market.bitcoin_wallet("somebody")
    form = MarketForm({"step": "send", "asset": "BTC", "address": address, "amount": "0.5"})
    assert form.is_valid()
    assert form.carry_out()
    tip = market.mine(1)
    assert len(tip) == 64
    with pytest.raises(market.MarketRefused):
        market.send_bitcoin("bcrt1qnot-an-address", 1_000)


def test_eight_digits_of_yen_fit_the_form() -> None:
    form = MarketForm({"step": "price", "asset": "BTC", "amount": "11500000"})
    assert form.is_valid(), form.errors
