"""How fast one price finds the loans it breaches, beside a plain loop over model objects in the same run.

A book of open loans is made (60 % bitcoin, 30 % ether, 10 % both; half yen, half dollars; coverage and next step spread
evenly as a living book's are), then prices fall just so far that 1,000 loans come to their next step. Timed is
`run_sweep` as production runs it: both currencies found, judged exactly, every breach recorded, positions moved on,
transactions committed, workers woken through Redis. `TICKS` such falls; the median is shown.

The loop is what one would write first, written well: `Loan` objects with `select_related`, read by `iterator`, each judged
by `lending.coverage`, a breach written for each that came to its step. It is measured on `SAMPLE` loans of the same book
and extrapolated in proportion. How many loans a tick must find is counted beforehand by a query that reads every row.

Then what else goes over the whole book: the daily accrual (`accrue_book` over every loan, a fiftieth of them late; a sample is
charged again by `lending.interest`, and the ledger must balance), a tick right after it, and, on the smaller book, each stress
path as a worker calculates it.

After filling, the tables are vacuumed and analysed, as autovacuum does in production; nothing is between the ticks. Run
`make bench-collateral`, with numbers of loans in `BENCH_BOOKS` for a shorter one (`BENCH_BOOKS=20000,200000`). Ends in one line `RATIO name=value …`.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings.test")

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.models import Sum  # noqa: E402
from django.utils import timezone  # noqa: E402

from lending import coverage, interest  # noqa: E402
from lending.coverage import Prices  # noqa: E402
from lending.models import (  # noqa: E402
    Accrual,
    Breach,
    Loan,
    Posting,
    Price,
    PricePolicy,
    PriceRound,
    PriceTick,
    Stage,
    StressRun,
)
from lending.services import accrual, stress  # noqa: E402
from lending.services.monitoring import run_sweep  # noqa: E402
from lending.stress_paths import PATHS  # noqa: E402
from portal.celery import app  # noqa: E402
from portal.models import User  # noqa: E402

BOOKS = tuple(int(count) for count in os.environ.get("BENCH_BOOKS", "100000,1000000").split(","))
BREACHES, TICKS, SAMPLE, CHARGED_AGAIN = 1_000, 7, 20_000, 2_000
START = {
    "BTC/JPY": Decimal(15_000_000),
    "ETH/JPY": Decimal(500_000),
    "BTC/USD": Decimal(100_000),
    "ETH/USD": Decimal(3_300),
}

#: People, terms and credit the loans hang on. One borrower is enough: the sweep never looks at people.
PEOPLE = """
INSERT INTO portal_user (password, is_superuser, email, display_name, language, theme, is_active, is_staff, date_joined)
SELECT '', false, 'bench' || n || '@musubi.example', 'Bench', 'en', '', true, false, now() FROM generate_series(1, 3) n
RETURNING id
"""
LOANS = """
INSERT INTO lending_loan (reference, borrower_id, borrower_kind, line_id, terms_id, currency, amount, rate_bps,
    collateral_plan, state, first_approval_by_id, approved_by_id, approved_at, accepted_at, accepted_sha256, started_on,
    matures_on, due_on, created_at, changed_at)
SELECT 'B' || n, %(borrower)s, 'individual', %(line)s, CASE n %% 2 WHEN 0 THEN %(yen)s ELSE %(dollar)s END,
    CASE n %% 2 WHEN 0 THEN 'JPY' ELSE 'USD' END, 500000000, 500, '', 'active', %(first)s, %(second)s, now(), now(), '',
    current_date - 30, current_date + 335, current_date + 335, now(), now()
FROM generate_series(1, %(count)s) n
"""
# x, y, z: three independent even spreads. Debt 2–50 million yen (or its like); coverage even within the loan's stage.
POSITIONS = """
INSERT INTO lending_position (loan_id, currency, btc_sats, eth_wei, debt, stage, threshold_bps, episode, share_bucket,
    reach, cure_bps, cure_reach)
WITH spread AS (
    SELECT id, currency, row_number() OVER (ORDER BY id) AS n, random() AS x, random() AS y, random() AS z, random() AS w
    FROM lending_loan
), staged AS (
    SELECT *, CASE WHEN x < .85 THEN 1 WHEN x < .92 THEN 2 WHEN x < .97 THEN 3 ELSE 4 END AS stage,
        CASE currency WHEN 'JPY' THEN 2000000 + floor(z * 48000000) ELSE 1500000 + floor(z * 30000000) END AS debt,
        CASE currency WHEN 'JPY' THEN 1 ELSE 100 END AS minor,
        CASE currency WHEN 'JPY' THEN 15000000 ELSE 100000 END AS btc,
        CASE currency WHEN 'JPY' THEN 500000 ELSE 3300 END AS eth,
        CASE n %% 10 WHEN 9 THEN .05 + .9 * w WHEN 6 THEN 0 WHEN 7 THEN 0 WHEN 8 THEN 0 ELSE 1 END AS part
    FROM spread
), valued AS (
    SELECT *, debt / minor * CASE stage WHEN 1 THEN 1.751 + 1.2 * y WHEN 2 THEN 1.601 + .149 * y
        WHEN 3 THEN 1.501 + .099 * y ELSE 1.201 + .298 * y END AS worth
    FROM staged
), held AS (
    SELECT *, ceil(worth * part / btc * 1e8)::bigint AS sats,
        CASE WHEN part = 1 THEN 0 ELSE ceil(worth * (1 - part) / eth * 1e9)::numeric * 1000000000 END AS wei
    FROM valued
)
SELECT id, currency, sats, wei, debt, stage,
    CASE stage WHEN 1 THEN 17500 WHEN 2 THEN 16000 WHEN 3 THEN 15000 ELSE 12000 END, 1,
    CASE WHEN wei = 0 THEN %(last)s WHEN sats = 0 THEN 0
        ELSE 1 + least(%(last)s - 2, floor(sats / 1e8 / (sats / 1e8 + %(ratio)s * (wei / 1e18)::float8) * (%(last)s - 1))) END,
    (debt::float8 / minor) * CASE stage WHEN 1 THEN 17500 WHEN 2 THEN 16000 WHEN 3 THEN 15000 ELSE 12000 END / 10000
        / (sats::float8 / 1e8 + %(ratio)s::float8 * (wei * 1e-18::numeric)::float8) * (1 + %(widening)s::float8),
    NULL, NULL
FROM held
"""
#: Clocks of interest that wait for yesterday alone; every fiftieth loan was due ten days ago.
CLOCKS = """
INSERT INTO lending_accrual (loan_id, currency, principal, rate_bps, late_rate_bps, due_on, through, interest_parts, late_parts,
    interest_booked, late_booked, is_running)
SELECT loan_id, currency, debt, 500, 1500,
    CASE WHEN loan_id %% 50 = 0 THEN %(target)s::date - 10 ELSE %(target)s::date + 300 END, %(target)s::date - 1, 0, 0, 0, 0, true
FROM lending_position
"""
#: By how much all prices must fall (as a factor) for each loan's step, exactly and for every row: what a tick must find.
FACTORS = """
SELECT f FROM (
    SELECT p.debt::numeric * p.threshold_bps / 10000 / CASE p.currency WHEN 'JPY' THEN 1 ELSE 100 END
        / (p.btc_sats / 1e8::numeric * CASE p.currency WHEN 'JPY' THEN %(bj)s ELSE %(bu)s END
         + p.eth_wei / 1e18::numeric * CASE p.currency WHEN 'JPY' THEN %(ej)s ELSE %(eu)s END) AS f
    FROM lending_position p WHERE p.stage > 0
) each ORDER BY f DESC OFFSET %(skip)s LIMIT 2
"""


@dataclass(frozen=True)
class Measured:
    loans: int
    tick_ms: float
    loop_s: float
    peak_mb: float


@dataclass(frozen=True)
class Accrued:
    seconds: float
    longest_s: float
    loans: int


def run(sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []


def make_book(count: int) -> None:
    """`count` open loans with their positions, made by the database."""
    run("SET statement_timeout = 0")
    run(
        "TRUNCATE lending_breach, lending_posting, lending_entry, lending_accrual, lending_position, lending_loan, lending_creditline, lending_creditapplication, "
        "lending_pricetick, lending_price, lending_priceround, portal_user CASCADE"
    )
    borrower, first, second = (row[0] for row in run(PEOPLE))
    line = make_line(borrower, first, second)
    yen, dollar = make_terms()
    run(LOANS, borrower=borrower, first=first, second=second, line=line, yen=yen, dollar=dollar, count=count)
    run(POSITIONS, last=coverage.BUCKETS - 1, ratio=coverage.REFERENCE_RATIO, widening=coverage.WIDENING)
    run(CLOCKS, target=accrual.yesterday())
    for table in ("lending_loan", "lending_position", "lending_accrual"):
        run(f"VACUUM ANALYZE {table}")
    run("RESET statement_timeout")


def make_line(borrower: int, first: int, second: int) -> int:
    from lending.models import CreditApplication, CreditLine

    people = {"borrower_kind": "individual", "currency": "JPY", "amount": Decimal(10**15)}
    application = CreditApplication.objects.create(
        applicant_id=borrower, subject="0x", purpose="other", state="approved", submitted_at=timezone.now(), **people
    )
    return CreditLine.objects.create(
        borrower_id=borrower, subject="0x", rate_bps=500, application=application,
        first_officer_id=first, second_officer_id=second, **people,
    ).pk  # fmt: skip


def make_terms() -> list[int]:
    from lending.models import ProductTerms

    common: dict[str, Any] = {
        "borrower_kind": "individual", "effective_from": "2020-01-01", "state": "approved",
        "rate_min_bps": 400, "rate_max_bps": 800, "late_rate_bps": 1500, "term_months": 12, "amount_min": 1,
        "amount_max": 10**15, "origination_bps": 20_000, "reminder_first_bps": 17_500, "reminder_second_bps": 16_000,
        "call_bps": 15_000, "sale_bps": 12_000, "call_target_bps": 20_000, "sale_target_bps": 15_000,
        "withdrawal_floor_bps": 20_000, "call_deadline_hours": 48, "sale_cost_bps": 100, "slice_limit": 10**7,
        "close_out_below": 100_000, "deposit_min_sats": 1, "deposit_min_wei": 1,
    }  # fmt: skip
    return [
        ProductTerms.objects.get_or_create(
            currency=currency, borrower_kind="individual", effective_from="2020-01-01", defaults={**common}
        )[0].pk
        for currency in ("JPY", "USD")
    ]


def fall_for(count: int) -> dict[str, Decimal]:
    """Prices at which exactly `count` loans come to their next step: between the last of them and the next one."""
    names = {"bj": "BTC/JPY", "ej": "ETH/JPY", "bu": "BTC/USD", "eu": "ETH/USD"}
    rows = run(FACTORS, skip=count - 1, **{key: START[pair] for key, pair in names.items()})
    factor = (rows[0][0] + rows[1][0]) / 2
    return {pair: (value * factor).quantize(Decimal("0.00000001")) for pair, value in START.items()}


def queue_tick(prices: dict[str, Decimal]) -> list[PriceTick]:
    """What `record_round` leaves behind: accepted prices, and an evaluation waiting per currency."""
    now = timezone.now()
    price_round = PriceRound.objects.create(started_at=now, finished_at=now)
    rows = {
        pair: Price.objects.create(pair=pair, value=value, at=now, price_round=price_round, sources=3)
        for pair, value in prices.items()
    }
    return [
        PriceTick.objects.create(
            price_round=price_round, currency=currency, btc=rows[f"BTC/{currency}"], eth=rows[f"ETH/{currency}"]
        )
        for currency in ("JPY", "USD")
    ]


def one_tick() -> float:
    """Seconds from the accepted price to every breach recorded and its action queued."""
    ticks = queue_tick(fall_for(BREACHES))
    before = Breach.objects.count()
    started = time.perf_counter()
    assert run_sweep()
    taken = time.perf_counter() - started
    found = Breach.objects.count() - before
    assert found == BREACHES, f"{found} breaches instead of {BREACHES}"
    pending = Breach.objects.filter(tick__in=ticks, state=Breach.State.PENDING).count()
    assert pending == BREACHES, f"{pending} actions queued instead of {BREACHES}"
    return taken


def loop(prices: dict[str, Decimal], sample: int) -> tuple[float, int]:
    """The plain loop over `sample` loans: (seconds, breaches it found). What it wrote is rolled back."""
    (tick,) = queue_tick(prices)[:1]
    by_currency = {
        currency: Prices(currency, prices[f"BTC/{currency}"], prices[f"ETH/{currency}"]) for currency in ("JPY", "USD")
    }
    found = 0
    with transaction.atomic():
        started = time.perf_counter()
        loans = Loan.objects.filter(state__in=Loan.OPEN).select_related("position", "terms").order_by("pk")[:sample]
        for loan in loans.iterator(chunk_size=2_000):
            position, terms = loan.position, loan.terms
            if not position.stage:
                continue
            worth = coverage.value(
                btc_sats=position.btc_sats, eth_wei=position.eth_wei, prices=by_currency[loan.currency]
            )
            steps = (
                (Stage.SALE, terms.sale_bps),
                (Stage.CALL, terms.call_bps),
                (Stage.REMINDER_SECOND, terms.reminder_second_bps),
                (Stage.REMINDER_FIRST, terms.reminder_first_bps),
            )
            reached = next(
                (
                    stage
                    for stage, bps in steps
                    if not coverage.reaches(worth=worth, debt=position.debt, currency=loan.currency, bps=bps)
                ),
                Stage.NONE,
            )
            if reached and reached >= position.stage:
                with transaction.atomic():
                    Breach.objects.create(
                        loan=loan, tick=tick, kind=Breach.Kind.FALL, stage=reached, episode=position.episode,
                        debt=position.debt, worth=worth.quantize(Decimal("1e-18")), found_at=timezone.now(),
                    )  # fmt: skip
                    position.stage, position.reach = (reached + 1) % 5, None
                    position.save(update_fields=["stage", "reach"])
                found += 1
        taken = time.perf_counter() - started
        transaction.set_rollback(True)
    return taken, found


def charge_the_book(count: int) -> Accrued:
    """Yesterday's interest of every loan; checked against the model's own arithmetic and the ledger."""
    batches: list[float] = []
    module: Any = accrual
    real = module._accrue_batch

    def timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return real(*arguments)
        finally:
            batches.append(time.perf_counter() - began)

    module._accrue_batch = timed
    try:
        started = time.perf_counter()
        runs = accrual.accrue_book()
        taken = time.perf_counter() - started
        assert sum(each.loans for each in runs) == count, "a loan was not charged"
        assert not any(each.loans for each in accrual.accrue_book()), "a loan was charged twice"
    finally:
        module._accrue_batch = real
    check_interest()
    return Accrued(taken, max(batches), count)


def check_interest() -> None:
    """A sample's interest, by `lending.interest`, stands on its clock, in the ledger and in its position."""
    clocks = list(Accrual.objects.order_by("?").select_related("loan__position")[:CHARGED_AGAIN])
    late = 0
    owed = dict(
        Posting.objects.filter(loan_id__in=[each.loan_id for each in clocks])
        .values_list("loan_id")
        .annotate(total=Sum("amount"))
    )
    for clock in clocks:
        days = interest.days_between(
            through=accrual.yesterday() - timedelta(days=1), target=accrual.yesterday(), due_on=clock.due_on
        )
        parts = (
            interest.parts(principal=clock.principal, rate_bps=clock.rate_bps, days=days.regular),
            interest.parts(principal=clock.principal, rate_bps=clock.late_rate_bps, days=days.late),
        )
        late += days.late
        expected = sum(interest.whole(each) for each in parts)
        assert (clock.interest_parts, clock.late_parts) == parts
        assert clock.interest_booked + clock.late_booked == int(owed.get(clock.loan_id, 0)) == expected
        assert clock.loan.position.debt == clock.principal + expected
    assert 0 < late < len(clocks)
    assert not run("SELECT unit, sum(amount) FROM lending_posting GROUP BY unit HAVING sum(amount) <> 0")


def stress_paths() -> None:
    """Every historical path over the book, as the worker calculates it."""
    officer = User.objects.order_by("id")[1]
    for pair, value in START.items():
        PricePolicy.objects.update_or_create(pair=pair, defaults={"valid_seconds": 86_400})
        now = timezone.now()
        rounds = PriceRound.objects.create(started_at=now, finished_at=now)
        Price.objects.create(pair=pair, value=value, at=now, price_round=rounds, sources=3)
    for code, path in PATHS.items():
        row = StressRun.objects.create(
            path_code=code, points=[asdict(point) for point in path.points], deadline_hours=48, response_bps=0,
            slippage_bps=100, outage_from_hour=0, outage_hours=0, asked_by=officer,
        )  # fmt: skip
        started = time.perf_counter()
        assert stress.execute_waiting(run_id=row.pk) == 1
        taken = time.perf_counter() - started
        row.refresh_from_db()
        assert row.state == StressRun.State.DONE, row.problem
        totals = [each["totals"] for each in row.results.values()]
        calls, sales = (sum(each[name] for each in totals) for name in ("calls", "sales"))
        print(f"{row.loans:>9,} loans: path {code} {taken:6.2f} s, {calls:,} calls, {sales:,} sales")


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(count: int) -> Measured:
    make_book(count)
    one_tick()  # the first meets cold caches and unplanned statements
    ticks = [one_tick() for _ in range(TICKS)]
    peak = peak_mb()
    seconds, found = loop(fall_for(BREACHES), min(SAMPLE, count))
    whole = seconds * count / min(SAMPLE, count)
    size = run("SELECT pg_size_pretty(pg_relation_size('lending_position_reach'))")[0][0]
    print(
        f"{count:>9,} loans: tick {statistics.median(ticks) * 1000:7.1f} ms "
        f"({min(ticks) * 1000:.1f}–{max(ticks) * 1000:.1f}), {BREACHES:,} breaches recorded and queued; "
        f"loop {seconds:.2f} s on {min(SAMPLE, count):,} ({found} breaches) → {whole:,.1f} s; index {size}; peak {peak:.0f} MB"
    )
    charged = charge_the_book(count)
    after = one_tick()
    print(
        f"{count:>9,} loans: interest of a day in {charged.seconds:.1f} s, {count / charged.seconds:,.0f} loans a second, "
        f"the longest batch {charged.longest_s:.2f} s; {CHARGED_AGAIN:,} charged again and equal; "
        f"a tick right after it {after * 1000:.1f} ms; peak {peak_mb():.0f} MB"
    )
    if count == BOOKS[0]:
        stress_paths()
    return Measured(count, statistics.median(ticks) * 1000, whole, max(peak, peak_mb()))


def main() -> None:
    print("load average {:.2f} {:.2f} {:.2f}".format(*os.getloadavg()))
    app.conf.task_always_eager = False  # workers are woken through Redis, as in production
    creation: Any = connection.creation
    creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        small, large = (measure(count) for count in BOOKS)
    finally:
        app.control.purge()
        creation.destroy_test_db(settings.DATABASES["default"]["NAME"], verbosity=0)
    ratio = large.loop_s * 1000 / large.tick_ms
    print("load average {:.2f} {:.2f} {:.2f}".format(*os.getloadavg()))
    print(
        f"\nRATIO sweep_vs_loop={ratio:.0f} cost_1m_vs_100k={large.tick_ms / small.tick_ms:.2f} "
        f"tick_ms={large.tick_ms:.1f} peak_mb={max(small.peak_mb, large.peak_mb):.0f}"
    )


if __name__ == "__main__":
    main()
