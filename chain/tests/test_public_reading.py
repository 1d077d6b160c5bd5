"""The reading behind the public pages: whose code stands where, and who may do what, at a final block."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from chain import abi, operations, services
from chain.governance.roles import role_report
from chain.models import Contract, Cursor, EventLog
from chain.public.code import FORWARDER, CodeCheck, Verdict, check_codes, matches
from chain.public.models import PublicReading
from chain.public.reading import READ_EVERY, run_public_reading
from chain.rpc import as_int, node
from chain.tests.conftest import Scene
from chain.types import SignerRole
from conftest import Platform

pytestmark = pytest.mark.django_db


def contracts() -> list[tuple[str, str]]:
    return list(Contract.objects.order_by("pk").values_list("kind", "address"))


def checked() -> dict[str, CodeCheck]:
    """The newest block's verdicts by address."""
    head = as_int(node().call("eth_blockNumber"))
    return {check.address: check for check in check_codes(node(), contracts(), block=head)}


def address_of(kind: str) -> str:
    return str(Contract.objects.filter(kind=kind)[0].address)


# --- whose code ---------------------------------------------------------------------------------------------


def test_every_contract_we_deploy_is_found_to_be_the_build(scene: Scene) -> None:
    found = Counter((check.kind, str(check.verdict)) for check in checked().values())
    assert found == {
        ("AccessManager", "library"): 1,
        ("TimelockController", "library"): 1,
        ("InvestorSBT", "equal"): 1,
        ("SecurityToken", "equal"): 1,
        ("CollateralVault", "equal"): 1,
        (FORWARDER, "equal"): 1,
        ("DemoPriceFeed", "equal"): 3,
        ("Safe", "release"): 1,
        ("SafeProxyFactory", "release"): 1,
        ("AdminSafe", "proxy"): 1,
        ("CouncilSafe", "proxy"): 1,
    }


@pytest.mark.parametrize("kind", ["InvestorSBT", "SecurityToken", "AccessManager", "Safe", "CouncilSafe"])
def test_one_changed_byte_is_found(kind: str, scene: Scene) -> None:
    address = address_of(kind)
    code = bytearray.fromhex(node().call("eth_getCode", address, "latest")[2:])
    code[len(code) // 2] ^= 1
    scene.platform.node.call("anvil_setCode", address, "0x" + code.hex())
    assert checked()[address].verdict == Verdict.DIFFERS


def test_code_of_another_length_and_no_code_are_told_apart(scene: Scene) -> None:
    shorter, gone = address_of("SecurityToken"), address_of("InvestorSBT")
    code = node().call("eth_getCode", shorter, "latest")
    scene.platform.node.call("anvil_setCode", shorter, code[:-2])
    scene.platform.node.call("anvil_setCode", gone, "0x")
    found = checked()
    assert (found[shorter].verdict, found[gone].verdict) == (Verdict.DIFFERS, Verdict.ABSENT)


def test_a_value_set_at_creation_may_be_anything_but_must_be_the_same_everywhere() -> None:
    contract = abi.artifact("SecurityToken")
    places = next(places for places in contract.immutables if len(places) > 1)
    code = bytearray(contract.runtime)
    for start in places:
        code[start : start + 32] = b"\x11" * 32
    assert matches(bytes(code), contract)
    code[places[-1] : places[-1] + 32] = b"\x22" * 32
    assert not matches(bytes(code), contract)


def test_a_proxy_that_runs_other_code_is_found(scene: Scene) -> None:
    safe, elsewhere = address_of("CouncilSafe"), address_of("SafeProxyFactory")
    scene.platform.node.call("anvil_setStorageAt", safe, "0x0", "0x" + elsewhere[2:].lower().zfill(64))
    found = checked()[safe]
    assert (found.verdict, found.target) == (Verdict.DIFFERS, elsewhere)


def test_a_proxy_before_a_safe_that_differs_is_not_sound(scene: Scene) -> None:
    safe = address_of("Safe")
    scene.platform.node.call("anvil_setCode", safe, node().call("eth_getCode", safe, "latest")[:-2] + "00")
    found = checked()
    assert found[safe].verdict == Verdict.DIFFERS
    assert found[address_of("AdminSafe")].verdict == Verdict.DIFFERS


# --- the reading --------------------------------------------------------------------------------------------


def finalise(scene: Scene) -> int:
    """Make the newest block final, as indexed."""
    scene.platform.node.mine(80)
    services.run_index_step()
    final = Cursor.objects.get(chain_id=settings.CHAIN_ID).final_number
    assert final > max(Contract.objects.values_list("deployed_block", flat=True))
    return final


def test_a_reading_is_the_report_of_a_final_block(scene: Scene) -> None:
    final = finalise(scene)
    assert run_public_reading()
    row = PublicReading.objects.get()
    assert row.block_number == final
    report = role_report(block=final)
    assert row.roles["manager"] == scene.platform.manager
    assert [role["name"] for role in row.roles["roles"]] == [role.name for role in report.roles]
    assert row.roles["weaknesses"] == []
    assert {check["kind"] for check in row.codes} >= {"SecurityToken", FORWARDER, "CouncilSafe"}
    assert row.documents == {scene.token: [{"name": "Terms", "sha256": "00" * 32}]}


def test_it_is_read_again_after_an_hour_and_after_a_change_and_not_before(scene: Scene) -> None:
    finalise(scene)
    run_public_reading()
    first = PublicReading.objects.get().read_at
    finalise(scene)
    run_public_reading()
    assert PublicReading.objects.get().read_at == first

    PublicReading.objects.update(read_at=timezone.now() - READ_EVERY - timedelta(seconds=1))
    run_public_reading()
    second = PublicReading.objects.get().read_at
    assert second > first

    services.request(
        role=SignerRole.ADMIN,
        call=operations.configure_security_token(scene.token),
        idempotency_key="again",
        purpose="test",
    )
    time.sleep(1.1)  # the timelock of the tests' profile
    scene.settle()
    final = finalise(scene)
    assert EventLog.objects.filter(block_number__lte=final).exists()
    run_public_reading()
    assert PublicReading.objects.get().read_at > second


def test_a_node_that_is_down_leaves_the_last_reading(scene: Scene, settings: object) -> None:
    finalise(scene)
    run_public_reading()
    kept = PublicReading.objects.get()
    PublicReading.objects.update(read_at=timezone.now() - READ_EVERY * 2)
    settings.CHAIN_RPC_URL = "http://127.0.0.1:1"  # type: ignore[attr-defined]
    assert not run_public_reading()
    assert PublicReading.objects.get().block_number == kept.block_number
    assert PublicReading.objects.get().codes == kept.codes


def test_before_the_contracts_are_final_nothing_is_read(platform: Platform) -> None:
    assert run_public_reading()
    assert not PublicReading.objects.exists()
