"""The indexer against the real node and the real contracts."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import pytest
from django.db import transaction

from chain import attestation as attestations
from chain import operations, selectors, services
from chain.gateway import gateway
from chain.models import Block, ChainTransaction, Contract, Cursor, EventLog, Holding, Incident, SbtRecord
from chain.services.indexer import index_once
from chain.services.reconciliation import reconcile_ledger
from chain.tests.projection_model import stored_snapshot
from chain.types import Attestation, Call, Category, SignerRole, Standing, TokenTerms

pytestmark = [pytest.mark.django_db, pytest.mark.chain]


def ask(call: Call, signer, key: str) -> ChainTransaction:
    with transaction.atomic():
        return services.enqueue(call=call, signer=signer, idempotency_key=key, purpose="test")


def request(call: Call, role: str, key: str) -> ChainTransaction:
    with transaction.atomic():
        return services.request(call=call, role=role, idempotency_key=key, purpose="test")


def issue(platform, holder: str) -> Attestation:
    now = int(time.time())
    attestor = platform.signer(SignerRole.ATTESTOR)
    attested = Attestation(
        holder=holder,
        subject=secrets.token_bytes(32),
        categories=Category.INDIVIDUAL,
        expires_at=now + 365 * 86400,
        evidence_hash=secrets.token_bytes(32),
        nonce=attestations.new_nonce(),
        deadline=now + 86400,
    )
    call = operations.issue_sbt(attested, attestor.address, attestations.sign(attested, attestor))
    ask(call, platform.signer(SignerRole.SBT_ISSUER), f"sbt:{holder}")
    return attested


@pytest.fixture
def token(platform, settle: Callable[[], None]) -> str:
    now = int(time.time())
    terms = TokenTerms(
        name="Musubi Bond 1", symbol="MSB1", decimals=0, isin="JP000000TEST", currency="JPY", face_value_minor=100_000,
        rate_bps=80, issue_at=now, maturity_at=now + 365 * 86400, authorised_units=10_000, qii_only=False,
        holder_cap=0, minimum_lot_units=1, whole_balance_only=False, lock_up_until=0,
        documents=(("Terms", "urn:terms", bytes(32)),),
    )  # fmt: skip
    row = ask(operations.deploy_security_token(terms), platform.signer(SignerRole.DEPLOYER), "token")
    settle()
    row.refresh_from_db()
    request(operations.configure_security_token(row.contract_address), SignerRole.ADMIN, "configure")
    settle()
    return str(row.contract_address)


@pytest.fixture
def alice(platform):
    return services.create_custody_signer(label="alice")


@pytest.fixture
def bob(platform):
    return services.create_custody_signer(label="bob")


@pytest.fixture
def held(platform, settle, token: str, alice, bob) -> str:
    """Alice and Bob are verified and admitted; Alice holds 100, of which 20 are frozen."""
    agent = platform.signer(SignerRole.TOKEN_AGENT)
    issue(platform, alice.address)
    issue(platform, bob.address)
    settle()
    ask(operations.admit(token, [alice.address, bob.address]), agent, "admit")
    settle()
    ask(operations.mint(token, alice.address, 100), agent, "mint")
    settle()
    ask(operations.freeze(token, alice.address, 20), agent, "freeze")
    settle()
    platform.node.set_balance(alice.address, 10**18)
    return token


def index() -> None:
    while not index_once().is_current:
        pass


def balance(holder: str):
    return next(iter(selectors.balances_for([holder])), None)


def test_it_indexes_an_sbt_that_the_real_contract_issued(platform, settle, alice) -> None:
    attested = issue(platform, alice.address)
    settle()
    view = selectors.sbt_for(alice.address)
    record = SbtRecord.objects.get()
    assert view is not None
    assert view.standing == gateway().standing(alice.address) == Standing.EFFECTIVE
    assert (record.subject, record.categories) == ("0x" + attested.subject.hex(), Category.INDIVIDUAL)
    assert int(record.expires_at.timestamp()) == attested.expires_at
    assert record.issuer == platform.signer(SignerRole.SBT_ISSUER).address
    assert record.attestor == platform.signer(SignerRole.ATTESTOR).address


def test_every_event_of_the_platform_is_decoded(platform, held) -> None:
    assert Contract.objects.count() == 12  # with the vault and three simulated price feeds
    assert not EventLog.objects.filter(event="Unknown").exists()
    names = set(EventLog.objects.values_list("event", flat=True))
    assert {"RoleGranted", "SbtIssued", "Admitted", "Transfer", "Frozen", "AuthorisedAmountRaised"} <= names


def test_balances_admission_and_frozen_part_are_what_the_contract_says(platform, held, alice, bob) -> None:
    view = balance(alice.address)
    (chain_frozen,) = gateway().read("SecurityToken", held, "getFrozenTokens", alice.address)
    assert (view.units, view.frozen_units, view.is_admitted) == (
        gateway().balance(held, alice.address), chain_frozen, gateway().is_admitted(held, alice.address),
    ) == (100, 20, True)  # fmt: skip
    state = selectors.token_state(held)
    assert (state.supply_units, state.authorised_units, state.holders, state.paused) == (100, 10_000, 1, False)
    assert balance(bob.address).is_admitted


def test_a_transfer_is_provisional_until_its_block_is_final(platform, settle, held, alice, bob) -> None:
    settle()
    platform.node.mine(3)
    index()
    ask(operations.transfer(held, bob.address, 30), alice, "move")
    services.run_submit_sweep()
    index()
    assert (balance(bob.address).units, balance(bob.address).final_units) == (30, 0)
    assert not selectors.movements_for([bob.address])[0].is_final
    platform.node.mine(3)
    index()
    assert (balance(bob.address).units, balance(bob.address).final_units) == (30, 30)
    assert (balance(alice.address).units, balance(alice.address).final_units) == (70, 70)
    assert selectors.movements_for([bob.address])[0].is_final


def test_a_reorganisation_takes_a_transfer_back_and_the_replay_brings_it_again(
    platform, settle, held, alice, bob
) -> None:
    settle()
    platform.node.mine(3)
    index()
    before = stored_snapshot()
    row = ask(operations.transfer(held, bob.address, 30), alice, "move")
    services.run_submit_sweep()
    index()
    assert balance(bob.address).units == 30
    gone = Cursor.objects.get().hash
    platform.node.reorg(1)
    index()
    assert stored_snapshot() == before
    assert Block.objects.get(hash=gone).canonical is False
    assert not EventLog.objects.filter(block_hash=gone, canonical=True).exists()
    for _ in range(3):
        services.run_reconcile_sweep()
        services.run_submit_sweep()
        platform.node.mine(1)
    index()
    row.refresh_from_db()
    assert balance(bob.address).units == gateway().balance(held, bob.address) == 30


def test_a_suspended_sbt_shows_as_suspended_and_keeps_what_it_holds(platform, settle, held, alice) -> None:
    ask(operations.suspend_sbt(alice.address), platform.signer(SignerRole.SBT_GUARDIAN), "suspend")
    settle()
    view = selectors.sbt_for(alice.address)
    assert view is not None
    assert view.standing == gateway().standing(alice.address) == Standing.SUSPENDED
    assert balance(alice.address).units == 100


def test_a_new_sbt_of_the_same_address_has_to_be_admitted_again(platform, settle, held, alice) -> None:
    ask(operations.suspend_sbt(alice.address), platform.signer(SignerRole.SBT_GUARDIAN), "suspend")
    settle()
    ask(operations.revoke_sbt(alice.address), platform.signer(SignerRole.SBT_ISSUER), "revoke")
    settle()
    assert selectors.sbt_for(alice.address) is None
    assert balance(alice.address).is_admitted is gateway().is_admitted(held, alice.address) is False


def test_a_contract_that_becomes_known_late_is_read_from_its_first_block(platform, settle, held, alice) -> None:
    index()
    expected = stored_snapshot()
    contract = Contract.objects.get(address=held)
    deployed_block, code_hash = contract.deployed_block, contract.bytecode_hash
    services.indexer.forget_chain(chain_id=contract.chain_id, actor="test", reason="test")
    contract.delete()
    index()
    assert not Holding.objects.exists()
    Contract.objects.create(
        chain_id=contract.chain_id, kind=contract.kind, address=held, deployed_block=deployed_block,
        bytecode_hash=code_hash,
    )  # fmt: skip
    index()
    assert stored_snapshot() == expected


def test_a_chain_that_was_reset_below_what_was_final_stops_the_index_with_an_incident(platform, settle, held) -> None:
    before, cursor = stored_snapshot(), Cursor.objects.get()
    snapshot = platform.node.snapshot()
    platform.node.mine(8)
    index()
    platform.node.revert(snapshot)
    platform.node.call("evm_increaseTime", hex(60))
    platform.node.mine(9)
    for _ in range(3):
        assert index_once().is_current
    incident = Incident.objects.get(kind="chain.history_rewritten")
    assert incident.closed_at is None
    assert stored_snapshot()["holdings"] == before["holdings"]
    assert Cursor.objects.get().number == cursor.number + 8


def test_a_node_that_is_down_leaves_everything_as_it_is(platform, settle, held, settings) -> None:
    before = stored_snapshot()
    settings.CHAIN_RPC_URL = "http://127.0.0.1:9"
    assert services.run_index_step() is False
    assert stored_snapshot() == before


def test_the_ledger_agrees_with_the_chain_and_a_difference_opens_an_incident(platform, settle, held, alice) -> None:
    platform.node.mine(3)
    index()
    assert reconcile_ledger().differences == []
    assert not Incident.objects.exists()
    Holding.objects.filter(holder=alice.address).update(final_units=99)
    found = reconcile_ledger().differences
    assert [(d.what, d.ours, d.theirs) for d in found] == [("supply", 99, 100), (alice.address, 99, 100)]
    assert Incident.objects.get(kind="chain.ledger_differs").closed_at is None
    Holding.objects.filter(holder=alice.address).update(final_units=100)
    reconcile_ledger()
    assert Incident.objects.get(kind="chain.ledger_differs").closed_at is not None
