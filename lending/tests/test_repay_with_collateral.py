"""A borrower repays with deposited collateral: just that much is sold, and it cannot be used to escape a call."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.utils import timezone

from lending.exceptions import NoAcceptedPrice, NotFound, OverTheCap
from lending.models import Account, EntryKind, Loan, MarginCall, Position, Repayment, Sale, Stage
from lending.selectors.ledger import debt_of
from lending.services import accrual, calls, monitoring, positions, repayments, sales
from lending.services.ledger import Line, post
from lending.tests import books

pytestmark = pytest.mark.django_db
D = Decimal
BTC, ETH = 10**8, 10**18


def lend(currency, debt, *, btc=0, eth=0, **terms):
    row = books.loan(currency=currency, on=books.terms(currency, **terms))
    accrual.open_clock(loan=row, first_day=timezone.localdate())
    with transaction.atomic():
        lines = [Line(Account.PRINCIPAL, currency, debt), Line(Account.CASH, currency, -debt)]
        for unit, held in (("BTC", btc), ("ETH", eth)):
            lines += [Line(Account.COLLATERAL, unit, -held), Line(Account.CUSTODY, unit, held)] if held else []
        post(kind=EntryKind.DRAW, key=f"l{row.pk}", loan_id=row.pk, value_on=timezone.localdate(), lines=lines)
        positions.set_stage(loan=row, stage=Stage.REMINDER_FIRST)
    return row


def ask(row, amount):
    repayments.request_repayment_from_collateral(loan_id=row.pk, actor=row.borrower, amount=D(amount))
    return Sale.objects.get(loan=row)


def run(sale):
    for _ in range(40):
        sales.step(sale_id=sale.pk)
        sale.refresh_from_db()
        if sale.state not in Sale.RUNNING:
            return sale
    raise AssertionError(f"{sale.state} {sale.pause}")


@pytest.mark.parametrize(
    ("currency", "debt", "held", "amount", "minor"),
    [
        ("JPY", 10_000_000, {"btc": 2 * BTC}, 3_000_000, 3_000_000),
        ("JPY", 10_000_000, {"eth": 50 * ETH}, 3_000_001, 3_000_001),
        ("USD", 5_000_000, {"btc": BTC, "eth": 10 * ETH}, "12345.67", 1_234_567),
        ("USD", 5_000_000, {"eth": 40 * ETH}, "20", 2_000),
    ],
)
def test_what_was_asked_is_repaid_and_hardly_more_is_sold(currency, debt, held, amount, minor):
    row = lend(currency, debt, slice_limit=D(4_000_000) if currency == "JPY" else D(5_000), **held)
    books.tick(currency, btc=books.START[f"BTC/{currency}"], eth=books.START[f"ETH/{currency}"])
    sale = run(ask(row, amount))
    row.refresh_from_db()
    assert (sale.state, sale.cause, row.state) == ("done", "borrower", Loan.State.ACTIVE)
    repaid = debt - debt_of(row).total
    assert minor * 0.99 <= repaid <= minor * 1.02 + 1
    assert Repayment.objects.filter(source="sale").count() == sale.orders.count()
    assert Position.objects.get().stage == Stage.REMINDER_FIRST


def test_all_that_is_owed_ends_the_loan_and_the_rest_is_the_borrowers():
    row = lend("JPY", 10_000_000, btc=2 * BTC)
    books.tick(btc=D(15_000_000))
    run(ask(row, 10_000_000))
    row.refresh_from_db()
    assert (row.state, debt_of(row).total) == (Loan.State.REPAID, 0)
    assert Position.objects.get().btc_sats > BTC


def test_more_than_is_owed_a_strangers_wish_and_a_sale_without_a_price_are_refused():
    row = lend("JPY", 10_000_000, btc=2 * BTC)
    with pytest.raises(NoAcceptedPrice):
        ask(row, 1_000_000)
    books.tick(btc=D(15_000_000))
    with pytest.raises(OverTheCap):
        ask(row, 10_000_001)
    with pytest.raises(NotFound):
        repayments.request_repayment_from_collateral(loan_id=row.pk, actor=row.approved_by, amount=D(1))
    assert not Sale.objects.exists()


def called():
    row = lend("JPY", 10_000_000, btc=BTC)
    monitoring.evaluate(tick_id=books.tick(btc=D(14_900_000)).pk)
    calls.act_on_breaches()
    row.refresh_from_db()
    assert row.state == Loan.State.MARGIN_CALLED
    return row


def test_repaying_a_little_does_not_end_a_call_and_repaying_enough_does():
    row = called()
    run(ask(row, 10_000))
    row.refresh_from_db()
    assert (row.state, MarginCall.objects.get().state) == (Loan.State.MARGIN_CALLED, "open")
    Sale.objects.update(loan=row)
    repayments.request_repayment_from_collateral(loan_id=row.pk, actor=row.borrower, amount=D(5_000_000))
    run(Sale.objects.filter(loan=row).order_by("-id")[0])
    row.refresh_from_db()
    assert (row.state, MarginCall.objects.get().state) == (Loan.State.ACTIVE, "cured")


def test_while_a_wish_is_carried_out_the_deadline_waits_and_then_sells_in_full():
    row = called()
    sale = ask(row, 10_000)
    call = MarginCall.objects.get()
    calls.review_calls(now=call.deadline + timedelta(minutes=1))
    assert MarginCall.objects.get().state == "open"
    MarginCall.objects.update(opened_at=timezone.now() - timedelta(days=3), deadline=timezone.now())
    run(sale)
    assert sum(o.proceeds for o in sale.orders.all()) > 100_000
    assert Position.objects.get().btc_sats * D("0.149") >= D("1.49") * Position.objects.get().debt


def test_a_fall_to_the_sale_level_turns_the_wish_into_a_sale():
    row = lend("JPY", 10_000_000, btc=BTC)
    books.tick(btc=D(18_000_000))
    sale = ask(row, 10_000)
    books.tick(btc=D(11_500_000))
    run(sale)
    assert Position.objects.get().btc_sats * D("0.115") >= D("1.49") * Position.objects.get().debt
    row.refresh_from_db()
    assert row.state == Loan.State.ACTIVE
