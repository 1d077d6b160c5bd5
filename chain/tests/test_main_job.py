"""The contract calls of the main job through the outbox, on the real node, decoded from the real contracts."""

import secrets
import time
from typing import Any

import pytest
from django.db import transaction

from chain import attestation as attestations
from chain import operations, services
from chain.gateway import gateway
from chain.models import ChainTransaction, Contract
from chain.types import Attestation, Category, Restriction, SignerRole, Standing, TokenTerms

State = ChainTransaction.State


def ask(call, signer, key, **options):
    with transaction.atomic():
        return services.enqueue(call=call, signer=signer, idempotency_key=key, purpose="test", **options)


def request(call, role, key):
    with transaction.atomic():
        return services.request(call=call, role=role, idempotency_key=key, purpose="test")


def attest(platform, holder, *, subject=None):
    now = int(time.time())
    return Attestation(
        holder=holder,
        subject=subject or secrets.token_bytes(32),
        categories=Category.INDIVIDUAL,
        expires_at=now + 365 * 86400,
        evidence_hash=secrets.token_bytes(32),
        nonce=attestations.new_nonce(),
        deadline=now + 86400,
    )


def issue(platform, holder, key):
    attestor = platform.signer(SignerRole.ATTESTOR)
    attested = attest(platform, holder)
    call = operations.issue_sbt(attested, attestor.address, attestations.sign(attested, attestor))
    return ask(call, platform.signer(SignerRole.SBT_ISSUER), key)


def terms(**changes):
    now = int(time.time())
    fields: dict[str, Any] = {
        "name": "Musubi Bond 1",
        "symbol": "MSB1",
        "decimals": 0,
        "isin": "JP000000TEST",
        "currency": "JPY",
        "face_value_minor": 100_000,
        "rate_bps": 80,
        "issue_at": now,
        "maturity_at": now + 365 * 86400,
        "authorised_units": 10_000,
        "qii_only": False,
        "holder_cap": 0,
        "minimum_lot_units": 1,
        "whole_balance_only": False,
        "lock_up_until": 0,
        "documents": (("Terms", "urn:terms", bytes(32)),),
    }
    return TokenTerms(**(fields | changes))


@pytest.fixture
def token(platform, settle):
    row = ask(operations.deploy_security_token(terms()), platform.signer(SignerRole.DEPLOYER), "token")
    settle()
    row.refresh_from_db()
    request(operations.configure_security_token(row.contract_address), SignerRole.ADMIN, "configure")
    settle()
    return row.contract_address


def test_an_attested_holder_becomes_effective(platform, settle):
    alice = services.create_custody_signer(label="alice")
    row = issue(platform, alice.address, "sbt:alice")
    settle()
    row.refresh_from_db()
    assert (row.state, row.is_settled, row.error_code) == (State.FINAL, True, "")
    assert gateway().standing(alice.address) == Standing.EFFECTIVE


def test_a_token_deployed_through_the_outbox_is_followed_from_its_block(token):
    row = ChainTransaction.objects.get(idempotency_key="token")
    contract = Contract.objects.get(address=token)
    assert (contract.kind, contract.deployed_block) == ("SecurityToken", row.block_number)


def test_units_pass_between_verified_holders_and_to_nobody_else(platform, settle, token):
    alice, bob, thief = (services.create_custody_signer(label=name) for name in ("alice", "bob", "thief"))
    agent = platform.signer(SignerRole.TOKEN_AGENT)
    first = issue(platform, alice.address, "sbt:alice")
    second = issue(platform, bob.address, "sbt:bob")
    admitted = ask(operations.admit(token, [alice.address, bob.address]), agent, "admit", depends_on=second)
    ask(operations.mint(token, alice.address, 100), agent, "mint", depends_on=admitted)
    settle()
    first.refresh_from_db()
    assert first.state == State.FINAL
    assert gateway().is_admitted(token, bob.address)
    assert gateway().restriction(token, alice.address, thief.address, 10) == Restriction.RECEIVER_NO_SBT

    good = ask(operations.transfer(token, bob.address, 30), alice, "good")
    bad = ask(operations.transfer(token, thief.address, 10), alice, "bad")
    settle()
    good.refresh_from_db()
    bad.refresh_from_db()
    assert good.state == State.FINAL
    assert (bad.state, bad.nonce, bad.error_code) == (State.REFUSED, None, "SecurityToken_Restricted(21)")
    assert (gateway().balance(token, alice.address), gateway().balance(token, bob.address)) == (70, 30)
    assert gateway().balance(token, thief.address) == 0


def test_every_operation_the_apps_may_ask_for_is_within_the_policy_of_its_signer(platform, settle, token):
    alice, spare = (services.create_custody_signer(label=name) for name in ("alice", "spare"))
    agent = platform.signer(SignerRole.TOKEN_AGENT)
    issuer, guardian = platform.signer(SignerRole.SBT_ISSUER), platform.signer(SignerRole.SBT_GUARDIAN)
    issue(platform, alice.address, "sbt:alice")
    settle()
    done: list[ChainTransaction] = []

    def step(call, signer):
        done.append(ask(call, signer, f"step:{len(done)}"))
        settle()

    step(operations.admit(token, [alice.address]), agent)
    step(operations.mint(token, alice.address, 50), agent)
    step(operations.freeze(token, alice.address, 20), agent)
    assert gateway().restriction(token, alice.address, alice.address, 50) != Restriction.NONE
    step(operations.pause(token), platform.signer(SignerRole.TOKEN_GUARDIAN))
    done.append(request(operations.unpause(token), SignerRole.COUNCIL, "unpause"))
    settle()
    step(operations.suspend_sbt(alice.address), guardian)
    assert gateway().standing(alice.address) == Standing.SUSPENDED
    done.append(request(operations.reinstate_sbt(alice.address), SignerRole.COUNCIL, "reinstate"))
    settle()
    step(operations.suspend_sbt(alice.address), guardian)
    step(operations.revoke_sbt(alice.address), issuer)
    assert gateway().standing(alice.address) == Standing.NONE
    step(operations.dismiss(token, [alice.address]), agent)
    platform.node.pass_time(366 * 86400)
    step(operations.redeem(token, alice.address, 50), agent)
    for row in done:
        row.refresh_from_db()
    assert [(row.function, row.state, row.error_code) for row in done if row.state != State.FINAL] == []
    assert gateway().balance(token, alice.address) == 0
    assert spare.address != alice.address


def test_a_lost_wallet_is_recovered_to_another_wallet_of_the_same_person(platform, settle, token):
    lost, new = (services.create_custody_signer(label=name) for name in ("lost", "new"))
    agent, attestor = platform.signer(SignerRole.TOKEN_AGENT), platform.signer(SignerRole.ATTESTOR)
    subject = secrets.token_bytes(32)
    for wallet in (lost, new):
        attested = attest(platform, wallet.address, subject=subject)
        call = operations.issue_sbt(attested, attestor.address, attestations.sign(attested, attestor))
        ask(call, platform.signer(SignerRole.SBT_ISSUER), f"sbt:{wallet.pk}")
    settle()
    ask(operations.admit(token, [lost.address, new.address]), agent, "admit")
    settle()
    ask(operations.mint(token, lost.address, 5), agent, "mint")
    settle()
    ask(operations.announce_recovery(token, lost.address, new.address), agent, "announce")
    settle()
    platform.node.pass_time(5)
    row = ask(operations.recover(token, lost.address, new.address), agent, "recover")
    settle()
    row.refresh_from_db()
    assert (row.state, row.error_code) == (State.FINAL, "")
    assert gateway().balance(token, new.address) == 5


def test_the_holder_of_the_lost_wallet_stops_a_recovery(platform, settle, token):
    lost, new = (services.create_custody_signer(label=name) for name in ("lost", "new"))
    agent, attestor = platform.signer(SignerRole.TOKEN_AGENT), platform.signer(SignerRole.ATTESTOR)
    subject = secrets.token_bytes(32)
    for wallet in (lost, new):
        attested = attest(platform, wallet.address, subject=subject)
        call = operations.issue_sbt(attested, attestor.address, attestations.sign(attested, attestor))
        ask(call, platform.signer(SignerRole.SBT_ISSUER), f"sbt:{wallet.pk}")
    settle()
    ask(operations.admit(token, [lost.address, new.address]), agent, "admit")
    settle()
    ask(operations.mint(token, lost.address, 5), agent, "mint")
    settle()
    ask(operations.announce_recovery(token, lost.address, new.address), agent, "announce")
    settle()
    ask(operations.object_to_recovery(token), lost, "object")
    settle()
    platform.node.pass_time(5)
    row = ask(operations.recover(token, lost.address, new.address), agent, "recover")
    settle()
    row.refresh_from_db()
    assert row.state == State.REFUSED
    assert "Recovery" in row.error_code
    assert gateway().balance(token, lost.address) == 5
