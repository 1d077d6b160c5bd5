"""Alarms: each raised by its real cause on the real node, once, and none by ordinary work."""

from __future__ import annotations

import secrets
from datetime import date, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from chain import abi, attestation, operations, services
from chain.desk.models import Alarm, AlarmEvidence, AlarmRule, ResponseStep, Watch
from chain.governance import safe as safes
from chain.models import Contract, EventLog, Incident, SafeProposal, Signer
from chain.services.alarms import current_rule, signs_in, start_watching_here, watch_events
from chain.signers import checksummed
from chain.tests.conftest import Scene
from chain.tests.test_main_job import attest, issue
from chain.types import Call, SignerRole
from portal.models import AuditEntry
from portal.state import WrongState

Kind = Alarm.Kind


def raised() -> list[str]:
    return sorted(Alarm.objects.values_list("kind", flat=True))


def the_alarm() -> Alarm:
    assert Alarm.objects.count() == 1, raised()
    return Alarm.objects.get()


def stolen_issue(scene: Scene, holder: str) -> str:
    """The thief holds an issuing and an attesting key."""
    attestor = scene.platform.signer(SignerRole.ATTESTOR)
    attested = attest(scene.platform, holder)
    call = operations.issue_sbt(attested, attestor.address, attestation.sign(attested, attestor))
    return scene.steal(scene.platform.signer(SignerRole.SBT_ISSUER), call)


def as_admin(scene: Scene, to: str, data: bytes) -> None:
    """The node lets us be whoever administers the manager, as if all of its officers were thieves."""
    node = scene.platform.node
    (log,) = [each for each in granted(0) if each.args["delay"] == "0"][-1:]
    admin = log.args["account"]
    node.set_balance(admin, 10**20)
    node.call("anvil_impersonateAccount", admin)
    sent = {"from": admin, "to": to, "data": "0x" + data.hex(), "gas": hex(500_000)}
    transaction_hash = node.call("eth_sendTransaction", sent)
    node.mine()
    assert node.call("eth_getTransactionReceipt", transaction_hash)["status"] == "0x1"


def granted(role: int) -> list[EventLog]:
    rows = EventLog.objects.filter(event="RoleGranted", args__roleId=str(role)).order_by("block_number", "log_index")
    return list(rows)


def address() -> str:
    return checksummed("0x" + secrets.token_hex(20))


def test_a_verification_nobody_approved_raises_an_alarm_for_its_issuing_key(scene: Scene) -> None:
    friend = address()
    transaction_hash = stolen_issue(scene, friend)
    scene.notice()
    alarm = the_alarm()
    issuer = scene.platform.signer(SignerRole.SBT_ISSUER).address
    assert (alarm.kind, alarm.severity, alarm.key, alarm.holder) == (
        Kind.UNAPPROVED_ISSUE,
        Alarm.Severity.ACT,
        issuer,
        friend,
    )
    assert [row.transaction_hash for row in alarm.evidence.all()] == [transaction_hash]


def test_one_stolen_key_is_one_alarm_however_often_it_is_used(scene: Scene) -> None:
    for _number in range(3):
        stolen_issue(scene, address())
    scene.notice()
    scene.notice()
    assert the_alarm().evidence.count() == 3
    opened = AuditEntry.objects.filter(action="chain.alarm.opened")
    assert opened.count() == 1


def test_an_issue_through_our_own_outbox_without_approval_is_noticed_too(scene: Scene) -> None:
    issue(scene.platform, address(), "sbt:slipped in")
    scene.settle()
    scene.notice()
    assert raised() == [Kind.UNAPPROVED_ISSUE]


def test_an_operation_announced_by_a_stolen_controller_key_raises_an_alarm(scene: Scene) -> None:
    controller = scene.platform.signer(SignerRole.TOKEN_CONTROLLER)
    call = operations.forced_transfer(scene.token, scene.alice.address, scene.bob.address, 100, bytes(32))
    scene.steal(controller, operations.schedule_call(call))
    scene.notice()
    alarm = the_alarm()
    assert (alarm.kind, alarm.key, alarm.token) == (Kind.FOREIGN_SCHEDULE, controller.address, scene.token)


def test_what_the_platform_announces_itself_raises_none(scene: Scene) -> None:
    services.schedule_burn(
        token=scene.token, holder=scene.alice.address, units=1, actor=scene.administrator, reason="wrong"
    )
    scene.settle()
    scene.notice()
    assert raised() == []


@pytest.mark.parametrize("what", ["admit", "mint", "freeze"])
def test_an_act_of_the_agent_key_that_we_did_not_make_raises_an_alarm(scene: Scene, what: str) -> None:
    calls = {
        "admit": operations.dismiss(scene.token, [scene.bob.address]),
        "mint": operations.mint(scene.token, scene.bob.address, 5),
        "freeze": operations.freeze(scene.token, scene.alice.address, 5),
    }
    agent = scene.platform.signer(SignerRole.TOKEN_AGENT)
    scene.steal(agent, calls[what])
    scene.notice()
    alarm = the_alarm()
    assert (alarm.kind, alarm.severity, alarm.key) == (Kind.FOREIGN_ACT, Alarm.Severity.ACT, agent.address)


def test_units_that_leave_a_wallet_we_keep_without_us_raise_an_alarm(scene: Scene) -> None:
    scene.steal(scene.alice, operations.transfer(scene.token, scene.bob.address, 40))
    scene.notice()
    alarm = the_alarm()
    assert (alarm.kind, alarm.holder, alarm.token) == (Kind.CUSTODY_OUTFLOW, scene.alice.address, scene.token)


def test_a_key_used_elsewhere_joins_the_alarm_of_that_key(scene: Scene) -> None:
    scene.steal(scene.alice, operations.transfer(scene.token, scene.bob.address, 40))
    services.run_reconcile_sweep()
    scene.notice()
    assert the_alarm().key == scene.alice.address


def test_roles_changed_by_somebody_raise_an_alarm(scene: Scene) -> None:
    data = abi.encode_call("AccessManager", "grantRole", 4, scene.bob.address, 0)
    as_admin(scene, scene.platform.manager, data)
    scene.notice()
    alarm = the_alarm()
    assert (alarm.kind, alarm.severity, alarm.key) == (Kind.POWER_CHANGED, Alarm.Severity.ACT, scene.bob.address)


def test_ordinary_transfers_raise_no_alarm(scene: Scene) -> None:
    for units in (30, 20, 10):
        scene.ask(operations.transfer(scene.token, scene.bob.address, units), scene.alice)
    scene.notice()
    assert raised() == []


def test_moving_out_everything_without_such_a_habit_is_looked_at(scene: Scene) -> None:
    scene.ask(operations.transfer(scene.token, scene.bob.address, 95), scene.alice)
    scene.notice()
    alarm = the_alarm()
    assert (alarm.kind, alarm.severity, alarm.holder) == (Kind.VELOCITY, Alarm.Severity.LOOK, scene.alice.address)


def test_a_burst_of_admissions_above_the_rule_is_looked_at(scene: Scene) -> None:
    AlarmRule.objects.create(effective_from=date(2026, 1, 1), burst_admissions=2, burst_mints=2, source="test")
    for units in (1, 2, 3):
        scene.ask(operations.mint(scene.token, scene.alice.address, units), SignerRole.TOKEN_AGENT)
    scene.notice()
    alarm = the_alarm()
    assert (alarm.kind, alarm.token) == (Kind.BURST, scene.token)
    assert alarm.evidence.get().args["count"] == 4  # with the one of the scene, minutes before


def test_a_ledger_that_differs_raises_an_alarm_again_after_it_was_closed(scene: Scene) -> None:
    def differ() -> None:
        services.open_incident(kind="chain.ledger_differs", detail="1 holder", dedupe_key="ledger:x")
        scene.notice()
        scene.notice()

    differ()
    alarm = the_alarm()
    services.close_alarm(alarm_id=alarm.pk, actor=scene.duty, conclusion="a test")
    services.run_alarm_sweep()
    assert Alarm.objects.count() == 1
    services.close_incident(incident_id=Incident.objects.get().pk, actor=scene.administrator, reason="mended")
    differ()
    assert raised() == [Kind.LEDGER_DIFFERS] * 2


def test_reading_the_chain_again_raises_nothing_twice(scene: Scene) -> None:
    stolen_issue(scene, address())
    scene.notice()
    Watch.objects.update(last_log_id=EventLog.objects.order_by("-pk").values_list("pk", flat=True)[2])
    watch_events()
    assert AlarmEvidence.objects.count() == 1


def test_the_same_cause_after_closing_is_a_new_alarm(scene: Scene) -> None:
    stolen_issue(scene, address())
    scene.notice()
    services.close_alarm(alarm_id=the_alarm().pk, actor=scene.duty, conclusion="a drill")
    with pytest.raises(WrongState):
        services.close_alarm(alarm_id=the_alarm().pk, actor=scene.duty, conclusion="again")
    stolen_issue(scene, address())
    scene.notice()
    assert sorted(Alarm.objects.values_list("state", flat=True)) == ["closed", "open"]


def test_judging_takes_as_many_queries_for_many_events_as_for_one(scene: Scene, django_assert_num_queries) -> None:
    for units in (1, 2, 3, 4):
        scene.ask(operations.transfer(scene.token, scene.bob.address, units), scene.alice)
    transfers = EventLog.objects.select_related("block").filter(address=scene.token, event="Transfer").order_by("pk")
    few, many = list(transfers[1:2]), list(transfers)
    with django_assert_num_queries(10):  # three of them ask who asked for it, for one purpose
        signs_in(few)
    with django_assert_num_queries(11):  # the mint among them counts for the burst
        signs_in(many)


def test_a_stolen_key_reported_by_its_holder_freezes_at_once_and_only_once(scene: Scene) -> None:
    first = services.report_stolen_key(holder=scene.alice.address, actor=scene.duty)
    second = services.report_stolen_key(holder=scene.alice.address, actor=scene.duty)
    assert first == second
    assert first.state != Alarm.State.CLOSED
    steps = ResponseStep.objects.filter(alarm=first)
    assert sorted(steps.values_list("kind", flat=True)) == ["freeze", "suspend"]
    scene.settle()
    services.report_stolen_key(holder=scene.alice.address, actor=scene.duty)
    assert steps.count() == 2
    assert set(steps.values_list("state", flat=True)) == {"done"}


def test_the_newest_rule_whose_day_has_come_is_in_force(db: None) -> None:
    today = timezone.localdate()
    assert current_rule().burst_admissions == 50
    for days, count in ((-30, 7), (-1, 8), (1, 9)):
        AlarmRule.objects.create(effective_from=today + timedelta(days=days), burst_admissions=count, source="test")
    assert current_rule().burst_admissions == 8
    start_watching_here()
    assert Watch.objects.get().last_log_id == 0


def test_a_rule_added_from_the_command_line_keeps_what_it_does_not_name(db: None) -> None:
    call_command("set_alarm_rule", "2026-01-05", source="board, 5 January", burst_mints=3, stdout=StringIO())
    call_command("set_alarm_rule", "2026-02-05", source="board, 5 February", velocity_factor=9, stdout=StringIO())
    rule = current_rule()
    assert (rule.burst_mints, rule.velocity_factor, rule.source) == (3, 9, "board, 5 February")
    for figures in ({"burst_mints": 0}, {}):
        with pytest.raises(CommandError):
            call_command("set_alarm_rule", "2026-02-05", source="again", stdout=StringIO(), **figures)
    assert AlarmRule.objects.count() == 2
    assert AuditEntry.objects.filter(action="chain.alarm_rule.added").count() == 2


# --- an officer alone ----------------------------------------------------------------------------------------------


def approve_alone(scene: Scene, officer: Signer, safe: Contract, digest: str) -> str:
    """`approveHash` by an officer's own wallet: what the Safe takes for a signature of theirs."""
    data = abi.encode_call(safe.kind, "approveHash", bytes.fromhex(digest[2:]))
    return scene.steal(officer, Call(to=safe.address, data=data, function=f"{safe.kind}.approveHash"))


@pytest.mark.parametrize(
    ("kind", "role"), [("AdminSafe", SignerRole.ADMIN_OWNER), ("CouncilSafe", SignerRole.COUNCIL_OWNER)]
)
def test_an_officer_who_approves_what_nobody_proposed_raises_an_alarm(scene: Scene, kind: str, role: str) -> None:
    officer = Signer.objects.filter(role=role).order_by("pk")[0]
    safe = Contract.objects.get(kind=kind)
    hashes = [approve_alone(scene, officer, safe, f"0x{number:064x}") for number in (1, 2)]
    scene.notice()
    scene.notice()
    alarm = the_alarm()
    assert (alarm.kind, alarm.severity, alarm.key) == (Kind.FOREIGN_ACT, Alarm.Severity.ACT, officer.address)
    assert sorted(row.transaction_hash for row in alarm.evidence.all()) == sorted(hashes)


def test_an_officer_who_approves_a_proposal_on_the_chain_raises_none(scene: Scene, settings: Any) -> None:
    settings.DEMO_SIGNS_FOR_OFFICERS = False
    step = services.lift_pause(token=scene.token, actor=scene.administrator, reason="over")
    assert step.transaction is None  # it is not paused
    services.pause_security(token=scene.token, actor=scene.duty, reason="strange")
    scene.settle()
    step = services.lift_pause(token=scene.token, actor=scene.administrator, reason="over")
    services.run_submit_sweep()
    proposal = SafeProposal.objects.select_related("safe").get(transaction=step.transaction)
    officer = Signer.objects.filter(role=SignerRole.COUNCIL_OWNER).order_by("pk")[0]
    approve_alone(scene, officer, proposal.safe, safes.digest(proposal))
    scene.notice()
    assert raised() == []
    approve_alone(scene, officer, proposal.safe, "0x" + "55" * 32)
    scene.notice()
    assert raised() == [Kind.FOREIGN_ACT]
