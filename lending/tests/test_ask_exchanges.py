"""ccxt asks the simulator as it asks the exchanges; bad exchanges cost a round nothing but their own answer."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from lending.models import Observation, Price, PriceSource
from lending.prices import asking
from lending.prices.simulator import Simulator
from lending.services.prices import poll_prices

D = Decimal


@pytest.fixture
def simulator(settings):
    import ccxt  # noqa: F401 (takes longer than a round on a busy machine)

    with Simulator() as running:
        settings.EXCHANGE_SIMULATOR_URL = running.url
        yield running


@pytest.mark.django_db
def test_a_round_over_every_exchange_accepts_every_pair_and_steering_moves_them(simulator):
    poll_prices()
    assert {row.pair for row in Price.objects.all()} == {"BTC/JPY", "ETH/JPY", "BTC/USD", "ETH/USD", "USD/JPY"}
    assert not Observation.objects.exclude(problem="").exists()
    assert Price.objects.get(pair="BTC/USD").is_cross_checked
    simulator.market.prices.update({"BTC/JPY": D(14_250_000), "BTC/USD": D(95_000)})
    poll_prices()
    assert abs(Price.objects.filter(pair="BTC/JPY")[0].value - 14_250_000) < 14_250


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fault", "problem"), [("nonsense", "nonsense"), ("error", "unreachable"), ("hang", "timeout")]
)
def test_a_broken_exchange_is_left_out_within_the_deadline(simulator, fault, problem, monkeypatch):
    poll_prices()  # the lists of markets are known
    simulator.market.faults["bitbank"] = fault
    started = time.monotonic()
    poll_prices()
    assert time.monotonic() - started < asking.DEADLINE_SECONDS + 4
    broken = Observation.objects.exclude(problem="").values_list("source__exchange", "problem")
    assert set(broken) == {("bitbank", problem)}
    assert Price.objects.filter(pair="BTC/JPY").count() == 2


@pytest.mark.django_db
def test_an_exchange_that_ccxt_does_not_know_is_a_source_without_an_answer(simulator):
    PriceSource.objects.create(pair="BTC/JPY", kind="exchange", exchange="nowhere")
    poll_prices()
    assert Observation.objects.get(source__exchange="nowhere").problem == "unreachable"
    assert Price.objects.filter(pair="BTC/JPY").exists()
