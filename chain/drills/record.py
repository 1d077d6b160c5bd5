"""What a drill leaves behind: steps, figures, who held what. Plain values that go into JSON, HTML and the database."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

from chain.drills.thief import Try
from chain.drills.world import Person, World

#: Who acts in a step.
THIEF, PLATFORM, OFFICERS, CLOCK = "thief", "platform", "officers", "clock"


#: What one signer of a Safe may always do, and what does nothing without the others.
HARMLESS: Final = frozenset({"AdminSafe.approveHash", "CouncilSafe.approveHash"})


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened. `text` is a key of `chain.drills.wording.STEPS`, filled with `values`."""

    number: int
    seconds: int  # of the chain's clock, since the drill began
    actor: str
    text: str
    values: dict[str, Any]
    holdings: dict[str, int]


@dataclass(frozen=True, slots=True)
class Span:
    """How long something took, by the chain's clock, and what it cost in transactions."""

    seconds: int = 0
    transactions: int = 0


@dataclass
class Result:
    """One drill, one way of acting (`mode`)."""

    code: str
    mode: str
    stolen: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    tries: list[Try] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    worst: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    most_held_by_thief: int = 0
    lost_units: int = 0
    alarms: list[str] = field(default_factory=list)
    detect: Span | None = None
    contain: Span | None = None
    restore: Span | None = None
    failures: list[str] = field(default_factory=list)

    @property
    def is_silent(self) -> bool:
        """Something of the thief's went through, and no alarm at the desk told of it."""
        return any(each.done for each in self.tries) and not self.alarms

    @property
    def passed(self) -> bool:
        return not self.failures and self.lost_units == 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"passed": self.passed, "silent": self.is_silent}


class Observer(Protocol):
    """Is told of every drill as it goes on."""

    def begin(self, code: str, mode: str, stolen: list[str]) -> None: ...

    def step(self, code: str, mode: str, step: Step) -> None: ...

    def end(self, result: Result) -> None: ...


class Silent:
    """Tells nobody."""

    def begin(self, code: str, mode: str, stolen: list[str]) -> None:
        pass

    def step(self, code: str, mode: str, step: Step) -> None:
        pass

    def end(self, result: Result) -> None:
        pass


def holdings(world: World) -> dict[str, int]:
    """Units by name: every investor over all their wallets, everybody else who holds something, and what is not issued."""
    from chain.gateway import gateway

    known = [wallet for person in world.people() for wallet in person.wallets]
    addresses = list(dict.fromkeys([*known, *world.thieves, *holders(world)]))
    held = world.balances(addresses)
    found: dict[str, int] = {}
    for person in world.investors:
        found[person.name] = sum(held[wallet] for wallet in person.wallets)
    theirs = {wallet for person in world.investors for wallet in person.wallets}
    for address, units in held.items():
        if address not in theirs and units:
            found[world.name_of(address)] = units
    authorised = int(gateway().read("SecurityToken", world.token, "authorisedAmount")[0])
    found["not issued"] = authorised - sum(held.values())
    return found


def holders(world: World) -> list[str]:
    """Every address that ever received units, by the chain's own logs (never by the index: it may be behind)."""
    from chain.signers import checksummed

    topic = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"  # Transfer(address,address,uint256)
    logs = world.rpc.call("eth_getLogs", {"fromBlock": "0x0", "address": world.token, "topics": [topic]})
    found = {checksummed("0x" + log["topics"][2][-40:]) for log in logs}
    return sorted(found - {"0x" + "0" * 40})


def thief_units(world: World) -> int:
    """Units on every address that is not an investor's."""
    theirs = {wallet for person in world.investors for wallet in person.wallets}
    held = world.balances([address for address in {*holders(world), *world.thieves} if address not in theirs])
    return sum(held.values())


def missing_units(world: World) -> int:
    """Units that investors should have and do not."""
    return sum(max(person.units - _held(world, person), 0) for person in world.investors)


def _held(world: World, person: Person) -> int:
    return sum(world.balances(person.wallets).values())
