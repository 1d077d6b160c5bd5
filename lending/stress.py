"""What a fall of prices would do to the book. Pure, no database; a loan at a time, exactly, by the desk's own arithmetic.

Verdicts are `lending.coverage`, sizes of sales `lending.execution.sizing`: what the desk does by, this does by. Interest
during the path is left out. A loan that no price of the path brings to a step is passed over after one comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Final

from lending import coverage
from lending.coverage import BPS, Prices
from lending.execution.sizing import next_slice
from lending.money import ASSET_DIGITS, EXACT, floor_minor, from_minor, to_minor
from lending.stress_paths import HOUR, Point

#: Doubles only decide whether a loan is looked at exactly; they err on the side of looking.
_NEAR: Final = 1 + 1e-6
CALL, SALE = 3, 4


@dataclass(frozen=True, slots=True)
class Terms:
    """What of the product terms a fall sets in motion."""

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
    #: Prices stay at the low so long after the path, so that deadlines pass and sales end.
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
    stage: int = 0
    called_at: int | None = None
    in_sale: bool = False
    has_shortfall: bool = False


@dataclass(slots=True)
class Tick:
    """What happened in one currency between the tick before and this one. Money in minor units."""

    minutes: int
    is_blind: bool = False
    reminders: int = 0
    calls: int = 0
    cured: int = 0
    expired: int = 0
    sales: int = 0
    sold_sats: int = 0
    sold_wei: int = 0
    added_sats: int = 0
    added_wei: int = 0
    sold_worth: int = 0
    proceeds: int = 0
    repaid: int = 0
    surplus: int = 0
    shortfalls: int = 0
    shortfall: int = 0


@dataclass(slots=True)
class Result:
    """The whole path in one currency, and what is left open at its end."""

    currency: str
    loans: int = 0
    debt: int = 0
    ticks: list[Tick] = field(default_factory=list)
    still_selling: int = 0
    #: Debt above the worth of what is left, of loans whose collateral is not sold out yet.
    uncovered: int = 0

    def total(self, name: str) -> int:
        return sum(getattr(tick, name) for tick in self.ticks)

    def totals(self) -> dict[str, int]:
        names = [name for name in asdict(Tick(0)) if name not in ("minutes", "is_blind")]
        return {name: self.total(name) for name in names} | {
            "loans": self.loans, "debt": self.debt, "still_selling": self.still_selling, "uncovered": self.uncovered,
        }  # fmt: skip


def timeline(points: Sequence[Point], *, tail_hours: int) -> list[Point]:
    """Every full hour and every point of the path, straight lines between, then the low for `tail_hours`."""
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
    """Send the book down the path; changes `holdings`. One result for every currency that `start` prices."""
    line = timeline(points, tail_hours=parameters.tail_hours)
    roads = {currency: _Road(prices, line, parameters) for currency, prices in start.items()}
    for count, holding in enumerate(holdings, 1):
        roads[holding.currency].travel(holding)
        if progress is not None and count % 1000 == 0:
            progress(count)
    return {currency: road.result for currency, road in roads.items()}


class _Road:
    """The path in one currency, and what happens along it."""

    def __init__(self, start: Prices, line: list[Point], parameters: Parameters) -> None:
        self.parameters = parameters
        self.prices = [prices_at(start, point) for point in line]
        ticks = [Tick(point.minutes, parameters.is_blind(point.minutes)) for point in line]
        self.result = Result(currency=start.currency, ticks=ticks)
        digits = 10 ** (0 if start.currency == "JPY" else 2)
        self.rough = [
            (float(p.btc or 0) * digits / 1e8, float(p.eth or 0) * digits / 1e18) for p in self.prices
        ]  # minor units for one base unit
        self.lowest = (min(btc for btc, _ in self.rough), min(eth for _, eth in self.rough))

    def travel(self, loan: Holding) -> None:
        """One loan, tick by tick, as long as anything may still happen to it."""
        self.result.loans += 1
        self.result.debt += loan.debt
        if loan.debt <= 0 or not (loan.in_sale or loan.called_at is not None or self._is_near(loan, self.lowest)):
            return
        for index, tick in enumerate(self.result.ticks):
            if tick.is_blind:
                continue
            if loan.in_sale or self._is_due(loan, tick) or self._is_near(loan, self.rough[index]):
                self._judge(loan, tick, self.prices[index])
                if loan.debt == 0 or loan.has_shortfall:
                    break
        self._close(loan)

    def _is_due(self, loan: Holding, tick: Tick) -> bool:
        """An open call that the borrower's answer or the deadline may end now."""
        return (
            loan.called_at is not None and 2 * (tick.minutes - loan.called_at) >= self.parameters.deadline_hours * HOUR
        )

    def _is_near(self, loan: Holding, rough: tuple[float, float]) -> bool:
        steps = (
            loan.terms.reminder_first_bps,
            loan.terms.reminder_second_bps,
            loan.terms.call_bps,
            loan.terms.sale_bps,
        )
        worth = loan.btc_sats * rough[0] + loan.eth_wei * rough[1]
        if loan.called_at is not None and worth * _NEAR >= loan.debt * loan.terms.call_cure_bps / BPS:
            return True
        return worth <= loan.debt * steps[min(loan.stage, 3)] / BPS * _NEAR

    def _judge(self, loan: Holding, tick: Tick, prices: Prices) -> None:
        worth = coverage.value(btc_sats=loan.btc_sats, eth_wei=loan.eth_wei, prices=prices)
        if not loan.in_sale:
            self._step(loan, tick, worth, prices)
        if loan.in_sale:
            self._sell(loan, tick, prices)

    def _step(self, loan: Holding, tick: Tick, worth: Decimal, prices: Prices) -> None:
        reached = reached_step(loan, worth)
        if reached == SALE:  # whatever the deadline
            _begin_sale(loan, tick)
        elif loan.called_at is not None:
            self._answer(loan, tick, worth, prices)
        elif reached > loan.stage:
            loan.stage = reached
            if reached == CALL:
                loan.called_at = tick.minutes
                tick.calls += 1
            else:
                tick.reminders += 1

    def _answer(self, loan: Holding, tick: Tick, worth: Decimal, prices: Prices) -> None:
        """An open call: cured by the price, by the borrower, or ended by its deadline."""
        waited = tick.minutes - (loan.called_at or 0)
        deadline = self.parameters.deadline_hours * HOUR
        cured = _reaches(loan, worth, loan.terms.call_cure_bps)
        if loan.terms.cured_by_price and waited >= deadline:
            cured = cured or _reaches(loan, worth, loan.terms.call_bps)
        if loan.terms.cured_by_price and cured:
            _cure(loan, tick)
        elif answers(loan.number, self.parameters.response_bps) and 2 * waited >= deadline:
            _top_up(loan, tick, worth, prices)
            _cure(loan, tick)
        elif waited >= deadline:
            tick.expired += 1
            _begin_sale(loan, tick)

    def _sell(self, loan: Holding, tick: Tick, prices: Prices) -> None:
        """As many slices as a tick allows; the sale ends at its target, or with a shortfall when nothing is left."""
        for _ in range(self.parameters.slices_per_tick):
            if not self._slice(loan, tick, prices):
                return

    def _slice(self, loan: Holding, tick: Tick, prices: Prices) -> bool:
        held = {"BTC": loan.btc_sats, "ETH": loan.eth_wei}
        at = {"BTC": prices.btc, "ETH": prices.eth}
        piece = next_slice(
            holdings={asset: units for asset, units in held.items() if units},
            prices={asset: price for asset, price in at.items() if price is not None},
            debt=from_minor(loan.debt, loan.currency),
            target_bps=loan.terms.sale_target_bps,
            cost_bps=loan.terms.cost_bps,
            slice_limit=loan.terms.slice_limit,
            close_out_below=loan.terms.close_out_below,
        )
        if piece is None:
            loan.in_sale, loan.stage, loan.called_at = False, 0, None
            if loan.debt and not (loan.btc_sats or loan.eth_wei):
                _fall_short(loan, tick)
            return False
        price = at[piece.asset] or Decimal(0)
        gross = EXACT.multiply(EXACT.scaleb(Decimal(piece.units), -ASSET_DIGITS[piece.asset]), price)
        kept = Decimal(BPS - self.parameters.slippage_bps - loan.terms.fee_bps) / BPS
        proceeds = floor_minor(EXACT.multiply(gross, kept), loan.currency)
        repaid = min(loan.debt, proceeds)
        loan.debt -= repaid
        if piece.asset == "BTC":
            loan.btc_sats -= piece.units
            tick.sold_sats += piece.units
        else:
            loan.eth_wei -= piece.units
            tick.sold_wei += piece.units
        tick.sold_worth += floor_minor(gross, loan.currency)
        tick.proceeds += proceeds
        tick.repaid += repaid
        tick.surplus += proceeds - repaid
        return True

    def _close(self, loan: Holding) -> None:
        """What the end of the path leaves open."""
        self.result.still_selling += loan.in_sale
        if loan.debt and not loan.has_shortfall:
            worth = coverage.value(btc_sats=loan.btc_sats, eth_wei=loan.eth_wei, prices=self.prices[-1])
            self.result.uncovered += max(0, loan.debt - floor_minor(worth, loan.currency))


def reached_step(loan: Holding, worth: Decimal) -> int:
    """The deepest step that the coverage reaches: as the sweep's statement has it, at or below; a call below."""
    terms = loan.terms
    if _falls_to(loan, worth, terms.sale_bps):
        return SALE
    if not _reaches(loan, worth, terms.call_bps):
        return CALL
    if _falls_to(loan, worth, terms.reminder_second_bps):
        return 2
    return 1 if _falls_to(loan, worth, terms.reminder_first_bps) else 0


def answers(number: int, response_bps: int) -> bool:
    """Whether a called borrower tops up; the same loans in every run, spread over the book."""
    return number * 2_654_435_761 % 2**32 * BPS // 2**32 < response_bps


def _reaches(loan: Holding, worth: Decimal, bps: int) -> bool:
    return coverage.reaches(worth=worth, debt=loan.debt, currency=loan.currency, bps=bps)


def _falls_to(loan: Holding, worth: Decimal, bps: int) -> bool:
    return coverage.falls_to(worth=worth, debt=loan.debt, currency=loan.currency, bps=bps)


def _begin_sale(loan: Holding, tick: Tick) -> None:
    loan.in_sale, loan.called_at = True, None
    tick.sales += 1


def _cure(loan: Holding, tick: Tick) -> None:
    loan.called_at, loan.stage = None, 0
    tick.cured += 1


def _top_up(loan: Holding, tick: Tick, worth: Decimal, prices: Prices) -> None:
    """What is missing to the call's target, in bitcoin if the loan has any, else in ether."""
    asset = "BTC" if loan.btc_sats and prices.btc else "ETH"
    price = (prices.btc if asset == "BTC" else prices.eth) or Decimal(1)
    needed = EXACT.multiply(from_minor(loan.debt, loan.currency), Decimal(loan.terms.call_target_bps) / BPS)
    coins = EXACT.divide(max(Decimal(0), EXACT.subtract(needed, worth)), price)
    units = to_minor(coins.quantize(Decimal(1).scaleb(-ASSET_DIGITS[asset]), rounding="ROUND_UP", context=EXACT), asset)
    if asset == "BTC":
        loan.btc_sats += units
        tick.added_sats += units
    else:
        loan.eth_wei += units
        tick.added_wei += units


def _fall_short(loan: Holding, tick: Tick) -> None:
    loan.has_shortfall = True
    tick.shortfalls += 1
    tick.shortfall += loan.debt
