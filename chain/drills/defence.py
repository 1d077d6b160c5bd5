"""The platform's answer to a theft: notice it in the index, contain it, bring everything back to where it belongs.

One playbook for every drill. It knows nothing of what the thief did or holds: it goes by indexed events that no
transaction of ours explains, by investors' reports, and by the chain's state compared with the register.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib.auth.models import Group

from chain import abi, operations, services
from chain.desk.models import ResponseStep
from chain.drills import governance
from chain.drills.keys import USUAL_TIP, Key, Outcome, outcome_of
from chain.drills.world import DrillBroken, Person, World, fund
from chain.gateway import gateway
from chain.models import EventLog, Signer
from chain.profiles import profile
from chain.rpc import as_int
from chain.services import judging, response
from chain.services.response import ResponseRefused
from chain.signers import checksummed
from chain.types import Call, ChainRole, SignerRole, Standing
from portal.models import Role, User

ZERO: Final = "0x" + "0" * 40
#: How long it takes until the duty officer sits at the desk.
CALLED_SECONDS: Final = 600
REASON: Final = b"theft".ljust(32, b"\0")
#: Single keys in officers' own wallets: they sign themselves, with the nonce the chain says.
_OFFICERS: Final = {
    ChainRole.SBT_GUARDIAN: SignerRole.SBT_GUARDIAN,
    ChainRole.TOKEN_GUARDIAN: SignerRole.TOKEN_GUARDIAN,
    ChainRole.TOKEN_CONTROLLER: SignerRole.TOKEN_CONTROLLER,
}
#: Keys of the server, which sign through the outbox.
_SERVER: Final = {ChainRole.SBT_ISSUER: SignerRole.SBT_ISSUER, ChainRole.TOKEN_AGENT: SignerRole.TOKEN_AGENT}

Note = Callable[..., None]


@dataclass
class Findings:
    """What the index says that nobody of ours did."""

    logs: list[EventLog] = field(default_factory=list)
    #: Keys of ours that were used elsewhere.
    stolen: set[str] = field(default_factory=set)
    #: Addresses that profited: got units, an SBT, an admission or a recovery.
    suspects: set[str] = field(default_factory=set)


class Defence:
    """The duty officer, the council and the administrators, acting through the platform's own services."""

    def __init__(self, world: World, note: Note, *, without: frozenset[str] = frozenset()) -> None:
        self.world = world
        self.note = note
        #: Parts of the response that are left out, to prove that a drill can fail.
        self.without = without
        self.began_at = world.now()
        self.began_block = world.height()
        self.own_hashes: set[str] = set()
        self.officers = {role: Key.copy_of(world.signer(name)) for role, name in _OFFICERS.items()}
        self.found = Findings()
        self.reported: list[Person] = []
        self.transactions = 0
        self.duty = duty_officer()
        #: Called when a transaction of ours lies in the pool and is in no block yet.
        self.watched: Callable[[], None] | None = None

    # --- noticing ----------------------------------------------------------------------------------------------------

    def notice(self) -> Findings:
        """Read the index to the head and look for what no transaction of ours explains."""
        self.world.read_index()
        logs = EventLog.objects.filter(canonical=True, block_number__gt=self.began_block).order_by(
            "block_number", "log_index"
        )
        ours = judging.ours_among({log.transaction_hash for log in logs}) | self.own_hashes
        foreign = [log for log in logs if log.transaction_hash not in ours]
        senders = self._senders({log.transaction_hash for log in foreign})
        known = dict(Signer.objects.values_list("address", "role"))
        self.found.logs = foreign
        self.found.stolen |= {sender for sender in senders if sender in known}
        for log in foreign:
            self._judge(log, known)
        return self.found

    def report(self, person: Person) -> None:
        """An investor says that their key is stolen."""
        if person not in self.reported:
            self.reported.append(person)
            self.note("officers", "reported", who=person.name)

    def _senders(self, hashes: Iterable[str]) -> set[str]:
        wanted = sorted(hashes)
        answers = self.world.rpc.gather([("eth_getTransactionByHash", [each]) for each in wanted])
        return {checksummed(answer["from"]) for answer in answers if answer}

    def _judge(self, log: EventLog, known: dict[str, str]) -> None:
        args = log.args
        honest = {wallet for person in self.world.investors for wallet in person.wallets}
        gained = {
            "Transfer": "to" if log.address == self.world.token else "",
            "SbtIssued": "holder",
            "SbtRenewed": "holder",
            "Admitted": "holder",
            "RecoveryAnnounced": "replacement",
        }.get(log.event, "")
        if gained and args.get(gained, ZERO) not in {ZERO, *honest}:
            self.found.suspects.add(args[gained])
        if log.event in ("SbtIssued", "SbtRenewed") and args.get("attestor") in known:
            self.found.stolen.add(args["attestor"])

    # --- acting ------------------------------------------------------------------------------------------------------

    def officer(self, role: ChainRole, call: Call) -> Outcome:
        """An officer signs with their own wallet. Whatever the chain answers is returned."""
        key, racing, self.watched = self.officers[role], self.watched, None
        if racing is not None:
            self.world.node.set_automine(False)
        sent = key.send(self.world.rpc, call, tip=2 * USUAL_TIP)
        self.own_hashes.add(sent)
        self.transactions += 1
        if racing is not None:
            racing()
            # The second block is for what the thief's fees pushed out of the first.
            self.world.node.mine(2)
            self.world.node.set_automine(True)
        return outcome_of(self.world.rpc, sent, sender=key.address, call=call)

    def desk(self, role: ChainRole, call: Call, service: Callable[..., ResponseStep], **asked: Any) -> None:
        """The duty officer's click at the incident desk; the officer's own wallet where the desk cannot sign any more.

        It cannot with a key that somebody else uses too (the outbox would meet a nonce that is taken), nor in a race.
        What the desk refuses, the officer does with their own wallet too.
        """
        if self.watched is not None or self._used_elsewhere(_OFFICERS[role]):
            self.officer(role, call)
            return
        self.world.read_index()
        try:
            step = service(actor=self.duty, reason="drill", **asked)
        except ResponseRefused:
            self.officer(role, call)
            return
        if step.transaction is not None:
            (row,) = self.world.carry_out(step.transaction)
            self.transactions += 1
            if row.state not in ("mined", "final"):
                raise DrillBroken(f"{row}: {row.error_code}")

    def _used_elsewhere(self, name: str) -> bool:
        signer = self.world.signer(name)
        seen = as_int(self.world.rpc.call("eth_getTransactionCount", signer.address, "latest"))
        return bool(signer.halted_reason) or seen != signer.next_nonce

    def council(self, call: Call) -> None:
        self.own_hashes |= set(governance.council(self.world, call))
        self.transactions += 1

    def decide(self, calls: list[Call]) -> None:
        if calls:
            self.own_hashes |= set(governance.decide(self.world, calls))
            self.transactions += len(calls)

    def server(self, *asked: tuple[Call, str]) -> None:
        """Calls by keys of the server, through the outbox; every one has to succeed."""
        rows = self.world.carry_out(*(self.world.ask(call, self.world.signer(role)) for call, role in asked))
        self.transactions += len(rows)
        for row in rows:
            if row.state not in ("mined", "final"):
                raise DrillBroken(f"{row}: {row.error_code}")

    # --- containing --------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop the security, stop trusting the keys, suspend who profited, cancel what waits: all that acts at once."""
        world = self.world
        if "pause" not in self.without and not self._paused():
            self.desk(
                ChainRole.TOKEN_GUARDIAN, operations.pause(world.token), response.pause_security, token=world.token
            )
            self.note("officers", "paused")
        self.notice()
        if "distrust" not in self.without:
            self._distrust()
        self._suspend()
        self._cancel_operations()

    def replace_keys(self) -> None:
        """Take every role from the stolen keys and give it to new ones; that has to wait for the administrators' delay."""
        if "rotate" not in self.without:
            self._rotate()

    def watch(self) -> None:
        """What the desk does while a change waits for its delay: whatever is new is stopped as well."""
        self.notice()
        self._suspend()
        self._cancel_operations()

    def _distrust(self) -> None:
        guilty = self._with_role(SignerRole.SBT_ISSUER) | self._with_role(SignerRole.ATTESTOR)
        if not guilty:
            return
        if not gateway().read("InvestorSBT", self.world.sbt, "issuancePaused")[0]:
            self.desk(ChainRole.SBT_GUARDIAN, self._sbt("pauseIssuance"), response.pause_issuance)
        for key in sorted(guilty):
            if not gateway().read("InvestorSBT", self.world.sbt, "distrustOf", key)[0]:
                since = datetime.fromtimestamp(self.began_at, UTC)
                call = self._sbt("distrust", key, self.began_at)
                self.desk(ChainRole.SBT_GUARDIAN, call, response.distrust_key, key=key, since=since)
                self.note("officers", "distrusted", key=self.world.name_of(key))

    def _suspend(self) -> None:
        if "suspend" in self.without:
            return
        reported = {person.wallets[0] for person in self.world.investors if self._lost_key(person)}
        for address in sorted(self.found.suspects | reported):
            if gateway().standing(address) in (Standing.EFFECTIVE, Standing.PENDING):
                call = operations.suspend_sbt(address)
                self.desk(ChainRole.SBT_GUARDIAN, call, response.suspend_holder_sbt, holder=address)
                self.note("officers", "suspended", who=self.world.name_of(address))

    def _cancel_operations(self) -> None:
        """The council cancels every operation in the manager that nobody of ours announced."""
        if "cancel" in self.without:
            return
        for log in self.found.logs:
            if log.event != "OperationScheduled":
                continue
            operation = bytes.fromhex(log.args["operationId"].removeprefix("0x"))
            if gateway().read("AccessManager", self.world.manager, "getSchedule", operation)[0]:
                data = bytes.fromhex(log.args["data"].removeprefix("0x"))
                call = governance.manager_call(self.world, "cancel", log.args["caller"], log.args["target"], data)
                self.council(call)
                self.note("officers", "cancelled", what=_function_of(data))

    def _rotate(self) -> None:
        """One revocation and one grant for every stolen key. Addresses never get a role twice."""
        held = self._held_by_stolen_keys()
        calls: list[Call] = []
        for role, name in held:
            old = self.world.signer(name)
            Signer.objects.filter(pk=old.pk).update(role=f"stolen_{old.pk}", halted_reason="stolen")
            new = services.create_platform_signer(role=name)
            fund(self.world.node, [new.address])
            delay = int(profile().controller_delay.total_seconds()) if role == ChainRole.TOKEN_CONTROLLER else 0
            calls.append(governance.manager_call(self.world, "revokeRole", int(role), old.address))
            calls.append(governance.manager_call(self.world, "grantRole", int(role), new.address, delay))
            if role in self.officers:
                self.officers[role] = Key.copy_of(new)
        calls += self._replace_attestors()
        self.decide(calls)
        for _role, name in held:
            self.note("officers", "rotated", key=name)

    def _held_by_stolen_keys(self) -> list[tuple[ChainRole, str]]:
        """Roles of ours whose present key was used by somebody else."""
        return [(role, name) for role, name in {**_OFFICERS, **_SERVER}.items() if self._with_role(name)]

    def _replace_attestors(self) -> list[Call]:
        calls: list[Call] = []
        for address in sorted(self._with_role(SignerRole.ATTESTOR)):
            old = Signer.objects.get(address=address)
            Signer.objects.filter(pk=old.pk).update(role=f"stolen_{old.pk}", halted_reason="stolen")
            new = services.create_platform_signer(role=SignerRole.ATTESTOR)
            calls.append(governance.manager_call(self.world, "revokeRole", int(ChainRole.ATTESTOR), old.address))
            calls.append(governance.manager_call(self.world, "grantRole", int(ChainRole.ATTESTOR), new.address, 0))
            self.note("officers", "rotated", key=SignerRole.ATTESTOR)
        return calls

    # --- restoring ---------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Bring units, freezes, admissions, SBTs and the service back to what the register says. Takes as long as it takes."""
        self.notice()
        if self._held_by_stolen_keys():  # found out only now: first stop it, then restore
            self.stop()
            self.replace_keys()
        self._cancel_operations()
        self._lift_issuance()
        self._new_wallets()
        self._restore_sbts()
        self._cancel_recoveries()
        self._admit()
        self._by_controller(self._repairs())
        if self._paused():
            self.council(operations.unpause(self.world.token))
            self.note("officers", "unpaused")
        self.world.read_index()

    def _lift_issuance(self) -> None:
        for key in self._wrongly_distrusted():
            self.council(self._sbt("restoreTrust", key))
            self.note("officers", "trust_restored", key=self.world.name_of(key))
        if gateway().read("InvestorSBT", self.world.sbt, "issuancePaused")[0]:
            self.council(self._sbt("resumeIssuance"))

    def _wrongly_distrusted(self) -> list[str]:
        """Keys a thief with a guardian's key distrusted, that nobody stole."""
        keys = {log.args["key"] for log in self.found.logs if log.event == "KeyDistrusted"}
        stolen = self.found.stolen
        return sorted(
            k for k in keys if k not in stolen and gateway().read("InvestorSBT", self.world.sbt, "distrustOf", k)[0]
        )

    def _new_wallets(self) -> None:
        """Who lost a key gets a new wallet of the same person; the old one stays suspended."""
        lost = [p for p in self.world.investors if self._lost_key(p) and len(p.wallets) == 1]
        for person in lost:
            fresh = services.create_custody_signer(label=person.name)
            fund(self.world.node, [fresh.address])
            person.wallets.append(fresh.address)
            person.signer = fresh
            self.note("platform", "new_wallet", who=person.name)
        if lost:
            self.world.issue_to((person.wallet, person.subject) for person in lost)
            self.transactions += len(lost)

    def _lost_key(self, person: Person) -> bool:
        return person in self.reported or person.wallets[0] in self.found.stolen

    def _restore_sbts(self) -> None:
        """Lift wrong suspensions, issue again what was revoked, attest again what an unsound key had issued."""
        renewals, fresh = [], []
        for person in self.world.investors:
            standing = gateway().standing(person.wallet)
            if standing == Standing.SUSPENDED and not self._lost_key(person):
                self.council(operations.reinstate_sbt(person.wallet))
                self.note("officers", "reinstated", who=person.name)
                standing = gateway().standing(person.wallet)
            if standing in (Standing.ISSUER_DISTRUSTED, Standing.ATTESTOR_DISTRUSTED, Standing.EXPIRED):
                renewals.append((person.wallet, person.subject))
            elif standing == Standing.NONE:
                fresh.append((person.wallet, person.subject))
        self.world.issue_to(renewals, renew=True)
        self.world.issue_to(fresh)
        self.transactions += len(renewals) + len(fresh)
        pending = [p for p in self.world.investors if gateway().standing(p.wallet) == Standing.PENDING]
        if pending:
            self.note("platform", "attested", count=len(pending))
            self.world.pass_time(int(profile().activation_delay.total_seconds()) + 1)
            self.note("clock", "activation_over")

    def _cancel_recoveries(self) -> None:
        for wallet in (w for person in self.world.investors for w in person.wallets):
            (recovery,) = gateway().read("SecurityToken", self.world.token, "recoveryOf", wallet)
            if recovery[1]:
                self.council(operations.cancel_recovery(self.world.token, wallet))
                self.note("officers", "recovery_cancelled", who=self.world.name_of(wallet))

    def _admit(self) -> None:
        missing = [p.wallet for p in self.world.investors if not gateway().is_admitted(self.world.token, p.wallet)]
        if missing:
            self.server((operations.admit(self.world.token, missing), SignerRole.TOKEN_AGENT))
            self.note("platform", "admitted", count=len(missing))

    def _repairs(self) -> list[Call]:
        """The controller's calls that make balances and freezes what the register says."""
        from chain.drills.record import holders

        world, token = self.world, self.world.token
        theirs = {wallet for person in world.investors for wallet in person.wallets}
        wrong = world.balances([a for a in sorted({*holders(world), *world.thieves}) if a not in theirs])
        wrong |= {w: n for p in world.investors for w, n in world.balances(p.wallets[:-1]).items()}
        spare = {address: units for address, units in wrong.items() if units}
        calls: list[Call] = []
        for person in world.investors:
            has = world.balances([person.wallet])[person.wallet]
            missing = person.units - has
            for address in list(spare):
                units = min(missing, spare[address])
                if units > 0:
                    calls.append(self._forced_transfer(address, person.wallet, units))
                    spare[address] -= units
                    missing -= units
            if missing > 0:
                calls.append(self._reverse_redemption(person, missing))
            if missing < 0:
                calls.append(self._burn(person.wallet, -missing))
        calls += [self._burn(address, units) for address, units in spare.items() if units]
        for person in world.investors:
            if gateway().read("SecurityToken", token, "getFrozenTokens", person.wallet)[0]:
                calls.append(self._token("setFrozenTokens", person.wallet, 0))
        return calls

    def _by_controller(self, calls: list[Call]) -> None:
        """Announce everything, wait, carry everything out."""
        if not calls or "restore" in self.without:
            return
        for call in calls:
            self._must(governance.manager_call(self.world, "schedule", call.to, call.data, 0))
        self.note("officers", "announced", count=len(calls))
        self.world.pass_time(int(profile().controller_delay.total_seconds()) + 1)
        for call in calls:
            self._must(call)
        self.note("officers", "moved_back", count=len(calls))

    def _must(self, call: Call) -> None:
        outcome = self.officer(ChainRole.TOKEN_CONTROLLER, call)
        if not outcome.done:
            raise DrillBroken(f"the controller could not {call.function}: {outcome.reason}")

    # --- small things ------------------------------------------------------------------------------------------------

    def _paused(self) -> bool:
        return bool(gateway().read("SecurityToken", self.world.token, "paused")[0])

    def _with_role(self, name: str) -> set[str]:
        """Stolen keys that hold this role of ours."""
        mine = Signer.objects.filter(role=name).values_list("address", flat=True)
        return self.found.stolen & set(mine)

    def _sbt(self, function: str, *args: Any) -> Call:
        return Call(self.world.sbt, abi.encode_call("InvestorSBT", function, *args), f"InvestorSBT.{function}")

    def _token(self, function: str, *args: Any) -> Call:
        name = function.split("(")[0]
        return Call(self.world.token, abi.encode_call("SecurityToken", function, *args), f"SecurityToken.{name}")

    def _forced_transfer(self, holder: str, recipient: str, units: int) -> Call:
        return self._token("forcedTransfer(address,address,uint256,bytes32)", holder, recipient, units, REASON)

    def _reverse_redemption(self, person: Person, units: int) -> Call:
        return self._token("reverseRedemption", person.wallet, units, REASON)

    def _burn(self, holder: str, units: int) -> Call:
        return self._token("burn", holder, units, REASON)


def duty_officer() -> User:
    """Somebody who may sit at the incident desk."""
    user, made = User.objects.get_or_create(email="duty.officer@drill.example")
    if made:
        user.groups.add(Group.objects.get_or_create(name=Role.KYC_OFFICER)[0])
    return user


def _function_of(data: bytes) -> str:
    decoded = next((d for kind in abi.KINDS if (d := abi.decode_arguments(kind, data))), None)
    return decoded[0] if decoded else "0x" + data[:4].hex()
