"""A security with two holders on the real node, the people at the desk, and a thief with a key of ours."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from chain import operations, services
from chain.gateway import gateway
from chain.models import ChainTransaction, Signer
from chain.rpc import as_int
from chain.services.alarms import start_watching_here
from chain.signers import Unsigned, sign_unsigned
from chain.tests.test_main_job import ask, issue, terms
from chain.types import Call, SignerRole
from conftest import Platform
from portal.models import Role, User
from portal.testing import make_person

_keys = itertools.count(1)


@dataclass
class Scene:
    """A security of which Alice holds 100; Bob is verified and admitted."""

    platform: Platform
    settle: Callable[[], None]
    token: str
    alice: Signer
    bob: Signer
    duty: User
    administrator: User

    def ask(self, call: Call, role: str | Signer) -> ChainTransaction:
        signer = self.platform.signer(role) if isinstance(role, str) else role
        row: ChainTransaction = ask(call, signer, f"scene:{next(_keys)}")
        self.settle()
        row.refresh_from_db()
        return row

    def steal(self, signer: Signer, call: Call) -> str:
        """The thief signs with a copy of the key and sends it past the outbox; the hash, once it is in a block."""
        node = self.platform.node
        node.set_balance(signer.address, 10**20)
        nonce = as_int(node.call("eth_getTransactionCount", signer.address, "pending"))
        unsigned = Unsigned(31337, nonce, 10**9, 10**11, 3_000_000, call.to, 0, call.data)
        signed = sign_unsigned(signer, unsigned)
        node.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
        node.mine()
        receipt = node.call("eth_getTransactionReceipt", signed.hash)
        assert receipt["status"] == "0x1", f"{call.function} reverted"
        return signed.hash

    def notice(self) -> None:
        """What the worker does every second."""
        services.run_index_step()
        assert services.run_alarm_sweep()

    def balances(self) -> tuple[int, int]:
        node = gateway()
        return node.balance(self.token, self.alice.address), node.balance(self.token, self.bob.address)


@pytest.fixture
def scene(platform: Platform, settle: Callable[[], None]) -> Scene:
    alice, bob = (services.create_custody_signer(label=name) for name in ("alice", "bob"))
    row = ask(operations.deploy_security_token(terms()), platform.signer(SignerRole.DEPLOYER), "token")
    settle()
    row.refresh_from_db()
    token = str(row.contract_address)
    configure(token)
    last = [issue(platform, holder.address, f"sbt:{holder.pk}") for holder in (alice, bob)][-1]
    settle()
    agent = platform.signer(SignerRole.TOKEN_AGENT)
    admitted = ask(operations.admit(token, [alice.address, bob.address]), agent, "admit", depends_on=last)
    ask(operations.mint(token, alice.address, 100), agent, "mint", depends_on=admitted)
    settle()
    start_watching_here()  # the platform's own set-up is not recorded in this database
    return Scene(
        platform,
        settle,
        token,
        alice,
        bob,
        duty=make_person("duty@musubi.example", role=Role.KYC_OFFICER),
        administrator=make_person("admin@musubi.example", role=Role.ADMINISTRATOR),
    )


def configure(token: str) -> None:
    call = operations.configure_security_token(token)
    services.request(role=SignerRole.ADMIN, call=call, idempotency_key="configure", purpose="test")
