"""Sales through the real ccxt client on the simulated exchange: no order twice, no fill twice, nothing booked that is not true."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import ccxt
import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from chain.models import Incident
from lending.execution import venues
from lending.execution.kraken_simulator import KEY, SECRET
from lending.execution.venues import CcxtVenue, OrderRefused, Smallest, Ticket, VenueUnavailable
from lending.models import Account, Delivery, Entry, EntryKind, Loan, Position, Repayment, Sale, SaleOrder, Stage
from lending.prices.exchanges import new_client
from lending.prices.simulator import Simulator
from lending.services import accrual, positions, sales
from lending.services.ledger import Line, post
from lending.tests import books
from portal.models import Role
from portal.testing import make_person, sign_in

D = Decimal
BTC = 10**8


@pytest.fixture
def simulator(settings):
    venues._exchange.cache_clear()
    with Simulator() as running:
        settings.EXCHANGE_SIMULATOR_URL = running.url
        settings.SALE_VENUE, settings.SALE_API_KEY, settings.SALE_API_SECRET = "kraken", KEY, SECRET
        running.market.prices["BTC/JPY"] = D(12_000_000)
        yield running


def rows(simulator):
    return list(simulator.market.orders.rows.values())


def ticket(name="musubi-1-1", *, units=BTC // 2, **changes):
    values = {"void_after": timezone.now() + timedelta(seconds=10), "limit_price": D(11_900_000), **changes}
    return Ticket(name, "BTC/JPY", "BTC", units, **values)


def test_an_order_is_sold_at_the_bid_with_its_fee_and_found_by_our_id(simulator):
    back_end = venues.venue()
    done = back_end.place(ticket())
    assert done is not None
    assert done == back_end.find(ticket())
    assert (done.is_final, done.units) == (True, BTC // 2)
    assert done.proceeds == D("0.5") * D("11998800")
    assert abs(done.fee - done.proceeds * D("0.0026")) < 1


def test_below_its_limit_nothing_is_sold_and_part_of_an_order_is_a_part(simulator):
    back_end = venues.venue()
    none = back_end.place(ticket(limit_price=D(12_100_000)))
    assert none is not None
    assert (none.is_final, none.units, none.proceeds) == (True, 0, D(0))
    simulator.market.faults["kraken/orders"] = "partial"
    part = back_end.place(ticket("musubi-1-2"))
    assert part is not None
    assert (part.is_final, part.units) == (True, BTC // 4)


def test_an_order_that_comes_after_its_deadline_is_not_placed(simulator):
    with pytest.raises(VenueUnavailable):
        venues.venue().place(ticket(void_after=timezone.now() - timedelta(seconds=2)))
    assert rows(simulator) == []


@pytest.mark.parametrize(("key", "secret"), [("other", SECRET), (KEY, "b3RoZXI=")])
def test_a_wrong_key_or_signature_sells_nothing(simulator, key, secret):
    with pytest.raises(VenueUnavailable):
        CcxtVenue("kraken", key=key, secret=secret, base_url=simulator.url).place(ticket())
    assert rows(simulator) == []


def test_a_request_repeated_with_an_old_nonce_is_refused(simulator):
    client = new_client("kraken", simulator.url, apiKey=KEY, secret=SECRET, enableRateLimit=False)
    client.fetch_open_orders()
    client.incrementing_nonce = lambda: 1
    with pytest.raises(ccxt.InvalidNonce):
        client.fetch_open_orders()


def test_only_placing_can_refuse_an_order_not_looking_it_up(simulator):
    back_end = venues.venue()
    simulator.market.faults["kraken/orders"] = "refuse"
    with pytest.raises(OrderRefused):
        back_end.place(ticket())
    simulator.market.faults["kraken/orders"] = "locked"
    with pytest.raises(VenueUnavailable):
        back_end.find(ticket())


def test_the_smallest_order_is_what_the_exchange_publishes(simulator):
    assert venues.venue().smallest("BTC/JPY") == Smallest(D("0.00005"), D(20))
    assert venues.venue().smallest("ETH/USD") == Smallest(D("0.001"), D("0.5"))
    # In money when that is more: half a dollar at 200 dollars are 0.0025 ether.
    assert Smallest(D("0.001"), D("0.5")).units("ETH", D(200)) == 25 * 10**14
    with pytest.raises(OrderRefused):
        venues.venue().place(ticket(units=4_999))
    done = venues.venue().place(ticket("musubi-1-2", units=5_000))
    assert done is not None
    assert done.units == 5_000


# --- whole sales -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sale(db, simulator):
    """Ten million yen lent against one bitcoin at twelve million, in sale; the bitcoin stands at the exchange."""
    loan = books.loan(on=books.terms(slice_limit=D(4_000_000)))
    accrual.open_clock(loan=loan, first_day=timezone.localdate())
    with transaction.atomic():
        for kind, lines in (
            (EntryKind.DEPOSIT, [Line(Account.COLLATERAL, "BTC", -BTC), Line(Account.CUSTODY, "BTC", BTC)]),
            (EntryKind.DRAW, [Line(Account.PRINCIPAL, "JPY", 10_000_000), Line(Account.CASH, "JPY", -10_000_000)]),
        ):
            post(kind=kind, key=str(kind), loan_id=loan.pk, value_on=timezone.localdate(), lines=lines)
        positions.set_stage(loan=loan, stage=Stage.SALE)
    books.tick(btc=D(12_000_000))
    with transaction.atomic():
        found = sales.start_sale(loan=loan, cause="price")
    Delivery.objects.create(
        sale=found, asset="BTC", units=BTC, state="arrived", reference="txid", requested_at=timezone.now(),
        arrived_at=timezone.now(),
    )  # fmt: skip
    return found


def run(sale, steps=40):
    for _ in range(steps):
        sales.step(sale_id=sale.pk)
        sale.refresh_from_db()
        if sale.state not in Sale.RUNNING:
            break
    return sale


def booked_is_what_was_sold(simulator, sale):
    """Every coin that the exchange sold is booked, once, under the order's id; and nothing else."""
    sold = {row["cl_ord_id"]: int(D(row["vol_exec"]) * BTC) for row in rows(simulator) if D(row["vol_exec"])}
    booked = {row.client_order_id: int(row.filled_units) for row in sale.orders.filter(filled_units__gt=0)}
    assert booked == sold
    assert len(rows(simulator)) == len({row["cl_ord_id"] for row in rows(simulator)})
    assert sorted(Repayment.objects.values_list("reference", flat=True)) == sorted(sold)
    assert Position.objects.get(loan=sale.loan_id).btc_sats == BTC - sum(sold.values())


def test_a_sale_runs_to_its_target(simulator, sale):
    run(sale)
    assert (sale.state, Loan.objects.get().state) == ("done", "active")
    assert len(rows(simulator)) > 1
    booked_is_what_was_sold(simulator, sale)


def test_an_answer_lost_after_placing_is_looked_up_and_never_sold_twice(simulator, sale):
    simulator.market.faults["kraken/orders"] = "lost"
    sales.step(sale_id=sale.pk)
    sale.refresh_from_db()
    assert (sale.pause, Repayment.objects.count(), len(rows(simulator))) == ("exchange", 0, 1)
    assert Incident.objects.filter(kind="lending.sale_paused", closed_at=None).exists()
    run(sale)  # every placing loses its answer
    assert sale.state == "done"
    booked_is_what_was_sold(simulator, sale)
    assert not Incident.objects.filter(kind="lending.sale_paused", closed_at=None).exists()


def test_an_exchange_that_carries_out_and_never_answers_sells_one_slice(simulator, sale):
    simulator.market.faults["kraken/orders"] = "mute"
    run(sale, steps=3)
    # Even after the order's life: without an answer to the question nothing is placed again.
    SaleOrder.objects.update(sent_at=timezone.now() - timedelta(minutes=5))
    run(sale, steps=3)
    assert len(rows(simulator)) == 1
    simulator.market.faults.clear()
    run(sale)
    booked_is_what_was_sold(simulator, sale)


def test_a_key_that_is_locked_after_placing_loses_no_fill(simulator, sale):
    simulator.market.faults["kraken/orders"] = "lost"
    sales.step(sale_id=sale.pk)
    simulator.market.faults["kraken/orders"] = "locked"
    run(sale, steps=3)
    assert SaleOrder.objects.get().state == "planned"
    simulator.market.faults.clear()
    run(sale)
    booked_is_what_was_sold(simulator, sale)


def test_halves_are_booked_as_halves_until_the_target_is_there(simulator, sale):
    simulator.market.faults["kraken/orders"] = "partial"
    run(sale)
    assert sale.state == "done"
    booked_is_what_was_sold(simulator, sale)


def test_what_cannot_have_been_ordered_is_not_booked_and_waits_for_a_person(simulator, sale):
    simulator.market.faults["kraken/orders"] = "nonsense"
    run(sale, steps=4)
    assert (sale.pause, Repayment.objects.count(), len(rows(simulator))) == ("nonsense", 0, 1)
    simulator.market.faults.clear()
    assert not sales.step(sale_id=sale.pk)
    officer = sign_in(make_person("one@desk.example", role=Role.LOAN_OFFICER, second_factor=True), fresh=True)
    where = reverse("lending:sale-resume", args=[sale.loan_id])
    assert where in officer.get(reverse("lending:loan-case", args=[sale.loan_id])).content.decode()
    officer.post(where, {"reason": " "})
    sale.refresh_from_db()
    assert sale.pause == "nonsense"
    # What the exchange did was half of what it said.
    (order,) = rows(simulator)
    order["vol_exec"], order["cost"], order["fee"] = order["vol"], str(D(order["vol"]) * D(order["price"])), "0"
    officer.post(where, {"reason": "The exchange corrected its answer."})
    assert not Incident.objects.filter(kind="lending.sale_paused", closed_at=None).exists()
    run(sale)
    assert sale.state == "done"
    booked_is_what_was_sold(simulator, sale)
    assert officer.post(where, {"reason": "Again."}).status_code == 404


def test_a_refused_order_rests_before_the_next_and_the_desk_is_told(simulator, sale):
    simulator.market.faults["kraken/orders"] = "refuse"
    run(sale, steps=5)
    assert (sale.orders.count(), sale.pause) == (1, "exchange")
    assert Incident.objects.filter(kind="lending.sale_paused", closed_at=None).count() == 1
    simulator.market.faults.clear()
    SaleOrder.objects.update(ended_at=timezone.now() - timedelta(minutes=2))
    run(sale)
    assert sale.state == "done"
    booked_is_what_was_sold(simulator, sale)


def test_an_exchange_that_is_down_is_asked_again(simulator, sale):
    simulator.market.faults["kraken/orders"] = "down"
    run(sale, steps=3)
    assert (sale.pause, rows(simulator)) == ("exchange", [])
    simulator.market.faults.clear()
    SaleOrder.objects.update(sent_at=timezone.now() - timedelta(minutes=1))
    run(sale)
    assert sale.state == "done"
    booked_is_what_was_sold(simulator, sale)


def test_of_two_workers_one_sends_the_order(simulator, sale):
    order = sales._plan(sale.pk)
    assert order is not None
    stale = SaleOrder.objects.select_related("sale").get(pk=order.pk)
    assert sales._settle(order, venues.venue())
    assert not sales._settle(stale, venues.venue())
    assert len(rows(simulator)) == 1


def test_a_remainder_below_the_smallest_order_ends_the_sale_and_stays_the_borrowers(simulator, sale):
    simulator.market.prices["BTC/JPY"] = D(6_000_000)
    books.tick(btc=D(6_000_000))
    simulator.market.faults["kraken/orders"] = "partial"  # halves, until less than an order is left
    run(sale, steps=60)
    loan = Loan.objects.get()
    left = Position.objects.get().btc_sats
    assert (sale.state, loan.state) == ("sold_out", "sold_out")
    assert 0 < left < 5_000
    assert SaleOrder.objects.exclude(state="final").count() == 0
    assert Entry.objects.filter(kind=EntryKind.SHORTFALL, loan=loan).count() == 1
    booked_is_what_was_sold(simulator, sale)
    back = Delivery.objects.get(direction="back")
    assert (int(back.units), back.state) == (left, "requested")
    assert not Incident.objects.filter(kind="lending.sale_paused", closed_at=None).exists()


def test_an_exchange_that_does_not_say_what_it_takes_is_asked_again(simulator, sale):
    simulator.market.faults["kraken"] = "error"
    run(sale, steps=2)
    assert (sale.pause, sale.orders.count()) == ("exchange", 0)
    assert Incident.objects.filter(kind="lending.sale_paused", closed_at=None).exists()
    simulator.market.faults.clear()
    run(sale)
    assert sale.state == "done"
    assert not Incident.objects.filter(kind="lending.sale_paused", closed_at=None).exists()
