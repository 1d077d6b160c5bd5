"""From a price to a call, a cure, a deadline, a sale: each once, with its rows, and stopped by a broken price."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.utils import timezone

from lending.execution.venues import Outcome, PaperVenue, VenueNonsense, VenueUnavailable
from lending.models import (
    Account,
    Breach,
    EntryKind,
    Loan,
    MarginCall,
    Position,
    Price,
    Reminder,
    Repayment,
    Sale,
    SaleOrder,
    Stage,
)
from lending.services import accrual, calls, monitoring, positions, sales
from lending.services.collateral.deposits import reevaluate
from lending.services.ledger import Line, post
from lending.tests import books
from portal.models import AuditEntry

pytestmark = pytest.mark.django_db
D = Decimal
BTC = 10**8


@pytest.fixture
def lent():
    """Ten million yen lent against one bitcoin, in the ledger."""
    row = books.loan(on=books.terms(slice_limit=D(4_000_000)))
    accrual.open_clock(loan=row, first_day=timezone.localdate())
    with transaction.atomic():
        lines = [Line(Account.COLLATERAL, "BTC", -BTC), Line(Account.CUSTODY, "BTC", BTC)]
        post(kind=EntryKind.DEPOSIT, key="d", loan_id=row.pk, value_on=timezone.localdate(), lines=lines)
        lines = [Line(Account.PRINCIPAL, "JPY", 10_000_000), Line(Account.CASH, "JPY", -10_000_000)]
        post(kind=EntryKind.DRAW, key="l", loan_id=row.pk, value_on=timezone.localdate(), lines=lines)
        positions.set_stage(loan=row, stage=Stage.REMINDER_FIRST)
    return row


def fall(price):
    """The price falls, the sweep finds, a worker acts."""
    monitoring.evaluate(tick_id=books.tick(btc=D(price)).pk)
    return calls.act_on_breaches()


def state(row):
    row.refresh_from_db()
    return row.state


def test_both_reminders_come_once_and_a_swing_about_the_step_brings_no_more(lent):
    for price in (17_400_000, 17_600_000, 17_400_000, 15_900_000, 16_500_000, 15_900_000):
        fall(price)
    assert sorted(Reminder.objects.values_list("kind", flat=True)) == ["first", "second"]
    assert state(lent) == Loan.State.ACTIVE


def test_reminders_start_over_after_a_full_recovery(lent):
    for price in (17_400_000, 20_000_000, 17_400_000):
        fall(price)
    assert Reminder.objects.filter(kind="first").count() == 2


def test_below_the_call_level_collateral_is_called_with_a_deadline(lent):
    fall(14_900_000)
    call = MarginCall.objects.get()
    assert state(lent) == Loan.State.MARGIN_CALLED
    assert call.asked == D(5_100_000)  # 200 % of ten million, less what is there
    assert call.deadline - call.opened_at == timedelta(hours=48)
    assert call.btc_price is not None
    assert call.btc_price.value == D(14_900_000)
    assert AuditEntry.objects.filter(action="lending.loan.margin_called").count() == 1


def test_a_rising_price_cures_a_call_and_the_next_fall_calls_again(lent):
    fall(14_900_000)
    fall(17_400_000)
    assert state(lent) == Loan.State.MARGIN_CALLED
    fall(17_500_000)
    assert (state(lent), MarginCall.objects.get().ended_by) == (Loan.State.ACTIVE, "price")
    fall(14_900_000)
    assert MarginCall.objects.filter(state="open").count() == 1


def test_more_collateral_cures_a_call(lent):
    fall(14_900_000)
    with transaction.atomic():
        lines = [Line(Account.COLLATERAL, "BTC", -BTC // 2), Line(Account.CUSTODY, "BTC", BTC // 2)]
        post(kind=EntryKind.DEPOSIT, key="more", loan_id=lent.pk, value_on=timezone.localdate(), lines=lines)
    assert calls.review_calls() == 1
    assert (state(lent), MarginCall.objects.get().ended_by) == (Loan.State.ACTIVE, "borrower")


def test_notices_grow_more_urgent_and_the_deadline_begins_a_sale(lent):
    fall(14_900_000)
    call = MarginCall.objects.get()
    for hours in (1, 25, 26, 45, 47):
        calls.review_calls(now=call.opened_at + timedelta(hours=hours))
    assert [*Reminder.objects.order_by("id").values_list("kind", flat=True)] == ["called", "call_halfway", "call_last"]
    calls.review_calls(now=call.deadline)
    call.refresh_from_db()
    assert (call.state, state(lent), Sale.objects.get().cause) == ("expired", Loan.State.IN_SALE, "deadline")


def test_a_change_of_collateral_between_a_price_and_its_sweep_skips_no_step(lent):
    """The price that calls is accepted and waits for the sweep; a satoshi comes (or goes) before it is judged."""
    tick = books.tick(btc=D(14_900_000))
    with transaction.atomic():
        lines = [Line(Account.COLLATERAL, "BTC", -1), Line(Account.CUSTODY, "BTC", 1)]
        post(kind=EntryKind.DEPOSIT, key="one", loan_id=lent.pk, value_on=timezone.localdate(), lines=lines)
        reevaluate(lent)
    monitoring.evaluate(tick_id=tick.pk)
    calls.act_on_breaches()
    assert (state(lent), MarginCall.objects.count()) == (Loan.State.MARGIN_CALLED, 1)


def test_the_sale_level_overrides_an_open_call(lent):
    fall(14_900_000)
    fall(12_000_000)
    assert (MarginCall.objects.get().state, state(lent)) == ("overridden", Loan.State.IN_SALE)
    assert Sale.objects.get().cause == "price"


def test_acting_twice_on_a_breach_acts_once(lent):
    monitoring.evaluate(tick_id=books.tick(btc=D(14_900_000)).pk)
    breach = Breach.objects.get()
    assert calls.act(breach_id=breach.pk)
    assert not calls.act(breach_id=breach.pk)
    assert MarginCall.objects.count() == 1


def sell_out(sale, **more):
    for _ in range(50):
        sales.step(sale_id=sale.pk, **more)
        sale.refresh_from_db()
        if sale.state not in Sale.RUNNING:
            return
    raise AssertionError(f"the sale did not end: {sale.state} {sale.pause}")


def test_a_sale_in_slices_restores_the_target_and_the_loan_goes_on(lent):
    fall(12_000_000)
    sale = Sale.objects.get()
    sell_out(sale)
    row = Position.objects.get()
    covered = D(row.btc_sats) / BTC * 12_000_000 / row.debt
    assert (sale.state, state(lent)) == (Sale.State.DONE, Loan.State.ACTIVE)
    assert D("1.5") <= covered < D("1.9")
    assert sale.orders.count() > 1
    assert max(D(o.filled_units) / BTC * 12_000_000 for o in sale.orders.all()) <= 4_000_001
    assert Repayment.objects.filter(source="sale").count() == sale.orders.count()


def test_below_the_debt_everything_is_sold_and_the_shortfall_is_booked(lent):
    fall(8_000_000)
    sale = Sale.objects.get()
    sell_out(sale)
    assert (sale.state, state(lent)) == (Sale.State.SOLD_OUT, Loan.State.SOLD_OUT)
    assert Position.objects.get().btc_sats == 0
    assert Position.objects.get().debt > 0


def test_no_sale_goes_on_without_an_accepted_price(lent):
    fall(12_000_000)
    sale = Sale.objects.get()
    Price.objects.update(at=timezone.now() - timedelta(hours=1))
    sales.step(sale_id=sale.pk)
    sale.refresh_from_db()
    assert (sale.state, sale.pause, sale.orders.count()) == ("paused", "price", 0)
    books.tick(btc=D(12_000_000))
    sell_out(sale)
    assert sale.state == Sale.State.DONE


class Forgetful(PaperVenue):
    """A back end that takes the order and loses the answer, once."""

    name = "forgetful"

    def __init__(self):
        self.placed, self.lose = {}, True

    def place(self, ticket):
        assert ticket.client_order_id not in self.placed, "sold twice"
        value = ticket.amount * ticket.limit_price
        self.placed[ticket.client_order_id] = Outcome("x", True, ticket.units, value, D(100))
        if self.lose:
            self.lose = False
            raise VenueUnavailable("connection reset")
        return self.find(ticket)

    def find(self, ticket):
        return self.placed.get(ticket.client_order_id)


def test_an_order_whose_answer_was_lost_is_looked_up_and_not_sold_twice(lent):
    fall(12_000_000)
    sale, back_end = Sale.objects.get(), Forgetful()
    sell_out(sale, back_end=back_end)
    assert len(back_end.placed) == sale.orders.count() == Repayment.objects.count()
    assert SaleOrder.objects.filter(state="final").count() == sale.orders.count()


class Liar(Forgetful):
    def place(self, ticket):
        raise VenueNonsense("filled more than was ordered")


def test_nonsense_from_the_exchange_books_nothing_and_waits_for_a_person(lent):
    fall(12_000_000)
    sale = Sale.objects.get()
    for _ in range(3):
        sales.step(sale_id=sale.pk, back_end=Liar())
    sale.refresh_from_db()
    assert (sale.pause, Repayment.objects.count()) == ("nonsense", 0)
