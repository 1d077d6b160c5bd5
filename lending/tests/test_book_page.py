"""The list of the book by nearness shows what looking at every loan would."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lending import coverage
from lending.models import Position, PricePolicy
from lending.selectors import book
from lending.selectors.prices import prices_of
from lending.tests import books

pytestmark = pytest.mark.django_db
BTC, ETH = 10**8, 10**18

held = st.tuples(
    st.integers(0, 3 * BTC), st.integers(0, 60 * ETH), st.integers(1, 40_000_000), st.sampled_from(["both", "btc", "eth"])
)  # fmt: skip


def looked_at_one_by_one(currency: str) -> list[tuple[int, int | None]]:
    """(loan, coverage in whole basis points, None without a price that is needed), lowest first, unknown last."""
    prices = prices_of(currency)
    found: list[tuple[int, int | None]] = []
    for row in Position.objects.filter(currency=currency, debt__gt=0):
        try:
            worth = coverage.value(btc_sats=row.btc_sats, eth_wei=row.eth_wei, prices=prices)
        except ValueError:
            found.append((row.loan_id, None))
        else:
            found.append((row.loan_id, coverage.coverage_bps(worth=worth, debt=row.debt, currency=currency)))
    return sorted(found, key=lambda pair: (pair[1] is None, pair[1] or 0, pair[0]))


@pytest.mark.parametrize("currency", ["JPY", "USD"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(held, min_size=1, max_size=12), known=st.sampled_from(["both", "btc", "eth"]))
def test_each_page_continues_where_the_one_before_ended(monkeypatch, currency, rows, known) -> None:
    monkeypatch.setattr(book, "PAGE", 5)
    Position.objects.all().delete()
    on = books.terms(currency)
    for sats, wei, debt, kind in rows:
        row = books.loan(currency=currency, on=on)
        books.position(row, btc=sats if kind != "eth" else 0, eth=wei if kind != "btc" else 0, debt=debt)
    for asset in ("BTC", "ETH"):
        # Only prices younger than their rule allows hold: none at all is a rule of zero seconds.
        seconds = 3600 if known in ("both", asset.lower()) else 0
        PricePolicy.objects.update_or_create(pair=f"{asset}/{currency}", defaults={"valid_seconds": seconds})
    books.tick(currency, btc=books.START[f"BTC/{currency}"], eth=books.START[f"ETH/{currency}"] + Decimal("0.07"))
    expected = looked_at_one_by_one(currency)
    shown: list[tuple[int, int | None]] = []
    for number in range(1, 4):
        page = book.nearest(currency=currency, number=number)
        shown += [(line.loan.pk, line.coverage_bps) for line in page.lines]
        if not page.has_next:
            break
    assert shown == expected
