"""What the desk does, on the real node: containing by the keys that can only reduce, restoring by those that wait."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from chain import attestation as attestations
from chain import operations, selectors, services
from chain.desk.models import Alarm, ResponseStep
from chain.desk.selectors import scheduled_operations
from chain.exceptions import PolicyViolation
from chain.gateway import ZERO_ADDRESS, gateway
from chain.models import ChainTransaction, SbtRecord
from chain.services.response import ResponseRefused
from chain.tests.conftest import Scene
from chain.tests.test_main_job import ask, attest, issue
from chain.types import Restriction, SignerRole, Standing
from portal.exceptions import NotPermitted
from portal.models import AuditEntry, Role
from portal.testing import make_person

_keys = itertools.count(1)
Kind, State = ResponseStep.Kind, ResponseStep.State


def fresh(step: ResponseStep) -> ResponseStep:
    return ResponseStep.objects.select_related("transaction").get(pk=step.pk)


def test_a_suspended_holder_neither_sends_nor_receives_until_the_council_lifts_it(scene: Scene) -> None:
    holder = scene.alice.address
    step = services.suspend_holder_sbt(holder=holder, actor=scene.duty, reason="reported stolen")
    scene.settle()
    assert fresh(step).state == State.DONE
    assert gateway().standing(holder) == Standing.SUSPENDED
    lifted = services.lift_suspension(holder=holder, actor=scene.administrator, reason="key replaced")
    scene.settle()
    assert fresh(lifted).state == State.DONE
    assert gateway().standing(holder) == Standing.EFFECTIVE


def test_a_freeze_holds_all_that_a_holder_has_of_every_security(scene: Scene) -> None:
    steps = services.freeze_holder(holder=scene.alice.address, actor=scene.duty, reason="stolen key")
    scene.settle()
    assert [fresh(step).state for step in steps] == [State.DONE]
    answer = gateway().restriction(scene.token, scene.alice.address, scene.bob.address, 1)
    assert answer == Restriction.ABOVE_UNFROZEN


def test_a_pause_stops_transfers_and_the_council_ends_it(scene: Scene) -> None:
    services.pause_security(token=scene.token, actor=scene.duty, reason="strange transfers")
    scene.settle()
    assert gateway().restriction(scene.token, scene.alice.address, scene.bob.address, 1) == Restriction.PAUSED
    services.lift_pause(token=scene.token, actor=scene.administrator, reason="over")
    scene.settle()
    assert gateway().restriction(scene.token, scene.alice.address, scene.bob.address, 1) == Restriction.NONE


def test_distrusting_a_key_ends_all_it_attested_and_trust_comes_back(scene: Scene) -> None:
    attestor = scene.platform.signer(SignerRole.ATTESTOR).address
    since = timezone.now() - timedelta(days=1)
    services.distrust_key(key=attestor, since=since, actor=scene.duty, reason="stolen")
    services.pause_issuance(actor=scene.duty, reason="stolen")
    scene.settle()
    assert gateway().standing(scene.alice.address) == Standing.ATTESTOR_DISTRUSTED
    services.restore_trust(key=attestor, actor=scene.administrator, reason="a mistake")
    services.resume_issuance(actor=scene.administrator, reason="a mistake")
    scene.settle()
    assert gateway().standing(scene.alice.address) == Standing.EFFECTIVE
    assert issue(scene.platform, "0x" + "1" * 40, "sbt:new").state == ChainTransaction.State.QUEUED


def test_distrusting_a_key_that_never_issued_touches_nobody_and_stops_it(scene: Scene) -> None:
    strange = services.create_platform_signer(role=SignerRole.ATTESTOR)
    step = services.distrust_key(
        key=strange.address, since=timezone.now() - timedelta(days=1), actor=scene.duty, reason="found on a lost laptop"
    )
    scene.settle()
    assert (fresh(step).state, fresh(step).error_code) == (State.DONE, "")
    assert [gateway().standing(each.address) for each in (scene.alice, scene.bob)] == [Standing.EFFECTIVE] * 2
    lifted = services.restore_trust(key=strange.address, actor=scene.administrator, reason="found again")
    scene.settle()
    assert fresh(lifted).state == State.DONE
    never = services.restore_trust(key=scene.alice.address, actor=scene.administrator, reason="was never lost")
    assert (never.state, never.transaction) == (State.UNNEEDED, None)


def test_distrust_reaches_back_only_and_not_into_the_future(scene: Scene) -> None:
    asked: dict[str, Any] = {"key": scene.platform.signer(SignerRole.ATTESTOR).address, "actor": scene.duty}
    now = timezone.now()
    with pytest.raises(ResponseRefused) as refused:
        services.distrust_key(since=now + timedelta(minutes=5), reason="stolen", **asked)
    assert refused.value.code == "chain.response.future"
    services.distrust_key(since=now - timedelta(days=2), reason="stolen", **asked)
    scene.settle()
    narrower = services.distrust_key(since=now - timedelta(days=1), reason="later, I think", **asked)
    assert (narrower.state, narrower.transaction) == (State.UNNEEDED, None)


def test_dismissing_a_holder_lets_nothing_more_reach_them(scene: Scene) -> None:
    services.dismiss_holder(holder=scene.bob.address, token=scene.token, actor=scene.duty, reason="rogue")
    scene.settle()
    answer = gateway().restriction(scene.token, scene.alice.address, scene.bob.address, 1)
    assert answer == Restriction.RECEIVER_NOT_ADMITTED


def test_stolen_units_go_back_by_a_forced_transfer_after_its_wait(scene: Scene) -> None:
    assert scene.ask(operations.transfer(scene.token, scene.bob.address, 100), scene.alice).state == "final"
    services.freeze_holder(holder=scene.bob.address, actor=scene.duty, reason="mule")
    scene.settle()
    announced = services.schedule_forced_transfer(
        token=scene.token,
        holder=scene.bob.address,
        recipient=scene.alice.address,
        units=100,
        actor=scene.administrator,
        reason="police report 12",
    )
    with pytest.raises(ResponseRefused) as refused:
        services.execute_forced_transfer(step=announced, actor=scene.administrator)
    assert refused.value.code == "chain.response.not_scheduled"
    scene.settle()
    assert [each.function for each in scheduled_operations()] == ["SecurityToken.forcedTransfer"]
    scene.platform.node.pass_time(5)
    services.run_index_step()
    done = services.execute_forced_transfer(step=fresh(announced), actor=scene.administrator)
    assert services.execute_forced_transfer(step=fresh(announced), actor=scene.administrator) == done
    scene.settle()
    assert (fresh(done).state, fresh(done).error_code) == (State.DONE, "")
    assert services.execute_forced_transfer(step=fresh(announced), actor=scene.administrator) == done
    assert scene.balances() == (100, 0)
    assert scheduled_operations() == []


def test_a_freeze_is_lifted_and_wrong_units_are_burned_by_the_controller(scene: Scene) -> None:
    services.freeze_holder(holder=scene.alice.address, actor=scene.duty, reason="stolen key")
    scene.settle()
    asked: dict[str, Any] = {
        "token": scene.token,
        "holder": scene.alice.address,
        "actor": scene.administrator,
        "reason": "over",
    }
    unfreeze, burn = services.schedule_unfreeze(**asked), services.schedule_burn(units=40, **asked)
    scene.settle()
    scene.platform.node.pass_time(5)
    services.run_index_step()
    services.execute_unfreeze(step=fresh(unfreeze), actor=scene.administrator)
    services.execute_burn(step=fresh(burn), actor=scene.administrator)
    scene.settle()
    assert scene.balances() == (60, 0)
    assert selectors.balances_for([scene.alice.address])[0].frozen_units == 0


def test_amounts_above_the_balance_are_refused_with_the_figures_and_move_nothing(scene: Scene) -> None:
    asked: dict[str, Any] = {
        "token": scene.token,
        "holder": scene.alice.address,
        "actor": scene.administrator,
        "reason": "a typing error",
    }
    announced = [
        services.schedule_forced_transfer(recipient=scene.bob.address, units=101, **asked),
        services.schedule_burn(units=101, **asked),
        services.schedule_reversal(units=1, **asked),
    ]
    scene.settle()
    scene.platform.node.pass_time(5)
    services.run_index_step()
    steps = [services.execute_scheduled(step=fresh(each), actor=scene.administrator) for each in announced]
    scene.settle()
    assert [fresh(step).state for step in steps] == [State.FAILED] * 3
    reasons = [fresh(step).error_code for step in steps]
    assert ["101" in reason for reason in reasons[:2]] == [True, True], reasons
    assert "AboveRedeemed" in reasons[2]
    assert scene.balances() == (100, 0)


def test_what_the_agent_asks_for_wrongly_is_refused_before_it_is_sent_and_names_what_is_wrong(scene: Scene) -> None:
    stranger = "0x" + "1" * 40
    agent, alice = SignerRole.TOKEN_AGENT, scene.alice.address
    admission = scene.ask(operations.admit(scene.token, [alice, stranger, scene.bob.address]), agent)
    assert (admission.state, admission.error_code) == (
        ChainTransaction.State.REFUSED,
        f"SecurityToken_EntryRestricted(1, {stranger}, {int(Restriction.RECEIVER_NO_SBT)})",
    )
    scene.platform.node.pass_time(3 * 366 * 86400)  # matured
    for call, words in (
        (operations.redeem(scene.token, alice, 101), ["InsufficientBalance", alice, "100", "101"]),
        (operations.redeem(scene.token, alice, 0), ["InvalidAmount"]),
        (operations.announce_recovery(scene.token, alice, ZERO_ADDRESS), ["NotSameSubject"]),
        (operations.mint(scene.token, ZERO_ADDRESS, 1), ["Restricted", "3"]),
    ):
        row = scene.ask(call, agent)
        assert row.state == ChainTransaction.State.REFUSED
        assert all(word in row.error_code for word in words), row.error_code
    assert scene.balances() == (100, 0)


def test_frozen_above_the_balance_holds_all_of_it_and_what_comes_in(scene: Scene) -> None:
    step = services.schedule_unfreeze(
        token=scene.token, holder=scene.bob.address, units=30, actor=scene.administrator, reason="court order"
    )
    scene.settle()
    scene.platform.node.pass_time(5)
    services.run_index_step()
    services.execute_unfreeze(step=fresh(step), actor=scene.administrator)
    scene.settle()
    (view,) = selectors.balances_for([scene.bob.address])
    assert (view.units, view.frozen_units, view.free_units) == (0, 30, 0)
    scene.ask(operations.transfer(scene.token, scene.bob.address, 40), scene.alice)
    assert gateway().restriction(scene.token, scene.bob.address, scene.alice.address, 11) == Restriction.ABOVE_UNFROZEN
    assert gateway().restriction(scene.token, scene.bob.address, scene.alice.address, 10) == Restriction.NONE


def test_the_council_cancels_an_announced_operation(scene: Scene) -> None:
    announced = services.schedule_burn(
        token=scene.token, holder=scene.alice.address, units=1, actor=scene.administrator, reason="wrong"
    )
    scene.settle()
    (operation,) = scheduled_operations()
    services.cancel_operation(
        caller=operation.caller,
        target=operation.target,
        data=bytes.fromhex(operation.data[2:]),
        actor=scene.duty,
        reason="not ours",
    )
    scene.settle()
    assert scheduled_operations() == []
    scene.platform.node.pass_time(5)
    with pytest.raises(ResponseRefused):
        services.execute_burn(step=fresh(announced), actor=scene.administrator)


def test_a_second_click_is_the_same_step_and_what_is_so_already_is_not_asked_again(scene: Scene) -> None:
    first, second = (
        services.suspend_holder_sbt(holder=scene.alice.address, actor=scene.duty, reason="stolen") for _ in range(2)
    )
    assert first == second
    assert ChainTransaction.objects.filter(purpose="chain.response").count() == 1
    scene.settle()
    third = services.suspend_holder_sbt(holder=scene.alice.address, actor=scene.duty, reason="stolen")
    assert (third.state, third.transaction) == (State.UNNEEDED, None)


def test_every_step_is_audited_with_who_asked(scene: Scene) -> None:
    step = services.pause_security(token=scene.token, actor=scene.duty, reason="why not")
    scene.settle()
    entries = AuditEntry.objects.filter(subject_type="chain.response", subject_id=str(step.pk)).order_by("sequence")
    assert [(entry.to_state, entry.reason) for entry in entries] == [
        ("asked", "why not"),
        ("in_block", ""),
        ("done", ""),
    ]
    assert entries[0].actor == scene.duty


def test_the_first_containing_step_marks_its_alarm(scene: Scene) -> None:
    alarm = Alarm.objects.create(
        chain_id=31337, kind="velocity", severity=1, cause="x", holder=scene.alice.address, since=timezone.now()
    )
    services.freeze_holder(holder=scene.alice.address, actor=scene.duty, reason="odd", alarm=alarm)
    alarm.refresh_from_db()
    assert alarm.state == Alarm.State.CONTAINED


@pytest.mark.parametrize("role", [None, Role.ISSUER, Role.AUDITOR])
def test_nobody_else_contains(scene: Scene, role: Role | None) -> None:
    person = make_person("somebody@example.com", role=role)
    for service, arguments in (
        (services.suspend_holder_sbt, {"holder": scene.alice.address}),
        (services.freeze_holder, {"holder": scene.alice.address}),
        (services.pause_security, {"token": scene.token}),
        (services.pause_issuance, {}),
        (services.distrust_key, {"key": scene.alice.address, "since": timezone.now()}),
        (services.dismiss_holder, {"holder": scene.alice.address, "token": scene.token}),
        (services.cancel_operation, {"caller": scene.token, "target": scene.token, "data": b""}),
    ):
        with pytest.raises(NotPermitted):
            service(actor=person, reason="because", **arguments)
    assert not ResponseStep.objects.exists()


def test_a_duty_officer_does_not_restore(scene: Scene) -> None:
    asked: dict[str, Any] = {"actor": scene.duty, "reason": "because"}
    for service, arguments in (
        (services.lift_pause, {"token": scene.token}),
        (services.lift_suspension, {"holder": scene.alice.address}),
        (services.resume_issuance, {}),
        (services.restore_trust, {"key": scene.alice.address}),
        (services.schedule_unfreeze, {"token": scene.token, "holder": scene.alice.address}),
        (services.schedule_burn, {"token": scene.token, "holder": scene.alice.address, "units": 1}),
    ):
        with pytest.raises(NotPermitted):
            service(**asked, **arguments)


def test_the_controller_announces_its_own_functions_on_securities_only(scene: Scene) -> None:
    controller = scene.platform.signer(SignerRole.TOKEN_CONTROLLER)
    for call in (
        operations.pause(scene.token),
        operations.mint(scene.token, scene.bob.address, 1),
        operations.distrust(scene.alice.address, 0),
        operations.forced_transfer(scene.alice.address, scene.alice.address, scene.bob.address, 1, bytes(32)),
    ):
        with pytest.raises(PolicyViolation), transaction.atomic():
            ask(operations.schedule_call(call), controller, f"scene:{next(_keys)}")


# --- another wallet of the same person --------------------------------------------------------------------------


def second_wallet(scene: Scene, holder: str) -> str:
    """Somebody's second wallet: a verification of the same subject."""
    subject = bytes.fromhex(SbtRecord.objects.get(address=holder).subject[2:])
    wallet: str = services.create_custody_signer(label="second").address
    attestor = scene.platform.signer(SignerRole.ATTESTOR)
    attested = attest(scene.platform, wallet, subject=subject)
    call = operations.issue_sbt(attested, attestor.address, attestations.sign(attested, attestor))
    scene.ask(call, SignerRole.SBT_ISSUER)
    services.run_index_step()
    return wallet


def test_a_new_wallet_of_a_holder_is_admitted_where_the_old_one_stands(scene: Scene) -> None:
    services.run_index_step()
    wallet = second_wallet(scene, scene.alice.address)
    step = services.admit_new_wallet(
        holder=wallet, former=scene.alice.address, token=scene.token, actor=scene.administrator, reason="stolen key"
    )
    scene.settle()
    assert fresh(step).state == State.DONE
    assert gateway().is_admitted(scene.token, wallet)


def test_the_desk_admits_nobody_else(scene: Scene) -> None:
    services.run_index_step()
    wallet = second_wallet(scene, scene.alice.address)
    for former in (scene.bob.address, wallet, "0x" + "9" * 40):
        with pytest.raises(ResponseRefused):
            services.admit_new_wallet(
                holder=wallet, former=former, token=scene.token, actor=scene.administrator, reason="friend"
            )
    with pytest.raises(NotPermitted):
        services.admit_new_wallet(
            holder=wallet, former=scene.alice.address, token=scene.token, actor=scene.duty, reason="mine"
        )
