"""The small world a drill happens in: a node, a freshly deployed platform, one security, three investors, a thief's friends.

It needs a database of its own (a scratch database or a test's) and a node that nobody else uses: rows are rolled back and
the chain is reverted after every drill.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from django.db import transaction
from django.db.models import F
from django.test.utils import override_settings

from chain import abi, attestation, operations, services
from chain.drills.keys import Key
from chain.errands import Errand
from chain.gateway import gateway
from chain.models import ChainTransaction, Contract, Signer
from chain.profiles import profile
from chain.rpc import Rpc, as_int
from chain.services.deployment import deploy_platform
from chain.testing import Anvil
from chain.types import Attestation, Call, Category, Restriction, SignerRole, Standing, TokenTerms

State = ChainTransaction.State
HOUR: Final = 3_600
DAY: Final = 86_400
YEAR: Final = 365 * DAY
PURPOSE: Final = "chain.drill"
AUTHORISED: Final = 1_000
_FUNDS: Final = 1_000 * 10**18


#: What the honest part of drills asked for, by idempotency key: the business behind rows of PURPOSE. It is the memory of
#: this process and answers only while a stage stands, so that nothing can be asked in this name anywhere else.
_asked: dict[str, Call] = {}


def was_asked(errands: Sequence[Errand]) -> set[int]:
    """Which of these the honest part of a drill asked for."""
    return {errand.row for errand in errands if errand.key in _asked and errand.is_for(_asked[errand.key])}


class DrillBroken(Exception):
    """The drill itself did not work as written; says nothing about the defences."""


@dataclass
class Person:
    """Somebody with an SBT: what they may lawfully hold, and every wallet of theirs, the newest last."""

    name: str
    subject: bytes
    wallets: list[str]
    units: int = 0
    key: Key | None = None  # where the wallet is the person's own
    signer: Signer | None = None  # where we hold it

    @property
    def wallet(self) -> str:
        return self.wallets[-1]


@dataclass
class World:
    """Everything a drill may touch. Made once; every drill gets it back as it was."""

    node: Anvil
    manager: str
    sbt: str
    token: str
    #: Alice's wallet is in our custody, Bob and Carol have their own.
    investors: list[Person]
    #: People with genuine SBTs who work for the thief: two admitted on the security, one not; and an address without SBT.
    mule: Person
    second_mule: Person
    friend: Person
    stranger: Key
    #: What goes on while officers wait for a delay of their own: thieves do not sleep, and the desk watches.
    meanwhile: Callable[[], None] | None = None

    @property
    def rpc(self) -> Rpc:
        return self.node.rpc

    # --- time and blocks -----------------------------------------------------------------------------------------

    def now(self) -> int:
        """Time of the newest block, Unix seconds."""
        return as_int(self.rpc.call("eth_getBlockByNumber", "latest", False)["timestamp"])

    def height(self) -> int:
        return self.node.head()

    def pass_time(self, seconds: int) -> None:
        """Let time pass for the chain, and for rows of the outbox that wait for their hour."""
        self.node.pass_time(max(seconds, 1))
        waiting = ChainTransaction.objects.filter(state=State.QUEUED, not_before__isnull=False)
        waiting.update(not_before=F("not_before") - timedelta(seconds=seconds))

    def wait_for_officers(self, seconds: int) -> None:
        """Let a delay of the officers' own pass, in halves; what goes on meanwhile goes on in each of them."""
        for _half in range(2):
            self.pass_time(seconds // 2 + 1)
            if self.meanwhile is not None:
                goes_on, self.meanwhile = self.meanwhile, None  # nothing waits within the waiting
                goes_on()
                self.meanwhile = goes_on

    # --- our own services -------------------------------------------------------------------------------------------

    def signer(self, role: str) -> Signer:
        return Signer.objects.filter(role=role).order_by("-pk")[0]

    def ask(self, call: Call, signer: Signer) -> ChainTransaction:
        """Put the call into the outbox and note that we did, as every part of the platform does."""
        key = f"drill:{secrets.token_hex(12)}"
        _asked[key] = call
        with transaction.atomic():
            return services.enqueue(call=call, signer=signer, idempotency_key=key, purpose=PURPOSE)

    def sweep(self) -> None:
        """One turn of what beat drives, without the index."""
        services.run_submit_sweep()
        services.run_funding_sweep()
        services.run_submit_sweep()
        services.run_reconcile_sweep()

    def carry_out(self, *rows: ChainTransaction) -> list[ChainTransaction]:
        """Drive the sweeps until every row is in a block or over. Raises `DrillBroken` if that does not come about."""
        for _round in range(40):
            self.sweep()
            for row in rows:
                row.refresh_from_db()
            if all(row.state not in (State.QUEUED, State.SIGNED, State.BROADCAST) for row in rows):
                return list(rows)
        raise DrillBroken("; ".join(f"{row} {row.error_code}" for row in rows))

    def must(self, call: Call, signer: Signer) -> ChainTransaction:
        """Carry the call out; it has to succeed."""
        (row,) = self.carry_out(self.ask(call, signer))
        if row.state not in (State.MINED, State.FINAL):
            raise DrillBroken(f"{row}: {row.error_code}")
        return row

    def read_index(self) -> None:
        """Read the chain to its head, as the indexer does."""
        for _round in range(20):
            services.run_index_step()
            if gateway().head() <= services_cursor():
                return
        raise DrillBroken("the index does not reach the head")

    # --- reading -----------------------------------------------------------------------------------------------------

    def balance(self, address: str) -> int:
        return gateway().balance(self.token, address)

    def balances(self, addresses: Sequence[str]) -> dict[str, int]:
        """Live balances in one batch."""
        calls = [abi.encode_call("SecurityToken", "balanceOf", address) for address in addresses]
        answers = self.rpc.gather([("eth_call", [{"to": self.token, "data": "0x" + c.hex()}, "latest"]) for c in calls])
        return dict(zip(addresses, map(as_int, answers), strict=True))

    def supply(self) -> int:
        return int(gateway().read("SecurityToken", self.token, "totalSupply")[0])

    @property
    def thieves(self) -> list[str]:
        """Addresses that work for the thief whatever was stolen."""
        people = (self.mule, self.second_mule, self.friend)
        return [*(person.wallet for person in people), self.stranger.address]

    def people(self) -> list[Person]:
        return [*self.investors, self.mule, self.second_mule, self.friend]

    def name_of(self, address: str) -> str:
        """For the report: a person's name, a role, or the shortened address."""
        for person in self.people():
            if address in person.wallets:
                return person.name if address == person.wallets[0] else f"{person.name} (new wallet)"
        if address == self.stranger.address:
            return "stranger"
        named = {self.token: "the security", self.sbt: "InvestorSBT", self.manager: "AccessManager"}
        if address in named:
            return named[address]
        signer = Signer.objects.filter(address=address).first()
        return (signer.label or signer.role) if signer else f"{address[:8]}…"

    # --- people --------------------------------------------------------------------------------------------------------

    def attestation(self, holder: str, subject: bytes, *, deadline: int | None = None) -> Attestation:
        now = self.now()
        return Attestation(
            holder=holder,
            subject=subject,
            categories=Category.INDIVIDUAL,
            expires_at=now + YEAR,
            evidence_hash=secrets.token_bytes(32),
            nonce=attestation.new_nonce(),
            deadline=deadline or now + 20 * DAY,
        )

    def issue_to(self, wallets: Iterable[tuple[str, bytes]], *, renew: bool = False) -> None:
        """Give SBTs (or fresh attestations) through the outbox, with an officer's signature for each."""
        attestor, issuer = self.signer(SignerRole.ATTESTOR), self.signer(SignerRole.SBT_ISSUER)
        make = operations.renew_sbt if renew else operations.issue_sbt
        rows = []
        for holder, subject in wallets:
            attested = self.attestation(holder, subject)
            call = make(attested, attestor.address, attestation.sign(attested, attestor))
            rows.append(self.ask(call, issuer))
        _all_mined(self.carry_out(*rows))

    def trade_is_possible(self) -> bool:
        """Whether every investor could pass a unit on: the service is back."""
        reach = [person.wallet for person in self.investors]
        pairs = zip(reach, [*reach[1:], reach[0]], strict=True)
        return all(gateway().restriction(self.token, a, b, 1) == Restriction.NONE for a, b in pairs)


def services_cursor() -> int:
    """The newest block the index has read."""
    from chain.models import Cursor

    cursor = Cursor.objects.first()
    return cursor.number if cursor else -1


def _all_mined(rows: list[ChainTransaction]) -> None:
    failed = [row for row in rows if row.state not in (State.MINED, State.FINAL)]
    if failed:
        raise DrillBroken("; ".join(f"{row} {row.error_code}" for row in failed))


@contextmanager
def drill_settings(node: Anvil, keystore: Path, *, plan: str = "drill") -> Iterator[None]:
    """Point this process at the throw-away node and keystore."""
    with override_settings(
        CHAIN_RPC_URL=node.url, KEYSTORE_DIR=keystore, CHAIN_PROFILE=plan, CHAIN_RESEND_AFTER_SECONDS=0
    ):
        yield


def build(node: Anvil) -> World:
    """Deploy the platform and one security on `node`, and bring three investors and the thief's friends into being.

    Before: an empty chain, no contracts or signers in the database. After: alice 100, bob 50 and carol 30 of 1,000
    authorised units; every SBT effective; the index at the head.
    """
    from django.conf import settings

    deploy_platform(profile=settings.CHAIN_PROFILE)
    addresses = dict(Contract.objects.values_list("kind", "address"))
    alice = services.create_custody_signer(label="alice")
    own = {name: Key(name) for name in ("bob", "carol", "mule", "second mule", "friend")}
    people = [
        Person("alice", secrets.token_bytes(32), [alice.address], 100, signer=alice),
        Person("bob", secrets.token_bytes(32), [own["bob"].address], 50, key=own["bob"]),
        Person("carol", secrets.token_bytes(32), [own["carol"].address], 30, key=own["carol"]),
        *(Person(n, secrets.token_bytes(32), [own[n].address], key=own[n]) for n in ("mule", "second mule", "friend")),
    ]
    stranger = Key("stranger")
    fund(node, [alice.address, stranger.address, *(key.address for key in own.values())])
    world = World(
        node,
        addresses["AccessManager"],
        addresses["InvestorSBT"],
        "",
        people[:3],
        mule=people[3],
        second_mule=people[4],
        friend=people[5],
        stranger=stranger,
    )
    fund(node, list(Signer.objects.values_list("address", flat=True)))
    world.token = _issue_security(world, people)
    world.read_index()
    if not world.trade_is_possible():
        raise DrillBroken("the world is not ready: investors cannot trade")
    return world


def fund(node: Anvil, addresses: Iterable[str]) -> None:
    """ETH for gas: nobody in a drill is stopped by an empty purse, least of all the thief."""
    node.rpc.batch([("anvil_setBalance", [address, hex(_FUNDS)]) for address in addresses])


def _issue_security(world: World, people: list[Person]) -> str:
    terms = _terms(world.now())
    deployed = world.must(operations.deploy_security_token(terms), world.signer(SignerRole.DEPLOYER))
    token = str(deployed.contract_address)
    from chain.drills import governance

    governance.configure(world, token)
    world.token = token
    world.issue_to((person.wallet, person.subject) for person in people)
    world.pass_time(int(profile().activation_delay.total_seconds()) + 1)
    agent = world.signer(SignerRole.TOKEN_AGENT)
    admitted = [person.wallet for person in people if person.name != "friend"]
    world.must(operations.admit(token, admitted), agent)
    minted = [world.ask(operations.mint(token, p.wallet, p.units), agent) for p in people if p.units]
    _all_mined(world.carry_out(*minted))
    if gateway().standing(people[0].wallet) != Standing.EFFECTIVE:
        raise DrillBroken("an SBT is not effective after its delay")
    return token


def _terms(now: int) -> TokenTerms:
    fields: dict[str, Any] = {
        "name": "Drill Bond",
        "symbol": "DRILL",
        "decimals": 0,
        "isin": "JP000000DRIL",
        "currency": "JPY",
        "face_value_minor": 100_000,
        "rate_bps": 80,
        "issue_at": now,
        "maturity_at": now + 3 * YEAR,
        "authorised_units": AUTHORISED,
        "qii_only": False,
        "holder_cap": 0,
        "minimum_lot_units": 1,
        "whole_balance_only": False,
        "lock_up_until": 0,
    }
    return TokenTerms(**fields)
