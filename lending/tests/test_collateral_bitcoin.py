"""Bitcoin from the first sight of it to the ledger and back, on the simulated network, with everything that goes wrong."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from chain.models import Incident
from lending.bitcoin.exceptions import PsbtRefused
from lending.bitcoin.simulator.chain import Chain
from lending.bitcoin.simulator.custodian import sign
from lending.models import (
    Account,
    Breach,
    Deposit,
    DepositAddress,
    Disposition,
    Loan,
    Position,
    Posting,
    ReturnAddress,
    Stage,
    Withdrawal,
)
from lending.services import monitoring, positions
from lending.services.bitcoin import needed_confirmations, prepare_psbt, run_bitcoin_sweep, submit_signed
from lending.services.collateral import (
    advance_deposits,
    approve_return_address,
    approve_withdrawal,
    cancel_return_address,
    cancel_withdrawal,
    check_withdrawal,
    confirm_disposition,
    give_deposit_address,
    lose_deposit,
    observe_deposit,
    propose_disposition,
    refuse_withdrawal,
    request_return_address,
    request_withdrawal,
)
from lending.services.collateral.deposits import DepositFacts, credit_deposit, screen_deposit
from lending.tests import books, world
from portal.exceptions import DomainError
from portal.models import AuditEntry, Role, User

pytestmark = pytest.mark.django_db
BTC = 100_000_000


@pytest.fixture(autouse=True)
def _lists(db: None) -> None:
    world.load_list()


def address_of(loan: Loan) -> str:
    return give_deposit_address(loan_id=loan.pk, asset="BTC", actor="test").address


def ledger(account: Account, loan: Loan | None = None) -> int:
    rows = Posting.objects.filter(account=account, unit="BTC")
    rows = rows.filter(loan=loan) if loan else rows
    return int(rows.aggregate(total=Sum("amount"))["total"] or 0)


def counted(loan: Loan) -> int:
    """What the ledger and the position say alike."""
    sats = -ledger(Account.COLLATERAL, loan)
    assert Position.objects.get(loan=loan).btc_sats == sats
    return sats


def deposit(loan: Loan, bitcoin: Chain, sats: int, *, sender: str = "alice", blocks: int = 3) -> Deposit:
    bitcoin.send({address_of(loan): sats}, sender=sender)
    bitcoin.mine(blocks)
    assert run_bitcoin_sweep()
    return Deposit.objects.order_by("-id")[0]


def code_of(service: Any, **arguments: Any) -> str:
    with pytest.raises(DomainError) as caught:
        service(**arguments)
    return caught.value.code


# --- addresses -------------------------------------------------------------------------------------------------------


def test_each_loan_has_one_address_and_no_two_loans_the_same(bitcoin: Chain) -> None:
    loans = [world.make_loan() for _number in range(4)]
    given = [address_of(loan) for loan in loans]
    assert len(set(given)) == 4
    assert [address_of(loan) for loan in loans] == given
    assert list(DepositAddress.objects.order_by("index").values_list("index", flat=True)) == [0, 1, 2, 3]


def test_no_more_addresses_wait_in_a_row_than_a_restored_wallet_would_find(bitcoin: Chain, settings: Any) -> None:
    settings.BITCOIN_GAP_LIMIT = 2
    first = world.make_loan()
    address_of(first)
    address_of(world.make_loan())
    third = world.make_loan()
    assert code_of(give_deposit_address, loan_id=third.pk, asset="BTC", actor="test") == "lending.bitcoin.gap"
    deposit(first, bitcoin, BTC // 2)
    assert address_of(third)


def test_a_loan_that_takes_no_collateral_gets_no_address() -> None:
    loan = world.make_loan(state=Loan.State.REPAID)
    assert code_of(give_deposit_address, loan_id=loan.pk, asset="BTC", actor="test") == "lending.deposit.loan_closed"


# --- the way in ------------------------------------------------------------------------------------------------------


def test_a_deposit_is_seen_confirmed_screened_and_counted(bitcoin: Chain) -> None:
    loan = world.make_loan()
    bitcoin.send({address_of(loan): 5_000_000}, sender="alice")
    assert run_bitcoin_sweep()
    row = Deposit.objects.get()
    assert (row.state, row.senders, counted(loan)) == ("seen", [bitcoin.wallet("alice")], 0)
    bitcoin.mine(2)
    run_bitcoin_sweep()
    row.refresh_from_db()
    assert (row.state, row.block_hash) == ("seen", bitcoin.blocks[-2].hash)
    bitcoin.mine(1)
    run_bitcoin_sweep()
    row.refresh_from_db()
    assert (row.state, counted(loan), ledger(Account.CUSTODY)) == ("credited", 5_000_000, 5_000_000)
    assert row.screened_against[0]["name"] == "OFAC sample"
    steps = AuditEntry.objects.filter(subject_type="lending.deposit").order_by("sequence")
    assert [step.action.rpartition(".")[2] for step in steps if "moved" not in step.action] == [
        "seen",
        "confirmed",
        "screened",
        "credited",
    ]


def test_a_larger_deposit_waits_for_more_confirmations(bitcoin: Chain) -> None:
    assert [needed_confirmations(sats) for sats in (1, BTC - 1, BTC, 50 * BTC)] == [3, 3, 6, 6]
    loan = world.make_loan()
    assert deposit(loan, bitcoin, BTC, blocks=5).state == "seen"
    bitcoin.mine()
    run_bitcoin_sweep()
    assert counted(loan) == BTC


def test_one_transaction_may_pay_two_loans_and_one_of_them_twice(bitcoin: Chain) -> None:
    one, other = world.make_loan(), world.make_loan()
    bitcoin.pay([(address_of(one), 300_000), (address_of(other), 500_000), (address_of(one), 400_000)])
    bitcoin.mine(3)
    run_bitcoin_sweep()
    assert (counted(one), counted(other)) == (700_000, 500_000)
    assert Deposit.objects.filter(state="credited").count() == 3


def test_everything_said_twice_changes_nothing(bitcoin: Chain) -> None:
    loan = world.make_loan()
    row = deposit(loan, bitcoin, 500_000)
    entries, trail = Posting.objects.count(), AuditEntry.objects.count()
    for _number in range(3):
        run_bitcoin_sweep()
        screen_deposit(deposit_id=row.pk)
        credit_deposit(deposit_id=row.pk)
        advance_deposits()
    DepositAddress.objects.update(history="", looked_at=None)
    run_bitcoin_sweep()
    assert (Posting.objects.count(), AuditEntry.objects.count()) == (entries, trail)


def test_a_worker_killed_after_any_step_leaves_work_that_the_next_one_finishes_once(
    bitcoin: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lending.services.collateral import deposits

    loan = world.make_loan()
    bitcoin.send({address_of(loan): 500_000})
    bitcoin.mine(3)

    class Killed(BaseException):
        pass

    def killed(*_args: Any, **_kwargs: Any) -> None:
        raise Killed

    for name in ("search_listed_wallets", "post", "reevaluate", "_move"):
        with monkeypatch.context() as patch:
            patch.setattr(deposits, name, killed)
            with pytest.raises(Killed):
                run_bitcoin_sweep()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")
        assert counted(loan) == 0
    run_bitcoin_sweep()
    assert counted(loan) == 500_000
    assert positions.rebuild_positions() == 0


# --- what the network takes back -------------------------------------------------------------------------------------


def test_a_replaced_payment_is_orphaned_and_its_replacement_seen(bitcoin: Chain) -> None:
    loan = world.make_loan()
    first = bitcoin.send({address_of(loan): 500_000}, sender="alice")
    run_bitcoin_sweep()
    second = bitcoin.replace(first, {address_of(loan): 450_000})
    run_bitcoin_sweep()
    states = dict(Deposit.objects.values_list("txid", "state"))
    assert states == {first: "orphaned", second: "seen"}
    bitcoin.mine(3)
    run_bitcoin_sweep()
    assert counted(loan) == 450_000


def test_a_block_that_changes_before_it_counts_changes_nothing_but_the_block(bitcoin: Chain) -> None:
    loan = world.make_loan()
    row = deposit(loan, bitcoin, 500_000, blocks=1)
    bitcoin.reorganise(1)
    run_bitcoin_sweep()
    row.refresh_from_db()
    found = bitcoin.find(row.txid)
    assert found is not None
    assert found[1] is not None
    assert (row.state, row.block_hash) == ("seen", found[1].hash)


def test_a_counted_deposit_that_goes_back_to_waiting_is_undone_and_may_count_again(bitcoin: Chain) -> None:
    loan = world.make_loan()
    row = deposit(loan, bitcoin, 500_000)
    assert counted(loan) == 500_000
    bitcoin.reorganise(4, leave_out=[row.txid])
    run_bitcoin_sweep()
    row.refresh_from_db()
    assert (row.state, counted(loan), ledger(Account.CUSTODY)) == ("seen", 0, 0)
    assert Incident.objects.filter(kind="lending.deposit_undone", closed_at=None).exists()
    bitcoin.mine(3)
    run_bitcoin_sweep()
    row.refresh_from_db()
    assert (row.state, row.credits, counted(loan)) == ("credited", 2, 500_000)


def test_a_counted_deposit_reorganised_away_for_good_is_taken_out_and_the_price_finds_the_loan_sooner(
    bitcoin: Chain,
) -> None:
    world.accept_price("BTC", 10_000_000)
    loan = world.make_loan()
    kept = deposit(loan, bitcoin, BTC // 2)
    lost = deposit(loan, bitcoin, BTC // 2, sender="bob")
    world.lend(loan, 5_000_000)
    before = Position.objects.get(loan=loan)
    bitcoin.reorganise(3, forget=[lost.txid])
    run_bitcoin_sweep()
    after = Position.objects.get(loan=loan)
    lost.refresh_from_db()
    kept.refresh_from_db()
    assert (lost.state, kept.state, counted(loan)) == ("orphaned", "credited", BTC // 2)
    assert before.reach is not None
    assert after.reach is not None
    # Half the collateral: the threshold lies at twice the price. The step itself stays: what is reached, the sweep finds.
    assert after.stage == before.stage
    assert after.reach == pytest.approx(before.reach * 2)
    assert positions.rebuild_positions() == 0
    monitoring.evaluate(tick_id=books.tick(btc=Decimal(10_000_000)).pk)
    assert Breach.objects.get(loan=loan).stage == Stage.SALE


def test_what_was_undone_after_it_had_left_is_booked_as_missing_and_filled_first(bitcoin: Chain) -> None:
    loan = world.make_loan()
    row = deposit(loan, bitcoin, 500_000)
    spend(loan, bitcoin, 300_000)
    assert counted(loan) == 200_000
    lose_deposit(deposit_id=row.pk, reason="test")
    assert (counted(loan), ledger(Account.MISSING)) == (0, 300_000)
    facts = DepositFacts(
        network=row.network,
        address=row.address.address,
        asset="BTC",
        txid=row.txid,
        position=row.position,
        units=500_000,
        senders=tuple(row.senders),
        height=9,
        block_hash="ab" * 32,
        is_confirmed=True,
    )
    observe_deposit(facts=facts)
    observe_deposit(facts=facts)
    advance_deposits()
    assert (counted(loan), ledger(Account.MISSING)) == (200_000, 0)


def test_an_outage_is_one_incident_and_undoes_nothing(bitcoin: Chain, settings: Any) -> None:
    loan = world.make_loan()
    deposit(loan, bitcoin, 500_000)
    url, settings.BITCOIN_ESPLORA_URL = settings.BITCOIN_ESPLORA_URL, "http://127.0.0.1:1"
    assert not run_bitcoin_sweep()
    assert not run_bitcoin_sweep()
    assert Incident.objects.filter(kind="lending.bitcoin_unavailable", closed_at=None).count() == 1
    assert counted(loan) == 500_000
    settings.BITCOIN_ESPLORA_URL = url
    assert run_bitcoin_sweep()
    assert not Incident.objects.filter(kind="lending.bitcoin_unavailable", closed_at=None).exists()


# --- what does not count ---------------------------------------------------------------------------------------------


def test_too_little_is_held_and_counts_when_two_officers_say_so(bitcoin: Chain) -> None:
    loan = world.make_loan()
    row = deposit(loan, bitcoin, 99_999)
    assert (row.state, row.hold, counted(loan)) == ("held", "below_minimum", 0)
    decide(row, "count", world.officer(), world.officer())
    advance_deposits()
    assert counted(loan) == 99_999


def test_a_deposit_to_a_closed_loan_is_held_and_can_only_go_back(bitcoin: Chain) -> None:
    loan = world.make_loan()
    address_of(loan)
    Loan.objects.filter(pk=loan.pk).update(state=Loan.State.REPAID)
    bitcoin.send({DepositAddress.objects.get().address: 500_000})
    bitcoin.mine(3)
    run_bitcoin_sweep()
    row = Deposit.objects.get()
    assert (row.state, row.hold, counted(loan)) == ("held", "loan_closed", 0)
    first = world.officer()
    assert code_of(propose_disposition, deposit_id=row.pk, actor=first, verdict="count", reason="x") == (
        "lending.disposition.not_possible"
    )
    decide(row, "return", first, world.officer())
    home(loan, bitcoin)
    sent = approved(loan, 500_000, deposit_id=row.pk)
    prepare_psbt(withdrawal_id=sent.pk, actor=first)
    sent.refresh_from_db()
    submit_signed(withdrawal_id=sent.pk, actor=first, signed=sign(sent.psbt))
    bitcoin.mine(3)
    run_bitcoin_sweep()
    row.refresh_from_db()
    sent.refresh_from_db()
    assert (row.state, sent.state, Posting.objects.count()) == ("returned", "final", 0)
    assert code_of(
        request_withdrawal,
        loan_id=loan.pk,
        actor=first,
        asset="BTC",
        units=500_000,
        form_key="again",
        deposit_id=row.pk,
    )


def test_a_deposit_from_a_listed_address_is_held_until_two_kyc_officers_decide(bitcoin: Chain) -> None:
    world.list_address(bitcoin.wallet("mallory"))
    loan = world.make_loan()
    row = deposit(loan, bitcoin, 500_000, sender="mallory")
    assert (row.state, row.hold, counted(loan)) == ("held", "sanctioned", 0)
    assert Incident.objects.filter(kind="lending.sanctioned_deposit").exists()
    first, second = world.person(Role.KYC_OFFICER), world.person(Role.KYC_OFFICER)
    assert code_of(propose_disposition, deposit_id=row.pk, actor=world.officer(), verdict="count", reason="x") == (
        "lending.kyc_officer_required"
    )
    assert code_of(propose_disposition, deposit_id=row.pk, actor=first, verdict="return", reason="x") == (
        "lending.disposition.not_possible"
    )
    decide(row, "block", first, second)
    row.refresh_from_db()
    assert (row.state, row.is_blocked, counted(loan)) == ("held", True, 0)


def test_a_false_hit_counts_once_two_kyc_officers_cleared_it(bitcoin: Chain) -> None:
    world.list_address(bitcoin.wallet("mallory"))
    loan = world.make_loan()
    row = deposit(loan, bitcoin, 500_000, sender="mallory")
    decide(row, "count", world.person(Role.KYC_OFFICER), world.person(Role.KYC_OFFICER))
    advance_deposits()
    assert counted(loan) == 500_000


def test_one_person_cannot_decide_alone_and_a_declined_proposal_changes_nothing(bitcoin: Chain) -> None:
    row = deposit(world.make_loan(), bitcoin, 5_000)
    first = world.officer()
    proposal = propose_disposition(deposit_id=row.pk, actor=first, verdict="return", reason="too small")
    assert code_of(confirm_disposition, disposition_id=proposal.pk, actor=first, agrees=True, reason="") == (
        "lending.two_people"
    )
    confirm_disposition(disposition_id=proposal.pk, actor=world.officer(), agrees=False, reason="ask first")
    row.refresh_from_db()
    assert (row.state, Disposition.objects.get().state) == ("held", "declined")


def test_nothing_counts_while_no_list_is_loaded(bitcoin: Chain) -> None:
    from kyc.models import SanctionsList

    SanctionsList.objects.update(is_current=False)
    loan = world.make_loan()
    assert (deposit(loan, bitcoin, 500_000).state, counted(loan)) == ("confirmed", 0)
    assert Incident.objects.filter(kind="lending.no_sanctions_list").exists()


@pytest.mark.parametrize(
    ("asset", "senders", "hold"),
    [("USDC", ("bcrt1qsender",), "wrong_asset"), ("BTC", (), "unknown_sender")],
)
def test_another_asset_or_an_unknown_sender_is_held(
    bitcoin: Chain, asset: str, senders: tuple[str, ...], hold: str
) -> None:
    loan = world.make_loan()
    observe_deposit(
        facts=DepositFacts(
            network="bitcoin:regtest",
            address=address_of(loan),
            asset=asset,
            txid="cd" * 32,
            position=0,
            units=10**9,
            senders=senders,
            height=3,
            block_hash="ab" * 32,
            is_confirmed=True,
        )
    )
    advance_deposits()
    row = Deposit.objects.get()
    assert (row.state, row.hold, counted(loan)) == ("held", hold, 0)


def decide(row: Deposit, verdict: str, first: User, second: User) -> None:
    proposal = propose_disposition(deposit_id=row.pk, actor=first, verdict=verdict, reason="looked at it")
    confirm_disposition(disposition_id=proposal.pk, actor=second, agrees=True, reason="agreed")


# --- return addresses ------------------------------------------------------------------------------------------------


def home(loan: Loan, bitcoin: Chain, name: str = "home") -> ReturnAddress:
    row = request_return_address(actor=loan.borrower, asset="BTC", address=bitcoin.wallet(name))
    return approve_return_address(address_id=row.pk, actor=world.officer())


def test_a_change_of_the_return_address_waits_and_can_be_stopped(bitcoin: Chain) -> None:
    from lending.selectors.collateral import current_return_address

    loan = world.make_loan()
    first = home(loan, bitcoin)
    changed = home(loan, bitcoin, "thief")
    assert current_return_address(loan.borrower, "BTC") == first
    cancel_return_address(address_id=changed.pk, actor=loan.borrower, reason="not me")
    ReturnAddress.objects.filter(pk=changed.pk).update(effective_at=first.effective_at)
    assert current_return_address(loan.borrower, "BTC") == first


def test_a_return_address_needs_a_second_person_and_must_not_be_ours_listed_or_foreign(bitcoin: Chain) -> None:
    loan = world.make_loan()
    ours = address_of(loan)
    asked: dict[str, Any] = {"actor": loan.borrower, "asset": "BTC"}
    assert code_of(request_return_address, address=ours, **asked) == "lending.return_address.ours"
    assert code_of(request_return_address, address="0x" + "11" * 20, **asked) == "lending.bitcoin.address"
    row = request_return_address(address=bitcoin.wallet("mallory"), **asked)
    assert code_of(approve_return_address, address_id=row.pk, actor=loan.borrower) == "lending.loan_officer_required"
    world.list_address(bitcoin.wallet("mallory"))
    assert code_of(approve_return_address, address_id=row.pk, actor=world.officer()) == (
        "lending.return_address.not_cleared"
    )


# --- the way out -----------------------------------------------------------------------------------------------------


def asked_for(loan: Loan, sats: int, *, deposit_id: int | None = None) -> Withdrawal:
    return request_withdrawal(
        loan_id=loan.pk,
        actor=loan.borrower,
        asset="BTC",
        units=sats,
        form_key=str(uuid.uuid4()),
        deposit_id=deposit_id,
    )


def approved(loan: Loan, sats: int, *, deposit_id: int | None = None) -> Withdrawal:
    row = asked_for(loan, sats, deposit_id=deposit_id)
    check_withdrawal(withdrawal_id=row.pk, actor=world.officer())
    return approve_withdrawal(withdrawal_id=row.pk, actor=world.officer())


def spend(loan: Loan, bitcoin: Chain, sats: int) -> Withdrawal:
    """The whole way out, signed by the custodian, up to its last confirmation."""
    if not ReturnAddress.objects.filter(borrower=loan.borrower).exists():
        home(loan, bitcoin)
    row = approved(loan, sats)
    desk = world.officer()
    row = prepare_psbt(withdrawal_id=row.pk, actor=desk)
    submit_signed(withdrawal_id=row.pk, actor=desk, signed=sign(row.psbt))
    bitcoin.mine(6)
    run_bitcoin_sweep()
    row.refresh_from_db()
    assert row.state == "final"
    return row


def test_an_approved_withdrawal_no_longer_counts_and_leaves_custody_when_it_is_final(bitcoin: Chain) -> None:
    loan = world.make_loan()
    deposit(loan, bitcoin, 800_000)
    home(loan, bitcoin)
    row = approved(loan, 300_000)
    assert (counted(loan), ledger(Account.LEAVING, loan), ledger(Account.CUSTODY)) == (500_000, -300_000, 800_000)
    row = prepare_psbt(withdrawal_id=row.pk, actor=world.officer())
    again = prepare_psbt(withdrawal_id=row.pk, actor=world.officer())
    assert again.psbt == row.psbt
    submit_signed(withdrawal_id=row.pk, actor=world.officer(), signed=sign(row.psbt))
    submit_signed(withdrawal_id=row.pk, actor=world.officer(), signed=sign(row.psbt))
    bitcoin.mine(3)
    run_bitcoin_sweep()
    run_bitcoin_sweep()
    row.refresh_from_db()
    assert (row.state, ledger(Account.LEAVING), ledger(Account.CUSTODY)) == ("final", 0, 500_000)
    [paid] = [tx for tx, _block in bitcoin.all() if tx.txid == row.txid]
    home_script = bitcoin.script(bitcoin.wallet("home"))
    assert [out.sats for out in paid.outs if out.script == home_script] == [300_000 - int(row.fee_units)]
    assert not Deposit.objects.exclude(state="credited").exists()


def test_what_came_back_as_change_is_spent_by_the_next_withdrawal(bitcoin: Chain) -> None:
    loan = world.make_loan()
    deposit(loan, bitcoin, 800_000)
    spend(loan, bitcoin, 300_000)
    last = spend(loan, bitcoin, 500_000)
    assert (counted(loan), ledger(Account.CUSTODY), last.change_address) == (0, 0, None)


def test_a_transaction_that_the_custodian_sends_himself_is_found(bitcoin: Chain) -> None:
    from lending.bitcoin.psbt import read_signed

    loan = world.make_loan()
    deposit(loan, bitcoin, 800_000)
    home(loan, bitcoin)
    row = prepare_psbt(withdrawal_id=approved(loan, 300_000).pk, actor=world.officer())
    bitcoin.broadcast(read_signed(sign(row.psbt), txid=row.txid))
    run_bitcoin_sweep()
    row.refresh_from_db()
    assert row.state == "sent"
    bitcoin.forget(row.txid)
    run_bitcoin_sweep()
    row.refresh_from_db()
    assert row.state == "prepared"
    assert Incident.objects.filter(kind="lending.withdrawal_lost").exists()


def test_excess_leaves_only_down_to_the_coverage_of_the_terms(bitcoin: Chain) -> None:
    from lending.selectors.collateral import excess
    from lending.selectors.prices import prices_of

    loan = world.make_loan()
    deposit(loan, bitcoin, BTC, blocks=6)
    world.lend(loan, 4_000_000)
    home(loan, bitcoin)
    refused = {"loan_id": loan.pk, "actor": loan.borrower, "asset": "BTC", "form_key": "k"}
    assert code_of(request_withdrawal, units=1, **refused) == "lending.price.none"
    world.accept_price("BTC", 10_000_000)
    most = excess(position=Position.objects.get(loan=loan), asset="BTC", prices=prices_of("JPY"), floor_bps=20_000)
    assert most == 20_000_000
    assert code_of(request_withdrawal, units=most + 1, **refused) == "lending.withdrawal.coverage"
    row = asked_for(loan, most)
    assert code_of(request_withdrawal, units=1, **refused) == "lending.withdrawal.coverage"
    check_withdrawal(withdrawal_id=row.pk, actor=world.officer())
    world.accept_price("BTC", 9_999_999)
    assert code_of(approve_withdrawal, withdrawal_id=row.pk, actor=world.officer()) == "lending.withdrawal.coverage"
    assert counted(loan) == BTC


def test_more_than_there_is_or_nothing_is_never_asked_for(bitcoin: Chain) -> None:
    loan = world.make_loan()
    deposit(loan, bitcoin, 800_000)
    home(loan, bitcoin)
    refused = {"loan_id": loan.pk, "actor": loan.borrower, "asset": "BTC", "form_key": "k"}
    for units in (0, -1):
        assert code_of(request_withdrawal, units=units, **refused) == "lending.withdrawal.amount"
    for units in (800_001, 2**63):
        assert code_of(request_withdrawal, units=units, **refused) == "lending.withdrawal.too_much"
    asked_for(loan, 800_000)
    assert code_of(request_withdrawal, units=1, **refused) == "lending.withdrawal.too_much", "it is asked for already"
    assert (Withdrawal.objects.count(), counted(loan)) == (1, 800_000)


def test_a_withdrawal_needs_two_officers_who_are_not_the_borrower(bitcoin: Chain) -> None:
    loan = world.make_loan()
    deposit(loan, bitcoin, 800_000)
    home(loan, bitcoin)
    row = asked_for(loan, 300_000)
    first = world.officer()
    assert code_of(check_withdrawal, withdrawal_id=row.pk, actor=loan.borrower) == "lending.loan_officer_required"
    check_withdrawal(withdrawal_id=row.pk, actor=first)
    assert code_of(approve_withdrawal, withdrawal_id=row.pk, actor=first) == "lending.two_people"
    assert code_of(prepare_psbt, withdrawal_id=row.pk, actor=first) == "lending.withdrawal.not_approved"
    refuse_withdrawal(withdrawal_id=row.pk, actor=first, reason="no")
    assert counted(loan) == 800_000


def test_an_approved_withdrawal_called_off_counts_again_but_not_once_it_was_prepared(bitcoin: Chain) -> None:
    loan = world.make_loan()
    deposit(loan, bitcoin, 800_000)
    home(loan, bitcoin)
    row = approved(loan, 300_000)
    cancel_withdrawal(withdrawal_id=row.pk, actor=world.officer(), reason="changed their mind")
    assert (counted(loan), ledger(Account.LEAVING)) == (800_000, 0)
    other = prepare_psbt(withdrawal_id=approved(loan, 300_000).pk, actor=world.officer())
    assert code_of(cancel_withdrawal, withdrawal_id=other.pk, actor=world.officer()) == "lending.withdrawal.wrong_state"


def test_held_coins_are_never_mixed_into_what_is_sent(bitcoin: Chain) -> None:
    world.list_address(bitcoin.wallet("mallory"))
    loan = world.make_loan()
    dirty = deposit(loan, bitcoin, 900_000, sender="mallory")
    clean = deposit(loan, bitcoin, 300_000)
    home(loan, bitcoin)
    row = prepare_psbt(withdrawal_id=approved(loan, 200_000).pk, actor=world.officer())
    assert row.coins == [[clean.txid, clean.position, 300_000]]
    assert dirty.txid not in str(row.coins)


def test_another_transaction_than_the_prepared_one_is_not_sent(bitcoin: Chain) -> None:
    loan = world.make_loan()
    deposit(loan, bitcoin, 800_000)
    home(loan, bitcoin)
    row = prepare_psbt(withdrawal_id=approved(loan, 300_000).pk, actor=world.officer())
    with pytest.raises(PsbtRefused):
        submit_signed(withdrawal_id=row.pk, actor=world.officer(), signed=row.psbt)
    row.refresh_from_db()
    assert row.state == "prepared"


def test_the_same_form_is_one_withdrawal(bitcoin: Chain) -> None:
    loan = world.make_loan()
    deposit(loan, bitcoin, 800_000)
    home(loan, bitcoin)
    form: dict[str, Any] = {"loan_id": loan.pk, "actor": loan.borrower, "asset": "BTC", "form_key": "one"}
    assert request_withdrawal(units=200_000, **form) == request_withdrawal(units=200_000, **form)
    assert code_of(request_withdrawal, units=200_001, **form) == "lending.withdrawal.form_reused"


@given(
    sats=st.integers(1, 10**11),
    debt=st.integers(1, 10**10),
    price=st.integers(1, 10**8),
    floor=st.integers(10_000, 40_000),
)
@bounded(max_examples=300, deadline=None)
def test_the_excess_keeps_the_coverage_and_one_satoshi_more_would_not(
    sats: int, debt: int, price: int, floor: int
) -> None:
    from decimal import Decimal

    from lending import coverage
    from lending.selectors.collateral import excess

    prices = coverage.Prices("JPY", Decimal(price), None)
    position = Position(currency="JPY", btc_sats=sats, eth_wei=0, debt=debt)
    most = excess(position=position, asset="BTC", prices=prices, floor_bps=floor)

    def kept(left: int) -> bool:
        worth = coverage.value(btc_sats=left, eth_wei=0, prices=prices)
        return coverage.reaches(worth=worth, debt=debt, currency="JPY", bps=floor)

    assert 0 <= most <= sats
    assert most == 0 or kept(sats - most)
    assert not kept(sats - most - 1) if most < sats else True
