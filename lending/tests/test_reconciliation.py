"""The daily comparison and the published proofs, on the simulated Bitcoin network and the ledger."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone

from chain.models import Incident
from lending.bitcoin.simulator.chain import Chain
from lending.bitcoin.simulator.custodian import sign
from lending.models import (
    Account,
    CollateralProof,
    Deposit,
    DepositAddress,
    EntryKind,
    Loan,
    ProofLeaf,
    ReconciliationRun,
)
from lending.selectors.proofs import is_proven, own_proof
from lending.services.bitcoin import prepare_psbt, run_bitcoin_sweep, submit_signed
from lending.services.ledger import Line, post
from lending.services.proofs import publish_proof
from lending.services.reconciliation import reconcile_asset
from lending.tests import world
from lending.tests.test_collateral_bitcoin import approved, deposit, home
from portal.exceptions import NotPermitted
from portal.models import AuditEntry

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _lists(db: None) -> None:
    world.load_list()


def compared() -> ReconciliationRun:
    return reconcile_asset(asset="BTC")


def test_the_ledger_agrees_with_the_chain_at_every_moment_of_a_deposit_and_a_return(bitcoin: Chain) -> None:
    loan = world.make_loan()
    deposit(loan, bitcoin, 900_000, blocks=1)
    run = compared()
    assert (run.state, run.held_units) == ("agreed", 900_000)
    bitcoin.mine(2)
    run_bitcoin_sweep()
    deposit(loan, bitcoin, 50_000)
    home(loan, bitcoin)
    row = prepare_psbt(withdrawal_id=approved(loan, 300_000).pk, actor=world.officer())
    assert compared().state == "agreed"
    submit_signed(withdrawal_id=row.pk, actor=world.officer(), signed=sign(row.psbt))
    assert compared().state == "agreed"
    bitcoin.mine()
    run = compared()
    assert (run.state, run.moving_units, run.chain_units) == ("agreed", 300_000, 650_000)
    bitcoin.mine(2)
    run = compared()
    assert (run.state, run.moving_units, run.ledger_units, run.held_units) == ("agreed", 0, 600_000, 50_000)


def test_coins_that_are_not_there_and_coins_nobody_booked_are_incidents(bitcoin: Chain) -> None:
    loan = world.make_loan()
    deposit(loan, bitcoin, 900_000)
    assert compared().state == "agreed"
    post(
        kind=EntryKind.DEPOSIT,
        key="forged",
        loan_id=loan.pk,
        value_on=timezone.localdate(),
        lines=[Line(Account.CUSTODY, "BTC", 7), Line(Account.COLLATERAL, "BTC", -7, loan.pk)],
    )
    run = compared()
    assert (run.state, run.differences) == ("differed", [{"loan": loan.pk, "expected": "900007", "found": "900000"}])
    assert Incident.objects.filter(kind="lending.collateral_differs", closed_at=None).count() == 1
    compared()
    assert Incident.objects.filter(kind="lending.collateral_differs", closed_at=None).count() == 1
    post(
        kind=EntryKind.DEPOSIT_UNDONE,
        key="forged back",
        loan_id=loan.pk,
        value_on=timezone.localdate(),
        lines=[Line(Account.CUSTODY, "BTC", -7), Line(Account.COLLATERAL, "BTC", 7, loan.pk)],
    )
    assert compared().state == "agreed"
    assert not Incident.objects.filter(kind="lending.collateral_differs", closed_at=None).exists()


def test_two_loans_whose_differences_cancel_out_still_differ(bitcoin: Chain) -> None:
    one, other = world.make_loan(), world.make_loan()
    deposit(one, bitcoin, 900_000)
    deposit(other, bitcoin, 900_000)
    for loan, sats in ((one, 5), (other, -5)):
        post(
            kind=EntryKind.DEPOSIT,
            key=f"forged {loan.pk}",
            loan_id=loan.pk,
            value_on=timezone.localdate(),
            lines=[Line(Account.CUSTODY, "BTC", sats), Line(Account.COLLATERAL, "BTC", -sats, loan.pk)],
        )
    assert len(compared().differences) == 2


def test_a_network_that_cannot_be_asked_is_no_agreement(bitcoin: Chain, settings: Any) -> None:
    deposit(world.make_loan(), bitcoin, 900_000)
    settings.BITCOIN_ESPLORA_URL = "http://127.0.0.1:1"
    run = compared()
    assert (run.state, run.chain_units) == ("unanswered", 0)


def test_a_run_that_was_killed_is_shown_as_unanswered(bitcoin: Chain) -> None:
    killed = ReconciliationRun.objects.create(asset="BTC")
    assert compared().state == "agreed"
    killed.refresh_from_db()
    assert (killed.state, killed.detail) == ("unanswered", "killed")


# --- proofs ----------------------------------------------------------------------------------------------------------


def test_every_borrower_finds_their_collateral_in_the_published_tree(bitcoin: Chain) -> None:
    loans = [world.make_loan() for _number in range(5)]
    for number, loan in enumerate(loans):
        deposit(loan, bitcoin, 200_000 + number)
    made = publish_proof()
    assert made is not None
    assert (made.leaf_count, made.btc_sats, made.btc_found, made.is_covered) == (5, 1_000_010, 1_000_010, True)
    assert sorted(made.btc_addresses) == sorted(DepositAddress.objects.values_list("address", flat=True))
    assert all(is_proven(loan, made) for loan in loans)
    file = own_proof(loans[3], made)
    assert file is not None
    assert file["leaf"]["sats"] == 200_003
    assert json.loads(json.dumps(file)) == file
    assert own_proof(world.make_loan(), made) is None
    sealed = AuditEntry.objects.get(action="lending.proof.published")
    assert sealed.data["commitment"] == made.commitment


def test_a_leaf_changed_afterwards_is_no_longer_proven(bitcoin: Chain) -> None:
    loan, other = world.make_loan(), world.make_loan()
    deposit(loan, bitcoin, 200_000)
    deposit(other, bitcoin, 300_000)
    made = publish_proof()
    assert made is not None
    ProofLeaf.objects.filter(loan=loan).update(btc_sats=200_001)
    assert not is_proven(loan, CollateralProof.objects.get())


def test_a_proof_says_when_the_chain_has_less_than_is_owed(bitcoin: Chain, settings: Any) -> None:
    loan = world.make_loan()
    row = deposit(loan, bitcoin, 200_000)
    bitcoin.reorganise(4, forget=[row.txid])
    made = publish_proof()
    assert made is not None
    assert (made.btc_sats, made.btc_found, made.is_covered) == (200_000, 0, False)
    settings.BITCOIN_ESPLORA_URL = "http://127.0.0.1:1"
    unseen = publish_proof()
    assert unseen is not None
    assert (unseen.btc_found, unseen.is_covered) == (None, False)


def test_held_coins_are_nobodys_collateral_and_an_empty_book_has_no_proof(bitcoin: Chain) -> None:
    assert publish_proof() is None
    assert deposit(world.make_loan(), bitcoin, 5_000).state == Deposit.State.HELD
    assert publish_proof() is None


def test_only_the_desk_publishes_on_demand(bitcoin: Chain) -> None:
    loan: Loan = world.make_loan()
    deposit(loan, bitcoin, 200_000)
    with pytest.raises(NotPermitted):
        publish_proof(actor=loan.borrower)
    assert publish_proof(actor=world.officer()) is not None
