"""What the selectors answer, and that they ask as often for two hundred rows as for one."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone
from eth_utils.address import to_checksum_address

from chain import selectors
from chain.exceptions import NodeUnavailable
from chain.head import HeadMemory
from chain.models import (
    Attempt,
    Block,
    ChainTransaction,
    Contract,
    Cursor,
    Distrust,
    EventLog,
    Holding,
    Movement,
    SbtRecord,
    Signer,
    TokenState,
)
from chain.types import SignerRole, Standing

pytestmark = pytest.mark.django_db
CHAIN = settings.CHAIN_ID
TOKEN = to_checksum_address("0x" + "70" * 20)
ISSUER, ATTESTOR = to_checksum_address("0x" + "e1" * 20), to_checksum_address("0x" + "e2" * 20)
_ids = itertools.count(1)


def address(number: int) -> str:
    return to_checksum_address(f"0x{number:040x}")


def sbt(holder: str, **fields) -> SbtRecord:
    now = timezone.now()
    values = {
        "token_id": 1, "subject": "0x" + "5b" * 32, "categories": 1, "issued_at": now - timedelta(days=1),
        "effective_from": now - timedelta(hours=1), "expires_at": now + timedelta(days=300), "issuer": ISSUER,
        "attestor": ATTESTOR, "block_number": 5, "transaction_hash": "0x1",
    }  # fmt: skip
    return SbtRecord.objects.create(chain_id=CHAIN, address=holder, **(values | fields))


def holding(holder: str, **fields) -> Holding:
    values = {"units": 10, "final_units": 10, "frozen_units": 0, "admitted_sbt": 1}
    return Holding.objects.create(chain_id=CHAIN, token=TOKEN, holder=holder, **(values | fields))


def moved(sender: str, recipient: str, *, block_number: int = 5) -> Movement:
    number = next(_ids)
    block, _created = Block.objects.get_or_create(
        chain_id=CHAIN,
        number=block_number,
        hash=f"0x{block_number}",
        defaults={"parent_hash": "0x", "at": timezone.now()},
    )
    log = EventLog.objects.create(
        chain_id=CHAIN, block=block, block_number=block_number, block_hash=block.hash, log_index=number,
        transaction_hash="0x1", address=TOKEN, event="Transfer", args={},
    )  # fmt: skip
    return Movement.objects.create(
        log=log, chain_id=CHAIN, token=TOKEN, sender=sender, recipient=recipient, units=number,
        block_number=block_number, at=block.at, transaction_hash="0x1",
    )  # fmt: skip


@pytest.fixture
def cursor() -> Cursor:
    return Cursor.objects.create(
        chain_id=CHAIN, number=20, hash="0x20", final_number=18, block_at=timezone.now() - timedelta(seconds=2)
    )


def standing(holder: str) -> Standing:
    view = selectors.sbt_for(holder)
    assert view is not None
    return view.standing


# --- SBTs ----------------------------------------------------------------------------------------------------


def test_an_address_without_an_sbt_has_none(cursor) -> None:
    assert selectors.sbt_for(address(1)) is None


def test_a_revoked_sbt_is_none(cursor) -> None:
    sbt(address(1), revoked=True)
    assert selectors.sbt_for(address(1)) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Standing.EFFECTIVE),
        ({"suspended": True}, Standing.SUSPENDED),
        ({"effective_from": timezone.now() + timedelta(hours=1)}, Standing.PENDING),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, Standing.EXPIRED),
        ({"suspended": True, "expires_at": timezone.now() - timedelta(seconds=1)}, Standing.SUSPENDED),
    ],
)
def test_the_standing_follows_from_the_record_and_the_time(cursor, fields, expected) -> None:
    sbt(address(1), **fields)
    assert standing(address(1)) == expected


@pytest.mark.parametrize(
    ("key", "expected"), [(ISSUER, Standing.ISSUER_DISTRUSTED), (ATTESTOR, Standing.ATTESTOR_DISTRUSTED)]
)
def test_what_a_distrusted_key_did_from_then_on_does_not_count(cursor, key, expected) -> None:
    issued_at = timezone.now() - timedelta(days=1)
    sbt(address(1), issued_at=issued_at)
    sbt(address(2), issued_at=issued_at - timedelta(seconds=1))
    Distrust.objects.create(chain_id=CHAIN, key=key, since=issued_at, block_number=6)
    views = selectors.sbts_for([address(1), address(2)])
    assert (views[address(1)].standing, views[address(2)].standing) == (expected, Standing.EFFECTIVE)


def test_the_gravest_reason_is_given_first(cursor) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    Distrust.objects.create(chain_id=CHAIN, key=ISSUER, since=epoch, block_number=6)
    Distrust.objects.create(chain_id=CHAIN, key=ATTESTOR, since=epoch, block_number=6)
    sbt(address(1), expires_at=timezone.now() - timedelta(days=1))
    assert standing(address(1)) == Standing.ISSUER_DISTRUSTED


def test_a_chain_whose_clock_runs_ahead_judges_by_its_own_time(cursor) -> None:
    sbt(address(1), expires_at=timezone.now() + timedelta(days=1))
    Cursor.objects.update(block_at=timezone.now() + timedelta(days=2))
    assert standing(address(1)) == Standing.EXPIRED


def test_an_sbt_is_final_once_its_last_event_is(cursor) -> None:
    sbt(address(1), block_number=18)
    sbt(address(2), block_number=19)
    views = selectors.sbts_for([address(1), address(2)])
    assert (views[address(1)].is_final, views[address(2)].is_final) == (True, False)


# --- holdings ------------------------------------------------------------------------------------------------


def test_an_admission_counts_for_the_sbt_it_was_given_to_only(cursor) -> None:
    for number, live in ((1, 1), (2, 7)):
        sbt(address(number), token_id=live)
        holding(address(number), admitted_sbt=1)
    holding(address(3), admitted_sbt=1)
    admitted = {view.holder: view.is_admitted for view in selectors.holders_of(TOKEN)}
    assert admitted == {address(1): True, address(2): False, address(3): False}
    assert [view.holder for view in selectors.admitted_on(TOKEN)] == [address(1)]


def test_who_only_is_admitted_is_no_holder_yet(cursor) -> None:
    sbt(address(1))
    holding(address(1), units=0, final_units=0)
    assert selectors.holders_of(TOKEN) == []
    assert selectors.balances_for([address(1)])[0].is_admitted


def test_a_holding_that_left_provisionally_still_shows_what_was_final(cursor) -> None:
    holding(address(1), units=0, final_units=10)
    view = selectors.holders_of(TOKEN)[0]
    assert (view.units, view.final_units, view.is_final, view.free_units) == (0, 10, False, 0)


def test_more_frozen_than_held_leaves_nothing_free(cursor) -> None:
    holding(address(1), units=10, frozen_units=99)
    assert selectors.balances_for([address(1)])[0].free_units == 0


def test_movements_are_the_newest_first_and_tell_what_is_final(cursor) -> None:
    moved(address(1), address(2), block_number=18)
    moved(address(2), address(1), block_number=19)
    moved(address(3), address(4), block_number=19)
    views = selectors.movements_for([address(1)], token=TOKEN)
    assert [(view.block_number, view.is_final) for view in views] == [(19, False), (18, True)]
    assert len(selectors.movements_for([address(1)], limit=1)) == 1
    assert selectors.movements_for([address(1)], token=address(9)) == []


def test_what_a_day_changed_is_added_up_by_token_in_the_days_of_a_place(cursor, django_assert_num_queries) -> None:
    first = moved(address(3), address(1), block_number=10)
    second = moved(address(1), address(4), block_number=11)
    moved(address(1), address(2), block_number=11)
    moved(address(5), address(6), block_number=11)
    # One instant: still the 1st in London, already the 2nd in Tokyo.
    late = datetime(2027, 1, 1, 15, 30, tzinfo=UTC)
    Movement.objects.filter(pk=first.pk).update(at=late - timedelta(hours=1))
    Movement.objects.exclude(pk=first.pk).update(at=late)
    with django_assert_num_queries(1):
        changes = selectors.daily_changes_for([address(1), address(2)], zone=ZoneInfo("Asia/Tokyo"))
    assert [(row.token, row.day, row.units) for row in changes] == [
        (TOKEN, date(2027, 1, 1), first.units),
        (TOKEN, date(2027, 1, 2), -second.units),
    ]
    assert selectors.daily_changes_for([], zone=UTC) == []


def test_a_token_that_was_not_read_yet_has_nothing(db) -> None:
    state = selectors.token_state(TOKEN)
    assert state._state.adding
    assert (state.supply_units, state.holders, state.paused) == (0, 0, False)


# --- how often the database is asked -------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 200])
def test_every_list_costs_the_same_whatever_its_length(cursor, rows, django_assert_num_queries) -> None:
    holders = [address(number) for number in range(1, rows + 1)]
    for holder in holders:
        sbt(holder)
        holding(holder)
        moved(holder, TOKEN)
    TokenState.objects.create(chain_id=CHAIN, token=TOKEN)
    with django_assert_num_queries(3):
        assert len(selectors.sbts_for(holders)) == rows
    with django_assert_num_queries(1):
        assert len(selectors.balances_for(holders)) == rows
    with django_assert_num_queries(1):
        assert len(selectors.holders_of(TOKEN)) == rows
    with django_assert_num_queries(1):
        assert len(selectors.admitted_on(TOKEN)) == rows
    with django_assert_num_queries(2):
        assert len(selectors.movements_for(holders, limit=500)) == rows
    with django_assert_num_queries(1):
        selectors.token_state(TOKEN)
    with django_assert_num_queries(1):
        selectors.chain_status()


# --- the head --------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Node:
    """Answers with its `head`, or not at all while that is None; counts how often it was asked."""

    def __init__(self) -> None:
        self.head: int | None = 7
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        if self.head is None:
            raise NodeUnavailable("down")
        return self.head


def test_the_head_is_asked_once_in_two_seconds() -> None:
    clock, node = Clock(), Node()
    memory = HeadMemory(node, clock)
    assert [memory.head() for _ in range(5)] == [7] * 5
    assert node.asked == 1
    node.head, clock.now = 9, 2.0
    assert (memory.head(), node.asked) == (9, 2)


def test_a_node_that_is_down_is_remembered_as_down_for_a_while() -> None:
    clock, node = Clock(), Node()
    memory = HeadMemory(node, clock)
    node.head = None
    assert [memory.head() for _ in range(5)] == [None] * 5
    assert node.asked == 1
    node.head, clock.now = 8, 4.9
    assert memory.head() is None
    clock.now = 5.0
    assert memory.head() == 8


def test_the_status_of_a_chain_whose_node_is_down_still_tells_what_was_read(cursor, monkeypatch) -> None:
    monkeypatch.setattr(selectors, "head_memory", HeadMemory())
    with override_settings(CHAIN_RPC_URL="http://127.0.0.1:9"):
        status = selectors.chain_status()
    assert (status.head, status.node_is_up, status.indexed, status.finalized) == (None, False, 20, 18)
    assert status.indexed_at == cursor.block_at


def test_before_the_first_block_nothing_was_read(db) -> None:
    status = selectors.chain_status()
    assert (status.indexed, status.finalized, status.indexed_at) == (-1, None, None)


# --- where things are ------------------------------------------------------------------------------------------


def test_contracts_and_signers_that_are_missing_are_refused_calmly(db) -> None:
    with pytest.raises(selectors.PlatformNotReady) as refused:
        selectors.contract_address(Contract.Kind.INVESTOR_SBT)
    assert (refused.value.code, refused.value.status_code) == ("chain.contract.missing", 503)
    with pytest.raises(selectors.PlatformNotReady):
        selectors.signer_for_role(SignerRole.TOKEN_AGENT)


def test_contracts_and_signers_are_found_by_what_they_are(db) -> None:
    Contract.objects.create(chain_id=CHAIN, kind="InvestorSBT", address=TOKEN, deployed_block=1, bytecode_hash="0x")
    agent = Signer.objects.create(chain_id=CHAIN, address=ISSUER, role=SignerRole.TOKEN_AGENT)
    assert selectors.contract_address(Contract.Kind.INVESTOR_SBT) == TOKEN
    assert selectors.signer_for_role(SignerRole.TOKEN_AGENT) == agent


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("https://explorer.example/tx/{hash}", "https://explorer.example/tx/0xab"),
        ("https://explorer.example/tx/", "https://explorer.example/tx/0xab"),
        ("", "/chain/tx/0xab/"),
    ],
)
def test_a_transaction_is_looked_at_in_the_explorer_or_on_our_own_page(pattern, expected) -> None:
    with override_settings(CHAIN_EXPLORER_TX_URL=pattern):
        assert selectors.explorer_url("0xab") == expected


# --- the timeline ----------------------------------------------------------------------------------------------


@pytest.fixture
def signer(db) -> Signer:
    return Signer.objects.create(chain_id=CHAIN, address=ISSUER, role=SignerRole.TOKEN_AGENT)


def asked(signer: Signer, state: str, **fields) -> ChainTransaction:
    number = next(_ids)
    nonce = None if state in ("queued", "expired", "refused") else number
    return ChainTransaction.objects.create(
        signer=signer, idempotency_key=f"k{number}", purpose="test", function="SecurityToken.mint", to=TOKEN,
        data=b"", state=state, nonce=nonce, **fields,
    )  # fmt: skip


NOW = timezone.now()
IN_BLOCK = {"submitted_at": NOW, "mined_at": NOW, "block_hash": "0x9", "block_number": 9, "mined_hash": "0xaa"}
SETTLED = {"is_settled": True, "settled_at": NOW}


@pytest.mark.parametrize(
    ("state", "fields", "expected"),
    [
        ("queued", {}, ["asked", "-submitted", "-in_block", "-final"]),
        ("signed", {}, ["asked", "-submitted", "-in_block", "-final"]),
        ("broadcast", {"submitted_at": NOW}, ["asked", "submitted", "-in_block", "-final"]),
        ("mined", IN_BLOCK, ["asked", "submitted", "in_block", "-final"]),
        ("final", IN_BLOCK | SETTLED, ["asked", "submitted", "in_block", "final"]),
        ("reverted", IN_BLOCK, ["asked", "submitted", "reverted", "-final"]),
        ("reverted", IN_BLOCK | SETTLED, ["asked", "submitted", "reverted", "final"]),
        ("cancelling", {"submitted_at": NOW}, ["asked", "submitted", "-cancelled", "-final"]),
        ("cancelled", IN_BLOCK, ["asked", "submitted", "cancelled", "-final"]),
        ("expired", SETTLED, ["asked", "expired"]),
        ("refused", SETTLED, ["asked", "refused"]),
    ],
)
def test_the_timeline_of_each_state(signer, state, fields, expected) -> None:
    """A leading minus marks what is still to come."""
    steps = selectors.transaction_timeline(asked(signer, state, **fields))
    assert [step.key if step.at else f"-{step.key}" for step in steps] == expected


def test_a_refusal_is_given_in_words(signer) -> None:
    row = asked(signer, "refused", error_code="SecurityToken_Restricted(21)", **SETTLED)
    detail = selectors.transaction_timeline(row)[-1].detail
    assert detail == selectors.restriction_sentence(21)


def test_an_error_that_is_no_restriction_is_worded_calmly(signer) -> None:
    row = asked(signer, "reverted", error_code="Panic(0x11)", **IN_BLOCK)
    assert "Panic" not in selectors.transaction_timeline(row)[2].detail


def test_the_newest_attempt_is_shown_until_one_is_in_a_block(signer) -> None:
    row = asked(signer, "broadcast", submitted_at=NOW)
    for name in ("0x01", "0x02"):
        Attempt.objects.create(transaction=row, hash=name, raw=b"", max_fee_per_gas=1, max_priority_fee_per_gas=1)
    assert selectors.transaction_timeline(row)[1].transaction_hash == "0x02"
    row.mined_hash = "0x01"
    assert selectors.transaction_timeline(row)[1].transaction_hash == "0x01"


def test_a_timeline_costs_at_most_one_query(signer, django_assert_max_num_queries) -> None:
    row = asked(signer, "broadcast", submitted_at=NOW)
    with django_assert_max_num_queries(1):
        selectors.transaction_timeline(row)
