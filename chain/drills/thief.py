"""What a stolen key can do, found out by machine: every function of every contract of ours, tried with self-serving arguments.

Nothing here is a list of known attacks. Functions come from the ABIs, who may call them from the AccessManager on the
chain, arguments from their types. What the chain would let through is sent, again and again until nothing new goes
through, so chains of steps (admit a friend, then mint to it, then pass it on) are found by themselves.
"""

from __future__ import annotations

import itertools
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chain import abi
from chain.drills.keys import RACING_TIP, USUAL_TIP, Key, call_request, outcome_of, reason_of
from chain.drills.world import World
from chain.gateway import gateway
from chain.models import Contract
from chain.rpc import RpcError, as_hex
from chain.types import Attestation, Call, ChainRole, SignerRole

#: Combinations of arguments tried for one function in one round.
MAX_VARIANTS: Final = 36
#: Successes of one function in one round, by one key: enough for one against everybody.
MAX_DONE: Final = 6
#: How many of them, spread over all, are tried before a function that does not gain is given up.
SPREAD: Final = 6
#: Rounds over everything; a chain of steps needs one round per step.
ROUNDS: Final = 4
#: What gains comes first, what only destroys (and may stop the thief himself) last. Everything else is in between.
_FIRST: Final = ("admit", "issue", "mint", "forcedTransfer", "transfer", "transferFrom", "recover", "announceRecovery")
_LAST: Final = (
    "raiseAuthorisedAmount", "redeem", "revoke", "freeze", "dismiss", "setTransferFreeze", "cancel", "cancelRecovery",
    "suspend", "distrust", "pauseIssuance", "pause", "setTargetClosed",
)  # fmt: skip
#: Giving power up, or only burdening oneself: not what a thief does.
#: Nor is answering as a receiver of other tokens, or opening a Safe of one's own: anybody may, and it touches nothing.
_POINTLESS: Final = frozenset(
    {
        *("renounceRole", "voidAttestation", "consumeScheduledOp", "approve", "permit"),
        *("onERC721Received", "onERC1155Received", "onERC1155BatchReceived"),
        *("createProxyWithNonce", "createChainSpecificProxyWithNonce", "createProxyWithCallback"),
        *("createProxyWithNonceL2", "createChainSpecificProxyWithNonceL2"),
    }
)
#: What can be prepared without anything moving: a patient thief does only this at first.
QUIET: Final = frozenset({"issue", "renew", "admit", "announceRecovery", "schedule", "grantRole"})
#: Errors that do not depend on the arguments: no further variant is worth a try.
_SHUT: Final = ("AccessManagedUnauthorized", "AccessManagerUnauthorizedAccount", "AccessManagerUnauthorizedConsume",
                "InvestorSBT_Soulbound", "FixedAuthority_CannotChange", "OwnableUnauthorized", "GS031",
                "AccessControlUnauthorizedAccount", "TimelockUnauthorizedCaller")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Try:
    """One thing the thief sent or would have sent."""

    phase: str
    by: str
    function: str
    arguments: str
    outcome: str  # "done", or the contract's error
    times: int = 1

    @property
    def done(self) -> bool:
        return self.outcome == "done"


@dataclass(frozen=True, slots=True)
class Move:
    """A call of one stolen key, ready to be sent."""

    key: Key
    call: Call
    arguments: str


@dataclass(frozen=True, slots=True)
class Power:
    """One function that a set of roles may call."""

    contract: str
    address: str
    function: abi.Function
    role: int

    @property
    def name(self) -> str:
        return f"{self.contract}.{self.function.name}"


def roles_of(world: World, address: str) -> dict[int, int]:
    """Role → execution delay, for every role the AccessManager says `address` holds now."""
    asked = [abi.encode_call("AccessManager", "hasRole", int(role), address) for role in ChainRole]
    answers = world.rpc.gather([("eth_call", [{"to": world.manager, "data": as_hex(c)}, "latest"]) for c in asked])
    held: dict[int, int] = {}
    for role, answer in zip(ChainRole, answers, strict=True):
        member, delay = abi.decode_result("AccessManager", "hasRole", bytes.fromhex(answer[2:]))
        if member:
            held[int(role)] = int(delay)
    return held


def state_changing(kind: str) -> Iterator[abi.Function]:
    """Every overload of every function of a contract that may write."""
    for function in abi.artifact(kind).by_selector.values():
        if function.entry["stateMutability"] not in ("view", "pure"):
            yield function


def powers(world: World, roles: Iterable[int]) -> list[Power]:
    """Every state-changing function that these roles may call, or that nobody is named for (public, or ADMIN's)."""
    may = {*roles, int(ChainRole.ADMIN)}
    found = []
    # The vault holds no security: its own thief, with every pair of keys, is in contracts/test/VaultInvariants.t.sol.
    for contract in Contract.objects.exclude(kind__in=["CollateralVault", "DemoPriceFeed"]).order_by("pk"):
        functions = list(state_changing(contract.kind))
        if contract.kind in ("InvestorSBT", "SecurityToken", "AccessManager"):
            calls = [
                abi.encode_call("AccessManager", "getTargetFunctionRole", contract.address, f.selector)
                for f in functions
            ]
            answers = world.rpc.gather(
                [("eth_call", [{"to": world.manager, "data": as_hex(c)}, "latest"]) for c in calls]
            )
            named = [int(answer, 16) for answer in answers]
        else:
            named = [int(ChainRole.ADMIN)] * len(functions)  # their own rules decide
        for function, role in zip(functions, named, strict=True):
            if role in may and function.name not in _POINTLESS:
                found.append(Power(contract.kind, contract.address, function, role))
    return sorted(found, key=lambda power: _rank(power.function.name))


def _rank(name: str) -> int:
    if name in _FIRST:
        return _FIRST.index(name)
    return 100 + _LAST.index(name) if name in _LAST else 50


class Arguments:
    """Self-serving values for any parameter, by its type and what its name suggests."""

    def __init__(
        self, world: World, key: Key, attestors: Sequence[Key], captured: Sequence[tuple[Any, str, bytes]]
    ) -> None:
        self.world = world
        self.key = key
        self.attestors = attestors
        self.captured = captured
        victims = [wallet for person in world.investors for wallet in person.wallets]
        self.victims = [wallet for wallet in victims if wallet != key.address]
        ours = (SignerRole.SBT_ISSUER, SignerRole.ATTESTOR, SignerRole.TOKEN_CONTROLLER)
        self.platform = [world.signer(role).address for role in ours]
        self.own = [world.mule.wallet, world.friend.wallet, world.stranger.address, key.address]
        held = world.balances([*victims, *world.thieves])
        spare = max(int(gateway().read("SecurityToken", world.token, "authorisedAmount")[0]) - world.supply(), 0)
        self.amounts = list(dict.fromkeys(filter(None, [held.get(key.address, 0), *held.values(), spare, 1])))

    def variants(self, power: Power) -> list[tuple[Any, ...]]:
        """Argument lists for one function, the most promising first, at most `MAX_VARIANTS`."""
        inputs = power.function.entry["inputs"]
        if power.function.name in ("issue", "renew"):
            return list(itertools.islice(self._attestations(power.function.name), MAX_VARIANTS))
        if power.function.name in ("cancel", "schedule", "execute") and power.contract == "AccessManager":
            return self._managed(power.function.name)
        choices = [self._values(p["type"], p["name"], power.function.name) for p in inputs]
        product = itertools.product(*choices)
        return list(itertools.islice((v for v in product if _sensible(inputs, v)), MAX_VARIANTS))

    def _values(self, kind: str, name: str, function: str) -> list[Any]:
        world = self.world
        if kind == "address":
            if name == "target":
                return [world.token, world.sbt, world.manager]
            if name in ("from", "lost", "owner", "caller") or function in ("burn", "redeem", "redeemEarly", "freeze"):
                return self.victims
            if name in ("to", "replacement", "spender", "account"):
                return self.own + self.victims if name == "account" else self.own
            return self.platform + self.victims if name == "key" else self.victims + self.own
        if kind == "address[]":
            return [[*self.own[:2]], [self.own[0]], *([victim] for victim in self.victims)]
        if kind == "uint256[]":
            return [[amount] for amount in self.amounts]
        if kind == "uint64":
            return [int(role) for role in ChainRole]
        if kind in ("uint32", "uint48"):
            return [0, world.now()]
        if kind == "uint256":
            return [*self.amounts, 2**96] if "uthorised" not in name else [10**9]
        if kind == "bytes4[]":
            return [[s for f in ("mint", "forcedTransfer") for s in abi.artifact("SecurityToken").selectors_of(f)]]
        if kind == "bytes[]":
            return [
                [abi.encode_call("AccessManager", "grantRole", int(role), self.key.address, 0)] for role in ChainRole
            ]
        fixed: dict[str, list[Any]] = {"bool": [True], "string": ["x"], "bytes": [b""], "bytes32": [b"\0" * 32]}
        return fixed.get(kind, [0])

    def _attestations(self, function: str) -> Iterator[tuple[Any, ...]]:
        """Forged where an officer's key is among the stolen ones, self-signed and captured ones otherwise."""
        from chain.operations import attestation_values

        signers = self.attestors or [self.key]
        targets = [(self.world.stranger.address, secrets.token_bytes(32))]
        targets += [(Key("fresh").address, secrets.token_bytes(32)) for _ in range(2 if self.attestors else 0)]
        targets += [(Key("twin").address, p.subject) for p in self.world.investors]
        if function == "renew":
            targets = [(p.wallet, p.subject) for p in (self.world.friend, *self.world.investors)]
        for holder, subject in targets:
            for signer in signers:
                attested = self.world.attestation(holder, subject)
                yield attestation_values(attested), signer.address, signer.attest(attested)
        for attested, attestor, signature in self.captured:
            yield attestation_values(attested), attestor, signature

    def _managed(self, function: str) -> list[tuple[Any, ...]]:
        """Operations in the AccessManager: what gains, asked of the token and of the manager itself."""
        world, me = self.world, self.own[0]

        def token(name: str, *args: Any) -> tuple[str, bytes]:
            return world.token, abi.encode_call("SecurityToken", name, *args)

        wanted = [token("forcedTransfer(address,address,uint256)", v, me, n)
                  for v, n in world.balances(self.victims).items() if n]  # fmt: skip
        wanted += [token("reverseRedemption", me, 1, b"\0" * 32), token("burn", self.victims[0], 1, b"\0" * 32)]
        wanted += [
            (world.manager, abi.encode_call("AccessManager", "grantRole", int(role), self.key.address, 0))
            for role in ChainRole
        ]
        if function == "execute":
            return wanted
        if function == "schedule":
            return [(target, data, 0) for target, data in wanted]
        # Somebody else's announcements; cancelling one's own is not what a thief does.
        others = [address for address in self.platform if address != self.key.address]
        return [(caller, target, data) for caller in others for target, data in wanted]


def _sensible(inputs: list[dict[str, Any]], values: tuple[Any, ...]) -> bool:
    """No move from somebody to the same, and lists of equal length."""
    addresses = [v for p, v in zip(inputs, values, strict=True) if p["type"] == "address"]
    lists = {len(v) for p, v in zip(inputs, values, strict=True) if p["type"] in ("address[]", "uint256[]")}
    return len(set(addresses)) == len(addresses) and len(lists) <= 1


@dataclass
class Thief:
    """Holds copies of keys, and tries everything they let him do."""

    world: World
    keys: list[Key]
    #: Attestations he got hold of, with attestor and signature (D11).
    captured: list[tuple[Attestation, str, bytes]] = field(default_factory=list)
    tries: list[Try] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    first_at: int = 0
    #: (contract, selector, key) that were refused whatever the arguments, in this round of everything.
    _shut: set[tuple[str, bytes, str]] = field(default_factory=set)
    _known: dict[str, list[Power]] = field(default_factory=dict)
    _attestors: list[Key] = field(default_factory=list)
    #: Functions that went through at least once.
    used: set[str] = field(default_factory=set)

    def seize(self, phase: str, *, only: frozenset[str] | None = None) -> list[Move]:
        """Try everything each key may do until nothing new goes through; what went through, in order.

        The node must mine at once. `only` limits it to some functions, by name.
        """
        done: list[Move] = []
        spent: Counter[tuple[str, str]] = Counter()
        self._shut.clear()
        self._known.clear()
        self._attestors = [k for k in self.keys if int(ChainRole.ATTESTOR) in roles_of(self.world, k.address)]
        for _round in range(ROUNDS):
            before = len(done)
            for key in self._everyone():
                done += self._round(key, phase, only, spent)
            if len(done) == before:
                break
        return done

    def _everyone(self) -> list[Key]:
        """The stolen keys, and those of the thief's friends, who pass on what they got."""
        friends = [person.key for person in (self.world.mule, self.world.second_mule, self.world.friend) if person.key]
        return [*self.keys, *friends, self.world.stranger]

    def _round(self, key: Key, phase: str, only: frozenset[str] | None, spent: Counter[tuple[str, str]]) -> list[Move]:
        stolen = any(key is each for each in self.keys)
        if not stolen and not self.world.balance(key.address):
            return []
        arguments = Arguments(self.world, key, self._attestors, self.captured)
        done: list[Move] = []
        for power in self._powers(key, stolen=stolen):
            if only is not None and power.function.name not in only:
                continue
            if not stolen and power.function.name not in ("transfer", "transferFrom"):
                continue
            done += self._use(key, power, arguments, phase, spent)
        return done

    def _powers(self, key: Key, *, stolen: bool) -> list[Power]:
        """What the key may call, looked up once per `seize`."""
        if key.address not in self._known:
            self._known[key.address] = powers(self.world, roles_of(self.world, key.address) if stolen else {})
        return self._known[key.address]

    def _use(
        self, key: Key, power: Power, arguments: Arguments, phase: str, spent: Counter[tuple[str, str]]
    ) -> list[Move]:
        moves = [Move(key, _call(power, values), self._words(values)) for values in arguments.variants(power)]
        if not moves:
            return []
        refusals: Counter[str] = Counter()
        done: list[Move] = []
        if (power.address, power.function.selector, key.address) in self._shut:
            return []
        moves, answers = self._rehearse(moves, thorough=power.function.name in _FIRST)
        if all(reason.startswith(_SHUT) for reason in answers):
            self._shut.add((power.address, power.function.selector, key.address))
        for move, reason in zip(moves, answers, strict=False):
            identity = (power.name, key.address)
            if reason:
                refusals[reason] += 1
            elif spent[identity] < MAX_DONE and not self._idle(move):
                spent[identity] += 1
                if self._send(move, phase):
                    done.append(move)
        for reason, times in refusals.items():
            self._note(Try(phase, key.name, power.name, "", reason, times))
        return done

    def _rehearse(self, moves: list[Move], *, thorough: bool) -> tuple[list[Move], list[str]]:
        """What the chain would answer to the moves that are worth asking about.

        One refusal that does not depend on the arguments is enough. Where a spread of variants is refused for one and
        the same reason, the rest is left out, unless the function is one that gains.
        """
        first = self._would(moves[:1])
        if first[0].startswith(_SHUT):
            return moves[:1], first
        spread = moves[1:] if thorough else moves[1 :: max(len(moves) // SPREAD, 1)]
        answers = first + self._would(spread)
        if thorough or len({_name_of(reason) for reason in answers}) == 1:
            return [moves[0], *spread], answers
        rest = [move for move in moves[1:] if move not in spread]
        return [moves[0], *spread, *rest], answers + self._would(rest)

    def _would(self, moves: Sequence[Move]) -> list[str]:
        requests = [("eth_call", [call_request(m.key.address, m.call), "latest"]) for m in moves]
        return [reason_of(a) if isinstance(a, RpcError) else "" for a in self.world.rpc.batch(list(requests))]

    @staticmethod
    def _idle(move: Move) -> bool:
        """A transfer of nothing, or an empty multicall, proves nothing."""
        decoded = abi.decode_arguments("SecurityToken", move.call.data)
        return decoded is not None and decoded[0] in ("transfer", "transferFrom") and decoded[1][-1] == 0

    def _send(self, move: Move, phase: str) -> bool:
        outcome = move.key.act(self.world.rpc, move.call)
        self.sent.append(outcome.hash)
        self.first_at = self.first_at or outcome.at
        self._note(Try(phase, move.key.name, move.call.function, move.arguments, outcome.reason or "done"))
        if outcome.done:
            self.used.add(move.call.function)
        return outcome.done

    def plan(self) -> list[Move]:
        """What an attack would consist of, found out on a copy of the chain; nothing happens on it."""
        snapshot, before = self.world.node.snapshot(), (len(self.tries), len(self.sent), self.first_at, set(self.used))
        moves = self.seize("planning")
        self.world.node.revert(snapshot)
        del self.tries[before[0] :], self.sent[before[1] :]
        self.first_at, self.used = before[2], before[3]
        return moves

    def race(self, moves: Sequence[Move], *, phase: str) -> list[tuple[Move, str]]:
        """Put planned moves into the pool ahead of everybody: the highest tip. Look at them with `settle_race`."""
        sent = []
        nonces: dict[str, int] = {}
        for place, move in enumerate(moves):
            nonce = nonces.setdefault(move.key.address, move.key.next_nonce(self.world.rpc))
            tip = RACING_TIP + USUAL_TIP * (len(moves) - place)  # the order of the plan is the order of the block
            raw = move.key.raw(self.world.rpc, move.call, nonce=nonce, tip=tip)
            try:
                sent.append((move, str(self.world.rpc.call("eth_sendRawTransaction", as_hex(raw)))))
            except RpcError as error:
                self._note(Try(phase, move.key.name, move.call.function, move.arguments, error.message))
            nonces[move.key.address] = nonce + 1
        return sent

    def settle_race(self, sent: Sequence[tuple[Move, str]], *, phase: str) -> int:
        """Write down what became of raced moves, now that they are in a block; how many went through."""
        won = 0
        for move, transaction_hash in sent:
            outcome = outcome_of(self.world.rpc, transaction_hash, sender=move.key.address, call=move.call)
            self.sent.append(transaction_hash)
            self.first_at = self.first_at or outcome.at
            self._note(Try(phase, move.key.name, move.call.function, move.arguments, outcome.reason or "done"))
            won += outcome.done
        return won

    def attempt(self, key: Key, call: Call, *, phase: str, arguments: str = "") -> str:
        """Send one call, whatever a rehearsal would say; the contract's error, or "done"."""
        self._send(Move(key, call, arguments), phase)
        return self.tries[-1].outcome

    def _note(self, entry: Try) -> None:
        self.tries.append(entry)

    def _words(self, values: tuple[Any, ...]) -> str:
        return ", ".join(self._word(value) for value in values)

    def _word(self, value: Any) -> str:
        if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
            return self.world.name_of(value)
        if isinstance(value, bytes):
            return f"{len(value)} bytes"
        if isinstance(value, list | tuple):
            return "[" + ", ".join(self._word(each) for each in value) + "]"
        return str(value)


def _name_of(reason: str) -> str:
    """The error without its arguments."""
    return reason.split("(")[0] if not reason.startswith("SecurityToken_Restricted") else reason


def _call(power: Power, values: tuple[Any, ...]) -> Call:
    data = power.function.selector + abi.encode_values(power.function.inputs, values)
    return Call(to=power.address, data=data, function=power.name)
