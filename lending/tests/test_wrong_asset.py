"""Another asset at one of our addresses: seen by an officer, held, sent back by hand, with two people at each step."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from lending.bitcoin.simulator.chain import Chain
from lending.models import Deposit, HandReturn, Loan, Posting
from lending.services.bitcoin import run_bitcoin_sweep
from lending.services.collateral import decide_hand_return, ether, record_hand_return, record_wrong_asset
from lending.tests import world
from lending.tests.test_collateral_bitcoin import _lists, address_of, code_of, decide
from portal.models import AuditEntry, Role
from portal.testing import make_person, sign_in

__all__ = ["_lists"]
pytestmark = pytest.mark.django_db
ARRIVED, SENT = "0x" + "ab" * 32, "0x" + "cd" * 32


@pytest.fixture
def loan(bitcoin: Chain) -> Loan:
    made = world.make_loan()
    address_of(made)
    return made


def arrived(loan: Loan, **changes: Any) -> Deposit:
    facts: dict[str, Any] = {
        "loan_id": loan.pk, "actor": world.officer(), "label": "USDC", "units": 2_500_000, "txid": ARRIVED,
        "sender": "0x" + "11" * 20, "asset_address": "BTC", **changes,
    }  # fmt: skip
    return record_wrong_asset(**facts)


def test_it_is_held_counts_nothing_and_is_recorded_once(loan: Loan) -> None:
    row = arrived(loan)
    assert (row.state, row.hold, row.label, int(row.units)) == ("held", "wrong_asset", "USDC", 2_500_000)
    assert arrived(loan) == row
    run_bitcoin_sweep()
    ether.run_ether_sweep()
    row.refresh_from_db()
    assert (row.state, Deposit.objects.count(), Posting.objects.count()) == ("held", 1, 0)


def test_its_sender_is_searched_for_on_the_lists(loan: Loan) -> None:
    world.list_address("0x" + "11" * 20)
    assert arrived(loan).hold == "sanctioned"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"label": "BTC"}, "lending.wrong_asset.incomplete"),
        ({"label": " "}, "lending.wrong_asset.incomplete"),
        ({"units": 0}, "lending.wrong_asset.incomplete"),
        ({"asset_address": "ETH"}, "lending.wrong_asset.incomplete"),
        ({"txid": "somewhere"}, "lending.hand_return.txid"),
    ],
)
def test_what_cannot_be_recorded(loan: Loan, changes: dict[str, Any], code: str) -> None:
    assert code_of(arrived, loan=loan, **changes) == code
    assert not Deposit.objects.exists()


def test_two_people_decide_one_sends_and_another_confirms(loan: Loan) -> None:
    row = arrived(loan)
    one, two = world.officer(), world.officer()
    back: dict[str, Any] = {"deposit_id": row.pk, "txid": SENT, "destination": "0x" + "22" * 20}
    assert code_of(record_hand_return, actor=one, **back) == "lending.hand_return.not_decided"
    decide(row, "return", one, two)
    sent = record_hand_return(actor=one, **back)
    assert record_hand_return(actor=one, **back) == sent
    assert code_of(decide_hand_return, return_id=sent.pk, actor=one, agrees=True) == "lending.two_people"
    assert code_of(record_hand_return, actor=two, **(back | {"txid": ARRIVED})) == "lending.hand_return.waiting"
    for _twice in range(2):
        decide_hand_return(return_id=sent.pk, actor=two, agrees=True)
    row.refresh_from_db()
    assert (row.state, Posting.objects.count()) == ("returned", 0)
    entry = AuditEntry.objects.get(action="lending.deposit.returned")
    assert (entry.data["txid"], entry.data["destination"]) == (SENT, "0x" + "22" * 20)


def test_a_declined_record_leaves_it_held_for_the_right_one(loan: Loan) -> None:
    row = arrived(loan)
    one, two = world.officer(), world.officer()
    decide(row, "return", one, two)
    wrong = record_hand_return(deposit_id=row.pk, actor=one, txid=ARRIVED, destination="?")
    decide_hand_return(return_id=wrong.pk, actor=two, agrees=False)
    row.refresh_from_db()
    assert row.state == "held"
    right = record_hand_return(deposit_id=row.pk, actor=one, txid=SENT, destination="0x" + "22" * 20)
    decide_hand_return(return_id=right.pk, actor=two, agrees=True)
    row.refresh_from_db()
    assert row.state == "returned"


def test_one_transaction_sends_one_deposit_back(loan: Loan) -> None:
    rows = [arrived(loan), arrived(loan, txid="0x" + "ef" * 32)]
    one, two = world.officer(), world.officer()
    for row in rows:
        decide(row, "return", one, two)
    record_hand_return(deposit_id=rows[0].pk, actor=one, txid=SENT, destination="home")
    other = {"deposit_id": rows[1].pk, "actor": one, "txid": SENT, "destination": "home"}
    assert code_of(record_hand_return, **other) == "lending.hand_return.txid_taken"


def test_two_officers_do_it_on_the_pages(loan: Loan) -> None:
    people = [make_person(f"{n}@desk.example", role=Role.LOAN_OFFICER, second_factor=True) for n in ("one", "two")]
    one, two = (sign_in(each, fresh=True) for each in people)
    form = {"label": "USDC", "units": "5", "asset_address": "BTC", "txid": ARRIVED, "sender": "0x" + "11" * 20}
    one.post(reverse("lending:wrong-asset", args=[loan.pk]), form)
    row = Deposit.objects.get()
    one.post(reverse("lending:disposition", args=[row.pk]), {"verdict": "return", "reason": "not ours"})
    decision = row.dispositions.get()
    two.post(reverse("lending:disposition-confirm", args=[decision.pk]), {"verdict": "agree", "reason": "yes"})
    one.post(reverse("lending:hand-return-record", args=[row.pk]), {"txid": SENT, "destination": "0x" + "22" * 20})
    sent = HandReturn.objects.get()
    where = reverse("lending:hand-return-decide", args=[sent.pk])
    assert where not in one.get(reverse("lending:work")).content.decode()
    assert where in two.get(reverse("lending:work")).content.decode()
    two.post(where, {"verdict": "agree"})
    row.refresh_from_db()
    assert row.state == "returned"


def test_a_form_left_empty_is_refused_as_an_error_and_changes_nothing(loan: Loan) -> None:
    row = arrived(loan)
    officer = sign_in(make_person("one@desk.example", role=Role.LOAN_OFFICER, second_factor=True), fresh=True)
    for name, key in (("wrong-asset", loan.pk), ("disposition", row.pk), ("hand-return-record", row.pk)):
        answer = officer.post(reverse(f"lending:{name}", args=[key]), {}, follow=True)
        assert [message.level_tag for message in answer.context["messages"]] == ["error"], name
    assert (Deposit.objects.count(), row.dispositions.count(), HandReturn.objects.count()) == (1, 0, 0)
