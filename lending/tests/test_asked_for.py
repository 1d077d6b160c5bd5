"""What the vault is asked in the loan desk's name passes if its own rows say so, and no variation of it does."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest

from chain.desk.models import Alarm
from chain.models import ChainTransaction
from chain.tests.lies import assert_only_the_truth_passes, copy_of, verdict
from conftest import Platform
from lending.models import Delivery, DepositAddress, Loan, ReturnAddress, Sale, Withdrawal
from lending.services.collateral import (
    advance_deposits,
    approve_withdrawal,
    check_withdrawal,
    ether,
    request_withdrawal,
)
from lending.tests import world
from lending.tests.test_collateral_ether import ETHER, _lists, index, loan, pay, someone
from lending.tests.test_deliver_collateral import _really, ether_sale, run

__all__ = ["_lists", "_really", "ether_sale", "loan"]  # fixtures
pytestmark = [pytest.mark.django_db, pytest.mark.chain]
RETURNS = ("lending.account", "lending.release_proposed", "lending.release_executed")


@pytest.fixture
def withdrawn(platform: Platform, loan: Loan, settle: Callable[[], None]) -> Withdrawal:
    """One of three ether, on its way back to the borrower and there."""
    pay(platform, loan, 3 * ETHER, someone())
    index(platform, blocks=3)
    advance_deposits()
    row = request_withdrawal(loan_id=loan.pk, actor=loan.borrower, asset="ETH", units=ETHER, form_key=str(uuid.uuid4()))
    check_withdrawal(withdrawal_id=row.pk, actor=world.officer())
    approve_withdrawal(withdrawal_id=row.pk, actor=world.officer())
    assert_only_the_truth_passes("lending.account", "lending.release_proposed")
    for _round in range(10):
        settle()
        index(platform, blocks=2)
        ether.run_ether_sweep()
        row.refresh_from_db()
        if row.state == Withdrawal.State.FINAL:
            break
        time.sleep(1)
    return row


def of(purpose: str) -> ChainTransaction:
    return ChainTransaction.objects.filter(purpose=purpose).order_by("-pk")[0]


def test_only_returns_that_two_officers_approved_pass(withdrawn: Withdrawal) -> None:
    assert withdrawn.state == Withdrawal.State.FINAL
    assert_only_the_truth_passes(*RETURNS)
    assert not Alarm.objects.filter(kind="unasked").exists()
    row = of("lending.release_executed")
    number = ChainTransaction.objects.filter(purpose=row.purpose).count()
    for key in (
        f"lending.release:{withdrawn.pk}:execute:{number}",
        f"lending.release:{withdrawn.pk}:execute:0{number}",
    ):
        again = copy_of(row, idempotency_key=key)
        assert verdict(again) == "unasked", key  # the one before has not failed
        again.delete()


@pytest.mark.parametrize("purpose", ["lending.release_proposed", "lending.release_executed"])
def test_another_amount_or_no_approval_is_not_asked_for(withdrawn: Withdrawal, purpose: str) -> None:
    row = of(purpose)
    assert verdict(row) == "asked"
    Withdrawal.objects.filter(pk=withdrawn.pk).update(
        state=Withdrawal.State.REQUESTED, checked_by=None, approved_by=None, approved_at=None
    )
    assert verdict(row) == "unasked"


def test_an_account_is_opened_for_an_address_its_borrower_registered(loan: Loan) -> None:
    row = of("lending.account")
    assert verdict(row) == "asked"
    ReturnAddress.objects.update(effective_at=None, state=ReturnAddress.State.REQUESTED, approved_by=None)
    assert verdict(row) == "unasked"


def test_only_what_a_sale_needs_leaves_for_the_exchange(
    platform: Platform, ether_sale: Sale, settle: Callable[[], None]
) -> None:
    run(ether_sale, steps=3)
    names = ("lending.sale_recorded", "lending.sale_executed")
    assert_only_the_truth_passes(*names)
    settle()
    index(platform, blocks=3)
    assert_only_the_truth_passes(*names)
    recorded, executed = map(of, names)
    assert verdict(copy_of(executed)) == "unasked"
    ChainTransaction.objects.filter(pk=recorded.pk).update(valid_until=recorded.valid_until + timedelta(days=1))  # type: ignore[operator]
    assert verdict(recorded) == "unasked"
    Delivery.objects.update(direction=Delivery.Direction.BACK)
    assert verdict(executed) == "unasked"
    assert DepositAddress.objects.exclude(account="").count() == 1
