"""Deploying the platform: once, twice, after a crash, and on a chain that is not the one it was."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from chain import operations, services
from chain.exceptions import DeploymentFailed, NodeUnavailable, WrongChain
from chain.gateway import gateway
from chain.governance import roles
from chain.models import Attempt, ChainTransaction, Contract, Signer
from chain.profiles import PROFILES, SIMULATED_FEEDS
from chain.services import deployment
from chain.types import ChainRole, SignerRole

pytestmark = pytest.mark.django_db
State = ChainTransaction.State
MANY = (Contract.Kind.SECURITY_TOKEN, Contract.Kind.PRICE_FEED)
FEEDS = [Contract.Kind.PRICE_FEED.value] * len(SIMULATED_FEEDS)
SINGLETONS = [kind for kind in Contract.Kind.values if kind not in MANY]
#: Two Safes need their code and their factory; the timelock two more calls; then manager, SBT, vault, the wiring, and the
#: simulated price feeds.
STEPS = 11 + len(FEEDS)
ADMINS = ["0x" + digit * 40 for digit in "123"]
COUNCILLORS = ["0x" + digit * 40 for digit in "456"]


@pytest.fixture
def officers(settings):
    """Officers' own wallets, as production names them."""
    settings.ADMIN_SAFE_OWNERS, settings.COUNCIL_SAFE_OWNERS = ADMINS, COUNCILLORS
    settings.CHAIN_PROFILE = "production"


@pytest.fixture
def own_node(node):
    """A chain of this test's own, that mines by itself."""
    node.set_automine(True)
    return node


def deployments():
    return ChainTransaction.objects.filter(purpose=deployment.PURPOSE)


def test_every_role_is_held_by_its_signer_and_the_deployer_is_nobody(platform):
    for role, name in deployment.HOLDERS.items():
        member, _delay = gateway().read(
            "AccessManager", platform.manager, "hasRole", int(role), platform.signer(name).address
        )
        assert member, role.name
    deployer = platform.signer(SignerRole.DEPLOYER).address
    for role in ChainRole:
        assert gateway().read("AccessManager", platform.manager, "hasRole", int(role), deployer) == (False, 0)


def test_every_restricted_function_of_the_sbt_belongs_to_its_role(platform):
    from chain import abi

    for role, names in operations.SBT_FUNCTION_ROLES.items():
        for name in names:
            selector = abi.artifact("InvestorSBT").functions[name].selector
            found = gateway().read("AccessManager", platform.manager, "getTargetFunctionRole", platform.sbt, selector)
            assert found == (int(role),), name


def test_the_controller_waits_and_the_council_can_stop_it(platform):
    controller = platform.signer(SignerRole.TOKEN_CONTROLLER).address
    role = int(ChainRole.TOKEN_CONTROLLER)
    assert gateway().read("AccessManager", platform.manager, "hasRole", role, controller) == (True, 1)
    assert gateway().read("AccessManager", platform.manager, "getRoleGuardian", role) == (int(ChainRole.COUNCIL),)


def test_running_it_twice_deploys_once(own_node):
    deployment.deploy_platform(profile="test")
    contracts, head = set(Contract.objects.values_list("address", flat=True)), own_node.head()
    deployment.deploy_platform(profile="test")
    assert set(Contract.objects.values_list("address", flat=True)) == contracts
    assert (own_node.head(), deployments().count()) == (head, STEPS)


def die_at(monkeypatch, step, before=lambda: None):
    """Run the deployment until it waits for its step number `step`, and end it there."""
    asked: list[ChainTransaction] = []

    def mined(row):
        if len(asked) == step:
            before()
            raise KeyboardInterrupt
        asked.append(row)
        return finish(row)

    finish = deployment._mined
    with monkeypatch.context() as patch:
        patch.setattr(deployment, "_mined", mined)
        with pytest.raises(KeyboardInterrupt):
            deployment.deploy_platform(profile="test")


@pytest.mark.parametrize("step", range(STEPS))
def test_a_crash_before_any_step_is_finished_by_the_next_run(own_node, monkeypatch, step):
    die_at(monkeypatch, step)
    deployment.deploy_platform(profile="test")
    assert sorted(Contract.objects.values_list("kind", flat=True)) == sorted(SINGLETONS + FEEDS)
    assert (deployments().count(), Attempt.objects.filter(transaction__in=deployments()).count()) == (STEPS, STEPS)
    assert roles.role_report().is_clean


def test_a_crash_after_sending_does_not_deploy_a_second_contract(own_node, monkeypatch):
    """The deployer's transaction is in a block, and the worker is gone before it saw the receipt."""

    def send():
        for sweep in (services.run_submit_sweep, services.run_funding_sweep, services.run_submit_sweep):
            sweep()
        services.run_submit_sweep()

    die_at(monkeypatch, 0, before=send)
    deployer = Signer.objects.get(role=SignerRole.DEPLOYER)
    assert own_node.count(deployer.address) == 1
    assert not Contract.objects.exists()
    deployment.deploy_platform(profile="test")
    assert own_node.count(deployer.address) == STEPS


def test_a_chain_that_was_reset_is_named_and_left_alone(own_node):
    empty = own_node.snapshot()
    deployment.deploy_platform(profile="test")
    own_node.revert(empty)
    head = own_node.head()
    with pytest.raises(WrongChain) as caught:
        deployment.deploy_platform(profile="test")
    assert caught.value.code == "chain.reset"
    assert Contract.objects.order_by("pk")[0].address in str(caught.value.message)
    assert own_node.head() == head


def test_another_chain_is_named_and_left_alone(own_node, settings):
    settings.CHAIN_ID = 1
    with pytest.raises(WrongChain):
        deployment.deploy_platform(profile="test")
    assert not Signer.objects.exists()


def test_without_a_node_it_says_so(settings, tmp_path):
    settings.CHAIN_RPC_URL, settings.KEYSTORE_DIR = "http://127.0.0.1:9", tmp_path
    with pytest.raises(NodeUnavailable):
        deployment.deploy_platform(profile="test")


def test_where_eth_is_not_free_it_names_the_address_to_pay(own_node, monkeypatch):
    monkeypatch.setattr(deployment, "DEVELOPMENT_CHAIN", 0)
    with pytest.raises(DeploymentFailed) as caught:
        deployment.deploy_platform(profile="test")
    assert caught.value.context["address"] == Signer.objects.get(role=SignerRole.GAS_FUNDER).address


def test_a_step_that_fails_says_why_and_is_asked_for_anew(own_node, monkeypatch):
    from dataclasses import replace

    impossible = replace(PROFILES["test"], issuance_limit_per_day=1)
    with monkeypatch.context() as patch:
        patch.setitem(PROFILES, "test", impossible)
        with pytest.raises(DeploymentFailed) as caught:
            deployment.deploy_platform(profile="test")
    assert "InvestorSBT_InvalidSetting(1)" in str(caught.value.message)
    deployment.deploy_platform(profile="test")
    assert Contract.objects.filter(kind="InvestorSBT").count() == 1


def test_production_keeps_no_officers_key(own_node, officers):
    deployment.deploy_platform(profile="production")
    assert not Signer.objects.filter(role__in=SignerRole.MANY).exists()
    sbt = Contract.objects.get(kind="InvestorSBT").address
    assert gateway().read("InvestorSBT", sbt, "activationDelay") == (24 * 3600,)
    assert gateway().read("InvestorSBT", sbt, "issuanceLimitPerDay") == (100,)


def test_the_command_prints_the_addresses(own_node):
    out = StringIO()
    call_command("deploy_contracts", "--profile", "test", stdout=out)
    for contract in Contract.objects.all():
        assert contract.address in out.getvalue()


def test_the_command_ends_in_one_sentence_when_the_node_is_down(settings, tmp_path):
    settings.CHAIN_RPC_URL, settings.KEYSTORE_DIR = "http://127.0.0.1:9", tmp_path
    with pytest.raises(CommandError, match=r"chain\.node_unavailable"):
        call_command("deploy_contracts")
