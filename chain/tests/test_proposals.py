"""What several officers decide: signatures, the timelock's wait, the council's veto, and what one officer alone cannot do."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from eth_utils.crypto import keccak

from chain import abi, operations, services, signers
from chain.drills.keys import Key
from chain.exceptions import IdempotencyConflict, NotCancellable
from chain.gateway import gateway
from chain.governance import safe as safes
from chain.models import ChainTransaction, Contract, SafeProposal, Signer
from chain.types import Call, ChainRole, SignerRole
from portal.models import AuditEntry

pytestmark = pytest.mark.django_db
TX = ChainTransaction.State
State = SafeProposal.State
NEWCOMER = "0x" + "11" * 20
DAY = 86_400


@pytest.fixture(autouse=True)
def officers_sign_themselves(settings: Any) -> None:
    settings.DEMO_SIGNS_FOR_OFFICERS = False


def address_of(kind: str) -> str:
    return str(Contract.objects.get(kind=kind).address)


def ask(role: str, call: Call, key: str = "k") -> SafeProposal:
    with transaction.atomic():
        row = services.request(role=role, call=call, idempotency_key=key, purpose="test")
    return SafeProposal.objects.get(transaction=row)


def grant() -> Call:
    """A call of ADMIN's: a second key as TOKEN_AGENT."""
    step = abi.encode_call("AccessManager", "grantRole", int(ChainRole.TOKEN_AGENT), NEWCOMER, 0)
    return Call(
        to=address_of("AccessManager"),
        data=abi.encode_call("AccessManager", "multicall", [step]),
        function="AccessManager.multicall",
    )


def is_granted() -> bool:
    member, _delay = gateway().read(
        "AccessManager", address_of("AccessManager"), "hasRole", int(ChainRole.TOKEN_AGENT), NEWCOMER
    )
    return bool(member)


def officers(role: str) -> list[Signer]:
    return list(Signer.objects.filter(role=role).order_by("pk"))


def numbered(proposal: SafeProposal) -> SafeProposal:
    """As an officer sees it: the sweep gave it the Safe's next number."""
    services.run_submit_sweep()
    return SafeProposal.objects.select_related("safe", "relay", "transaction").get(pk=proposal.pk)


def sign(proposal: SafeProposal, *signatories: Signer) -> None:
    for signer in signatories:
        services.post_signature(proposal_id=proposal.pk, signature=safes.sign(proposal, signer))


def drive(platform: Any, rounds: int = 8) -> None:
    """What beat does, while the chain goes on and finality follows."""
    for _round in range(rounds):
        for sweep in (services.run_submit_sweep, services.run_funding_sweep, services.run_submit_sweep):
            sweep()
        platform.node.mine()
        services.run_reconcile_sweep()


def drive_until(platform: Any, proposal: SafeProposal, state: str) -> None:
    """Drive until the proposal is there: the timelock waits by the node's clock, which a quick machine outruns."""
    for _round in range(60):
        if fresh(proposal).state == state:
            return
        drive(platform, 1)


def fresh(proposal: SafeProposal) -> SafeProposal:
    return SafeProposal.objects.select_related("safe", "relay", "transaction").get(pk=proposal.pk)


def pause(platform: Any) -> None:
    with transaction.atomic():
        services.enqueue(
            call=operations.pause_issuance(),
            signer=platform.signer(SignerRole.SBT_GUARDIAN),
            idempotency_key="pause",
            purpose="test",
        )
    drive(platform)


def is_paused() -> bool:
    return bool(gateway().read("InvestorSBT", address_of("InvestorSBT"), "issuancePaused")[0])


# --- the council ---------------------------------------------------------------------------------------------------


def test_the_council_acts_once_enough_of_it_have_signed(platform):
    pause(platform)
    proposal = numbered(ask(SignerRole.COUNCIL, operations.resume_issuance()))
    first, second, _third = officers(SignerRole.COUNCIL_OWNER)
    sign(proposal, first)
    drive(platform)
    assert (fresh(proposal).state, is_paused()) == (State.COLLECTING, True)
    sign(proposal, second)
    drive(platform)
    assert (fresh(proposal).state, fresh(proposal).transaction.state, is_paused()) == (State.DONE, TX.FINAL, False)
    audited = AuditEntry.objects.filter(subject_type="chain.proposal", subject_id=str(proposal.pk))
    assert [entry.action.rpartition(".")[2] for entry in audited.order_by("pk")] == [
        "asked", "signed", "signed", "sent", "done",
    ]  # fmt: skip


def test_what_is_signed_is_what_the_safe_will_ask_about(platform):
    proposal = numbered(ask(SignerRole.COUNCIL, operations.resume_issuance()))
    zero = "0x" + "0" * 40
    arguments = (proposal.to, 0, bytes(proposal.data), 0, 0, 0, 0, zero, zero, proposal.nonce)
    (hashed,) = gateway().read("CouncilSafe", address_of("CouncilSafe"), "getTransactionHash", *arguments)
    assert "0x" + hashed.hex() == safes.digest(proposal)


def test_the_reason_for_which_the_contract_refuses_comes_through(platform):
    proposal = numbered(ask(SignerRole.COUNCIL, operations.resume_issuance()))
    sign(proposal, *officers(SignerRole.COUNCIL_OWNER)[:2])
    drive(platform)
    row = fresh(proposal).transaction
    assert (row.state, row.error_code) == (TX.REFUSED, "InvestorSBT_IssuanceNotPaused()")
    assert fresh(proposal).state == State.FAILED


def test_after_a_failure_the_next_proposal_takes_its_number_and_is_signed_anew(platform):
    failing = ask(SignerRole.COUNCIL, operations.resume_issuance(), "failing")
    pair = officers(SignerRole.COUNCIL_OWNER)[:2]
    second = ask(SignerRole.COUNCIL, operations.reinstate_sbt(NEWCOMER), "second")
    failing, second = numbered(failing), numbered(second)
    assert (failing.nonce, second.nonce) == (0, 1)
    sign(failing, *pair)
    sign(second, *pair)
    drive(platform, 3)
    assert (fresh(failing).state, fresh(second).nonce, fresh(second).state) == (State.FAILED, 0, State.COLLECTING)


def test_asking_again_with_the_same_key_is_the_same_proposal(platform):
    first = ask(SignerRole.COUNCIL, operations.resume_issuance())
    assert ask(SignerRole.COUNCIL, operations.resume_issuance()).pk == first.pk
    with pytest.raises(IdempotencyConflict):
        ask(SignerRole.COUNCIL, operations.reinstate_sbt(NEWCOMER))
    admin = ask(SignerRole.ADMIN, grant(), "admin")
    assert ask(SignerRole.ADMIN, grant(), "admin").pk == admin.pk


# --- signatures ----------------------------------------------------------------------------------------------------


def test_signatures_of_strangers_twins_and_halves_are_refused(platform):
    proposal = numbered(ask(SignerRole.COUNCIL, operations.resume_issuance()))
    good = safes.sign(proposal, officers(SignerRole.COUNCIL_OWNER)[0])
    order = 2 * signers.HALF_ORDER + 1
    twin = good[:32] + (order - int.from_bytes(good[32:64])).to_bytes(32) + bytes([27 + 28 - good[64]])
    admin_owner = Key.copy_of(officers(SignerRole.ADMIN_OWNER)[0])
    signed = admin_owner.private.sign_msg_hash(bytes.fromhex(safes.digest(proposal)[2:]))
    foreign = signed.r.to_bytes(32, "big") + signed.s.to_bytes(32, "big") + bytes([27 + signed.v])
    approved = bytes(12) + bytes.fromhex(officers(SignerRole.COUNCIL_OWNER)[0].address[2:]) + bytes(32) + b"\x01"
    for bad in (twin, foreign, approved, good[:64], b"", good + b"\x00", bytes(65)):
        with pytest.raises(safes.InvalidSafeSignature):
            services.post_signature(proposal_id=proposal.pk, signature=bad)
    assert proposal.signatures.count() == 0


def test_one_officer_who_signs_twice_is_one_officer(platform):
    pause(platform)
    proposal = numbered(ask(SignerRole.COUNCIL, operations.resume_issuance()))
    sign(proposal, officers(SignerRole.COUNCIL_OWNER)[0])
    sign(proposal, officers(SignerRole.COUNCIL_OWNER)[0])
    drive(platform)
    assert (proposal.signatures.count(), fresh(proposal).state, is_paused()) == (1, State.COLLECTING, True)


def test_a_signature_counts_for_one_proposal_only(platform):
    first = ask(SignerRole.COUNCIL, operations.resume_issuance(), "first")
    second = ask(SignerRole.COUNCIL, operations.reinstate_sbt(NEWCOMER), "second")
    signature = safes.sign(numbered(first), officers(SignerRole.COUNCIL_OWNER)[0])
    with pytest.raises(safes.InvalidSafeSignature):
        services.post_signature(proposal_id=numbered(second).pk, signature=signature)


# --- one officer alone (D15) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [SignerRole.ADMIN_OWNER, SignerRole.COUNCIL_OWNER])
def test_one_officer_alone_can_do_nothing_at_all(platform, role):
    thief = Key.copy_of(officers(role)[0])
    platform.node.set_balance(thief.address, 10**18)
    kind = {SignerRole.ADMIN_OWNER: "AdminSafe", SignerRole.COUNCIL_OWNER: "CouncilSafe"}[role]
    account, timelock, manager = Contract.objects.get(kind=kind), address_of("TimelockController"), grant()
    schedule = abi.encode_call("TimelockController", "schedule", manager.to, 0, manager.data, bytes(32), bytes(32), DAY)
    signed = thief.private.sign_msg_hash(keccak(safes.payload(account, to=timelock, data=schedule, nonce=0)))
    own = signed.r.to_bytes(32, "big") + signed.s.to_bytes(32, "big") + bytes([27 + signed.v])
    approved = bytes(12) + bytes.fromhex(thief.address[2:]) + bytes(32) + b"\x01"
    tries = [
        manager,
        Call(timelock, schedule, "schedule"),
        Call(timelock, abi.encode_call("TimelockController", "cancel", bytes(32)), "cancel"),
        Call(timelock, abi.encode_call("TimelockController", "updateDelay", 0), "updateDelay"),
        *(
            safes.execution(account, to=timelock, data=schedule, signatures=signatures)
            for signatures in (own, own + own, own + approved, approved + own, approved + approved)
        ),
        Call(account.address, abi.encode_call(kind, "changeThreshold", 1), "changeThreshold"),
        Call(account.address, abi.encode_call(kind, "enableModule", thief.address), "enableModule"),
    ]
    outcomes = [(call.function, thief.act(platform.node.rpc, call).reason) for call in tries]
    assert [name for name, reason in outcomes if not reason] == []
    assert not is_granted()


# --- the admin -------------------------------------------------------------------------------------------------------


def announced(platform: Any, *, delay: int = 0) -> SafeProposal:
    if delay:
        timelock = address_of("TimelockController")
        platform.node.set_balance(timelock, 10**18)
        platform.node.call("anvil_impersonateAccount", timelock)
        data = "0x" + abi.encode_call("TimelockController", "updateDelay", delay).hex()
        platform.node.call("eth_sendTransaction", {"from": timelock, "to": timelock, "data": data})
        platform.node.mine()
    proposal = numbered(ask(SignerRole.ADMIN, grant()))
    sign(proposal, *officers(SignerRole.ADMIN_OWNER)[:2])
    drive(platform)
    return fresh(proposal)


def test_the_admin_acts_only_after_the_wait(platform):
    proposal = announced(platform, delay=DAY)
    assert (proposal.state, proposal.transaction.state, is_granted()) == (State.SCHEDULED, TX.QUEUED, False)
    assert proposal.effective_at is not None
    platform.node.pass_time(DAY)
    drive(platform)
    assert (fresh(proposal).state, fresh(proposal).transaction.state, is_granted()) == (State.DONE, TX.FINAL, True)


def test_the_relayer_cannot_shorten_the_wait(platform):
    proposal = announced(platform, delay=DAY)
    relayer = Key.copy_of(platform.signer(SignerRole.RELAYER))
    call = Call(proposal.transaction.to, bytes(proposal.transaction.data), "TimelockController.execute")
    platform.node.set_balance(relayer.address, 10**18)
    assert "TimelockUnexpectedOperationState" in relayer.act(platform.node.rpc, call).reason
    assert not is_granted()


def test_the_council_cancels_what_the_admin_announced(platform, django_user_model):
    proposal = announced(platform, delay=DAY)
    actor = django_user_model.objects.create(email="watch@example.com")
    row = services.propose_cancellation(proposal_id=proposal.pk, actor=actor)
    veto = numbered(SafeProposal.objects.get(transaction=row))
    sign(veto, *officers(SignerRole.COUNCIL_OWNER)[:2])
    drive(platform)
    platform.node.pass_time(2 * DAY)
    drive(platform)
    ended = fresh(proposal)
    assert (fresh(veto).state, ended.state, is_granted()) == (State.DONE, State.CANCELLED, False)
    assert (ended.transaction.state, ended.transaction.error_code) == (TX.REFUSED, "cancelled by the council")


def test_what_collects_signatures_can_be_withdrawn_and_what_was_sent_cannot(platform, django_user_model):
    actor = django_user_model.objects.create(email="admin@example.com")
    proposal = numbered(ask(SignerRole.ADMIN, grant()))
    services.withdraw_proposal(proposal_id=proposal.pk, actor=actor, reason="a mistake")
    assert (fresh(proposal).state, fresh(proposal).transaction.state) == (State.CANCELLED, TX.REFUSED)
    drive(platform)
    assert fresh(proposal).state == State.CANCELLED
    other = numbered(ask(SignerRole.ADMIN, grant(), "other"))
    sign(other, *officers(SignerRole.ADMIN_OWNER)[:2])
    drive(platform)
    with pytest.raises(NotCancellable):
        services.withdraw_proposal(proposal_id=other.pk, actor=actor, reason="too late")


def test_development_keys_sign_by_themselves_only_where_the_setting_says_so(platform, settings):
    proposal = ask(SignerRole.ADMIN, grant())
    drive(platform)
    assert (fresh(proposal).state, fresh(proposal).signatures.count()) == (State.COLLECTING, 0)
    settings.DEMO_SIGNS_FOR_OFFICERS = True
    drive_until(platform, proposal, State.DONE)
    assert (fresh(proposal).state, is_granted()) == (State.DONE, True)


def test_a_block_that_is_replaced_takes_the_announcement_back_and_brings_it_again(platform, settings):
    settings.CHAIN_RESEND_AFTER_SECONDS = 0
    proposal = numbered(ask(SignerRole.ADMIN, grant()))
    sign(proposal, *officers(SignerRole.ADMIN_OWNER)[:2])
    for _round in range(6):
        for sweep in (services.run_submit_sweep, services.run_funding_sweep, services.run_reconcile_sweep):
            sweep()
        if fresh(proposal).relay.state == TX.MINED:
            break
    platform.node.set_automine(False)
    platform.node.reorg(1)
    services.run_reconcile_sweep()
    services.run_submit_sweep()
    assert fresh(proposal).state == State.SENT
    platform.node.set_automine(True)
    drive(platform, 24)
    assert (fresh(proposal).state, is_granted()) == (State.DONE, True)


@pytest.mark.parametrize("start", list(State))
@pytest.mark.parametrize("target", list(State))
def test_only_the_arrows_of_the_table_exist(platform, start, target):
    from chain.governance.proposals import _move
    from portal.state import WrongState

    proposal = numbered(ask(SignerRole.COUNCIL, operations.resume_issuance()))
    SafeProposal.objects.filter(pk=proposal.pk).update(state=start, nonce=0)
    proposal.state = start
    if target in SafeProposal.TRANSITIONS[start]:
        _move(proposal, target)
        assert fresh(proposal).state == target
    else:
        with pytest.raises(WrongState):
            _move(proposal, target)
