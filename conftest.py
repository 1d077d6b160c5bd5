"""Fixtures every app shares: a real node, the platform on it, and the people of the sample world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import transaction
from django.db.models.signals import post_migrate
from pytest_django.plugin import DjangoDbBlocker

from chain.errands import asked_by
from chain.head import head_memory
from chain.models import Contract, Signer
from chain.testing import Anvil, anvil
from portal.celery import app as celery
from portal.memo import Remembered


def _restore_rules(sender: Any, **_: Any) -> None:
    """A test that commits ends with every table emptied, the dated rules of KYC's migration too: put them back."""
    if sender.name == "kyc":
        import_module("kyc.migrations.0002_seed_rules").add_rules(apps, None)


post_migrate.connect(_restore_rules, dispatch_uid="tests.restore_rules")


#: In whose name tests ask for things themselves, with no app behind them. Nothing of this is in the product.
TEST_PURPOSES = ("test", "test.admit", "test.broken", "test.payment", "test.sbt")
asked_by(*TEST_PURPOSES)(lambda errands: {errand.row for errand in errands})


@dataclass(frozen=True)
class Deployed:
    """What deploying left behind: the keystore's directory, the rows, and the node's state to go back to."""

    keystore: Path
    contracts: list[Any]
    signers: list[Any]
    snapshot: dict[str, str]


@dataclass(frozen=True)
class Platform:
    """A node with AccessManager and InvestorSBT on it, as `deploy_platform(profile="test")` leaves it."""

    node: Anvil
    manager: str
    sbt: str

    def signer(self, role: str) -> Signer:
        """The platform's signer of a role (the demo officer's key for `attestor`)."""
        return Signer.objects.filter(role=role).order_by("pk")[0]


@pytest.fixture(scope="session")
def shared_node() -> Iterator[Anvil]:
    """One anvil for the whole run: every test that uses `platform` gets it back in the state after deployment."""
    with anvil() as running:
        yield running


@pytest.fixture(scope="session")
def deployed(
    shared_node: Anvil,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Deployed:
    """Deploy once, for real, through the outbox; remember the rows, and leave the database as it was."""
    from django.test.utils import override_settings

    from chain.services.deployment import deploy_platform

    keystore = tmp_path_factory.mktemp("keystore")
    settings = override_settings(CHAIN_RPC_URL=shared_node.url, KEYSTORE_DIR=keystore)
    with django_db_blocker.unblock(), settings, transaction.atomic():
        deploy_platform(profile="test")
        contracts = list(Contract.objects.order_by("pk").values())
        signers = list(Signer.objects.order_by("pk").values())
        transaction.set_rollback(True)
    shared_node.mine(3)
    return Deployed(keystore, contracts, signers, {"id": shared_node.snapshot()})


@pytest.fixture
def platform(deployed: Deployed, shared_node: Anvil, db: None, settings: Any) -> Platform:
    """The platform as deployed, whatever other tests did: rows put back, chain reverted, keys in place."""
    shared_node.revert(deployed.snapshot["id"])
    deployed.snapshot["id"] = shared_node.snapshot()
    shared_node.set_automine(True)
    settings.CHAIN_RPC_URL = shared_node.url
    settings.KEYSTORE_DIR = deployed.keystore
    Contract.objects.bulk_create(Contract(**{k: v for k, v in row.items() if k != "id"}) for row in deployed.contracts)
    Signer.objects.bulk_create(Signer(**{k: v for k, v in row.items() if k != "id"}) for row in deployed.signers)
    addresses = {row["kind"]: row["address"] for row in deployed.contracts}
    return Platform(shared_node, manager=addresses["AccessManager"], sbt=addresses["InvestorSBT"])


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process remembers for a moment; no test sees what was before it, or counts by how fast it runs."""
    head_memory.forget()
    monkeypatch.setattr(Remembered, "keeps", False)


@pytest.fixture
def broker_down() -> Iterator[None]:
    """Celery as in production, with nobody listening where Redis should be."""
    changed = {"task_always_eager": False, "broker_url": "redis://127.0.0.1:9/0"}
    app: Any = celery
    before = {name: app.conf[name] for name in changed}
    app.conf.update(changed)
    app._after_fork()  # pools keep the broker they were made for; this is how Celery itself forgets them
    yield
    app.conf.update(before)
    app._after_fork()


@pytest.fixture
def node(settings: Any, tmp_path: Path) -> Iterator[Anvil]:
    """A fresh anvil of this test's own, without contracts, mining only on request; keys go to `tmp_path`."""
    with anvil(mining=False) as running:
        settings.CHAIN_RPC_URL = running.url
        settings.KEYSTORE_DIR = tmp_path / "keystore"
        yield running


@pytest.fixture
def settle(settings: Any) -> Callable[[], None]:
    """Mine and run the sweeps until every transaction is settled and the index has reached the head."""

    def run() -> None:
        from chain import services
        from chain.models import ChainTransaction
        from chain.rpc import node as rpc

        settings.CHAIN_RESEND_AFTER_SECONDS = 0
        for _round in range(50):
            services.run_submit_sweep()
            services.run_funding_sweep()
            services.run_submit_sweep()
            rpc().call("evm_mine")
            services.run_reconcile_sweep()
            services.run_outside_sweep()
            if not ChainTransaction.objects.filter(is_settled=False).exists():
                break
        else:
            stuck = ChainTransaction.objects.filter(is_settled=False)
            raise AssertionError(f"not settled: {[f'{row} {row.error_code}' for row in stuck]}")
        services.run_index_step()
        services.run_outside_sweep()

    return run
