"""Ether through the real vault on the real node: in, counted, back to the borrower's address; and what handlers missed."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from eth_keys.datatypes import PrivateKey

from chain import followups, operations, services
from chain.gateway import gateway
from chain.services.alarms import start_watching_here
from chain.tests.test_main_job import ask
from chain.types import SignerRole
from conftest import Platform
from lending.models import Account, Deposit, Loan, Position, Posting, ReconciliationRun, ReturnAddress, Withdrawal
from lending.services.collateral import (
    advance_deposits,
    approve_return_address,
    approve_withdrawal,
    check_withdrawal,
    ether,
    give_deposit_address,
    request_return_address,
    request_withdrawal,
)
from lending.services.proofs import publish_proof
from lending.services.reconciliation import reconcile_asset
from lending.tests import world
from portal.exceptions import DomainError

pytestmark = [pytest.mark.django_db, pytest.mark.chain]
ETHER = 10**18


@pytest.fixture(autouse=True)
def _lists(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    world.load_list()
    services.run_index_step()
    start_watching_here()
    monkeypatch.setattr(ether, "MARGIN", timedelta(seconds=1))


@pytest.fixture
def loan(platform: Platform, settle: Callable[[], None]) -> Loan:
    """A loan with an Ether address of its own and an open account in the vault."""
    made = world.make_loan()
    home = PrivateKey(secrets.token_bytes(32)).public_key.to_checksum_address()
    row = request_return_address(actor=made.borrower, asset="ETH", address=home)
    approve_return_address(address_id=row.pk, actor=world.officer())
    give_deposit_address(loan_id=made.pk, asset="ETH", actor="test")
    settle()
    return made


def pay(platform: Platform, loan: Loan, wei: int, sender: str) -> str:
    node = platform.node
    node.set_balance(sender, 1_000 * ETHER)
    node.call("anvil_impersonateAccount", sender)
    to = give_deposit_address(loan_id=loan.pk, asset="ETH", actor="test").address
    sent = str(node.call("eth_sendTransaction", {"from": sender, "to": to, "value": hex(wei), "gas": hex(3_000_000)}))
    while node.call("eth_getTransactionReceipt", sent) is None:
        time.sleep(0.01)
    return sent


def index(platform: Platform, blocks: int = 0) -> None:
    platform.node.mine(blocks)
    assert services.run_index_step()


def someone() -> str:
    return str(PrivateKey(secrets.token_bytes(32)).public_key.to_checksum_address())


def counted(loan: Loan) -> int:
    wei = -sum(int(row.amount) for row in Posting.objects.filter(loan=loan, account=Account.COLLATERAL, unit="ETH"))
    assert int(Position.objects.get(loan=loan).eth_wei) == wei
    return wei


def test_ether_is_seen_at_once_and_counts_when_its_block_is_final(platform: Platform, loan: Loan) -> None:
    sender = someone()
    pay(platform, loan, 3 * ETHER, sender)
    index(platform)
    row = Deposit.objects.get()
    assert (row.state, row.senders, counted(loan)) == ("seen", [sender], 0)
    index(platform, blocks=3)
    advance_deposits()
    ether.run_ether_sweep()
    advance_deposits()
    assert counted(loan) == 3 * ETHER
    run = reconcile_asset(asset="ETH")
    assert (run.state, int(run.chain_units)) == (ReconciliationRun.State.AGREED, 3 * ETHER)
    made = publish_proof()
    assert made is not None
    assert (int(made.eth_wei), int(made.eth_found or 0), made.is_covered) == (3 * ETHER, 3 * ETHER, True)


def test_ether_without_a_return_address_has_nowhere_to_go_back_to(platform: Platform) -> None:
    with pytest.raises(DomainError) as caught:
        give_deposit_address(loan_id=world.make_loan().pk, asset="ETH", actor="test")
    assert caught.value.code == "lending.deposit.no_return_address"


def test_ether_from_a_listed_sender_is_held_and_reconciles(platform: Platform, loan: Loan) -> None:
    sender = someone()
    world.list_address(sender)
    pay(platform, loan, 2 * ETHER, sender)
    index(platform, blocks=3)
    advance_deposits()
    row = Deposit.objects.get()
    assert (row.state, row.hold, counted(loan)) == ("held", "sanctioned", 0)
    run = reconcile_asset(asset="ETH")
    assert (run.state, int(run.held_units)) == ("agreed", 2 * ETHER)


def test_a_reorganisation_takes_a_deposit_that_was_only_seen(platform: Platform, loan: Loan) -> None:
    index(platform, blocks=3)
    pay(platform, loan, 2 * ETHER, someone())
    index(platform)
    assert Deposit.objects.get().state == "seen"
    platform.node.reorg(1)
    index(platform, blocks=1)
    assert Deposit.objects.get().state == "orphaned"


def test_what_the_handlers_missed_is_taken_up_by_the_sweep(
    platform: Platform, loan: Loan, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        for registry in ("_event_handlers", "_final_handlers", "_undone_handlers"):
            patch.setattr(followups, registry, {})
        pay(platform, loan, 3 * ETHER, someone())
        index(platform, blocks=3)
    assert not Deposit.objects.exists()
    for _number in range(2):
        ether.run_ether_sweep()
        advance_deposits()
    assert (counted(loan), Deposit.objects.count()) == (3 * ETHER, 1)


def test_ether_goes_back_to_the_address_the_account_was_opened_with(
    platform: Platform, loan: Loan, settle: Callable[[], None], settings: Any
) -> None:
    pay(platform, loan, 3 * ETHER, someone())
    index(platform, blocks=3)
    advance_deposits()
    row = request_withdrawal(loan_id=loan.pk, actor=loan.borrower, asset="ETH", units=ETHER, form_key=str(uuid.uuid4()))
    check_withdrawal(withdrawal_id=row.pk, actor=world.officer())
    approve_withdrawal(withdrawal_id=row.pk, actor=world.officer())
    assert counted(loan) == 2 * ETHER
    for _round in range(10):
        settle()
        index(platform, blocks=2)
        ether.run_ether_sweep()
        row.refresh_from_db()
        if row.state == Withdrawal.State.FINAL:
            break
        time.sleep(1)
    assert row.state == Withdrawal.State.FINAL, (row.state, row.transaction)
    assert int(platform.node.call("eth_getBalance", row.destination.address, "latest"), 16) == ETHER
    assert (
        sum(
            gateway()
            .collateral_balances([give_deposit_address(loan_id=loan.pk, asset="ETH", actor="t").account])
            .values()
        )
        == 2 * ETHER
    )
    assert reconcile_asset(asset="ETH").state == "agreed"


# --- a borrower who changes their address ----------------------------------------------------------------------------


def change_home(loan: Loan) -> str:
    """Another address, approved by an officer, its wait over."""
    new = someone()
    row = request_return_address(actor=loan.borrower, asset="ETH", address=new)
    approve_return_address(address_id=row.pk, actor=world.officer())
    ReturnAddress.objects.filter(pk=row.pk).update(effective_at=timezone.now())
    return new


def asked(loan: Loan, key: str) -> Withdrawal:
    return request_withdrawal(loan_id=loan.pk, actor=loan.borrower, asset="ETH", units=ETHER, form_key=key)


def test_after_a_change_of_address_nothing_goes_to_the_old_one_until_the_vault_pays_the_new_one(
    platform: Platform, loan: Loan, settle: Callable[[], None]
) -> None:
    pay(platform, loan, 3 * ETHER, someone())
    index(platform, blocks=3)
    advance_deposits()
    before = asked(loan, "before")
    check_withdrawal(withdrawal_id=before.pk, actor=world.officer())
    new = change_home(loan)
    with pytest.raises(DomainError) as refused:
        asked(loan, "after")
    assert refused.value.code == "lending.withdrawal.vault_address"
    with pytest.raises(DomainError) as refused:
        approve_withdrawal(withdrawal_id=before.pk, actor=world.officer())
    assert refused.value.code == "lending.withdrawal.vault_address"
    assert counted(loan) == 3 * ETHER
    account = give_deposit_address(loan_id=loan.pk, asset="ETH", actor="test").account
    change_in_the_vault(account, new, platform, settle)
    assert asked(loan, "now").destination.address == new
    with pytest.raises(DomainError) as refused:
        approve_withdrawal(withdrawal_id=before.pk, actor=world.officer())
    assert refused.value.code == "lending.withdrawal.destination_changed"


def change_in_the_vault(account: str, new: str, platform: Platform, settle: Callable[[], None]) -> None:
    """The vault's own way (docs/runbooks/collateral-vault.md): scheduled, announced, a notice, applied by anybody."""
    change = operations.announce_borrower_change(account, new)
    steps = (
        (operations.schedule_call(change), SignerRole.TOKEN_CONTROLLER),
        (change, SignerRole.TOKEN_CONTROLLER),
        (operations.apply_borrower_change(account), SignerRole.COLLATERAL_AGENT),
    )
    for number, (call, role) in enumerate(steps):
        ask(call, platform.signer(role), f"change:{number}")
        settle()
        platform.node.pass_time(2)
    index(platform, blocks=3)
