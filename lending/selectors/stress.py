"""A stress run as people read it: figures over time, what drove it, and the path itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from django.db.models.fields.json import KeyTransform
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from lending.coverage import BPS
from lending.models import Currency, Loan, StressRun
from lending.money import from_minor, money
from lending.stress import FIGURES, timeline
from lending.stress_paths import HOUR, Point
from portal.models import User
from portal.money import Money

#: A chart shows at most so many moments; so many hours one of them spans at the least.
_MOST_BARS: Final = 48
_SPANS: Final = (1, 2, 3, 6, 12, 24, 48)
_MILLION: Final = 1_000_000
_LARGE: Final = 10_000_000
_UNITS: Final = {
    ("JPY", True): _("¥m"),
    ("USD", True): _("$m"),
    ("JPY", False): _("¥"),
    ("USD", False): _("$"),
}


def path_words(points: Sequence[Point], code: str) -> str:
    """A path in one line: its day, and where prices stand at its lowest."""
    assets = (("BTC", "btc"), ("ETH", "eth"), ("USD/JPY", "usdjpy"))
    lows = ((name, min(getattr(point, each) for point in points)) for name, each in assets)
    falls = ", ".join(f"{name} −{(BPS - low) // 100}%" for name, low in lows if low < BPS)
    return f"{code}: {falls}" if code else falls


def run_words(run: StressRun) -> str:
    """The path of a run in one line."""
    words = path_words([Point(**point) for point in run.points], run.path_code)
    return words if run.path_code else str(_("Own steps: %(falls)s") % {"falls": words or "—"})


@dataclass(frozen=True, slots=True)
class Earlier:
    """One line of the list of runs: what was asked, and what it came to in each currency."""

    run: StressRun
    words: str
    sales: int
    shortfalls: list[Money]


def recent_runs(limit: int = 50) -> list[Earlier]:
    """The newest runs. Their results are large: only the totals are read."""
    totals = {currency: KeyTransform("totals", KeyTransform(currency, "results")) for currency in Currency.values}
    rows = StressRun.objects.select_related("asked_by").defer("results").annotate(**totals)[:limit]
    return [_earlier(row) for row in rows]


def _earlier(row: StressRun) -> Earlier:
    totals = {currency: found for currency in Currency.values if (found := getattr(row, currency))}
    return Earlier(
        row, run_words(row), sum(each["sales"] for each in totals.values()),
        [money(each["shortfall"], currency) for currency, each in totals.items()],
    )  # fmt: skip


@dataclass(slots=True)
class Span:
    """What happened in one currency between two hours."""

    since: int
    until: int
    is_blind: bool = False
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FIGURES, 0))
    proceeds: Money | None = None
    shortfall: Money | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Rows for the chart element, with the unit of its axis."""

    rows: list[tuple[Any, ...]]
    unit: str | Promise = ""


@dataclass(frozen=True, slots=True)
class Driver:
    """One of the borrowers whose loans were sold the most, or fell short."""

    borrower: User | None
    loans: int
    sold: Money
    shortfall: Money


@dataclass(frozen=True, slots=True)
class First:
    """The first loan that something happened to."""

    code: str
    what: str | Promise
    hour: Decimal
    loan: Loan | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did to the book of one currency."""

    currency: str
    totals: dict[str, int]
    debt: Money
    proceeds: Money
    shortfall: Money
    uncovered: Money
    sold: dict[str, Money]
    prices: dict[str, str]
    spans: list[Span]
    prices_chart: Chart
    counts_chart: Chart
    proceeds_chart: Chart
    shortfall_chart: Chart | None
    firsts: list[First]
    drivers: list[Driver]

    @property
    def overtaken_percent(self) -> int | None:
        """Of the calls that ended, so many hundredths the sale level ended before their deadline."""
        ended = self.totals["overtaken"] + self.totals["expired"] + self.totals["cured"]
        return 100 * self.totals["overtaken"] // ended if ended else None


def outcomes(run: StressRun) -> list[Outcome]:
    """The results of a run by currency; none while there are none."""
    people = User.objects.in_bulk({each["borrower"] for row in run.results.values() for each in row["largest"]})
    loans = Loan.objects.in_bulk({each[1] for row in run.results.values() for each in row["first"].values()})
    return [_outcome(run, currency, row, people, loans) for currency, row in sorted(run.results.items())]


def _outcome(
    run: StressRun, currency: str, row: dict[str, Any], people: dict[int, User], loans: dict[int, Loan]
) -> Outcome:
    totals, series = row["totals"], row["series"]
    spans = _spans(series, currency)
    return Outcome(
        currency=currency,
        totals=totals,
        **{name: money(totals[name], currency) for name in ("debt", "proceeds", "shortfall", "uncovered")},
        sold={asset: money(totals[f"sold_{asset.lower()}_worth"], currency) for asset in ("BTC", "ETH")},
        prices={asset: price["value"] for asset, price in row["prices"].items()},
        spans=[span for span in spans if span.is_blind or any(span.counts.values())],
        prices_chart=_prices_chart(run, currency, spans),
        counts_chart=Chart([(span.until, span.counts["calls"], span.counts["sales"]) for span in spans]),
        proceeds_chart=_sum_chart(spans, "proceeds", currency),
        shortfall_chart=_sum_chart(spans, "shortfall", currency) if totals["shortfall"] else None,
        firsts=[
            First(what, words, Decimal(minutes) / HOUR, loans.get(loan_id))
            for what, words in _FIRSTS.items()
            for minutes, loan_id in [row["first"].get(what, (None, None))]
            if minutes is not None
        ],
        drivers=[
            Driver(
                people.get(each["borrower"]),
                each["loans"],
                money(each["sold_worth"], currency),
                money(each["shortfall"], currency),
            )
            for each in row["largest"]
        ],
    )


_FIRSTS: Final = {"call": _("First call"), "sale": _("First sale"), "shortfall": _("First shortfall")}


def _spans(series: list[dict[str, Any]], currency: str) -> list[Span]:
    """The ticks put together to spans of whole hours, the first of them for what happens at once."""
    end = -(-series[-1]["minutes"] // HOUR)
    width = next((width for width in _SPANS if end <= width * _MOST_BARS), _SPANS[-1])
    found = [Span(0, 0), *(Span(until - width, until) for until in range(width, end + width, width))]
    for tick in series:
        span = found[-(-tick["minutes"] // (HOUR * width))]
        span.is_blind = span.is_blind or bool(tick.get("is_blind"))
        for name in FIGURES:
            span.counts[name] += tick.get(name, 0)
    for span in found:
        span.proceeds = money(span.counts["proceeds"], currency)
        span.shortfall = money(span.counts["shortfall"], currency)
    return found


def _prices_chart(run: StressRun, currency: str, spans: list[Span]) -> Chart:
    """Bitcoin and ether in this currency at the end of each span, in percent of where they began."""
    points = [Point(**point) for point in run.points]
    line = timeline(points, tail_hours=max(0, spans[-1].until - points[-1].minutes // HOUR))
    rows = []
    for span in spans:
        point = next(point for point in reversed(line) if point.minutes <= span.until * HOUR)
        rate = Decimal(point.usdjpy if currency == "JPY" else BPS) / BPS
        rows.append((span.until, *(round(Decimal(each) * rate / 100, 1) for each in (point.btc, point.eth))))
    return Chart(rows, "%")


def _sum_chart(spans: list[Span], name: str, currency: str) -> Chart:
    """How much it came to by the end of each span."""
    total, sums = 0, []
    for span in spans:
        total += span.counts[name]
        sums.append((span.until, from_minor(total, currency)))
    is_large = sums[-1][1] >= _LARGE
    return Chart(
        [(hour, (amount / _MILLION).quantize(Decimal("0.01")) if is_large else amount) for hour, amount in sums],
        _UNITS[currency, is_large],
    )
