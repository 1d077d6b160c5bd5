"""A price finds exactly the loans that it breaches, and each step is found once."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lending import coverage
from lending.coverage import Prices
from lending.models import Breach, Position, PriceTick, Stage
from lending.services import monitoring, positions
from lending.tests import books

pytestmark = pytest.mark.django_db
D = Decimal
BTC, ETH = 10**8, 10**18


def brute_force(ticked: PriceTick) -> dict[int, int]:
    """Loan → deepest step reached, by looking at every position with exact arithmetic."""
    found = {}
    for row in Position.objects.select_related("loan__terms").filter(currency=ticked.currency).exclude(stage=0):
        if (row.btc_sats and ticked.btc is None) or (row.eth_wei and ticked.eth is None) or not row.debt:
            continue
        if not row.btc_sats and not row.eth_wei and ticked.btc is None:
            continue  # nothing there to price: judged with the price of bitcoin
        prices = Prices(
            ticked.currency, ticked.btc.value if ticked.btc else None, ticked.eth.value if ticked.eth else None
        )
        worth = coverage.value(btc_sats=row.btc_sats, eth_wei=row.eth_wei, prices=prices)
        owed = D(row.debt) / (1 if row.currency == "JPY" else 100)
        reached = 0
        for step in (Stage.REMINDER_FIRST, Stage.REMINDER_SECOND, Stage.CALL, Stage.SALE):
            threshold = owed * positions.threshold(row.loan.terms, step)
            if worth * 10_000 < threshold or (step != Stage.CALL and worth * 10_000 == threshold):
                reached = int(step)
        if reached >= row.stage:
            found[row.loan_id] = reached
    return found


held = st.tuples(
    st.integers(0, 5 * BTC), st.integers(0, 60 * ETH), st.integers(0, 40_000_000), st.sampled_from([1, 2, 3, 4]),
    st.sampled_from(["both", "btc", "eth", "none"]), st.sampled_from(["JPY", "USD"]),
)  # fmt: skip
price = st.decimals(min_value=D("0.5"), max_value=D(2), places=4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(held, min_size=1, max_size=12), st.one_of(st.none(), price), st.one_of(st.none(), price))
def test_the_sweep_finds_what_looking_at_every_loan_finds(book, btc, eth):
    if btc is None and eth is None:
        return
    Breach.objects.all().delete()
    Position.objects.all().delete()
    on = {currency: books.terms(currency) for currency in ("JPY", "USD")}
    for sats, wei, debt, stage, kind, currency in book:
        books.position(
            books.loan(currency=currency, on=on[currency]),
            btc=sats if kind in ("both", "btc") else 0,
            eth=wei if kind in ("both", "eth") else 0,
            debt=debt,
            stage=stage,
        )
    for currency in ("JPY", "USD"):
        ticked = books.tick(
            currency,
            btc=books.START[f"BTC/{currency}"] * btc if btc is not None else None,
            eth=books.START[f"ETH/{currency}"] * eth if eth is not None else None,
        )
        expected = brute_force(ticked)
        found = monitoring.evaluate(tick_id=ticked.pk)
        written = dict(Breach.objects.filter(tick=ticked).values_list("loan_id", "stage"))
        assert written == expected
        assert found.breaches == len(expected)
        assert not brute_force(ticked)  # every row moved on


def test_a_deep_fall_is_one_breach_of_the_deepest_step():
    row = books.loan()
    books.position(row, btc=BTC, debt=7_500_000)
    monitoring.evaluate(tick_id=books.tick(btc=D(8_900_000)).pk)
    assert Breach.objects.get().stage == Stage.SALE
    assert Position.objects.get().reach is None


@pytest.mark.parametrize(
    ("worth", "stage", "comes"),
    [
        (17_500_000, 1, True),
        (17_500_001, 1, False),
        (15_000_000, 3, False),
        (14_999_999, 3, True),
        (12_000_000, 4, True),
    ],
)
def test_the_edges_are_exact(worth, stage, comes):
    books.position(books.loan(), btc=BTC, debt=10_000_000, stage=stage)
    assert monitoring.evaluate(tick_id=books.tick(btc=D(worth)).pk).breaches == int(comes)


def test_a_tick_judged_twice_finds_nothing_more():
    books.position(books.loan(), btc=BTC, debt=10_000_000)
    ticked = books.tick(btc=D(17_000_000))
    assert monitoring.evaluate(tick_id=ticked.pk) == monitoring.evaluate(tick_id=ticked.pk)
    monitoring.evaluate(tick_id=books.tick(btc=D(17_000_000)).pk)
    assert Breach.objects.count() == 1


def test_a_recovery_is_found_at_its_coverage_and_once():
    row = books.position(books.loan(), btc=BTC, debt=10_000_000, stage=4)
    row.cure_bps = 17_500
    positions.reindex(row)
    row.save()
    assert monitoring.evaluate(tick_id=books.tick(btc=D(17_499_999)).pk).cures == 0
    assert monitoring.evaluate(tick_id=books.tick(btc=D(17_500_000)).pk).cures == 1
    assert monitoring.evaluate(tick_id=books.tick(btc=D(20_000_000)).pk).cures == 0


def test_only_the_newest_price_that_waits_is_judged():
    books.position(books.loan(), btc=BTC, debt=10_000_000)
    books.tick(btc=D(11_000_000))
    books.tick(btc=D(18_000_000))
    assert monitoring.run_sweep()
    assert not Breach.objects.exists()
    assert not PriceTick.objects.filter(evaluated_at=None).exists()
