"""What the historical falls do to a stated book, and what holds on every path."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lending.coverage import Prices
from lending.stress import Holding, Parameters, Result, Terms, reached_step, run
from lending.stress_paths import PATHS, Point

D = Decimal
START = {
    "JPY": Prices("JPY", D(15_000_000), D(500_000)),
    "USD": Prices("USD", D(100_000), D(3_300)),
}
COIN, ETHER = 10**8, 10**18


def stated_book() -> list[Holding]:
    """Coverage 150, 151 … 249 %, each in bitcoin, in ether and half in each: 300 loans of ten million yen."""
    found: list[Holding] = []
    for percent in range(150, 250):
        worth = 10_000_000 * percent // 100
        sats, wei = worth * COIN // 15_000_000 + 1, worth * ETHER // 500_000 + 1
        for btc, eth in ((sats, 0), (0, wei), (sats // 2 + 1, wei // 2 + 1)):
            found.append(Holding(len(found), "JPY", btc, eth, 10_000_000, Terms()))
    return found


def replay(code: str, **changes: int) -> Result:
    return run(stated_book(), start=START, points=PATHS[code].points, parameters=Parameters(**changes))["JPY"]


def one(percent: int = 200) -> Holding:
    return Holding(1, "JPY", 10_000_000 * percent // 100 * COIN // 10_000_000, 0, 10_000_000, Terms())


@pytest.mark.parametrize(("fall", "step"), [(24, 2), (25, 2), (26, 3), (39, 3), (40, 4), (50, 4)])
def test_from_200_percent_a_fall_of_25_reaches_150_and_one_of_40_reaches_120(fall: int, step: int) -> None:
    """At −25 % coverage is 150 %: not below, so a reminder; below it the call; at −40 % it is 120 %: the sale."""
    worth = D(20_000_000) * (100 - fall) / 100
    assert reached_step(one(), worth) == step


def test_from_200_percent_a_fall_of_50_at_one_blow_leaves_a_shortfall_of_the_cost_of_selling() -> None:
    """Coverage 100 %: all is sold for the debt, and the market's 1 % of it is missing."""
    loan = Holding(1, "JPY", 2 * COIN, 0, 10_000_000, Terms())
    prices = {"JPY": Prices("JPY", D(10_000_000), None)}
    points = [Point(0, 10_000, 10_000), Point(1, 5_000, 5_000)]
    result = run([loan], start=prices, points=points, parameters=Parameters())["JPY"]
    assert result.total("shortfall") == 100_000
    assert result.total("proceeds") == 9_900_000


def test_nothing_is_sold_while_no_price_is_accepted() -> None:
    result = replay("2020-03-12", outage_from_hour=20, outage_hours=20)
    assert all(tick.proceeds == tick.calls == tick.sales == 0 for tick in result.ticks if tick.is_blind)
    assert any(tick.is_blind for tick in result.ticks)
    assert result.total("sales") > 0


def test_when_everybody_answers_a_slow_fall_sells_less() -> None:
    nobody, all_of_them = replay("2022-06-10"), replay("2022-06-10", response_bps=10_000)
    assert all_of_them.total("sold_worth") < nobody.total("sold_worth")
    assert all_of_them.total("added_sats") > 0


#: The stated book, nobody answers. Reminders, calls, deadlines missed, sales, proceeds in yen. No path leaves a shortfall: each
#: takes hours to go from 120 to 101 %, and a sale restores 150 % again and again on the way down.
RECORDED = {
    "2020-03-12": (785, 634, 261, 646, 2_377_796_039),
    "2021-05-19": (796, 350, 226, 350, 1_296_784_460),
    "2022-06-10": (1225, 660, 660, 660, 1_734_212_803),
    "2022-11-08": (558, 162, 138, 162, 539_438_425),
    "2024-08-05": (545, 166, 139, 166, 554_946_268),
    "2025-10-10": (301, 100, 98, 100, 297_537_808),
}


@pytest.mark.parametrize("code", PATHS)
def test_every_historical_path_has_its_recorded_outcome(code: str) -> None:
    result = replay(code)
    names = ("reminders", "calls", "expired", "sales", "proceeds")
    assert tuple(result.total(name) for name in names) == RECORDED[code]
    assert (result.total("shortfall"), result.still_selling, result.uncovered) == (0, 0, 0)


shares = st.integers(0, 10_000)
factors = st.integers(2_000, 11_000)
paths = st.lists(st.tuples(st.integers(1, 600), factors, factors), min_size=1, max_size=5)


def points_of(steps: list[tuple[int, int, int]]) -> list[Point]:
    points, minutes = [Point(0, 10_000, 10_000)], 0
    for after, btc, eth in steps:
        minutes += after
        points.append(Point(minutes, btc, eth))
    return points


@settings(max_examples=60, deadline=None)
@given(
    steps=paths, response=shares, slippage=st.integers(0, 1_000), outage=st.integers(0, 30),
    sats=st.integers(0, 5 * COIN), wei=st.integers(0, 100 * ETHER), debt=st.integers(1, 60_000_000),
)  # fmt: skip
def test_coins_and_money_are_conserved_on_every_path(steps, response, slippage, outage, sats, wei, debt) -> None:
    loan = Holding(7, "JPY", sats, wei, debt, Terms())
    parameters = Parameters(response_bps=response, slippage_bps=slippage, outage_hours=outage)
    result = run([loan], start=START, points=points_of(steps), parameters=parameters)["JPY"]
    assert sats + result.total("added_sats") == loan.btc_sats + result.total("sold_sats")
    assert wei + result.total("added_wei") == loan.eth_wei + result.total("sold_wei")
    assert result.total("proceeds") == result.total("repaid") + result.total("surplus")
    assert debt == loan.debt + result.total("repaid")
    assert result.total("proceeds") <= result.total("sold_worth")
    assert result.total("shortfall") == (loan.debt if loan.has_shortfall else 0)
    assert all(tick.proceeds == 0 for tick in result.ticks if tick.is_blind)


@settings(max_examples=40, deadline=None)
@given(shallow=st.integers(3_000, 10_000), deeper=st.integers(0, 2_500), percent=st.integers(150, 300))
def test_a_deeper_fall_never_leaves_less_shortfall_when_nobody_answers(shallow: int, deeper: int, percent: int) -> None:
    def shortfall(factor: int) -> int:
        loan = Holding(1, "JPY", 10_000_000 * percent // 100 * COIN // 15_000_000, 0, 10_000_000, Terms())
        points = [Point(0, 10_000, 10_000), Point(1, factor, factor)]
        return run([loan], start=START, points=points, parameters=Parameters())["JPY"].total("shortfall")

    assert shortfall(shallow - deeper) >= shortfall(shallow)
