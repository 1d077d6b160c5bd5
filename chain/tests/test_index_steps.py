"""How the indexer walks: ranges, the head, forks, contracts that come late, handlers, and what it forgets."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from chain import followups, services
from chain.events import UNKNOWN
from chain.exceptions import NodeUnavailable
from chain.models import (
    Block,
    Contract,
    Cursor,
    EventLog,
    FollowedContract,
    Holding,
    Incident,
    Movement,
    TokenState,
)
from chain.services import indexer
from chain.services.indexer import CursorMoved, forget_chain, index_once, next_range_size
from chain.services.sweeps import only_one
from chain.tests.projection_model import ZERO, stored_snapshot
from chain.tests.simulated_chain import TOKEN, Event, SimulatedChain
from portal.models import AuditEntry

pytestmark = pytest.mark.django_db
BOND = to_checksum_address("0x" + "70" * 20)
OTHER = to_checksum_address("0x" + "71" * 20)
ALICE = to_checksum_address("0x" + "a1" * 20)
BOB = to_checksum_address("0x" + "b2" * 20)


def credit(units: int, *, token: str = BOND, holder: str = ALICE) -> Event:
    return Event(TOKEN, token, "Transfer", {"from": ZERO, "to": holder, "value": units})


def move(units: int) -> Event:
    return Event(TOKEN, BOND, "Transfer", {"from": ALICE, "to": BOB, "value": units})


def follow(address: str, deployed_block: int = 0) -> Contract:
    return Contract.objects.create(
        chain_id=settings.CHAIN_ID, kind=TOKEN, address=address, deployed_block=deployed_block, bytecode_hash="0x"
    )


def index(chain: SimulatedChain) -> None:
    while not index_once(chain).is_current:
        pass


def units(holder: str = ALICE, token: str = BOND) -> int:
    return int(sum(Holding.objects.filter(holder=holder, token=token).values_list("units", flat=True)))


@pytest.fixture
def chain() -> SimulatedChain:
    return SimulatedChain()


@pytest.fixture
def bond(chain: SimulatedChain) -> Contract:
    return follow(BOND)


# --- where it starts -------------------------------------------------------------------------------------------


def test_without_a_contract_there_is_nothing_to_read(chain: SimulatedChain) -> None:
    assert index_once(chain).is_current
    assert not Cursor.objects.exists()


def test_it_starts_at_our_first_contract_not_at_the_beginning_of_the_chain(chain: SimulatedChain) -> None:
    chain.mine(*[[] for _ in range(500)])
    chain.finalized = 500
    follow(BOND, deployed_block=480)
    index(chain)
    assert min(first for first, _last in chain.ranges) == 480


# --- ranges ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "seconds", "expected"),
    [(50, 0.1, 100), (50, 2.0, 50), (50, 10.0, 50), (50, 10.1, 30), (10, 11, 1), (4_000, 0.1, 5_000), (1, 0.1, 2)],
)
def test_ranges_grow_and_shrink_by_how_long_the_node_takes(size: int, seconds: float, expected: int) -> None:
    assert next_range_size(size, seconds) == expected


@given(st.integers(1, 5_000), st.floats(0, 1_000))
def test_a_range_is_never_empty_nor_without_bound(size: int, seconds: float) -> None:
    assert 1 <= next_range_size(size, seconds) <= indexer.RANGE_MAX


def test_what_is_final_is_read_in_growing_ranges(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine(*[[] for _ in range(400)])
    chain.finalized = 400
    index(chain)
    assert chain.ranges == [(0, 49), (50, 149), (150, 349), (350, 400)]


def test_a_range_that_is_too_large_for_the_node_is_halved_until_it_fits(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine(*[[credit(1)] for _ in range(300)])
    chain.finalized, chain.largest_range = 300, 20
    refused = 0
    for _ in range(200):
        try:
            if index_once(chain).is_current:
                break
        except NodeUnavailable:
            refused += 1
    assert refused > 0
    assert units() == 300


def test_near_the_head_logs_are_asked_by_block_hash(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine([credit(5)], [move(2)])
    index(chain)
    assert chain.ranges == []
    assert (units(ALICE), units(BOB)) == (3, 2)


# --- forks -------------------------------------------------------------------------------------------------------


def test_a_fork_is_rolled_back_and_the_other_history_read(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine([credit(10)], [move(4)], [])
    index(chain)
    chain.drop(2)
    chain.mine([move(7)], [], [])
    assert index_once(chain).rolled_back == 2
    index(chain)
    assert (units(ALICE), units(BOB)) == (3, 7)
    assert EventLog.objects.filter(canonical=False).count() == 1
    assert Movement.objects.count() == 2


def test_blocks_that_come_back_are_canonical_again_without_being_stored_twice(
    chain: SimulatedChain, bond: Contract
) -> None:
    chain.mine([credit(10)], [move(4)])
    index(chain)
    before, rows = stored_snapshot(), EventLog.objects.count()
    dropped = chain.drop(1)
    chain.mine([], [])
    index(chain)
    chain.drop(2)
    chain.restore(dropped)
    chain.mine([])
    index(chain)
    assert stored_snapshot() == before
    assert EventLog.objects.count() == rows


def test_a_node_that_is_merely_behind_changes_nothing(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine([credit(10)], [move(4)], [])
    index(chain)
    before = stored_snapshot()
    dropped = chain.drop(2)
    assert index_once(chain).is_current
    assert stored_snapshot() == before
    assert not Incident.objects.exists()
    chain.restore(dropped)
    chain.mine([move(1)])
    index(chain)
    assert units(BOB) == 5


def test_a_history_without_what_was_final_stops_the_index_and_says_so_once(
    chain: SimulatedChain, bond: Contract
) -> None:
    chain.mine([credit(10)], [move(4)], [], [])
    chain.finalized = 3
    index(chain)
    before = stored_snapshot()
    other = SimulatedChain()
    other._salt = 1_000
    other.mine(*[[] for _ in range(8)])
    for _ in range(3):
        assert index_once(other).is_current
    incident = Incident.objects.get()
    assert (incident.kind, incident.closed_at) == ("chain.history_rewritten", None)
    assert AuditEntry.objects.filter(action="chain.incident.opened").count() == 1
    assert stored_snapshot() == before


def test_the_index_goes_on_by_itself_when_the_right_node_is_back(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine([credit(10)], [], [])
    chain.finalized = 2
    index(chain)
    other = SimulatedChain()
    other._salt = 1_000
    index_once(other)
    chain.mine([move(4)])
    index(chain)
    assert units(BOB) == 4
    assert Incident.objects.get().closed_at is not None


def test_a_shorter_chain_with_the_same_beginning_is_reported_and_then_its_other_end_too(
    chain: SimulatedChain, bond: Contract
) -> None:
    chain.mine([credit(10)], [], [], [], [])
    chain.finalized = 4
    index(chain)
    chain.drop(3)
    chain.finalized = 1
    index_once(chain)
    assert "had been final" in Incident.objects.get().detail
    chain.mine(*[[] for _ in range(9)])
    assert index_once(chain).is_current
    assert Incident.objects.get().closed_at is None


def test_another_chain_is_never_read(chain: SimulatedChain, bond: Contract) -> None:
    chain.chain_id = 1
    chain.mine([credit(10)])
    assert index_once(chain).is_current
    assert Incident.objects.get().kind == "chain.history_rewritten"
    assert not EventLog.objects.exists()


def test_a_chain_that_was_reset_on_purpose_is_read_again_from_its_beginning(
    chain: SimulatedChain, bond: Contract
) -> None:
    chain.mine([credit(10)], [])
    chain.finalized = 2
    index(chain)
    fresh = SimulatedChain()
    fresh._salt = 1_000
    fresh.mine([credit(3)], [])
    forget_chain(chain_id=settings.CHAIN_ID, actor="test", reason="the development chain was reset")
    index(fresh)
    assert units() == 3
    assert AuditEntry.objects.filter(action="chain.index.forgotten").exists()


# --- finality ----------------------------------------------------------------------------------------------------


def test_finality_is_never_taken_back_by_a_node_that_lags(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine([credit(10)], [], [])
    chain.finalized = 3
    index(chain)
    chain.finalized = 0
    chain.mine([move(4)])
    index(chain)
    assert Cursor.objects.get().final_number == 3
    assert Holding.objects.get(holder=ALICE).final_units == 10


def test_blocks_become_final_without_a_new_block(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine([credit(10)])
    index(chain)
    assert Holding.objects.get().final_units == 0
    chain.finalized = chain.head
    index(chain)
    assert Holding.objects.get().final_units == 10


def test_what_passed_through_a_holder_between_two_final_blocks_is_counted(
    chain: SimulatedChain, bond: Contract
) -> None:
    chain.mine([credit(10)], [move(10)], [])
    index(chain)
    chain.finalized = 1
    index(chain)
    row = Holding.objects.get(holder=ALICE)
    assert (row.units, row.final_units) == (0, 10)
    chain.finalized = 2
    index(chain)
    assert not Holding.objects.filter(holder=ALICE).exists()


def test_a_chain_without_a_finality_of_its_own_is_final_at_the_depth_that_was_set(settings: Any, node: Any) -> None:
    from chain.reader import reader

    settings.CHAIN_FINALITY_DEPTH = 7
    node.mine(10)
    assert reader().heads().finalized == 3


# --- contracts that come late --------------------------------------------------------------------------------------


def test_a_contract_behind_the_cursor_is_read_from_its_first_block(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine(*[[credit(1), credit(1, token=OTHER)] for _ in range(130)])
    chain.finalized = 120
    index(chain)
    assert units(token=OTHER) == 0
    follow(OTHER, deployed_block=20)
    chain.mine([credit(1, token=OTHER)])
    index(chain)
    assert units(token=OTHER) == 130 - 20 + 1 + 1
    assert Holding.objects.get(token=OTHER).final_units == 101
    assert FollowedContract.objects.filter(joined=True).count() == 2


def test_a_contract_is_read_at_once_even_if_no_block_follows(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine([credit(1, token=OTHER)])
    index(chain)
    follow(OTHER, deployed_block=1)
    index(chain)
    assert units(token=OTHER) == 1


def test_a_contract_deployed_ahead_of_the_cursor_waits_for_its_block(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine([])
    index(chain)
    follow(OTHER, deployed_block=2)
    chain.mine([credit(5, token=OTHER)])
    index(chain)
    assert units(token=OTHER) == 5


# --- one transaction, one runner -----------------------------------------------------------------------------------


def test_a_step_that_fails_while_writing_leaves_nothing(
    chain: SimulatedChain, bond: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.mine([credit(10)])
    monkeypatch.setattr(indexer, "_tell_handlers", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        index(chain)
    assert not EventLog.objects.exists()
    assert not Holding.objects.exists()
    assert Cursor.objects.get().number == -1
    monkeypatch.undo()
    index(chain)
    assert units() == 10


def test_a_step_overtaken_by_another_writes_nothing(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine([credit(10)])
    index(chain)
    seen = Cursor.objects.get()
    chain.mine([credit(1)])
    index(chain)
    with pytest.raises(CursorMoved):
        indexer._locked(seen)
    assert units() == 11


@pytest.mark.django_db(transaction=True)
def test_only_one_runner_indexes_at_a_time() -> None:
    other = connections.create_connection("default")
    try:
        with only_one("index") as alone, other.cursor() as cursor:
            assert alone
            # pg_locks shows the locks of every database of the server: only ours count.
            cursor.execute(
                "SELECT pg_try_advisory_lock(classid::int, objid::int) FROM pg_locks"
                " WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            assert cursor.fetchall() == [(False,)]
    finally:
        other.close()


def test_a_sweep_while_the_node_is_away_is_calm(bond: Contract, settings: Any) -> None:
    settings.CHAIN_RPC_URL = "http://127.0.0.1:9"
    assert services.run_index_step() is False


# --- handlers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    registered: dict[str, Any] = {}
    monkeypatch.setattr(followups, "_event_handlers", registered)
    return registered


def test_handlers_are_told_of_events_in_order_with_their_row(
    chain: SimulatedChain, bond: Contract, handlers: dict[str, Any]
) -> None:
    told: list[EventLog] = []
    handlers["Transfer"] = [told.append]
    chain.mine([credit(10), move(3)], [move(1)])
    index(chain)
    assert [row.args["value"] for row in told] == ["10", "3", "1"]
    assert [row.pk for row in told] == list(EventLog.objects.order_by("pk").values_list("pk", flat=True))
    assert all(row.canonical and row.block.number == row.block_number for row in told)


def test_a_handler_that_fails_becomes_an_incident_and_the_index_goes_on(
    chain: SimulatedChain, bond: Contract, handlers: dict[str, Any]
) -> None:
    def fail(log: EventLog) -> None:
        TokenState.objects.filter(token=log.address).update(paused=True)
        raise ValueError("a mistake in an app")

    handlers["Transfer"] = [fail]
    chain.mine([credit(10)], [])
    index(chain)
    assert units() == 10
    assert Incident.objects.get().kind == "chain.event_handler_failed"
    assert TokenState.objects.get().paused is False


# --- what is kept --------------------------------------------------------------------------------------------------


def test_an_event_the_abi_does_not_know_is_kept_with_its_data(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine([credit(10)])
    block = chain.blocks[-1]
    block.logs[0] = {**block.logs[0], "topics": ["0x" + "ff" * 32], "data": "0x1234"}
    index(chain)
    row = EventLog.objects.get()
    assert (row.event, row.args) == (UNKNOWN, {"topics": ["0x" + "ff" * 32], "data": "0x1234"})
    assert units() == 0


def test_days_of_empty_blocks_do_not_fill_the_table(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine([credit(10)])
    for _ in range(12):
        chain.mine(*[[] for _ in range(100)])
        chain.finalized = chain.head - 64
        index(chain)
    assert Block.objects.count() <= indexer.KEEP_HEADERS + 110
    assert Block.objects.filter(logs__isnull=False).count() == 1


def test_every_header_that_a_reorganisation_can_reach_is_kept(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine(*[[] for _ in range(700)])
    chain.finalized = 100
    index(chain)
    chain.mine([credit(10)])
    index(chain)
    kept = set(Block.objects.values_list("number", flat=True))
    assert set(range(101, 702)) <= kept
    chain.drop(600)
    chain.mine(*[[] for _ in range(601)])
    index(chain)
    assert units() == 0
    assert not Incident.objects.exists()


def test_two_tokens_of_the_same_block_do_not_mix(chain: SimulatedChain, bond: Contract) -> None:
    follow(OTHER)
    chain.mine([credit(10), credit(20, token=OTHER), move(4)])
    index(chain)
    assert (units(ALICE), units(ALICE, OTHER), units(BOB)) == (6, 20, 4)
    assert {s.token: s.supply_units for s in TokenState.objects.all()} == {BOND: 10, OTHER: 20}


def test_amounts_of_256_bits_are_exact(chain: SimulatedChain, bond: Contract) -> None:
    chain.mine([credit(2**256 - 1)], [move(2**255)])
    index(chain)
    assert (units(ALICE), units(BOB)) == (2**255 - 1, 2**255)


def test_a_step_costs_the_same_number_of_queries_for_one_event_and_for_many(
    chain: SimulatedChain, bond: Contract
) -> None:
    def cost(events: list[Event]) -> int:
        chain.mine(events)
        before = len(connection.queries_log)
        connection.force_debug_cursor = True
        try:
            index_once(chain)
        finally:
            connection.force_debug_cursor = False
        return len(connection.queries_log) - before

    index(chain)
    cost([credit(1)])
    connection.queries_log.clear()
    one = cost([credit(1)])
    connection.queries_log.clear()
    assert cost([credit(1)] * 300) == one
