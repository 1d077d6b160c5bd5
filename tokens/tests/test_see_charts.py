"""What the charts of holdings, bonds and placements show."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from chain.models import Block, EventLog, Movement
from portal.money import Money
from tokens import selectors
from tokens.cash_flow import cash_flow
from tokens.models import TOKYO, Security
from tokens.over_time import MOST_POINTS, values_over_time
from tokens.tests.conftest import World, terms


def bond(**changes: Any) -> Security:
    return Security(
        **terms(issue_date=date(2026, 11, 30), maturity_date=date(2027, 11, 30), record_date=date(2027, 11, 15))
        | changes
    )


def paid(security: Security, units: int) -> list[tuple[date, int, int]]:
    return [(flow.on, int(flow.interest.amount), int(flow.redemption.amount)) for flow in cash_flow(security, units)]


# --- what a bond pays ------------------------------------------------------------------------------------


def test_the_sample_issue_pays_half_its_rate_twice_and_its_face_at_the_end():
    """DOMAIN §3: JPY 1,000,000,000, one year, 0.8 %."""
    assert paid(bond(), 10_000) == [(date(2027, 5, 30), 4_000_000, 0), (date(2027, 11, 30), 4_000_000, 1_000_000_000)]


def test_a_short_first_period_is_pro_rated_by_the_days_of_its_half_year():
    """149 of 181 days: 0.004 × 149 / 181 = 0.00329281767955…, cut below 13 decimals, on 100,000 yen: 329."""
    short = bond(issue_date=date(2027, 2, 1), maturity_date=date(2027, 12, 31))
    assert paid(short, 1) == [(date(2027, 6, 30), 329, 0), (date(2027, 12, 31), 400, 100_000)]


def test_a_bond_of_less_than_half_a_year_pays_once():
    """90 of the 184 days from 30 May to 30 November."""
    assert paid(bond(issue_date=date(2027, 9, 1)), 1) == [(date(2027, 11, 30), 195, 100_000)]


def test_interest_days_stay_at_the_end_of_the_month_after_a_february():
    days = [on for on, _interest, _face in paid(bond(issue_date=date(2025, 8, 31), maturity_date=date(2027, 8, 31)), 1)]
    assert days == [date(2026, 2, 28), date(2026, 8, 31), date(2027, 2, 28), date(2027, 8, 31)]


def test_dollars_keep_their_cents():
    flows = cash_flow(bond(currency="USD", face_value=Decimal(1_000), rate_bps=333), 1)
    assert [flow.interest for flow in flows] == [Money(Decimal("16.65"), "USD")] * 2


@given(
    months=st.integers(1, 120),
    offset=st.integers(0, 30),
    rate_bps=st.integers(0, 2_000),
    units=st.integers(1, 10_000),
)
def test_a_calendar_ends_with_the_face_and_never_pays_more_than_the_rate(months, offset, rate_bps, units):
    issue = date(2026, 1, 31)
    security = bond(issue_date=issue, maturity_date=issue + timedelta(days=30 * months + offset), rate_bps=rate_bps)
    flows = cash_flow(security, units)
    face = security.value_of(units).amount
    half = face * rate_bps / 20_000
    assert [flow.on for flow in flows] == sorted({flow.on for flow in flows})
    assert flows[0].on > issue
    assert (flows[-1].on, flows[-1].redemption.amount) == (security.maturity_date, face)
    assert all(0 <= flow.interest.amount <= half for flow in flows)
    assert all(half - flow.interest.amount < 2 for flow in flows[1:])
    assert not any(flow.redemption.amount for flow in flows[:-1])


# --- what was held ---------------------------------------------------------------------------------------


def yen(amount: int) -> Money:
    return Money(Decimal(amount), "JPY")


def test_nothing_held_is_no_line():
    assert values_over_time([], until=date(2027, 1, 1)) == []


def test_one_movement_is_a_line_from_nothing():
    lines = values_over_time([(date(2027, 1, 1), yen(5))], until=date(2027, 1, 1))
    assert [line.points for line in lines] == [[(date(2026, 12, 31), Decimal(0)), (date(2027, 1, 1), Decimal(5))]]


def test_currencies_do_not_mix():
    changes = [(date(2027, 1, 1), yen(5)), (date(2027, 1, 2), Money(Decimal(7), "USD"))]
    lines = values_over_time(changes, until=date(2027, 1, 3))
    assert {line.currency: line.points[-1][1] for line in lines} == {"JPY": 5, "USD": 7}


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(-9, 9)), min_size=1, max_size=200))
def test_every_point_has_all_that_moved_until_then(moves):
    start = date(2020, 1, 1)
    changes = [(start + timedelta(days=day), yen(amount)) for day, amount in moves]
    (line,) = values_over_time(changes, until=date(2027, 1, 1))
    assert 2 <= len(line.points) <= MOST_POINTS
    assert [day for day, _value in line.points] == sorted({day for day, _value in line.points})
    for day, value in line.points:
        assert value == sum(change.amount for when, change in changes if when <= day)
    assert line.points[-1][0] >= max(day for day, _change in changes)


def move(world: World, count: int) -> None:
    """`count` units that left Alice one by one, one each hour before now."""
    block = Block.objects.order_by("-number").first()
    assert block is not None
    alice, bob = world.address(world.alice), world.address(world.bob)
    logs = EventLog.objects.bulk_create(
        EventLog(
            chain_id=settings.CHAIN_ID,
            block=block,
            block_number=block.number,
            block_hash=block.hash,
            log_index=1_000 + number,
            transaction_hash=f"0x{number:064x}",
            address=world.security.token,
            event="Transfer",
            args={},
        )
        for number in range(count)
    )
    now = datetime.now(UTC)
    Movement.objects.bulk_create(
        Movement(
            log=log,
            chain_id=settings.CHAIN_ID,
            token=world.security.token,
            sender=alice if number % 2 else bob,
            recipient=bob if number % 2 else alice,
            units=1,
            block_number=block.number,
            at=now - timedelta(hours=number),
            transaction_hash=log.transaction_hash,
        )
        for number, log in enumerate(logs)
    )


@pytest.mark.parametrize("count", [0, 10_000])
def test_the_line_of_a_portfolio_ends_at_what_is_held(holding, count, django_assert_num_queries):
    move(holding, count)
    with django_assert_num_queries(3):
        (line,) = selectors.portfolio_over_time(holding.alice)
    assert line.points[-1][1] == selectors.portfolio_for(holding.alice).totals[0].amount == 10_000_000
    assert line.points[-1][0] == datetime.now(TOKYO).date()
    assert len(line.points) <= MOST_POINTS


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_page_of_holdings_draws_it_with_a_table_and_says_at_which_value(holding, signed_in, language):
    browser = signed_in(holding.alice)
    holding.alice.refresh_from_db()
    holding.alice.language = language
    holding.alice.save(update_fields=["language"])
    page = browser.get(reverse("tokens:holdings")).content.decode()
    assert page.count("<polyline") == 2
    assert ("there is no market price" if language == "en" else "市場価格はありません") in page
    assert ("¥10,000,000" if language == "en" else '10,000,000<span class="unit">円') in page


def test_the_page_of_holdings_asks_as_often_for_many_movements_as_for_few(holding, signed_in):
    browser = signed_in(holding.alice)

    def asked() -> int:
        browser.get(reverse("tokens:holdings"))
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(reverse("tokens:holdings")).status_code == 200
        return len(queries)

    few = asked()
    move(holding, 200)
    assert asked() == few


def test_who_holds_nothing_sees_no_chart(world, signed_in):
    assert "<polyline" not in signed_in(world.alice).get(reverse("tokens:holdings")).content.decode()


def test_a_holder_and_the_issuer_see_what_is_paid_and_when(holding, signed_in):
    page = signed_in(holding.alice).get(reverse("tokens:holding-detail", args=[holding.security.pk])).content.decode()
    assert "On what you hold now" in page
    assert "¥10,000,000" in page
    assert "¥40,000" in page
    desk = signed_in(holding.issuer).get(reverse("tokens:security-detail", args=[holding.security.pk])).content.decode()
    assert "On the whole issue" in desk
    assert "¥4,000,000" in desk


def test_the_placement_shows_how_far_it_is_of_its_amount(holding, signed_in):
    page = signed_in(holding.issuer).get(reverse("tokens:placement", args=[holding.security.pk])).content.decode()
    assert "How far it is" in page
    assert page.count('class="chart-bar chart-bar-0"') == 6
    assert ">10,000</text>" in page
