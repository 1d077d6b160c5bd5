"""What a fall of prices would do to the book. Pure, no database; whole numbers only, so nothing is rounded on the way.

The rules are the desk's own (`lending.services.calls`, `.sales`, `lending.execution.sizing`); they are written here a
second time, in whole numbers, because a run judges a hundred thousand loans hundreds of times. `test_stress.py` keeps the
two the same: it replays small books plainly, tick by tick, by `lending.coverage` and `next_slice`, and compares.

A loan is looked at only when something happens to it: the next price that reaches its next step, the hour of an answer, a
deadline. Interest during the path is left out, and so is what the desk's own buying and selling does to the market.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from heapq import nlargest
from typing import Any, Final

from lending.coverage import BPS, Prices
from lending.execution.sizing import SMALLEST
from lending.money import ASSET_DIGITS, DIGITS, EXACT
from lending.stress_paths import HOUR, Point

#: Worth is counted in so small a part of the currency that every product of a coin's parts and a price is whole.
_FINE: Final = 36
CALL, SALE = 3, 4
#: So many borrowers are named in a result.
LARGEST: Final = 10


@dataclass(frozen=True, slots=True)
class Terms:
    """What of the product terms a fall sets in motion."""

    origination_bps: int = 20_000
    reminder_first_bps: int = 17_500
    reminder_second_bps: int = 16_000
    call_bps: int = 15_000
    sale_bps: int = 12_000
    call_target_bps: int = 20_000
    sale_target_bps: int = 15_000
    call_cure_bps: int = 17_500
    cured_by_price: bool = True
    cost_bps: int = 100
    fee_bps: int = 0
    slice_limit: Decimal = Decimal(50_000_000)
    close_out_below: Decimal = Decimal(100_000)


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the desk cannot know: how people answer, what the market takes, when prices are missing."""

    deadline_hours: int = 48
    #: Of the called borrowers so many top up, half-way to the deadline.
    response_bps: int = 0
    #: What the market really takes of a sale, besides the fee.
    slippage_bps: int = 100
    slices_per_tick: int = 20
    outage_from_hour: int = 0
    outage_hours: int = 0
    #: Prices stay where they are so long after the path, so that deadlines pass and sales end.
    tail_hours: int = 72

    def is_blind(self, minutes: int) -> bool:
        """True while no price is accepted: nothing is judged and nothing sold."""
        start = self.outage_from_hour * HOUR
        return start <= minutes < start + self.outage_hours * HOUR


@dataclass(slots=True)
class Holding:
    """One loan as the path finds it, and as it leaves it."""

    number: int
    currency: str
    btc_sats: int
    eth_wei: int
    debt: int
    terms: Terms
    #: The deepest step that was taken: reminders 1 and 2, call 3.
    stage: int = 0
    #: Minutes on the path's clock; a call that was open before it has a negative number.
    called_at: int | None = None
    in_sale: bool = False
    has_shortfall: bool = False
    borrower: int = 0


@dataclass(slots=True)
class Tick:
    """What happened in one currency between the tick before and this one. Money in minor units."""

    minutes: int
    is_blind: bool = False
    reminders: int = 0
    calls: int = 0
    cured: int = 0
    #: Calls whose deadline passed, and calls that the sale level ended before it did.
    expired: int = 0
    overtaken: int = 0
    sales: int = 0
    sold_sats: int = 0
    sold_wei: int = 0
    added_sats: int = 0
    added_wei: int = 0
    sold_btc_worth: int = 0
    sold_eth_worth: int = 0
    proceeds: int = 0
    repaid: int = 0
    surplus: int = 0
    shortfalls: int = 0
    shortfall: int = 0

    @property
    def sold_worth(self) -> int:
        return self.sold_btc_worth + self.sold_eth_worth

    def figures(self) -> dict[str, Any]:
        """What is not zero."""
        return {"minutes": self.minutes} | {name: value for name, value in asdict(self).items() if value}


#: What a tick counts.
FIGURES: Final = tuple(name for name in asdict(Tick(0)) if name not in ("minutes", "is_blind"))


@dataclass(slots=True)
class Suffered:
    """What one borrower's loans went through. Money in minor units."""

    borrower: int
    loans: int = 0
    sold_worth: int = 0
    shortfall: int = 0


@dataclass(slots=True)
class Result:
    """The whole path in one currency, what drove it, and what is left open at its end."""

    currency: str
    loans: int = 0
    debt: int = 0
    ticks: list[Tick] = field(default_factory=list)
    #: For "call", "sale" and "shortfall" the minute of the first, and its loan: of several the lowest number.
    first: dict[str, tuple[int, int]] = field(default_factory=dict)
    suffered: dict[int, Suffered] = field(default_factory=dict)
    still_called: int = 0
    still_selling: int = 0
    #: Debt above the worth of what is left, of loans whose collateral is not sold out yet.
    uncovered: int = 0

    def total(self, name: str) -> int:
        return sum(getattr(tick, name) for tick in self.ticks)

    def totals(self) -> dict[str, int]:
        return {name: self.total(name) for name in FIGURES} | {
            "loans": self.loans, "debt": self.debt, "still_called": self.still_called,
            "still_selling": self.still_selling, "uncovered": self.uncovered,
        }  # fmt: skip

    def largest(self) -> list[Suffered]:
        """Those with the largest shortfall, then the largest sales; of equals the lower number first."""
        return nlargest(
            LARGEST, self.suffered.values(), key=lambda each: (each.shortfall, each.sold_worth, -each.borrower)
        )

    def happens(self, what: str, tick: Tick, loan: Holding) -> None:
        known = self.first.get(what)
        if known is None or (tick.minutes, loan.number) < known:
            self.first[what] = (tick.minutes, loan.number)


def timeline(points: Sequence[Point], *, tail_hours: int) -> list[Point]:
    """Every full hour and every point of the path, straight lines between, then the last prices for `tail_hours`."""
    end = points[-1]
    moments = {point.minutes for point in points} | set(range(0, end.minutes + 1, HOUR))
    line = [_at(points, moment) for moment in sorted(moments)]
    tail = (Point(end.minutes + hour * HOUR, end.btc, end.eth, end.usdjpy) for hour in range(1, tail_hours + 1))
    return [*line, *tail]


def _at(points: Sequence[Point], minutes: int) -> Point:
    after = next(index for index, point in enumerate(points) if point.minutes >= minutes)
    if points[after].minutes == minutes:
        return points[after]
    left, right = points[after - 1], points[after]
    span, gone = right.minutes - left.minutes, minutes - left.minutes

    def between(a: int, b: int) -> int:
        return a + (b - a) * gone // span

    return Point(
        minutes, between(left.btc, right.btc), between(left.eth, right.eth), between(left.usdjpy, right.usdjpy)
    )


def prices_at(start: Prices, point: Point) -> Prices:
    """The prices of a currency at a point. Falls are in dollars; in yen the rate comes on top."""
    rate = Decimal(point.usdjpy if start.currency == "JPY" else BPS) / BPS

    def fallen(price: Decimal | None, factor: int) -> Decimal | None:
        return None if price is None else EXACT.multiply(EXACT.multiply(price, Decimal(factor) / BPS), rate)

    return Prices(currency=start.currency, btc=fallen(start.btc, point.btc), eth=fallen(start.eth, point.eth))


def run(
    holdings: Iterable[Holding],
    *,
    start: dict[str, Prices],
    points: Sequence[Point],
    parameters: Parameters,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Result]:
    """Send the book down the path; changes `holdings`. One result for every currency that `start` prices.

    The same book, prices, path and parameters give the same result, in whatever order the loans come. Raises
    `ValueError` for a loan whose collateral has no price in `start`. `progress` is told every thousand loans.
    """
    line = timeline(points, tail_hours=parameters.tail_hours)
    roads = {currency: _Road(prices, line, parameters) for currency, prices in start.items()}
    for count, holding in enumerate(holdings, 1):
        roads[holding.currency].travel(holding)
        if progress is not None and count % 1000 == 0:
            progress(count)
    return {currency: road.result for currency, road in roads.items()}


def answers(number: int, response_bps: int) -> bool:
    """Whether a called borrower tops up; the same loans in every run, spread over the book."""
    return number * 2_654_435_761 % 2**32 * BPS // 2**32 < response_bps


class _Ranges:
    """Finds the next price that is low (or, with signs turned, high) enough without looking at each.

    `levels[k][i]` are the lowest prices of the 2^k ticks from i on. What a loan is worth is nowhere among them lower than
    by both lowest prices at once; so a range is passed over when even that is too much, and halved otherwise.
    """

    def __init__(self, btc: list[int], eth: list[int]) -> None:
        self.levels = [(btc, eth)]
        while 2 ** len(self.levels) <= len(btc):
            half = 2 ** (len(self.levels) - 1)
            self.levels.append((_lower(self.levels[-1][0], half), _lower(self.levels[-1][1], half)))

    def first(self, sats: int, wei: int, limit: int, since: int, until: int) -> int:
        """The first tick from `since` on, before `until`, at which the worth is at most `limit`; else `until`."""
        levels = self.levels
        top = level = len(levels) - 1
        while since < until:
            btc, eth = levels[level]
            if sats * btc[since] + wei * eth[since] > limit:
                since += 1 << level
                level = min(level + 1, top)
            elif level == 0:
                return since
            else:
                level -= 1
        return until


def _lower(values: list[int], half: int) -> list[int]:
    """Each value or the one `half` places later, whichever is lower; at the end there is none later."""
    return [min(pair) for pair in zip(values, values[half:] + values[-1:] * half, strict=True)]


class _Rules:
    """The terms in whole numbers: each coverage as worth for one minor unit of debt, money in the finest unit."""

    def __init__(self, terms: Terms, unit: int) -> None:
        def level(bps: int) -> int:
            return unit // BPS * bps

        self.terms = terms  # holds what `_Road.rules` is keyed by
        #: By the deepest step taken: what the next one comes at. A call comes below its coverage, the others at it.
        self.next = (level(terms.reminder_first_bps), level(terms.reminder_second_bps), level(terms.call_bps))
        self.sale = level(terms.sale_bps)
        self.recovered = level(terms.origination_bps)
        self.cure = level(terms.call_cure_bps)
        self.call_target = level(terms.call_target_bps)
        self.sale_target = level(terms.sale_target_bps)
        self.keep = BPS - terms.cost_bps
        #: Worth to sell is what is missing, times BPS², divided by this: r(1 − f) − 1.
        self.divisor = terms.sale_target_bps * self.keep - BPS * BPS
        self.slice_limit = _whole(terms.slice_limit)
        self.close_out_below = _whole(terms.close_out_below)


def _whole(amount: Decimal) -> int:
    scaled = EXACT.scaleb(amount, _FINE)
    if scaled != scaled.to_integral_value(context=EXACT):
        raise ValueError(f"{amount} has more than {_FINE} decimals")
    return int(scaled)


_SMALLEST: Final = _whole(SMALLEST)


def next_piece(sats: int, wei: int, btc: int, eth: int, debt: int, rules: _Rules) -> tuple[bool, int] | None:
    """`next_slice` in whole numbers: whether it is bitcoin, and how many base units; None when nothing is to be sold.

    `btc` and `eth` are what one base unit is worth, `debt` what is owed, all in the finest unit. Parts of it that a
    division leaves are rounded up: the comparisons that follow are with whole numbers and come out the same.
    """
    in_btc, in_eth = sats * btc, wei * eth
    worth = in_btc + in_eth
    missing = debt // BPS * rules.terms.sale_target_bps - worth
    if missing <= 0 or not worth:
        return None
    most = min(worth, -(-debt * BPS // rules.keep))
    wanted = min(most, -(-missing * BPS * BPS // rules.divisor))
    if wanted <= 0:
        return None
    is_btc = in_btc >= in_eth
    value, price, held = (in_btc, btc, sats) if is_btc else (in_eth, eth, wei)
    amount = min(max(wanted, rules.close_out_below, _SMALLEST), value, rules.slice_limit)
    if value - amount < rules.close_out_below and value <= rules.slice_limit + rules.close_out_below:
        return is_btc, held
    return is_btc, min(held, max(1, -(-amount // price)))


class _Road:
    """The path in one currency, and what happens along it."""

    def __init__(self, start: Prices, line: list[Point], parameters: Parameters) -> None:
        self.parameters, self.start = parameters, start
        ticks = [Tick(point.minutes, parameters.is_blind(point.minutes)) for point in line]
        self.result = Result(currency=start.currency, ticks=ticks)
        seen = [(tick, prices_at(start, point)) for tick, point in zip(ticks, line, strict=True) if not tick.is_blind]
        self.ticks = [tick for tick, _ in seen]
        self.minutes = [tick.minutes for tick in self.ticks]
        #: What one satoshi and one wei are worth at each tick that has a price.
        self.btc = [_whole((prices.btc or Decimal(0)).scaleb(-ASSET_DIGITS["BTC"], EXACT)) for _, prices in seen]
        self.eth = [_whole((prices.eth or Decimal(0)).scaleb(-ASSET_DIGITS["ETH"], EXACT)) for _, prices in seen]
        self.last = prices_at(start, line[-1])
        self.low = _Ranges(self.btc, self.eth)
        self.high = _Ranges([-price for price in self.btc], [-price for price in self.eth])
        #: One minor unit in the finest.
        self.unit = 10 ** (_FINE - DIGITS[start.currency])
        self.rules: dict[int, _Rules] = {}

    def travel(self, loan: Holding) -> None:
        """One loan from one thing that happens to it to the next, as long as anything may."""
        if (loan.btc_sats and self.start.btc is None) or (loan.eth_wei and self.start.eth is None):
            raise ValueError(f"no price in {loan.currency} for the collateral of loan {loan.number}")
        self.result.loans += 1
        self.result.debt += loan.debt
        rules = self.rules.get(id(loan.terms))
        if rules is None:
            rules = self.rules[id(loan.terms)] = _Rules(loan.terms, self.unit)
        index, end = 0, len(self.ticks)
        while loan.debt > 0 and not loan.has_shortfall:
            index = self._next(loan, rules, index)
            if index >= end:
                break
            self._judge(loan, rules, index)
            index += 1
        self._close(loan)

    def _next(self, loan: Holding, rules: _Rules, since: int) -> int:
        """The first tick from `since` on at which anything may happen to the loan."""
        end = len(self.ticks)
        if loan.in_sale:
            return since
        if loan.called_at is not None:
            return self._next_of_call(loan, rules, since)
        stage, sats, wei = loan.stage, loan.btc_sats, loan.eth_wei
        # A call comes below its coverage: in whole numbers, at one less.
        limit = loan.debt * (rules.next[stage] if stage < CALL else rules.sale) - (stage == CALL - 1)
        found = self.low.first(sats, wei, limit, since, end)
        if stage:
            found = self.high.first(sats, wei, -loan.debt * rules.recovered, since, found)
        return found

    def _next_of_call(self, loan: Holding, rules: _Rules, since: int) -> int:
        called, deadline = loan.called_at or 0, self.parameters.deadline_hours * HOUR
        until = bisect_left(self.minutes, called + deadline, since)
        if answers(loan.number, self.parameters.response_bps):
            until = min(until, bisect_left(self.minutes, called + (deadline + 1) // 2, since))
        until = self.low.first(loan.btc_sats, loan.eth_wei, loan.debt * rules.sale, since, until)
        if loan.terms.cured_by_price:
            until = self.high.first(loan.btc_sats, loan.eth_wei, -loan.debt * rules.cure, since, until)
        return until

    def _judge(self, loan: Holding, rules: _Rules, index: int) -> None:
        tick = self.ticks[index]
        if not loan.in_sale:
            self._step(loan, rules, index, tick)
        if loan.in_sale:
            self._sell(loan, rules, index, tick)

    def _step(self, loan: Holding, rules: _Rules, index: int, tick: Tick) -> None:
        worth = loan.btc_sats * self.btc[index] + loan.eth_wei * self.eth[index]
        if worth <= loan.debt * rules.sale:  # whatever the deadline
            tick.overtaken += loan.called_at is not None
            self._begin_sale(loan, tick)
        elif loan.called_at is not None:
            self._answer(loan, rules, index, worth)
        else:
            self._remind(loan, rules, tick, worth)

    def _remind(self, loan: Holding, rules: _Rules, tick: Tick, worth: int) -> None:
        first, second, call = rules.next
        debt = loan.debt
        reached = CALL if worth < debt * call else 2 if worth <= debt * second else 1 if worth <= debt * first else 0
        if reached > loan.stage:
            loan.stage = reached
            if reached == CALL:
                loan.called_at = tick.minutes
                tick.calls += 1
                self.result.happens("call", tick, loan)
            else:
                tick.reminders += 1
        elif worth >= debt * rules.recovered:  # the reminders start over
            loan.stage = _taken(loan, rules, worth)

    def _answer(self, loan: Holding, rules: _Rules, index: int, worth: int) -> None:
        """An open call: cured by the price, by the borrower, or ended by its deadline."""
        tick = self.ticks[index]
        waited = tick.minutes - (loan.called_at or 0)
        deadline = self.parameters.deadline_hours * HOUR
        # At the deadline a loan that is back above the call's own level has nothing to sell.
        enough = rules.next[2] if waited >= deadline else rules.cure
        if loan.terms.cured_by_price and worth >= loan.debt * enough:
            _cure(loan, rules, tick, worth)
        elif answers(loan.number, self.parameters.response_bps) and 2 * waited >= deadline:
            self._top_up(loan, rules, index, worth)
        elif waited >= deadline:
            tick.expired += 1
            self._begin_sale(loan, tick)

    def _top_up(self, loan: Holding, rules: _Rules, index: int, worth: int) -> None:
        """What is missing to the call's target, in bitcoin if the loan has any, else in ether."""
        tick = self.ticks[index]
        missing = max(0, loan.debt * rules.call_target - worth)
        if loan.btc_sats and self.btc[index]:
            units = -(-missing // self.btc[index])
            loan.btc_sats += units
            tick.added_sats += units
        else:
            units = -(-missing // self.eth[index])
            loan.eth_wei += units
            tick.added_wei += units
        _cure(loan, rules, tick, loan.btc_sats * self.btc[index] + loan.eth_wei * self.eth[index])

    def _begin_sale(self, loan: Holding, tick: Tick) -> None:
        loan.in_sale, loan.called_at = True, None
        tick.sales += 1
        self.result.happens("sale", tick, loan)

    def _sell(self, loan: Holding, rules: _Rules, index: int, tick: Tick) -> None:
        """As many slices as a tick allows; the sale ends at its target, or with a shortfall when nothing is left."""
        btc, eth, unit = self.btc[index], self.eth[index], self.unit
        kept = BPS - self.parameters.slippage_bps - loan.terms.fee_bps
        suffered = self.result.suffered.setdefault(loan.borrower, Suffered(loan.borrower))
        for _ in range(self.parameters.slices_per_tick):
            piece = next_piece(loan.btc_sats, loan.eth_wei, btc, eth, loan.debt * unit, rules)
            if piece is None:
                self._end_sale(loan, rules, index, tick)
                return
            is_btc, units = piece
            gross = units * (btc if is_btc else eth)
            proceeds = gross * kept // (BPS * unit)
            repaid = min(loan.debt, proceeds)
            loan.debt -= repaid
            worth = gross // unit
            if is_btc:
                loan.btc_sats -= units
                tick.sold_sats += units
                tick.sold_btc_worth += worth
            else:
                loan.eth_wei -= units
                tick.sold_wei += units
                tick.sold_eth_worth += worth
            suffered.sold_worth += worth
            tick.proceeds += proceeds
            tick.repaid += repaid
            tick.surplus += proceeds - repaid

    def _end_sale(self, loan: Holding, rules: _Rules, index: int, tick: Tick) -> None:
        loan.in_sale = False
        suffered = self.result.suffered[loan.borrower]
        suffered.loans += 1
        if loan.debt and not (loan.btc_sats or loan.eth_wei):
            loan.has_shortfall = True
            tick.shortfalls += 1
            tick.shortfall += loan.debt
            suffered.shortfall += loan.debt
            self.result.happens("shortfall", tick, loan)
        else:
            loan.stage = _taken(loan, rules, loan.btc_sats * self.btc[index] + loan.eth_wei * self.eth[index])

    def _close(self, loan: Holding) -> None:
        """What the end of the path leaves open."""
        self.result.still_selling += loan.in_sale
        self.result.still_called += loan.called_at is not None
        if loan.debt and not loan.has_shortfall and self.ticks:
            worth = loan.btc_sats * self.btc[-1] + loan.eth_wei * self.eth[-1]
            self.result.uncovered += max(0, loan.debt - worth // self.unit)


def _taken(loan: Holding, rules: _Rules, worth: int) -> int:
    """The step before the highest one that lies below the coverage, as `positions.rearm` has it."""
    return next((taken for taken, level in enumerate(rules.next) if worth >= loan.debt * level), CALL)


def _cure(loan: Holding, rules: _Rules, tick: Tick, worth: int) -> None:
    loan.called_at, loan.stage = None, _taken(loan, rules, worth)
    tick.cured += 1
