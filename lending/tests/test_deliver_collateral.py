"""Collateral reaches the exchange before it is sold: ether by two keys through the real vault, bitcoin by two officers."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from eth_keys.datatypes import PrivateKey

from chain import services
from chain.models import ChainTransaction, CollateralMovement, Incident
from chain.services.alarms import start_watching_here
from chain.types import SignerRole
from conftest import Platform
from lending.bitcoin.esplora import esplora
from lending.bitcoin.simulator.chain import Chain
from lending.bitcoin.simulator.custodian import sign
from lending.exceptions import LoanRefused, TwoPersonRule
from lending.models import Delivery, Deposit, Loan, Position, ReturnAddress, Sale, Withdrawal
from lending.money import from_minor
from lending.selectors.book import deliveries_open
from lending.selectors.ledger import debt_of
from lending.services import accrual, deliveries, repayments, sales
from lending.services.bitcoin import _counted, _spendable, prepare_delivery, run_bitcoin_sweep, send_delivery
from lending.services.collateral import (
    advance_deposits,
    approve_return_address,
    give_deposit_address,
    request_return_address,
    request_withdrawal,
)
from lending.services.reconciliation import reconcile_asset
from lending.tests import world
from lending.tests.test_collateral_bitcoin import deposit
from lending.tests.test_collateral_ether import index, pay, someone
from portal.models import AuditEntry, Role
from portal.testing import make_person, sign_in

pytestmark = pytest.mark.django_db
ETHER = 10**18
TXID = "ab" * 32


@pytest.fixture(autouse=True)
def _really(settings: Any) -> None:
    settings.PAPER_DELIVERS_AT_ONCE = False
    settings.SALE_EXECUTION_WAIT_SECONDS = 0
    world.load_list()


def begun(loan: Loan, yen: int) -> Sale:
    world.lend(loan, yen)
    with transaction.atomic():
        locked = Loan.objects.select_for_update(of=("self",)).get(pk=loan.pk)
        return sales.start_sale(loan=locked, cause="price")


def run(sale: Sale, steps: int = 30) -> Sale:
    for _number in range(steps):
        sales.step(sale_id=sale.pk)
        sale.refresh_from_db()
        if sale.state not in Sale.RUNNING:
            break
    return sale


# --- ether -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ether_sale(platform: Platform, settle: Callable[[], None]) -> Sale:
    """Three ether in the vault against 1.2 million yen, at half a million yen each: in sale."""
    services.run_index_step()
    start_watching_here()
    loan = world.make_loan()
    home = PrivateKey(secrets.token_bytes(32)).public_key.to_checksum_address()
    row = request_return_address(actor=loan.borrower, asset="ETH", address=home)
    approve_return_address(address_id=row.pk, actor=world.officer())
    give_deposit_address(loan_id=loan.pk, asset="ETH", actor="test")
    settle()
    pay(platform, loan, 3 * ETHER, someone())
    index(platform, blocks=3)
    advance_deposits()
    world.accept_price("ETH", 500_000)
    return begun(loan, 1_200_000)


@pytest.mark.chain
def test_ether_is_sold_only_after_the_vault_sent_it_by_two_different_keys(
    platform: Platform, ether_sale: Sale, settle: Callable[[], None]
) -> None:
    run(ether_sale, steps=3)
    delivery = Delivery.objects.get()
    assert (ether_sale.pause, delivery.state, ether_sale.orders.count()) == ("delivery", "requested", 0)
    calls = ChainTransaction.objects.filter(subject=f"lending.delivery:{delivery.pk}").order_by("id")
    assert [row.function for row in calls] == ["CollateralVault.recordSale", "CollateralVault.executeSale"]
    assert [row.signer.role for row in calls] == [SignerRole.SALE_RECORDER, SignerRole.COLLATERAL_AGENT]
    wallet = platform.signer(SignerRole.SALE_WALLET).address
    before = platform.node.balance(wallet)
    settle()
    index(platform, blocks=3)
    delivery.refresh_from_db()
    assert (delivery.state, platform.node.balance(wallet) - before) == ("arrived", int(delivery.units))
    run(ether_sale)
    assert ether_sale.state == "done"
    back = Delivery.objects.get(direction="back")  # something over was brought, and is sent back by an officer
    assert (back.state, reconcile_asset(asset="ETH").state) == ("requested", "agreed")
    counted = int(Position.objects.get().eth_wei)
    pay(platform, Loan.objects.get(), int(back.units), wallet)
    index(platform, blocks=3)
    advance_deposits()
    back.refresh_from_db()
    assert (back.state, int(Position.objects.get().eth_wei)) == ("arrived", counted)
    assert reconcile_asset(asset="ETH").state == "agreed"


@pytest.mark.chain
def test_a_delivery_the_vault_refuses_fails_and_is_tried_again_only_by_an_officer(
    platform: Platform, ether_sale: Sale, settle: Callable[[], None]
) -> None:
    run(ether_sale, steps=1)
    first = Delivery.objects.get()
    deliveries.vault_failed(delivery_id=first.pk, code="chain.paused")
    run(ether_sale, steps=3)
    assert [row.state for row in Delivery.objects.all()] == ["failed"]
    assert Incident.objects.filter(kind="lending.delivery_failed", closed_at=None).count() == 1
    officer = world.officer()
    again = deliveries.retry(delivery_id=first.pk, actor=officer)
    assert deliveries.retry(delivery_id=first.pk, actor=officer) == again
    assert not Incident.objects.filter(kind="lending.delivery_failed", closed_at=None).exists()
    assert deliveries.sale_id(again) != deliveries.sale_id(first)


# --- bitcoin ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def bitcoin_sale(bitcoin: Chain) -> Sale:
    """0.009 bitcoin against 100,000 yen, at 12 million yen each: in sale."""
    loan = world.make_loan()
    deposit(loan, bitcoin, 900_000)
    world.accept_price("BTC", 12_000_000)
    sale = begun(loan, 100_000)
    run(sale, steps=2)
    return sale


@pytest.fixture
def large_sale(bitcoin: Chain) -> Sale:
    """0.04 bitcoin against 380,000 yen, at 12 million yen each: in sale, and not all of it is sold."""
    loan = world.make_loan()
    deposit(loan, bitcoin, 4_000_000)
    world.accept_price("BTC", 12_000_000)
    sale = begun(loan, 380_000)
    run(sale, steps=2)
    return sale


def test_bitcoin_is_sent_by_one_officer_and_arrives_by_another(bitcoin_sale: Sale) -> None:
    delivery = Delivery.objects.get()
    one, two = world.officer(), world.officer()
    assert (bitcoin_sale.pause, delivery.state) == ("delivery", "requested")
    with pytest.raises(LoanRefused):
        deliveries.record_sent(delivery_id=delivery.pk, txid="not a transaction", actor=one)
    deliveries.record_sent(delivery_id=delivery.pk, txid=TXID, actor=one)
    with pytest.raises(TwoPersonRule):
        deliveries.confirm_arrival(delivery_id=delivery.pk, actor=one)
    run(bitcoin_sale, steps=2)
    assert bitcoin_sale.orders.count() == 0
    deliveries.confirm_arrival(delivery_id=delivery.pk, actor=two)
    deliveries.confirm_arrival(delivery_id=delivery.pk, actor=two)
    assert AuditEntry.objects.filter(action="lending.delivery.arrived").count() == 1
    run(bitcoin_sale)
    assert bitcoin_sale.state == "done"


def test_a_sale_that_waits_for_its_collateral_too_long_is_an_incident_until_it_arrives(bitcoin_sale: Sale) -> None:
    deliveries.watch_deliveries()
    assert not Incident.objects.filter(kind="lending.delivery_late").exists()
    Delivery.objects.update(requested_at=timezone.now() - timedelta(hours=3))
    deliveries.watch_deliveries()
    deliveries.watch_deliveries()
    assert Incident.objects.filter(kind="lending.delivery_late", closed_at=None).count() == 1
    delivery = Delivery.objects.get()
    deliveries.record_sent(delivery_id=delivery.pk, txid=TXID, actor=world.officer())
    deliveries.confirm_arrival(delivery_id=delivery.pk, actor=world.officer())
    assert not Incident.objects.filter(kind="lending.delivery_late", closed_at=None).exists()


def test_the_books_agree_while_a_delivery_is_under_way_and_after_its_sale(
    bitcoin: Chain, bitcoin_sale: Sale, settings: Any
) -> None:
    assert reconcile_asset(asset="BTC").state == "agreed"
    delivery = Delivery.objects.get()
    deliveries.record_sent(delivery_id=delivery.pk, txid=TXID, actor=world.officer())
    assert reconcile_asset(asset="BTC").state == "agreed"  # recorded, but nothing has left yet
    deliveries.confirm_arrival(delivery_id=delivery.pk, actor=world.officer())
    run_bitcoin_sweep()
    # Two officers said it left and the chain still has it: that is what the comparison is for.
    run_ = reconcile_asset(asset="BTC")
    assert (run_.state, run_.differences) == (
        "differed",
        [
            {
                "loan": bitcoin_sale.loan_id,
                "expected": str(900_000 - int(delivery.units)),
                "found": "900000",
            }
        ],
    )
    expected = run_.ledger_units
    run(bitcoin_sale)
    assert reconcile_asset(asset="BTC").ledger_units == expected  # a slice sold changes nothing on the chain


def prepared_and_sent(bitcoin: Chain, settings: Any) -> Delivery:
    """The delivery that waits, as one officer prepares it, the custodian signs it, and the network buries it."""
    settings.BITCOIN_SALE_ADDRESS = bitcoin.wallet("exchange")
    officer = world.officer()
    row = prepare_delivery(delivery_id=Delivery.objects.get(direction="out").pk, actor=officer)
    assert prepare_delivery(delivery_id=row.pk, actor=officer).psbt == row.psbt
    assert reconcile_asset(asset="BTC").state == "agreed"
    send_delivery(delivery_id=row.pk, actor=officer, signed=sign(row.psbt))
    assert reconcile_asset(asset="BTC").state == "agreed"
    bitcoin.mine()
    assert reconcile_asset(asset="BTC").state == "agreed"
    bitcoin.mine(3)
    run_bitcoin_sweep()
    row.refresh_from_db()
    return row


def sold_with_a_rest(bitcoin: Chain, sale: Sale, settings: Any) -> Delivery:
    """The sale is over, and what was not sold is asked back from the exchange."""
    assert prepared_and_sent(bitcoin, settings).state == "arrived"
    run(sale)
    assert sale.state == "done"
    assert reconcile_asset(asset="BTC").state == "agreed"
    return Delivery.objects.get(direction="back", state="requested")


def sweep(bitcoin: Chain, blocks: int = 3) -> None:
    bitcoin.mine(blocks)
    run_bitcoin_sweep()


def test_what_comes_back_from_the_exchange_is_not_counted_a_second_time(
    bitcoin: Chain, large_sale: Sale, settings: Any
) -> None:
    back = sold_with_a_rest(bitcoin, large_sale, settings)
    counted = Position.objects.get().btc_sats
    home = give_deposit_address(loan_id=large_sale.loan_id, asset="BTC", actor="test").address
    bitcoin.send({home: int(back.units)}, sender="exchange")
    bitcoin.mine()
    assert reconcile_asset(asset="BTC").state == "agreed"
    sweep(bitcoin)
    back.refresh_from_db()
    assert (back.state, Deposit.objects.order_by("-id")[0].state) == ("arrived", "came_back")
    assert Position.objects.get().btc_sats == counted
    assert reconcile_asset(asset="BTC").state == "agreed"
    assert not Incident.objects.filter(closed_at=None).exists()


def test_coins_that_came_back_and_our_change_can_be_spent_again(
    bitcoin: Chain, large_sale: Sale, settings: Any
) -> None:
    back = sold_with_a_rest(bitcoin, large_sale, settings)
    home = give_deposit_address(loan_id=large_sale.loan_id, asset="BTC", actor="test").address
    bitcoin.send({home: int(back.units)}, sender="exchange")
    sweep(bitcoin)
    loan = Loan.objects.get()
    found = _spendable(esplora(), loan, _counted(loan), change=True)
    assert sum(coin.sats for coin in found) == Position.objects.get().btc_sats


def test_less_than_what_was_asked_back_waits_until_its_transaction_is_recorded(
    bitcoin: Chain, large_sale: Sale, settings: Any
) -> None:
    back = sold_with_a_rest(bitcoin, large_sale, settings)
    counted = Position.objects.get().btc_sats
    home = give_deposit_address(loan_id=large_sale.loan_id, asset="BTC", actor="test").address
    txid = bitcoin.send({home: int(back.units) - 700}, sender="exchange")
    sweep(bitcoin)
    assert Deposit.objects.get(txid=txid).state == "screened"
    deliveries.record_sent(delivery_id=back.pk, txid=txid, actor=world.officer())
    advance_deposits()
    back.refresh_from_db()
    assert (back.state, Deposit.objects.get(txid=txid).state) == ("arrived", "came_back")
    assert Position.objects.get().btc_sats == counted
    # The exchange kept a fee that nobody booked: the comparison says so.
    found = reconcile_asset(asset="BTC")
    assert (found.state, int(found.differences[0]["expected"]) - int(found.differences[0]["found"])) == (
        "differed",
        700,
    )


def test_another_payment_of_the_borrower_counts_once_the_transaction_of_what_comes_back_is_known(
    bitcoin: Chain, large_sale: Sale, settings: Any
) -> None:
    back = sold_with_a_rest(bitcoin, large_sale, settings)
    counted = Position.objects.get().btc_sats
    home = give_deposit_address(loan_id=large_sale.loan_id, asset="BTC", actor="test").address
    bitcoin.send({home: 300_000}, sender="alice")
    sweep(bitcoin)
    assert Position.objects.get().btc_sats == counted
    txid = bitcoin.send({home: int(back.units)}, sender="exchange")
    deliveries.record_sent(delivery_id=back.pk, txid=txid, actor=world.officer())
    sweep(bitcoin)
    assert Position.objects.get().btc_sats == counted + 300_000
    assert sorted(Deposit.objects.values_list("state", flat=True)) == ["came_back", "credited", "credited"]
    assert reconcile_asset(asset="BTC").state == "agreed"


def test_the_collateral_of_a_repaid_loan_is_asked_back_only_as_far_as_it_is_in_custody(
    bitcoin: Chain, large_sale: Sale, settings: Any
) -> None:
    back = sold_with_a_rest(bitcoin, large_sale, settings)
    loan = Loan.objects.get()
    address = request_return_address(actor=loan.borrower, asset="BTC", address=bitcoin.wallet("home"))
    approve_return_address(address_id=address.pk, actor=world.officer())
    ReturnAddress.objects.update(effective_at=timezone.now())
    held = Position.objects.get().btc_sats
    repay_all(loan)
    asked = Withdrawal.objects.get()
    assert (Loan.objects.get().state, int(asked.units)) == ("repaid", held - int(back.units))
    with pytest.raises(LoanRefused):
        request_withdrawal(
            loan_id=loan.pk, actor=loan.borrower, asset="BTC", units=int(back.units), form_key="at the exchange"
        )
    home = give_deposit_address(loan_id=loan.pk, asset="BTC", actor="test").address
    bitcoin.send({home: int(back.units)}, sender="exchange")
    sweep(bitcoin)
    assert [int(row.units) for row in Withdrawal.objects.order_by("id")] == [int(asked.units), int(back.units)]
    assert Position.objects.get().btc_sats == held


def repay_all(loan: Loan) -> None:
    one, two = world.officer(), world.officer()
    accrual.catch_up(loan=loan)
    owed = from_minor(debt_of(loan).total, loan.currency)
    row = repayments.record_repayment(
        loan_id=loan.pk, actor=one, amount=owed, received_on=timezone.localdate(), reference=secrets.token_hex(4)
    )
    repayments.confirm_repayment(repayment_id=row.pk, actor=two)


def test_what_arrives_at_the_exchange_after_its_sale_ended_comes_back_by_itself(bitcoin_sale: Sale) -> None:
    delivery = Delivery.objects.get()
    deliveries.record_sent(delivery_id=delivery.pk, txid=TXID, actor=world.officer())
    world.accept_price("BTC", 30_000_000)
    run(bitcoin_sale)
    assert bitcoin_sale.state == "stopped"
    deliveries.confirm_arrival(delivery_id=delivery.pk, actor=world.officer())
    back = Delivery.objects.get(direction="back")
    assert (back.state, back.units) == ("requested", delivery.units)


def test_what_the_exchange_did_not_send_back_is_asked_for_again_also_after_the_sale(
    bitcoin: Chain, large_sale: Sale, settings: Any
) -> None:
    back, officer = sold_with_a_rest(bitcoin, large_sale, settings), world.officer()
    deliveries.give_up(delivery_id=back.pk, actor=officer, reason="The exchange did not send it.")
    assert Incident.objects.filter(kind="lending.delivery_failed", closed_at=None).count() == 1
    assert deliveries_open().filter(pk=back.pk).exists()
    again = deliveries.retry(delivery_id=back.pk, actor=officer)
    assert (again.direction, again.units, again.state) == ("back", back.units, "requested")
    with pytest.raises(LoanRefused):
        deliveries.confirm_arrival(delivery_id=again.pk, actor=world.officer())


def test_a_delivery_that_its_ended_sale_no_longer_needs_is_called_off_without_an_incident(bitcoin_sale: Sale) -> None:
    delivery = Delivery.objects.get()
    world.accept_price("BTC", 30_000_000)
    run(bitcoin_sale)
    deliveries.give_up(delivery_id=delivery.pk, actor=world.officer(), reason="Not needed any more.")
    assert not Incident.objects.filter(closed_at=None).exists()


# --- the page --------------------------------------------------------------------------------------------------------


def test_officers_record_and_confirm_a_delivery_on_the_page_and_readers_cannot(bitcoin_sale: Sale) -> None:
    delivery = Delivery.objects.get()
    where = reverse("lending:delivery-act", args=[delivery.pk])
    people = [
        make_person(f"{name}@desk.example", role=role, second_factor=True)
        for name, role in (("one", Role.LOAN_OFFICER), ("two", Role.LOAN_OFFICER), ("reader", Role.AUDITOR))
    ]
    one, two, reader = (sign_in(each, fresh=True) for each in people)
    assert where in one.get(reverse("lending:work")).content.decode()
    one.post(where, {"act": "sent", "txid": TXID})
    delivery.refresh_from_db()
    assert (delivery.state, delivery.recorded_by) == ("sent", people[0])
    one.post(where, {"act": "arrived"})
    delivery.refresh_from_db()
    assert delivery.state == "sent"
    assert TXID in reader.get(reverse("lending:work")).content.decode()
    assert reader.post(where, {"act": "arrived"}).status_code == 403
    two.post(where, {"act": "arrived"})
    delivery.refresh_from_db()
    assert (delivery.state, delivery.confirmed_by) == ("arrived", people[1])


# --- what the networks say -------------------------------------------------------------------------------------------


def sent_to(bitcoin: Chain, settings: Any, where: str, sats: int) -> Delivery:
    """An officer recorded the transaction that pays `where`; nobody has confirmed it."""
    settings.BITCOIN_SALE_ADDRESS = bitcoin.wallet("exchange")
    txid = bitcoin.send({bitcoin.wallet(where): sats}, sender="custody")
    delivery = Delivery.objects.get()
    return deliveries.record_sent(delivery_id=delivery.pk, txid=txid, actor=world.officer())


def test_bitcoin_that_demonstrably_paid_the_exchange_arrives_by_itself_once_it_is_deep_enough(
    bitcoin: Chain, bitcoin_sale: Sale, settings: Any
) -> None:
    delivery = sent_to(bitcoin, settings, "exchange", int(Delivery.objects.get().units))
    run_bitcoin_sweep()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.block_height) == ("sent", None)
    bitcoin.mine(2)
    run_bitcoin_sweep()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.block_height) == ("sent", bitcoin.blocks[-2].height)
    assert run(bitcoin_sale, steps=2).orders.count() == 0
    bitcoin.mine(1)
    for _twice in range(2):
        run_bitcoin_sweep()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.confirmed_by) == ("arrived", None)
    assert AuditEntry.objects.filter(action="lending.delivery.arrived").count() == 1
    assert run(bitcoin_sale).state == "done"


@pytest.mark.parametrize(("where", "less"), [("exchange", 1), ("somewhere", 0)])
def test_bitcoin_that_paid_less_or_somebody_else_waits_for_a_person(
    bitcoin: Chain, bitcoin_sale: Sale, settings: Any, where: str, less: int
) -> None:
    delivery = sent_to(bitcoin, settings, where, int(Delivery.objects.get().units) - less)
    bitcoin.mine(6)
    run_bitcoin_sweep()
    delivery.refresh_from_db()
    assert (delivery.state, run(bitcoin_sale, steps=2).orders.count()) == ("sent", 0)


def test_a_delivery_whose_block_is_reorganised_away_before_it_is_deep_has_not_arrived(
    bitcoin: Chain, bitcoin_sale: Sale, settings: Any
) -> None:
    delivery = sent_to(bitcoin, settings, "exchange", int(Delivery.objects.get().units))
    bitcoin.mine(2)
    run_bitcoin_sweep()
    bitcoin.reorganise(2, forget=[delivery.reference])
    bitcoin.mine(6)
    run_bitcoin_sweep()
    delivery.refresh_from_db()
    assert (delivery.state, run(bitcoin_sale, steps=2).orders.count()) == ("sent", 0)


@pytest.mark.chain
def test_ether_sold_in_a_block_that_is_reorganised_away_has_not_arrived_and_arrives_once_when_it_comes_back(
    platform: Platform, ether_sale: Sale, settle: Callable[[], None]
) -> None:
    run(ether_sale, steps=1)
    delivery = Delivery.objects.get()
    node = platform.node
    for _round in range(20):  # until the vault has sent it, in a block that is not final
        services.run_submit_sweep()
        services.run_funding_sweep()
        node.mine(1)
        services.run_reconcile_sweep()
        index(platform)
        if CollateralMovement.objects.filter(kind="Sold").exists():
            break
    assert CollateralMovement.objects.filter(kind="Sold").count() == 1
    delivery.refresh_from_db()
    assert (delivery.state, run(ether_sale, steps=2).orders.count()) == ("requested", 0)
    node.reorg(2)
    index(platform, blocks=1)
    assert not CollateralMovement.objects.filter(kind="Sold").exists()
    deliveries.follow_ether()
    delivery.refresh_from_db()
    assert (delivery.state, run(ether_sale, steps=2).orders.count()) == ("requested", 0)
    settle()
    index(platform, blocks=3)
    for _twice in range(2):
        deliveries.follow_ether()
    delivery.refresh_from_db()
    assert delivery.state == "arrived"
    assert AuditEntry.objects.filter(action="lending.delivery.arrived").count() == 1
    assert CollateralMovement.objects.filter(kind="Sold").count() == 1
    assert run(ether_sale).state == "done"
    assert reconcile_asset(asset="ETH").state == "agreed"
