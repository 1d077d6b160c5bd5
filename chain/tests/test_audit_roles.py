"""`audit_roles` is clean on what we deploy, and names every weakness that is planted on the chain."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from eth_utils.crypto import keccak

from chain import abi
from chain.governance.roles import PUBLIC, role_report
from chain.models import Contract
from chain.profiles import PROFILES
from chain.rpc import as_hex, as_int
from chain.services import deployment
from chain.signers import checksummed
from chain.types import ChainRole, SignerRole

pytestmark = pytest.mark.django_db
STRANGER = checksummed("0x" + "ab" * 20)
DAY = 86_400


def address_of(kind: str) -> str:
    return str(Contract.objects.get(kind=kind).address)


@pytest.fixture
def act_as(platform: Any) -> Callable[..., str]:
    """Do something on the chain as any address at all, as if every officer had agreed to it."""

    def act(sender: str, to: str | None, data: bytes) -> str:
        node = platform.node
        node.set_balance(sender, 10**18)
        node.call("anvil_impersonateAccount", sender)
        request = {"from": sender, "data": as_hex(data), "gas": hex(5_000_000)} | ({"to": to} if to else {})
        sent = node.call("eth_sendTransaction", request)
        while (receipt := node.call("eth_getTransactionReceipt", sent)) is None:
            time.sleep(0.01)
        assert as_int(receipt["status"]) == 1
        return str(receipt["contractAddress"])

    return act


@pytest.fixture
def as_admin(act_as: Callable[..., str]) -> Callable[..., str]:
    """A call of the manager by the timelock, which is ADMIN."""

    def act(function: str, *args: Any) -> str:
        data = abi.encode_call("AccessManager", function, *args)
        return act_as(address_of("TimelockController"), address_of("AccessManager"), data)

    return act


@pytest.fixture
def as_timelock(act_as: Callable[..., str]) -> Callable[..., str]:
    """A call of the timelock by itself: what it does once the delay is over."""

    def act(function: str, *args: Any) -> str:
        timelock = address_of("TimelockController")
        return act_as(timelock, timelock, abi.encode_call("TimelockController", function, *args))

    return act


@pytest.fixture
def as_safe(act_as: Callable[..., str]) -> Callable[..., str]:
    """A call of a Safe to itself."""

    def act(kind: str, function: str, *args: Any) -> str:
        return act_as(address_of(kind), address_of(kind), abi.encode_call(kind, function, *args))

    return act


def found() -> set[str]:
    return {weakness.code for weakness in role_report().weaknesses}


# --- clean -------------------------------------------------------------------------------------------------------


def test_what_the_test_profile_deploys_is_clean(platform):
    report = role_report()
    assert report.weaknesses == []
    assert report.deployer == platform.signer(SignerRole.DEPLOYER).address


@pytest.mark.parametrize("name", ["demo", "drill", "production"])
def test_every_profile_is_clean_on_a_fresh_node(node, settings, name):
    settings.CHAIN_PROFILE = name
    settings.ADMIN_SAFE_OWNERS = ["0x" + digit * 40 for digit in "123"]
    settings.COUNCIL_SAFE_OWNERS = ["0x" + digit * 40 for digit in "456"]
    node.set_automine(True)
    deployment.deploy_platform(profile=name)
    report = role_report()
    assert report.weaknesses == []
    assert report.timelocks[0].delay == int(PROFILES[name].admin_delay.total_seconds())
    assert [(safe.threshold, len(safe.owners)) for safe in report.safes] == [(2, 3), (2, 3)]


def test_no_delay_of_the_manager_itself_is_relied_on(platform):
    """Those begin five days late; ours are the timelock's and the members' own, in force from the first block."""
    report = role_report()
    assert {row.grant_delay for row in report.roles} == {0}
    assert {s.value for s in report.settings if s.name == "targetAdminDelay"} == {0}
    (admin,) = report.holders_of(ChainRole.ADMIN)
    (controller,) = report.holders_of(ChainRole.TOKEN_CONTROLLER)
    assert (admin.kind, report.timelocks[0].address, controller.delay) == ("timelock", admin.address, 1)


def test_the_report_says_who_may_do_what_and_who_can_stop_it(platform):
    out = StringIO()
    call_command("audit_roles", stdout=out)
    text = out.getvalue()
    assert "ROLES clean" in text
    assert "TOKEN_CONTROLLER (5), stopped by COUNCIL" in text
    assert "may call InvestorSBT.distrust" in text
    assert "2 of 3 must sign" in text


def test_the_report_as_json_holds_the_same(platform):
    out = StringIO()
    call_command("audit_roles", "--json", stdout=out)
    content = json.loads(out.getvalue())
    assert content["is_clean"] is True
    assert {row["name"] for row in content["roles"]} == {role.name for role in ChainRole}


def test_a_weakness_ends_in_exit_status_one(platform, as_admin):
    as_admin("grantRole", int(ChainRole.ADMIN), STRANGER, 0)
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("audit_roles", stdout=out)
    assert ended.value.code == 1
    assert f"WEAK admin_is_key: {STRANGER}" in out.getvalue()


# --- one weakness each -------------------------------------------------------------------------------------------


def test_an_admin_that_is_a_key(as_admin):
    as_admin("grantRole", int(ChainRole.ADMIN), STRANGER, 2 * DAY)
    assert {"admin_is_key", "admin_not_one"} <= found()


def test_an_admin_that_does_not_wait(as_admin):
    as_admin("grantRole", int(ChainRole.ADMIN), address_of("AdminSafe"), 0)
    assert "admin_not_timelock" in found()


def test_nobody_is_admin(as_admin):
    as_admin("renounceRole", int(ChainRole.ADMIN), address_of("TimelockController"))
    assert "admin_not_one" in found()


def test_a_timelock_that_waits_less_than_the_profile_says(as_timelock):
    as_timelock("updateDelay", 0)
    assert found() == {"admin_delay_short"}


@pytest.mark.parametrize("role", ["proposer", "canceller"])
def test_a_single_key_that_proposes_or_cancels(as_timelock, role):
    as_timelock("grantRole", keccak(text=f"{role.upper()}_ROLE"), STRANGER)
    assert found() == {f"timelock_{role}_is_key"}


def test_somebody_who_may_change_the_timelocks_roles_at_once(as_timelock):
    as_timelock("grantRole", bytes(32), STRANGER)
    assert found() == {"timelock_has_admin"}


def test_a_council_that_may_not_cancel_in_the_timelock(as_timelock):
    as_timelock("revokeRole", deployment.CANCELLER, address_of("CouncilSafe"))
    assert found() == {"council_cannot_cancel"}


def test_a_council_that_may_not_cancel_in_the_manager(as_admin):
    as_admin("setRoleGuardian", int(ChainRole.TOKEN_CONTROLLER), int(ChainRole.ADMIN))
    assert found() == {"council_cannot_cancel"}


def test_a_function_of_the_manager_that_the_council_cannot_cancel(platform, as_admin):
    selector = abi.artifact("AccessManager").functions["grantRole"].selector
    as_admin("setTargetFunctionRole", platform.manager, [selector], int(ChainRole.ADMIN))
    assert found() == {"council_cannot_cancel"}


def test_a_member_of_the_role_that_has_none(as_admin):
    as_admin("grantRole", int(ChainRole.MANAGEMENT), STRANGER, 0)
    assert found() == {"management_has_members"}


def test_a_council_that_is_a_key(as_admin):
    as_admin("grantRole", int(ChainRole.COUNCIL), STRANGER, 0)
    assert found() == {"council_is_key"}


def test_no_council(as_admin):
    as_admin("revokeRole", int(ChainRole.COUNCIL), address_of("CouncilSafe"))
    assert "council_missing" in found()


@pytest.mark.parametrize("kind", ["AdminSafe", "CouncilSafe"])
def test_a_safe_in_which_one_signature_is_enough(as_safe, kind):
    as_safe(kind, "changeThreshold", 1)
    assert found() == {"safe_threshold_one"}


def test_a_safe_with_a_module_that_acts_without_its_owners(as_safe):
    as_safe("CouncilSafe", "enableModule", STRANGER)
    assert found() == {"safe_has_module"}


def test_two_safes_that_the_same_officers_control(as_safe):
    (admin,) = [safe for safe in role_report().safes if safe.address == address_of("AdminSafe")]
    for owner in admin.owners[:2]:
        as_safe("CouncilSafe", "addOwnerWithThreshold", owner, 2)
    assert found() == {"safes_share_quorum"}


def test_a_deployer_left_with_a_role(platform, as_admin):
    as_admin("grantRole", int(ChainRole.TOKEN_GUARDIAN), platform.signer(SignerRole.DEPLOYER).address, 0)
    assert found() == {"deployer_left_with_role"}


def test_a_deployer_left_in_the_timelock(platform, as_timelock):
    as_timelock("grantRole", bytes(32), platform.signer(SignerRole.DEPLOYER).address)
    assert "deployer_left_with_role" in found()


def test_a_controller_that_does_not_wait(as_admin):
    as_admin("grantRole", int(ChainRole.TOKEN_CONTROLLER), STRANGER, 0)
    assert found() == {"controller_without_delay"}


def test_a_controller_whose_delay_is_about_to_fall(platform, as_admin):
    """The lower delay is on its way: nobody has to decide anything more for it to come."""
    controller = platform.signer(SignerRole.TOKEN_CONTROLLER).address
    as_admin("grantRole", int(ChainRole.TOKEN_CONTROLLER), controller, 30 * DAY)
    as_admin("grantRole", int(ChainRole.TOKEN_CONTROLLER), controller, 0)
    assert found() == {"controller_without_delay"}


def test_a_guardian_that_can_enlarge_something(platform, as_admin):
    selector = abi.artifact("InvestorSBT").functions["reinstate"].selector
    as_admin("setTargetFunctionRole", platform.sbt, [selector], int(ChainRole.SBT_GUARDIAN))
    assert found() == {"guardian_can_enlarge"}


def test_a_function_that_anybody_may_call(platform, as_admin):
    selector = abi.artifact("InvestorSBT").functions["issue"].selector
    as_admin("setTargetFunctionRole", platform.sbt, [selector], PUBLIC)
    assert found() == {"function_public"}


def test_a_function_with_the_wrong_role(platform, as_admin):
    selector = abi.artifact("InvestorSBT").functions["setIssuanceLimit"].selector
    as_admin("setTargetFunctionRole", platform.sbt, [selector], int(ChainRole.SBT_ISSUER))
    assert found() == {"function_misassigned"}


def test_two_roles_on_one_key(platform, as_admin):
    as_admin("grantRole", int(ChainRole.TOKEN_AGENT), platform.signer(SignerRole.SBT_ISSUER).address, 0)
    assert found() == {"two_roles_one_key"}


def test_an_officer_of_a_safe_that_holds_a_role_alone(platform, as_admin):
    as_admin("grantRole", int(ChainRole.SBT_GUARDIAN), platform.signer(SignerRole.COUNCIL_OWNER).address, 0)
    assert found() == {"two_roles_one_key"}


def test_a_role_that_another_one_than_admin_may_grant(as_admin):
    as_admin("setRoleAdmin", int(ChainRole.TOKEN_AGENT), int(ChainRole.TOKEN_GUARDIAN))
    assert found() == {"role_admin_changed"}


def test_a_role_that_is_not_of_the_design(platform, as_admin):
    selector = abi.artifact("InvestorSBT").functions["setIssuanceLimit"].selector
    as_admin("grantRole", 99, STRANGER, 0)
    as_admin("setTargetFunctionRole", platform.sbt, [selector], 99)
    assert {"unknown_role", "function_misassigned"} == found()


def test_a_role_that_was_taken_away_is_no_weakness(as_admin):
    as_admin("grantRole", int(ChainRole.ADMIN), STRANGER, 0)
    as_admin("revokeRole", int(ChainRole.ADMIN), STRANGER)
    assert found() == set()


def test_a_key_that_borrows_a_contracts_code_is_still_a_key(platform, as_admin):
    as_admin("grantRole", int(ChainRole.COUNCIL), STRANGER, 0)
    platform.node.call("anvil_setCode", STRANGER, "0xef0100" + address_of("Safe")[2:])
    assert "council_is_key" in found()


def test_the_wait_is_held_against_the_profile_of_this_installation(platform, monkeypatch):
    stricter = replace(PROFILES["test"], admin_delay=PROFILES["production"].admin_delay)
    monkeypatch.setitem(PROFILES, "test", stricter)
    assert found() == {"admin_delay_short"}


def test_what_was_announced_is_listed_until_it_is_cancelled(platform, act_as):
    timelock = address_of("TimelockController")
    grant = abi.encode_call("AccessManager", "grantRole", int(ChainRole.TOKEN_AGENT), STRANGER, 0)
    arguments = (platform.manager, 0, grant, bytes(32), bytes(32))
    schedule = abi.encode_call("TimelockController", "schedule", *arguments, DAY)
    act_as(address_of("AdminSafe"), timelock, schedule)
    (opened,) = role_report().schedules
    assert (opened.where, opened.target, opened.data) == ("timelock", platform.manager, as_hex(grant))
    cancel = abi.encode_call("TimelockController", "cancel", bytes.fromhex(opened.operation[2:]))
    act_as(address_of("CouncilSafe"), timelock, cancel)
    assert role_report().schedules == []


def test_what_a_controller_announced_is_listed(platform, act_as):
    controller = platform.signer(SignerRole.TOKEN_CONTROLLER).address
    selector = abi.artifact("InvestorSBT").functions["setIssuanceLimit"].selector
    grant = abi.encode_call(
        "AccessManager", "setTargetFunctionRole", platform.sbt, [selector], int(ChainRole.TOKEN_CONTROLLER)
    )
    act_as(address_of("TimelockController"), platform.manager, grant)
    call = abi.encode_call("InvestorSBT", "setIssuanceLimit", 50)
    act_as(controller, platform.manager, abi.encode_call("AccessManager", "schedule", platform.sbt, call, 0))
    (opened,) = role_report().schedules
    assert (opened.where, opened.caller, opened.target) == ("manager", controller, platform.sbt)
