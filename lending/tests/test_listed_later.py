"""A deposit counts, and then its sender comes onto a sanctions list: never dropped, and nothing leaves."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.urls import reverse

from chain.models import Incident
from kyc.models import SanctionsList
from lending.bitcoin.simulator.chain import Chain
from lending.bitcoin.simulator.custodian import sign
from lending.models import Account, Delivery, Deposit, Loan, Sale, Withdrawal
from lending.services import draws, sales
from lending.services.bitcoin import prepare_psbt, run_bitcoin_sweep, submit_signed
from lending.services.collateral import (
    approve_withdrawal,
    check_withdrawal,
    confirm_disposition,
    propose_disposition,
    rescreen_deposits,
)
from lending.tests import world
from lending.tests.test_collateral_bitcoin import _lists, approved, asked_for, code_of, counted, deposit, home, ledger
from portal.models import AuditEntry, Role
from portal.testing import make_person, sign_in

__all__ = ["_lists"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def loan(bitcoin: Chain) -> Loan:
    """800,000 satoshi from Mallory count, 300,000 from Alice; then Mallory comes onto the list."""
    made = world.make_loan()
    deposit(made, bitcoin, 800_000, sender="mallory")
    deposit(made, bitcoin, 300_000, sender="alice")
    home(made, bitcoin)
    return made


def found(bitcoin: Chain) -> Deposit:
    world.list_address(bitcoin.wallet("mallory"))
    assert rescreen_deposits() == 1
    return Deposit.objects.get(listed_at__isnull=False)


def open_incidents(kind: str) -> int:
    return Incident.objects.filter(kind=kind, closed_at=None).count()


def test_who_is_on_no_list_is_not_found(loan: Loan) -> None:
    assert rescreen_deposits() == 0
    assert not Incident.objects.exists()


def test_what_is_found_stays_counted_and_is_one_incident(bitcoin: Chain, loan: Loan) -> None:
    row = found(bitcoin)
    assert rescreen_deposits() == 0
    assert (row.state, counted(loan), ledger(Account.CUSTODY)) == ("credited", 1_100_000, 1_100_000)
    assert open_incidents("lending.counted_deposit_listed") == 1
    entry = AuditEntry.objects.get(action="lending.deposit.found_on_a_list")
    assert entry.data["hits"][0]["address"] == bitcoin.wallet("mallory")
    assert [each for each in row.screened_against if "hit" in each] == entry.data["hits"]


def test_a_new_list_that_is_loaded_is_the_one_that_is_searched(bitcoin: Chain, loan: Loan) -> None:
    world.list_address(bitcoin.wallet("mallory"))
    old = SanctionsList.objects.get()
    SanctionsList.objects.update(is_current=False)
    SanctionsList.objects.create(
        kind=old.kind, name="next", published_on=date(2026, 11, 3), sha256="f" * 64, is_current=True
    )
    assert rescreen_deposits() == 0
    SanctionsList.objects.update(is_current=False)
    SanctionsList.objects.filter(pk=old.pk).update(is_current=True)
    assert rescreen_deposits() == 1


def test_nothing_leaves_a_frozen_loan(bitcoin: Chain, loan: Loan) -> None:
    asked, desk = asked_for(loan, 100_000), world.officer()
    check_withdrawal(withdrawal_id=asked.pk, actor=desk)
    ready = approved(loan, 50_000)
    signed = prepare_psbt(withdrawal_id=approved(loan, 50_000).pk, actor=desk)
    found(bitcoin)
    assert Incident.objects.get().data["withdrawals"] == [ready.pk, signed.pk]
    frozen = "lending.collateral.frozen"
    assert code_of(asked_for, loan=loan, sats=1_000) == frozen
    assert code_of(approve_withdrawal, withdrawal_id=asked.pk, actor=world.officer()) == frozen
    assert code_of(prepare_psbt, withdrawal_id=ready.pk, actor=desk) == frozen
    assert code_of(submit_signed, withdrawal_id=signed.pk, actor=desk, signed=sign(signed.psbt)) == frozen
    assert counted(loan) == 1_000_000
    assert set(Withdrawal.objects.values_list("state", flat=True)) == {"checked", "approved", "prepared"}


def test_nothing_is_paid_out_on_a_frozen_loan(bitcoin: Chain, loan: Loan) -> None:
    found(bitcoin)
    world.accept_price("BTC", 15_000_000)
    refused = code_of(
        draws._require_drawable, loan=Loan.objects.get(pk=loan.pk)
    )  # asked for and paid out, both pass here first
    assert refused == "lending.collateral.frozen"


def test_a_sale_of_a_frozen_loan_waits_and_the_desk_is_told(bitcoin: Chain, loan: Loan) -> None:
    world.lend(loan, 100_000)
    found(bitcoin)
    world.accept_price("BTC", 10_000_000)
    sale = sales.start_sale(loan=Loan.objects.select_related("terms").get(pk=loan.pk), cause="price")
    sales.step(sale_id=sale.pk)
    sale.refresh_from_db()
    assert (sale.state, sale.pause, sale.orders.count(), Delivery.objects.count()) == ("paused", "frozen", 0, 0)
    assert open_incidents("lending.sale_paused") == 1
    decide("count")
    for _number in range(20):
        sales.step(sale_id=sale.pk)
    sale.refresh_from_db()
    assert sale.state not in Sale.RUNNING
    assert open_incidents("lending.sale_paused") == 0


def decide(verdict: str) -> Deposit:
    row = Deposit.objects.get(listed_at__isnull=False)
    one, two = (world.person(Role.KYC_OFFICER) for _number in range(2))
    proposal = propose_disposition(deposit_id=row.pk, actor=one, verdict=verdict, reason="compared")
    assert (
        code_of(confirm_disposition, disposition_id=proposal.pk, actor=one, agrees=True, reason="")
        == "lending.two_people"
    )
    confirm_disposition(disposition_id=proposal.pk, actor=two, agrees=True, reason="agreed")
    row.refresh_from_db()
    return row


def test_a_false_hit_frees_the_loan_and_is_not_told_again_but_another_one_is(bitcoin: Chain, loan: Loan) -> None:
    found(bitcoin)
    row = decide("count")
    assert (row.listed_at, row.state, counted(loan)) == (None, "credited", 1_100_000)
    assert open_incidents("lending.counted_deposit_listed") == 0
    assert rescreen_deposits() == 0
    assert asked_for(loan, 100_000).state == "requested"
    world.list_address(bitcoin.wallet("mallory"))  # the same entry a second time is the same hit
    assert rescreen_deposits() == 0
    world.list_address(bitcoin.wallet("alice"))
    assert rescreen_deposits() == 1


def test_a_true_hit_stays_where_it_is_for_good(bitcoin: Chain, loan: Loan) -> None:
    found(bitcoin)
    row = decide("block")
    assert (row.state, row.is_blocked, counted(loan)) == ("credited", True, 1_100_000)
    assert rescreen_deposits() == 0
    assert code_of(asked_for, loan=loan, sats=1_000) == "lending.collateral.frozen"
    assert open_incidents("lending.counted_deposit_listed") == 1


def test_the_desk_cannot_decide_about_a_hit_and_nobody_sends_it_back(bitcoin: Chain, loan: Loan) -> None:
    row = found(bitcoin)
    ask = {"deposit_id": row.pk, "reason": "x"}
    assert code_of(propose_disposition, actor=world.officer(), verdict="count", **ask) == "lending.kyc_officer_required"
    kyc = world.person(Role.KYC_OFFICER)
    assert code_of(propose_disposition, actor=kyc, verdict="return", **ask) == "lending.disposition.not_possible"


def test_what_the_network_takes_back_is_no_hit_any_more(bitcoin: Chain, loan: Loan) -> None:
    row = found(bitcoin)
    bitcoin.reorganise(6, forget=[row.txid])
    bitcoin.mine(3)
    run_bitcoin_sweep()
    row.refresh_from_db()
    assert (row.state, row.listed_at) == ("orphaned", None)


def test_a_held_deposit_that_is_found_later_is_not_sent_back(bitcoin: Chain) -> None:
    made = world.make_loan()
    home(made, bitcoin)
    small = deposit(made, bitcoin, 50_000, sender="mallory")
    assert small.hold == "below_minimum"
    found(bitcoin)
    desk = world.officer()
    asked: dict[str, Any] = {"deposit_id": small.pk, "actor": desk, "verdict": "return", "reason": "small"}
    assert code_of(propose_disposition, **asked) == "lending.kyc_officer_required"


def test_kyc_officers_decide_on_their_page_and_the_borrower_reads_nothing_of_it(bitcoin: Chain, loan: Loan) -> None:
    row = found(bitcoin)
    officers = [
        make_person(f"{name}@kyc.example", role=Role.KYC_OFFICER, second_factor=True) for name in ("one", "two")
    ]
    one, two = (sign_in(each, fresh=True) for each in officers)
    page = one.get(reverse("lending:hits")).content.decode()
    assert bitcoin.wallet("mallory") in page
    assert reverse("lending:disposition", args=[row.pk]) in page
    one.post(reverse("lending:disposition", args=[row.pk]), {"verdict": "count", "reason": "another Mallory"})
    proposal = row.dispositions.get()
    assert proposal.proposed_by == officers[0]
    two.post(reverse("lending:disposition-confirm", args=[proposal.pk]), {"verdict": "agree", "reason": "yes"})
    row.refresh_from_db()
    assert row.listed_at is None
    assert (
        sign_in(make_person("desk@x.example", role=Role.LOAN_OFFICER, second_factor=True))
        .get(reverse("lending:hits"))
        .status_code
        == 200
    )
    assert sign_in(loan.borrower).get(reverse("lending:hits")).status_code == 403


def test_the_borrower_is_not_told_of_a_hit(bitcoin: Chain, loan: Loan) -> None:
    world.list_address(bitcoin.wallet("eve"))
    held = deposit(loan, bitcoin, 500_000, sender="eve")
    assert held.hold == "sanctioned"
    found(bitcoin)
    borrower = sign_in(loan.borrower)
    for name in ("loan", "deposit"):
        page = borrower.get(reverse(f"lending:{name}", args=[loan.pk])).content.decode()
        assert "Being checked" in page
        assert str(Deposit.Hold.SANCTIONED.label) not in page
