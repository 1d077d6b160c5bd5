"""The demonstration's custodian, exchange and feeds: coins really move, so the books agree with the chains after a sale."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from eth_keys.datatypes import PrivateKey

from chain import services
from chain.gateway import gateway
from chain.models import ChainTransaction, Incident
from chain.selectors import price_feeds
from chain.services.alarms import start_watching_here
from conftest import Platform
from lending.bitcoin.simulator.chain import EXCHANGE, Chain, wallet_of
from lending.bitcoin.simulator.custodian import MNEMONIC, Custodian, kept_at
from lending.bitcoin.simulator.server import Simulator as BitcoinSimulator
from lending.execution import kraken_simulator, venues
from lending.models import Delivery, Loan, Position, Sale
from lending.prices.defaults import FEED_MAX_AGE_SECONDS
from lending.prices.simulator import Simulator as ExchangeSimulator
from lending.services import deliveries, sales
from lending.services.bitcoin import run_bitcoin_sweep
from lending.services.collateral import (
    advance_deposits,
    approve_return_address,
    give_deposit_address,
    request_return_address,
)
from lending.services.reconciliation import reconcile_asset
from lending.tests import world
from lending.tests.test_collateral_bitcoin import deposit
from lending.tests.test_collateral_ether import index, pay, someone
from portal.demo import outside
from portal.demo.people import BY_KEY
from portal.models import Role
from portal.settings import local
from portal.testing import make_person

pytestmark = pytest.mark.django_db
ETHER = 10**18


@pytest.fixture
def bitcoin(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chain]:
    """Both simulators as `make demo` starts them, with a custodian of their own and the exchange as the place of sales."""
    monkeypatch.setenv("MUSUBI_RUN_DIR", str(tmp_path))
    (tmp_path / "exchanges").mkdir()
    custodian, chain = kept_at(tmp_path / "custodian.json"), Chain()
    chain.mine(5)
    venues._exchange.cache_clear()
    with ExchangeSimulator() as exchanges, BitcoinSimulator(chain, custodian=custodian) as network:
        settings.DEMO, settings.EXCHANGE_SIMULATOR_URL, settings.BITCOIN_ESPLORA_URL = True, exchanges.url, network.url
        settings.BITCOIN_MASTER_FINGERPRINT, settings.BITCOIN_ACCOUNT_XPUB = custodian.account
        settings.BITCOIN_CONFIRMATIONS, settings.BITCOIN_SALE_ADDRESS = ["0:3"], wallet_of(EXCHANGE)
        settings.SALE_VENUE, settings.SALE_API_KEY = "kraken", kraken_simulator.KEY
        settings.SALE_API_SECRET, settings.SALE_EXECUTION_WAIT_SECONDS = kraken_simulator.SECRET, 0
        exchanges.market.prices |= {"BTC/JPY": Decimal(12_000_000), "ETH/JPY": Decimal(500_000)}
        world.load_list()
        make_person(BY_KEY[outside.OFFICER].email, role=Role.LOAN_OFFICER)
        yield chain


def begun(loan: Loan, yen: int) -> Sale:
    world.lend(loan, yen)
    with transaction.atomic():
        return sales.start_sale(loan=Loan.objects.select_for_update(of=("self",)).get(pk=loan.pk), cause="price")


def run(sale: Sale) -> str:
    for _number in range(30):
        sales.step(sale_id=sale.pk)
        sale.refresh_from_db()
        if sale.state not in Sale.RUNNING or sale.pause:
            break
    return str(sale.state)


def test_after_a_sale_of_bitcoin_in_the_demonstration_the_books_agree_with_the_chain(bitcoin: Chain) -> None:
    loan = world.make_loan()
    deposit(loan, bitcoin, 4_000_000)
    world.accept_price("BTC", 12_000_000)
    sale = begun(loan, 380_000)
    assert run(sale) == "paused"
    assert outside.move_collateral() == 1
    assert outside.move_collateral() == 0
    bitcoin.mine(4)
    run_bitcoin_sweep()
    assert run(sale) == "done"
    assert reconcile_asset(asset="BTC").state == "agreed"
    counted = Position.objects.get().btc_sats
    assert outside.move_collateral() == 1  # the exchange sends back what was not sold
    bitcoin.mine(4)
    run_bitcoin_sweep()
    assert set(Delivery.objects.values_list("direction", "state")) == {("out", "arrived"), ("back", "arrived")}
    run_ = reconcile_asset(asset="BTC")
    assert (run_.state, run_.chain_units, Position.objects.get().btc_sats) == ("agreed", counted, counted)
    assert not Incident.objects.filter(closed_at=None).exists()


@pytest.mark.chain
def test_after_a_sale_of_ether_in_the_demonstration_the_books_agree_with_the_chain(
    bitcoin: Chain, platform: Platform, settle: Callable[[], None]
) -> None:
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
    sale = begun(loan, 1_200_000)
    assert run(sale) == "paused"
    assert outside.move_collateral() == 0  # ether goes through the vault by itself
    settle()
    index(platform, blocks=3)
    deliveries.follow_ether()
    assert run(sale) == "done"
    counted = int(Position.objects.get().eth_wei)
    assert outside.move_collateral() == 1
    index(platform, blocks=3)
    advance_deposits()
    assert set(Delivery.objects.values_list("direction", "state")) == {("out", "arrived"), ("back", "arrived")}
    run_ = reconcile_asset(asset="ETH")
    assert (run_.state, int(run_.chain_units), int(Position.objects.get().eth_wei)) == ("agreed", counted, counted)


@pytest.mark.chain
def test_the_feeds_say_their_price_again_before_they_are_too_old_to_be_believed(
    bitcoin: Chain, platform: Platform, settle: Callable[[], None]
) -> None:
    outside.keep_feeds_fresh()
    settle()
    before = {pair: gateway().price_feed(feed).updated_at for pair, feed in price_feeds().items()}
    platform.node.pass_time(60)
    outside.keep_feeds_fresh()
    settle()
    assert {row.state for row in ChainTransaction.objects.filter(purpose="demo.price")} == {"final"}
    after = {pair: gateway().price_feed(feed).updated_at for pair, feed in price_feeds().items()}
    assert before
    assert all(after[pair] > before[pair] for pair in before)


def test_the_feeds_are_told_again_well_within_the_time_they_are_believed() -> None:
    assert local.DEMO_SCHEDULE["demo-feeds"]["schedule"] == local.DEMO_FEEDS_EVERY
    assert local.DEMO_FEEDS_EVERY * 3 <= FEED_MAX_AGE_SECONDS


def test_nothing_outside_moves_where_there_is_no_demonstration(bitcoin: Chain, settings: Any) -> None:
    settings.DEMO = False
    loan = world.make_loan()
    deposit(loan, bitcoin, 4_000_000)
    world.accept_price("BTC", 12_000_000)
    run(begun(loan, 380_000))
    assert outside.move_collateral() == 0
    outside.keep_feeds_fresh()
    assert not ChainTransaction.objects.filter(purpose="demo.price").exists()
    assert Delivery.objects.get().state == "requested"


def test_every_installation_has_a_custodian_of_its_own_whose_keys_stay(tmp_path: Path) -> None:
    one, other = (kept_at(tmp_path / name / "custodian.json") for name in ("one", "other"))
    assert one.mnemonic != other.mnemonic
    assert one == kept_at(tmp_path / "one" / "custodian.json")
    assert one.account[1].startswith("tpub")
    assert oct((tmp_path / "one" / "custodian.json").stat().st_mode)[-3:] == "600"
    # The published vectors of BIP 84 are the tests' alone.
    assert Custodian(MNEMONIC).account == (
        django_settings.BITCOIN_MASTER_FINGERPRINT,
        django_settings.BITCOIN_ACCOUNT_XPUB,
    )
    assert MNEMONIC not in (one.mnemonic, other.mnemonic)
