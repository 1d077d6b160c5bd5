"""Anybody checks an address or a transfer: what is said is what the chain says, and never more final than it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from chain import operations
from chain.head import head_memory
from chain.models import ChainTransaction, Contract, Cursor, SbtRecord
from chain.public.lookup import Outcome, look_up_address, look_up_transaction
from chain.rpc import Rpc, as_int
from chain.signers import Unsigned, sign_unsigned
from chain.tests.conftest import Scene
from chain.types import Call, Restriction, SignerRole
from portal.settings import base

pytestmark = pytest.mark.django_db
NOBODY = "0x" + "1" * 40


@pytest.fixture
def visitor() -> Client:
    return Client(headers={"accept-language": "en"})


def check(visitor: Client, asked: str) -> str:
    answer = visitor.get("/public/check/", {"q": asked})
    assert answer.status_code == 200
    return answer.content.decode()


def transfer(scene: Scene, units: int = 10) -> str:
    row = scene.ask(operations.transfer(scene.token, scene.bob.address, units), scene.alice)
    assert row.mined_hash
    return row.mined_hash


def send(scene: Scene, call: Call, *, gas: int = 400_000, mine: bool = True) -> str:
    """Alice signs past every check of ours; the hash."""
    node = scene.platform.node
    node.set_balance(scene.alice.address, 10**20)
    nonce = as_int(node.call("eth_getTransactionCount", scene.alice.address, "pending"))
    signed = sign_unsigned(scene.alice, Unsigned(31337, nonce, 10**9, 10**11, gas, call.to, 0, call.data))
    if not mine:
        node.set_automine(False)
    node.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
    if mine:
        node.mine()
    return signed.hash


# --- transactions -------------------------------------------------------------------------------------------


def test_a_transfer_is_told_with_who_whom_and_how_much_and_is_final_only_once_it_is(
    scene: Scene, visitor: Client
) -> None:
    done = transfer(scene)
    facts = look_up_transaction(done)
    assert facts.outcome == Outcome.MOVED
    (move,) = facts.moves
    assert (move.token, move.sender, move.recipient, move.units) == (
        scene.token,
        scene.alice.address,
        scene.bob.address,
        10,
    )
    Cursor.objects.update(final_number=facts.block_number - 1)  # type: ignore[operator]
    assert not look_up_transaction(done).is_final
    assert "Do not rely on it before it is final" in check(visitor, done)

    Cursor.objects.update(final_number=facts.block_number)
    assert look_up_transaction(done).is_final
    shown = check(visitor, done)
    assert "Carried out, and final" in shown
    assert scene.alice.address in shown
    assert scene.bob.address in shown


def test_without_the_node_the_index_answers_and_says_so(scene: Scene, visitor: Client, settings: Any) -> None:
    done = transfer(scene)
    live = look_up_transaction(done)
    settings.CHAIN_RPC_URL = "http://127.0.0.1:1"
    head_memory.forget()
    kept = look_up_transaction(done)
    assert (kept.moves, kept.block_number, kept.at, kept.is_final) == (
        live.moves,
        live.block_number,
        live.at,
        live.is_final,
    )
    assert "The node could not be asked" in check(visitor, done)
    assert look_up_transaction("0x" + "ab" * 32).outcome == Outcome.UNREACHABLE
    assert "cannot be reached" in check(visitor, "0x" + "ab" * 32)
    head_memory.forget()


def test_a_refused_transfer_says_what_was_asked_and_why_not(scene: Scene, visitor: Client) -> None:
    refused = send(scene, operations.transfer(scene.token, NOBODY, 7))
    facts = look_up_transaction(refused)
    assert (facts.outcome, facts.restriction) == (Outcome.REFUSED, Restriction.RECEIVER_NO_SBT)
    (move,) = facts.moves
    assert (move.sender, move.recipient, move.units) == (scene.alice.address, NOBODY, 7)
    shown = check(visitor, refused)
    assert "Nothing moved." in shown
    assert "The receiving address had no verification token." in shown
    assert "SecurityToken_Restricted(21)" in shown


def test_a_transfer_that_ran_out_of_gas_says_so(scene: Scene, visitor: Client) -> None:
    starved = send(scene, operations.transfer(scene.token, scene.bob.address, 1), gas=30_000)
    assert look_up_transaction(starved).outcome == Outcome.REFUSED
    assert "too little gas" in check(visitor, starved)


def test_a_transaction_that_waits_has_moved_nothing(scene: Scene, visitor: Client) -> None:
    waiting = send(scene, operations.transfer(scene.token, scene.bob.address, 1), mine=False)
    assert look_up_transaction(waiting).outcome == Outcome.WAITING
    assert "Nothing has moved, and it may never be carried out." in check(visitor, waiting)
    scene.platform.node.set_automine(True)


def test_what_is_not_ours_is_called_that(scene: Scene, visitor: Client) -> None:
    elsewhere = send(scene, Call(to=NOBODY, data=b"", function="none"))
    assert look_up_transaction(elsewhere).outcome == Outcome.FOREIGN
    assert "Not one of ours" in check(visitor, elsewhere)
    assert look_up_transaction("0x" + "cd" * 32).outcome == Outcome.UNKNOWN
    assert "There is no transaction with this hash" in check(visitor, "0x" + "cd" * 32)


def test_a_token_of_a_stranger_with_the_same_event_is_not_one_of_ours(scene: Scene) -> None:
    """Whoever deploys our very code elsewhere makes transfers that look the same; they are not our security."""
    row = scene.ask(operations.transfer(scene.token, scene.bob.address, 1), scene.alice)
    Contract.objects.filter(address=scene.token).update(address=NOBODY)
    answered = look_up_transaction(row.mined_hash)
    assert answered.outcome == Outcome.FOREIGN
    assert answered.moves == ()


def test_a_step_of_ours_that_moves_nothing_is_no_transfer(scene: Scene, visitor: Client) -> None:
    row = scene.ask(operations.pause(scene.token), SignerRole.TOKEN_GUARDIAN)
    assert look_up_transaction(row.mined_hash).outcome == Outcome.OTHER
    assert "no units of a security moved in it" in check(visitor, row.mined_hash)


def test_issuing_names_no_sender(scene: Scene, visitor: Client) -> None:
    minted = ChainTransaction.objects.get(idempotency_key="mint")
    (move,) = look_up_transaction(minted.mined_hash).moves
    assert (move.kind, move.recipient, move.units) == ("issued", scene.alice.address, 100)


def test_a_block_that_the_node_no_longer_has_is_never_called_final(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = transfer(scene)
    Cursor.objects.update(final_number=10**9)
    assert look_up_transaction(done).is_final
    real: Callable[..., Any] = Rpc.gather

    def another_fork(self: Rpc, requests: Any) -> Any:
        answers = real(self, requests)
        return [
            answer | {"hash": "0x" + "00" * 32} if method == "eth_getBlockByNumber" else answer
            for (method, _params), answer in zip(requests, answers, strict=True)
        ]

    monkeypatch.setattr(Rpc, "gather", another_fork)
    assert not look_up_transaction(done).is_final


# --- addresses ----------------------------------------------------------------------------------------------


def test_an_address_is_told_by_its_token_and_its_admissions_alone(scene: Scene, visitor: Client) -> None:
    facts = look_up_address(scene.alice.address)
    assert facts.sbt is not None
    assert [(row.token, row.is_admitted, row.is_frozen) for row in facts.admissions] == [(scene.token, True, False)]
    shown = check(visitor, scene.alice.address.lower())
    assert 'data-state="effective"' in shown
    record = SbtRecord.objects.get(address=scene.alice.address)
    # The reference that links the addresses of one person, and what somebody holds, are nobody's business here.
    assert record.subject not in shown
    assert scene.bob.address not in shown
    assert ">100<" not in shown


def test_frozen_units_are_told_as_yes_or_no(scene: Scene) -> None:
    scene.ask(operations.freeze(scene.token, scene.alice.address, 40), SignerRole.TOKEN_AGENT)
    (row,) = look_up_address(scene.alice.address).admissions
    assert row.is_frozen


def test_an_address_without_a_token_can_do_nothing(scene: Scene, visitor: Client) -> None:
    assert "can neither send nor receive a security" in check(visitor, NOBODY)


def test_a_suspended_token_is_not_called_in_force(scene: Scene, visitor: Client) -> None:
    scene.ask(operations.suspend_sbt(scene.bob.address), SignerRole.SBT_GUARDIAN)
    shown = check(visitor, scene.bob.address)
    assert 'data-state="effective"' not in shown
    assert "Suspended" in shown


def test_a_contract_of_ours_is_named(scene: Scene, visitor: Client) -> None:
    assert "This is a contract of ours:" in check(visitor, scene.platform.manager)


# --- asking -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("", "Enter an address or the hash"),
        ("hello", "neither an address nor a transaction"),
        ("0x123", "neither an address nor a transaction"),
        ("0x" + "zz" * 20, "This is not an address"),
        ("0x" + "00" * 20, "zero address"),
        ("0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "typing error"),
        ("0x" + "a" * 63, "neither an address nor a transaction"),
        ("<script>alert(1)</script>", "neither an address nor a transaction"),
    ],
)
def test_what_is_mistyped_is_explained(asked: str, words: str, visitor: Client, db: None) -> None:
    answer = visitor.get("/public/check/", {"q": asked})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert "<script>alert" not in answer.content.decode()


def test_the_page_can_be_opened_without_a_question_and_is_not_kept(visitor: Client, db: None) -> None:
    answer = visitor.get("/public/check/")
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]


def test_too_many_questions_from_one_network_wait_a_minute_and_others_go_on(db: None, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"public_check": "3/m/ip"}
    ask = {"q": "0x" + "1" * 40}
    here, elsewhere = (Client(headers={"accept-language": "en"}, REMOTE_ADDR=f"203.0.113.{last}") for last in (7, 8))
    cache.clear()
    answers = [here.get("/public/check/", ask).status_code for _ in range(4)]
    assert answers == [200, 200, 200, 429]
    assert "Wait a minute" in here.get("/public/check/", ask).content.decode()
    # Reading the page without asking costs nothing, and another network is not held up.
    assert here.get("/public/check/").status_code == 200
    assert elsewhere.get("/public/check/", ask).status_code == 200


def test_the_limit_is_in_force_outside_the_tests() -> None:
    assert isinstance(base.ACCOUNT_RATE_LIMITS, dict)
    assert base.ACCOUNT_RATE_LIMITS["public_check"] == "30/m/ip"


@pytest.mark.parametrize("what", ["address", "transaction"])
def test_the_queries_do_not_grow_with_what_is_found(what: str, scene: Scene, visitor: Client) -> None:
    asked = scene.alice.address if what == "address" else transfer(scene)
    check(visitor, asked)
    with CaptureQueriesContext(connection) as queries:
        check(visitor, asked)
    assert len(queries) <= 12
