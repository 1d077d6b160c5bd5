"""What the historical falls do to a stated book, what holds on every path, and that the fast way equals the plain one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lending.coverage import Prices, falls_to, reaches, value
from lending.execution.sizing import next_slice, worth_to_sell
from lending.money import ASSET_DIGITS, EXACT, floor_minor, from_minor
from lending.stress import (
    FIGURES,
    LARGEST,
    Holding,
    Parameters,
    Result,
    Terms,
    _Rules,
    answers,
    next_piece,
    prices_at,
    run,
    timeline,
)
from lending.stress_paths import HOUR, PATHS, Point

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


@pytest.mark.parametrize(
    ("fall", "comes"),
    [(24, "reminders"), (25, "reminders"), (26, "calls"), (39, "calls"), (40, "sales"), (50, "sales")],
)
def test_from_200_percent_a_fall_of_25_reaches_150_and_one_of_40_reaches_120(fall: int, comes: str) -> None:
    """At −25 % coverage is 150 %: not below, so a reminder; below it the call; at −40 % it is 120 %: the sale."""
    points = [Point(0, 10_000, 10_000), Point(1, 10_000 - 100 * fall, 10_000)]
    prices = {"JPY": Prices("JPY", D(10_000_000), None)}
    result = run([one()], start=prices, points=points, parameters=Parameters(tail_hours=0))["JPY"]
    assert {name: result.total(name) for name in ("reminders", "calls", "sales")} == {
        "reminders": 0, "calls": 0, "sales": 0, comes: 1,
    }  # fmt: skip


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


#: The stated book, nobody answers. Reminders, calls, deadlines missed, calls that the sale level overtook, sales, proceeds
#: in yen. No path leaves a shortfall: each takes hours from 120 to 101 %, and a sale restores 150 % again and again.
RECORDED = {
    "2020-03-12": (372, 634, 261, 373, 646, 2_377_796_039),
    "2021-05-19": (548, 350, 226, 124, 350, 1_296_784_460),
    "2022-06-10": (570, 660, 660, 0, 660, 1_734_212_803),
    "2022-11-08": (396, 162, 138, 24, 162, 539_438_425),
    "2024-08-05": (400, 166, 139, 27, 166, 554_946_268),
    "2025-10-10": (201, 100, 98, 2, 100, 297_537_808),
}


@pytest.mark.parametrize("code", PATHS)
def test_every_historical_path_has_its_recorded_outcome(code: str) -> None:
    result = replay(code)
    names = ("reminders", "calls", "expired", "overtaken", "sales", "proceeds")
    assert tuple(result.total(name) for name in names) == RECORDED[code]
    assert (result.total("shortfall"), result.still_selling, result.uncovered) == (0, 0, 0)


# --- the plain way ----------------------------------------------------------------------------------------------------


class Plain:
    """One loan at every tick, by the desk's own arithmetic: `lending.coverage` and `next_slice`. Slow, and easy to check."""

    def __init__(self, loan: Holding, start: Prices, points: list[Point], parameters: Parameters) -> None:
        self.loan, self.p, self.t = loan, parameters, loan.terms
        self.counted: Counter[tuple[int, str]] = Counter()
        self.uncovered = 0
        for point in timeline(points, tail_hours=parameters.tail_hours):
            if not parameters.is_blind(point.minutes):
                self.now, self.prices = point.minutes, prices_at(start, point)
                self.uncovered = 0 if loan.has_shortfall else max(0, loan.debt - floor_minor(self.worth, loan.currency))
                self.tick()
                self.uncovered = 0 if loan.has_shortfall else max(0, loan.debt - floor_minor(self.worth, loan.currency))

    def count(self, name: str, amount: int = 1) -> None:
        self.counted[self.now, name] += amount

    @property
    def worth(self) -> Decimal:
        return value(btc_sats=self.loan.btc_sats, eth_wei=self.loan.eth_wei, prices=self.prices)

    def at_least(self, bps: int) -> bool:
        return reaches(worth=self.worth, debt=self.loan.debt, currency=self.loan.currency, bps=bps)

    def at_most(self, bps: int) -> bool:
        return falls_to(worth=self.worth, debt=self.loan.debt, currency=self.loan.currency, bps=bps)

    def tick(self) -> None:
        loan, t = self.loan, self.t
        if loan.debt <= 0 or loan.has_shortfall:
            return
        if not loan.in_sale:
            if self.at_most(t.sale_bps):
                self.count("overtaken", int(loan.called_at is not None))
                self.begin_sale()
            elif loan.called_at is not None:
                self.called(self.now - loan.called_at)
            else:
                self.uncalled()
        for _ in range(self.p.slices_per_tick):
            if loan.in_sale:
                self.slice()

    def uncalled(self) -> None:
        loan, t = self.loan, self.t
        reached = 3 if not self.at_least(t.call_bps) else 0
        reached = reached or (
            2 if self.at_most(t.reminder_second_bps) else 1 if self.at_most(t.reminder_first_bps) else 0
        )
        if reached > loan.stage:
            loan.stage = reached
            self.count("calls" if reached == 3 else "reminders")
            loan.called_at = self.now if reached == 3 else None
        elif self.at_least(t.origination_bps):
            self.rearm()

    def called(self, waited: int) -> None:
        loan, t, deadline = self.loan, self.t, self.p.deadline_hours * HOUR
        late = waited >= deadline
        if t.cured_by_price and (self.at_least(t.call_cure_bps) or (late and self.at_least(t.call_bps))):
            self.cure()
        elif answers(loan.number, self.p.response_bps) and 2 * waited >= deadline:
            asset = "BTC" if loan.btc_sats else "ETH"
            price = (self.prices.btc if asset == "BTC" else self.prices.eth) or D(0)
            needed = from_minor(loan.debt, loan.currency) * t.call_target_bps / 10_000 - self.worth
            units = max(D(0), needed) / price * 10 ** ASSET_DIGITS[asset]
            added = int(units.to_integral_value(rounding="ROUND_CEILING"))
            if asset == "BTC":
                loan.btc_sats += added
                self.count("added_sats", added)
            else:
                loan.eth_wei += added
                self.count("added_wei", added)
            self.cure()
        elif late:
            self.count("expired")
            self.begin_sale()

    def begin_sale(self) -> None:
        self.loan.in_sale, self.loan.called_at = True, None
        self.count("sales")

    def cure(self) -> None:
        self.loan.called_at = None
        self.count("cured")
        self.rearm()

    def rearm(self) -> None:
        steps = (self.t.reminder_first_bps, self.t.reminder_second_bps, self.t.call_bps)
        self.loan.stage = next((taken for taken, bps in enumerate(steps) if self.at_least(bps)), 3)

    def slice(self) -> None:
        loan, t = self.loan, self.t
        held = {"BTC": loan.btc_sats, "ETH": loan.eth_wei}
        prices = {"BTC": self.prices.btc, "ETH": self.prices.eth}
        piece = next_slice(
            holdings={asset: units for asset, units in held.items() if units},
            prices={asset: price for asset, price in prices.items() if price is not None},
            debt=from_minor(loan.debt, loan.currency), target_bps=t.sale_target_bps, cost_bps=t.cost_bps,
            slice_limit=t.slice_limit, close_out_below=t.close_out_below,
        )  # fmt: skip
        if piece is None:
            loan.in_sale = False
            if loan.debt and not loan.btc_sats and not loan.eth_wei:
                loan.has_shortfall = True
                self.count("shortfalls")
                self.count("shortfall", loan.debt)
            else:
                self.rearm()
            return
        gross = from_minor(piece.units, piece.asset) * (prices[piece.asset] or D(0))
        proceeds = floor_minor(gross * (10_000 - self.p.slippage_bps - t.fee_bps) / 10_000, loan.currency)
        repaid = min(proceeds, loan.debt)
        loan.debt -= repaid
        loan.btc_sats -= piece.units if piece.asset == "BTC" else 0
        loan.eth_wei -= piece.units if piece.asset == "ETH" else 0
        for name, amount in (
            ("sold_sats" if piece.asset == "BTC" else "sold_wei", piece.units),
            ("sold_btc_worth" if piece.asset == "BTC" else "sold_eth_worth", floor_minor(gross, loan.currency)),
            ("proceeds", proceeds), ("repaid", repaid), ("surplus", proceeds - repaid),
        ):  # fmt: skip
            self.count(name, amount)


def plainly(book: list[Holding], points: list[Point], parameters: Parameters) -> dict[str, Any]:
    """The same figures as of a `Result`, for each currency."""
    found: dict[str, Any] = {}
    with localcontext(EXACT):
        for currency in START:
            loans = [loan for loan in book if loan.currency == currency]
            ways = [Plain(loan, START[currency], points, parameters) for loan in loans]
            counted = sum((way.counted for way in ways), Counter())
            found[currency] = {
                "ticks": +counted, "uncovered": sum(way.uncovered for way in ways),
                "still_called": sum(loan.called_at is not None for loan in loans),
                "still_selling": sum(loan.in_sale for loan in loans),
            }  # fmt: skip
    return found


def as_plain(result: Result) -> dict[str, Any]:
    counted = Counter({(tick.minutes, name): getattr(tick, name) for tick in result.ticks for name in FIGURES})
    return {
        "ticks": +counted, "uncovered": result.uncovered, "still_called": result.still_called,
        "still_selling": result.still_selling,
    }  # fmt: skip


shares = st.integers(0, 10_000)
factors = st.integers(2_000, 11_000)
paths = st.lists(st.tuples(st.integers(1, 600), factors, factors, st.integers(8_000, 12_000)), min_size=1, max_size=5)


def points_of(steps: list[tuple[int, int, int, int]]) -> list[Point]:
    points, minutes = [Point(0, 10_000, 10_000)], 0
    for after, btc, eth, rate in steps:
        minutes += after
        points.append(Point(minutes, btc, eth, rate))
    return points


terms = st.builds(
    Terms,
    sale_target_bps=st.sampled_from([12_500, 15_000, 20_000]),
    cured_by_price=st.booleans(),
    cost_bps=st.integers(0, 500),
    fee_bps=st.integers(0, 100),
    slice_limit=st.sampled_from([D(1_000_000), D(7_000_000), D("50000000.01")]),
    close_out_below=st.sampled_from([D(0), D(1_000), D(100_000)]),
)


@st.composite
def holdings(draw: st.DrawFn) -> Holding:
    """A loan of any kind, at or about any step, perhaps called or in sale already."""
    currency = draw(st.sampled_from(["JPY", "USD"]))
    debt = draw(st.integers(1, 60_000_000))
    worth = (
        from_minor(debt, currency) * draw(st.sampled_from([*range(0, 30_000, 500), 17_500, 16_000, 15_001])) / 10_000
    )
    part = draw(st.sampled_from([D(0), D(1), D("0.5"), D("0.37")]))
    prices = START[currency]
    sats = int(worth * part / (prices.btc or D(1)) * COIN)
    wei = int(worth * (1 - part) / (prices.eth or D(1)) * ETHER)
    stage = draw(st.integers(0, 3))
    called = draw(st.none() | st.integers(-5_000, 0)) if stage == 3 else None
    in_sale = called is None and draw(st.booleans()) and draw(st.booleans())
    number = draw(st.integers(1, 1_000))
    return Holding(number, currency, sats, wei, debt, draw(terms), stage, called, in_sale)


falls = st.builds(
    Parameters,
    deadline_hours=st.integers(1, 60),
    response_bps=st.sampled_from([0, 5_000, 10_000]),
    slippage_bps=st.integers(0, 1_500),
    slices_per_tick=st.sampled_from([1, 3, 20]),
    outage_from_hour=st.integers(0, 10),
    outage_hours=st.sampled_from([0, 0, 5, 200]),
    tail_hours=st.sampled_from([0, 72]),
)


@settings(max_examples=150, deadline=None)
@given(book=st.lists(holdings(), min_size=1, max_size=6), steps=paths, parameters=falls)
def test_the_fast_way_equals_the_plain_one(
    book: list[Holding], steps: list[tuple[int, int, int, int]], parameters: Parameters
) -> None:
    """Tick by tick, figure by figure, and every loan is left with the same collateral, debt and step."""
    points, slow = points_of(steps), [replace(loan) for loan in book]
    found = run(book, start=START, points=points, parameters=parameters)
    assert {currency: as_plain(result) for currency, result in found.items()} == plainly(slow, points, parameters)
    assert book == slow


tens = st.integers(0, 24).map(lambda number: 10 * number)


@settings(max_examples=500, deadline=None)
@given(
    sats=tens | st.integers(0, 240), wei=tens | st.just(0), debt=st.integers(1, 200), eth=st.sampled_from([1, 2]),
    cost=st.sampled_from([0, 100, 2_500]), limit=st.sampled_from([20, 50, 1_000]), close=st.sampled_from([0, 10, 30]),
)  # fmt: skip
def test_a_slice_in_whole_numbers_is_the_desks_slice(sats, wei, debt, eth, cost, limit, close) -> None:
    """With a yen for each base unit every edge is met exactly: a limit, a remainder just small enough, equal assets."""
    unit = 10**36
    kind = Terms(sale_target_bps=20_000, cost_bps=cost, slice_limit=D(limit), close_out_below=D(close))
    piece = next_piece(sats, wei, unit, eth * unit, debt * unit, _Rules(kind, unit))
    found = next_slice(
        holdings={"BTC": sats, "ETH": wei}, prices={"BTC": D(COIN), "ETH": D(eth * ETHER)}, debt=D(debt),
        target_bps=20_000, cost_bps=cost, slice_limit=D(limit), close_out_below=D(close),
    )  # fmt: skip
    assert piece == (None if found is None else (found.asset == "BTC", found.units))


@pytest.mark.parametrize("code", PATHS)
def test_the_fast_way_equals_the_plain_one_on_every_historical_path(code: str) -> None:
    book, slow = stated_book()[::3], [replace(loan) for loan in stated_book()[::3]]
    points, parameters = list(PATHS[code].points), Parameters(response_bps=3_000, outage_from_hour=12, outage_hours=4)
    found = run(book, start=START, points=points, parameters=parameters)
    assert as_plain(found["JPY"]) == plainly(slow, points, parameters)["JPY"]
    assert book == slow
    assert found["JPY"].total("sales") > 0


@settings(max_examples=100, deadline=None)
@given(loan=holdings(), fall=st.integers(1_000, 10_000), slippage=st.integers(0, 1_500))
def test_a_sale_never_sells_more_than_restores_the_target_plus_one_slice(
    loan: Holding, fall: int, slippage: int
) -> None:
    """At one price. What restores it: by the formula, at the cost the market really takes, or at the allowed one if higher."""
    loan = replace(loan, in_sale=True, called_at=None, terms=replace(loan.terms, fee_bps=0))
    prices = prices_at(START[loan.currency], Point(0, fall, fall))
    worth, debt, t = value(btc_sats=loan.btc_sats, eth_wei=loan.eth_wei, prices=prices), loan.debt, loan.terms
    restores = worth_to_sell(
        worth=worth, debt=from_minor(debt, loan.currency), target_bps=t.sale_target_bps, cost_bps=max(slippage, t.cost_bps)
    ) if t.sale_target_bps * (10_000 - slippage) > 10**8 else worth  # fmt: skip
    parameters = Parameters(slippage_bps=slippage, slices_per_tick=1_000, tail_hours=0)
    points = [Point(0, fall, fall)]
    run([loan], start=START, points=points, parameters=parameters)
    left = value(btc_sats=loan.btc_sats, eth_wei=loan.eth_wei, prices=prices)
    one_slice = t.slice_limit + max(t.close_out_below, D(10))  # a remainder too small to sell goes along
    assert worth - left <= restores + one_slice
    assert (worth > left) == (
        worth > 0 and not reaches(worth=worth, debt=debt, currency=loan.currency, bps=t.sale_target_bps)
    )


@settings(max_examples=30, deadline=None)
@given(book=st.lists(holdings(), min_size=2, max_size=8), steps=paths, parameters=falls, seed=st.randoms())
def test_the_result_does_not_depend_on_the_order_of_the_loans(
    book: list[Holding], steps: list[tuple[int, int, int, int]], parameters: Parameters, seed: Any
) -> None:
    book = [replace(loan, number=number, borrower=number % 3) for number, loan in enumerate(book, 1)]
    mixed = [replace(loan) for loan in book]
    seed.shuffle(mixed)
    one_way, other = (run(each, start=START, points=points_of(steps), parameters=parameters) for each in (book, mixed))
    for currency in START:
        assert one_way[currency].totals() == other[currency].totals()
        assert one_way[currency].first == other[currency].first
        assert one_way[currency].largest() == other[currency].largest()


def test_a_result_names_what_drove_it() -> None:
    """Two loans of one borrower fall short at one blow, a third is called; the first of each is named."""
    book = [replace(one(), number=number, borrower=7, debt=10_000_000 + number) for number in (1, 2)]
    book.append(replace(one(280), number=3, borrower=8))
    book += [replace(one(1_000), number=number, borrower=number) for number in range(100, 100 + 2 * LARGEST)]
    start = {"JPY": Prices("JPY", D(10_000_000), None)}
    result = run(
        book, start=start, points=[Point(0, 10_000, 1), Point(30, 5_000, 1)], parameters=Parameters(tail_hours=0)
    )["JPY"]
    assert result.first == {"sale": (30, 1), "shortfall": (30, 1), "call": (30, 3)}
    (worst,) = result.largest()
    assert (worst.borrower, worst.loans) == (7, 2)
    assert worst.shortfall == result.total("shortfall") > 0
    assert worst.sold_worth == result.total("sold_btc_worth") == 20_000_000


def test_calls_that_the_sale_level_ends_are_told_from_those_that_ran_out() -> None:
    """Called at 140 %; one path falls on to 115 % within the deadline, the other stays."""
    for low, expected in ((5_750, (1, 0)), (7_000, (0, 1))):
        points = [Point(0, 10_000, 1), Point(60, 7_000, 1), Point(120, low, 1)]
        start = {"JPY": Prices("JPY", D(10_000_000), None)}
        result = run([one()], start=start, points=points, parameters=Parameters())["JPY"]
        assert (result.total("overtaken"), result.total("expired")) == expected


def test_a_call_that_is_open_already_keeps_the_hours_it_has_waited() -> None:
    """Ten of its twelve hours are gone: it runs out in the second hour."""
    loan = replace(one(140), stage=3, called_at=-10 * HOUR)
    start = {"JPY": Prices("JPY", D(10_000_000), None)}
    parameters = Parameters(deadline_hours=12, tail_hours=5)
    result = run([loan], start=start, points=[Point(0, 10_000, 1)], parameters=parameters)["JPY"]
    assert [tick.minutes for tick in result.ticks if tick.expired] == [2 * HOUR]


def test_reminders_come_again_only_after_the_price_was_back_at_the_coverage_of_a_draw() -> None:
    def reminders(back: int) -> int:
        points = [Point(0, 10_000, 1), Point(60, 8_500, 1), Point(120, back, 1), Point(180, 8_500, 1)]
        start = {"JPY": Prices("JPY", D(10_000_000), None)}
        return run([one()], start=start, points=points, parameters=Parameters(tail_hours=0))["JPY"].total("reminders")

    assert (reminders(9_999), reminders(10_000)) == (1, 2)


def test_a_loan_whose_collateral_has_no_price_is_refused() -> None:
    with pytest.raises(ValueError, match="no price in JPY"):
        run(
            [one()],
            start={"JPY": Prices("JPY", None, D(1))},
            points=[Point(0, 10_000, 10_000)],
            parameters=Parameters(),
        )


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
