"""A stolen key is replaced: the new one works, the old one does not, and what waited goes on."""

from __future__ import annotations

import pytest
from django.db import transaction

from chain import operations, services
from chain.desk.models import Alarm, ResponseStep
from chain.exceptions import PolicyViolation
from chain.gateway import gateway
from chain.governance.roles import role_report
from chain.models import ChainTransaction, Incident, SafeProposal, Signer
from chain.registry import desk
from chain.services.alarms import Sign, raise_alarm
from chain.services.response import ResponseRefused
from chain.services.rotation import CHAIN_ROLES
from chain.tests.conftest import Scene
from chain.tests.test_main_job import ask, issue
from chain.types import ChainRole, SignerRole, Standing
from portal.exceptions import NotPermitted
from portal.models import AuditEntry

Kind, State = ResponseStep.Kind, ResponseStep.State
FRESH = "0x" + "1" * 40


def replace(scene: Scene, role: str, **more: Alarm) -> ResponseStep:
    return services.replace_key(key=services_signer(role).address, actor=scene.administrator, reason="stolen", **more)


def services_signer(role: str) -> Signer:
    return Signer.objects.filter(role=role, state=Signer.State.ACTIVE).order_by("pk")[0]


def holds(scene: Scene, role: ChainRole, address: str) -> bool:
    return bool(gateway().read("AccessManager", scene.platform.manager, "hasRole", int(role), address)[0])


def finish(scene: Scene) -> None:
    """Let the timelock wait its second, and everything become final."""
    scene.settle()
    scene.platform.node.pass_time(2)
    scene.settle()


@pytest.mark.parametrize("role", [*sorted(set(CHAIN_ROLES) - {SignerRole.TOKEN_CONTROLLER})])
def test_the_new_key_has_the_role_and_the_old_one_has_not(scene: Scene, role: str) -> None:
    old = services_signer(role)
    step = replace(scene, role)
    new = Signer.objects.get(replaces=old)
    assert (new.state, services_signer(role)) == (Signer.State.STANDBY, old)
    finish(scene)
    step.refresh_from_db()
    old.refresh_from_db()
    new.refresh_from_db()
    assert (step.state, old.state, new.state) == (State.DONE, Signer.State.RETIRED, Signer.State.ACTIVE)
    assert holds(scene, CHAIN_ROLES[role], new.address)
    assert not holds(scene, CHAIN_ROLES[role], old.address)
    trail = AuditEntry.objects.filter(
        subject_type="chain.signer", action__in=["chain.signer.retired", "chain.signer.active"]
    )
    assert {entry.actor for entry in trail} == {scene.administrator}


def test_a_new_controller_waits_as_long_as_the_old_one(scene: Scene) -> None:
    old = services_signer(SignerRole.TOKEN_CONTROLLER)
    before = gateway().read("AccessManager", scene.platform.manager, "hasRole", 5, old.address)
    replace(scene, SignerRole.TOKEN_CONTROLLER)
    finish(scene)
    new = services_signer(SignerRole.TOKEN_CONTROLLER)
    assert new != old
    assert gateway().read("AccessManager", scene.platform.manager, "hasRole", 5, new.address) == before
    assert before[1] > 0
    assert not [each for each in role_report().weaknesses if "controller" in each.code]


def test_the_platform_issues_with_the_new_key_and_never_again_with_the_old(scene: Scene) -> None:
    old = services_signer(SignerRole.SBT_ISSUER)
    replace(scene, SignerRole.SBT_ISSUER)
    finish(scene)
    new = services_signer(SignerRole.SBT_ISSUER)
    row = ask(operations.revoke_sbt(scene.alice.address), new, "with the new one")
    assert row.state == ChainTransaction.State.QUEUED
    with pytest.raises(PolicyViolation) as refused, transaction.atomic():
        ask(operations.revoke_sbt(scene.alice.address), Signer.objects.get(pk=old.pk), "with the old one")
    assert refused.value.reason.endswith("is retired")
    with pytest.raises(AssertionError, match="reverted"):
        scene.steal(old, operations.revoke_sbt(scene.alice.address))


def test_what_waited_for_the_old_key_goes_on_under_the_new_one(scene: Scene) -> None:
    old = services_signer(SignerRole.SBT_ISSUER)
    Signer.objects.filter(pk=old.pk).update(halted_reason="used elsewhere")
    row = issue(scene.platform, FRESH, "sbt:waiting")
    replace(scene, SignerRole.SBT_ISSUER)
    finish(scene)
    row.refresh_from_db()
    assert (row.state, row.signer) == ("final", services_signer(SignerRole.SBT_ISSUER))
    assert gateway().standing(FRESH) == Standing.EFFECTIVE


def test_the_incident_about_the_halted_key_closes_with_it(scene: Scene) -> None:
    old = services_signer(SignerRole.TOKEN_AGENT)
    incident = services.open_incident(
        kind="chain.signer_halted", detail="used elsewhere", dedupe_key="x", data={"signer": old.pk}
    )
    replace(scene, SignerRole.TOKEN_AGENT)
    finish(scene)
    assert Incident.objects.get(pk=incident.pk).closed_at is not None


def test_asking_twice_is_one_replacement(scene: Scene) -> None:
    first, second = replace(scene, SignerRole.TOKEN_AGENT), replace(scene, SignerRole.TOKEN_AGENT)
    assert first == second
    assert Signer.objects.filter(role=SignerRole.TOKEN_AGENT).count() == 2
    assert SafeProposal.objects.filter(purpose_call="AccessManager.multicall", state="collecting").count() == 1


def test_a_replacement_that_is_withdrawn_leaves_the_old_key_and_can_be_asked_again(scene: Scene) -> None:
    old = services_signer(SignerRole.TOKEN_AGENT)
    step = replace(scene, SignerRole.TOKEN_AGENT)
    assert step.transaction is not None
    services.withdraw_proposal(
        proposal_id=step.transaction.proposal.pk, actor=scene.administrator, reason="not stolen after all"
    )
    step.refresh_from_db()
    assert (step.state, services_signer(SignerRole.TOKEN_AGENT)) == (State.FAILED, old)
    assert Signer.objects.get(replaces=old).state == Signer.State.RETIRED
    replace(scene, SignerRole.TOKEN_AGENT)
    finish(scene)
    new = services_signer(SignerRole.TOKEN_AGENT)
    assert new != old
    assert holds(scene, ChainRole.TOKEN_AGENT, new.address)


def test_a_key_that_waits_for_its_role_signs_nothing(scene: Scene) -> None:
    replace(scene, SignerRole.SBT_ISSUER)
    new = Signer.objects.get(state=Signer.State.STANDBY)
    with pytest.raises(PolicyViolation) as refused, transaction.atomic():
        ask(operations.revoke_sbt(scene.alice.address), new, "too early")
    assert refused.value.reason.endswith("is standby")


@pytest.mark.parametrize("role", [SignerRole.RELAYER, SignerRole.GAS_FUNDER, SignerRole.COUNCIL_OWNER])
def test_keys_without_a_role_of_their_own_are_not_replaced_so(scene: Scene, role: str) -> None:
    with pytest.raises(ResponseRefused):
        replace(scene, role)


def test_only_administrators_replace_keys(scene: Scene) -> None:
    with pytest.raises(NotPermitted):
        services.replace_key(key=services_signer(SignerRole.TOKEN_AGENT).address, actor=scene.duty, reason="x")


def test_followers_hear_of_it_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[str, str]] = []
    monkeypatch.setattr(desk, "rotation_followers", [lambda old, new, _actor: heard.append((old.address, new.address))])
    old = services_signer(SignerRole.ATTESTOR)
    replace(scene, SignerRole.ATTESTOR)
    finish(scene)
    finish(scene)
    assert heard == [(old.address, Signer.objects.get(replaces=old).address)]


def test_the_step_belongs_to_its_alarm(scene: Scene) -> None:
    from django.utils import timezone

    key = services_signer(SignerRole.TOKEN_AGENT).address
    alarm = raise_alarm(Sign("foreign_act", 2, f"key:{key}", "evidence", timezone.now(), key=key))
    assert alarm is not None
    assert replace(scene, SignerRole.TOKEN_AGENT, alarm=alarm).alarm == alarm
