"""The drills of CONTRACTS.md, D1 to D21. Each play says what was stolen and what must hold beyond "nothing is lost"."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from eth_account import Account

from chain import abi, attestation, operations, services
from chain.desk.models import Alarm, AlarmEvidence
from chain.drills import governance
from chain.drills.defence import CALLED_SECONDS
from chain.drills.engine import HURRIED, PATIENT, PLAIN, RACING, Drill, Scene
from chain.drills.keys import Key, try_call
from chain.drills.oracle import Oracle
from chain.drills.record import OFFICERS, PLATFORM, THIEF
from chain.drills.thief import roles_of
from chain.drills.world import DAY, HOUR, YEAR, Person, World
from chain.gateway import gateway
from chain.models import ChainTransaction, Holding, Incident, SbtRecord
from chain.types import Attestation, Call, ChainRole, Restriction, SignerRole, Standing

State = ChainTransaction.State
#: What the server's process can sign with: whoever owns the server owns these.
HOT_ROLES: Final = (SignerRole.SBT_ISSUER, SignerRole.TOKEN_AGENT, SignerRole.GAS_FUNDER, SignerRole.DEPLOYER)


# --- whose keys ------------------------------------------------------------------------------------------------------


def key_of(world: World, role: str) -> Key:
    """A copy of the platform's key for `role`."""
    return Key.copy_of(world.signer(role))


def custody_key(world: World) -> Key:
    """A copy of the key to the wallet we hold for Alice."""
    signer = world.investors[0].signer
    assert signer is not None  # noqa: S101 (the world was built so)
    return Key.copy_of(signer)


def own_key(person: Person) -> Key:
    """The key to an investor's own wallet."""
    assert person.key is not None  # noqa: S101
    return person.key


def hot_keys(world: World) -> list[Key]:
    """Every key the server holds that has a use by itself: the platform's hot keys and the wallets in custody."""
    return [*(key_of(world, role) for role in HOT_ROLES), custody_key(world)]


def _carol(scene: Scene) -> Person:
    return scene.world.investors[2]


# --- D1 to D3: an investor's key -----------------------------------------------------------------------------------


def d1(scene: Scene) -> None:
    """An investor's key: to addresses without an SBT."""
    world, carol = scene.world, _carol(scene)
    key = own_key(carol)
    thief = scene.steal(key)
    approved = _token_call(world, "approve", world.stranger.address, 30)
    thief.attempt(key, approved, phase="first", arguments="stranger, 30")
    for recipient in (world.stranger.address, Key("fresh").address, world.token, world.sbt, world.manager):
        outcome = thief.attempt(
            key, operations.transfer(world.token, recipient, 30), phase="first", arguments=world.name_of(recipient)
        )
        scene.expect_refused(outcome, code="SecurityToken_Restricted(21)")
    pull = _token_call(world, "transferFrom", carol.wallet, world.stranger.address, 30)
    scene.expect_refused(thief.attempt(world.stranger, pull, phase="first", arguments="carol, stranger, 30"))
    scene.note(THIEF, "refused", reason="SecurityToken_Restricted(21)")
    scene.expect(scene.result.most_held_by_thief == 0, "units moved")
    _unharmed_after_report(scene, carol)


def d2(scene: Scene) -> None:
    """An investor's key: to the thief's own valid SBT, which the security never admitted."""
    world, carol = scene.world, _carol(scene)
    thief = scene.steal(own_key(carol))
    scene.expect(gateway().standing(world.friend.wallet) == Standing.EFFECTIVE, "the friend's SBT is not effective")
    for units in (30, 1):
        call = operations.transfer(world.token, world.friend.wallet, units)
        scene.expect_refused(
            thief.attempt(own_key(carol), call, phase="first", arguments=f"friend, {units}"),
            code="SecurityToken_Restricted(30)",
        )
    scene.note(THIEF, "refused", reason="SecurityToken_Restricted(30)")
    scene.expect(scene.result.most_held_by_thief == 0, "units moved")
    _unharmed_after_report(scene, carol)


def _unharmed_after_report(scene: Scene, person: Person) -> None:
    """The owner reports the key; a new wallet takes everything over."""
    scene.defence.report(person)
    scene.detect()
    scene.contain()
    scene.restore()


def d3(scene: Scene) -> None:
    """An investor's key: to a genuine, admitted SBT, and on from there. The old key objects to the recovery."""
    carol = _carol(scene)
    scene.steal(own_key(carol))
    scene.seize("first")
    scene.expect(scene.result.most_held_by_thief == 30, "the thief did not get what the drill is about")
    if scene.mode == PATIENT:
        _pass_on(scene)
    scene.wait(HOUR)
    scene.defence.report(carol)
    scene.detect()
    scene.contain()
    scene.seize("after containment")
    if scene.mode == PATIENT:
        scene.wait(9 * DAY)
        scene.seize("nine days later")
    scene.restore()
    scene.answer_again()


def _pass_on(scene: Scene) -> None:
    """The mule passes everything on to a second one, in parts."""
    world = scene.world
    units = world.balance(world.mule.wallet)
    for part in (units // 2, units - units // 2):
        if part:
            scene.thief.attempt(
                own_key(world.mule),
                operations.transfer(world.token, world.second_mule.wallet, part),
                phase="passing on",
                arguments=f"second mule, {part}",
            )
    scene.note(THIEF, "passed_on", units=units)


# --- D4, D5, D11, D18: issuing -------------------------------------------------------------------------------------


def d4(scene: Scene) -> None:
    """The issuer's key alone: no SBT without an officer's signature."""
    scene.steal(key_of(scene.world, SignerRole.SBT_ISSUER))
    scene.theft()
    scene.expect("InvestorSBT.issue" not in scene.thief.used, "an SBT was issued without an attestation")
    scene.expect(scene.result.most_held_by_thief == 0, "units moved")


def d5(scene: Scene) -> None:
    """Issuer and one attestor: as many SBTs as possible, then units. Bounded, not effective, distrusted at once."""
    world = scene.world
    issuer, attestor = key_of(world, SignerRole.SBT_ISSUER), key_of(world, SignerRole.ATTESTOR)
    thief = scene.steal(issuer, attestor)
    if scene.mode == RACING:
        scene.theft()
        scene.expect(scene.result.most_held_by_thief == 0, "units moved")
        return
    limit = int(gateway().read("InvestorSBT", world.sbt, "issuanceLimitPerDay")[0])
    forged = list(_forge(scene, issuer, attestor, limit))
    scene.note(THIEF, "issued", count=len(forged))
    scene.expect(len(forged) <= limit // 2, f"{len(forged)} SBTs at once, the limit is {limit // 2}")
    scene.expect(bool(forged), "nothing was issued: the drill shows nothing")
    _deceived(scene, forged[0], Restriction.RECEIVER_PENDING)
    if scene.mode == PATIENT:
        scene.wait(DAY + HOUR)
        more = list(_forge(scene, issuer, attestor, limit))
        scene.expect(len(more) <= limit // 2, "more than a day's limit was issued")
        _deceived(scene, forged[0], Restriction.RECEIVER_NOT_ADMITTED)
    scene.detect()
    scene.wait(CALLED_SECONDS)
    sent = scene.defence.transactions
    scene.contain()
    scene.expect(scene.defence.transactions - sent < 2 * limit, "containing took a transaction per SBT")
    standing = gateway().standing(forged[0])
    scene.expect(
        standing in (Standing.ISSUER_DISTRUSTED, Standing.ATTESTOR_DISTRUSTED, Standing.SUSPENDED),
        f"a forged SBT is {standing.name}",
    )
    scene.expect(not any(world.balances(forged).values()), "a forged SBT holds units")
    scene.seize("after containment")
    scene.restore()
    scene.wait(2 * DAY)
    effective = [holder for holder in forged if gateway().standing(holder) == Standing.EFFECTIVE]
    scene.expect(not effective, f"{len(effective)} forged SBTs are effective in the end")
    scene.expect(thief.first_at > 0, "the thief did nothing")


def _forge(scene: Scene, issuer: Key, attestor: Key, most: int) -> Iterator[str]:
    """Issue SBTs to fresh addresses until the chain says no."""
    world, thief = scene.world, scene.thief
    for _number in range(most):
        holder = Key("forged").address
        attested = world.attestation(holder, secrets.token_bytes(32))
        call = operations.issue_sbt(attested, attestor.address, attestor.attest(attested))
        if thief.attempt(issuer, call, phase="forging", arguments="a fresh address") != "done":
            return
        yield holder


def _deceived(scene: Scene, forged: str, expected: Restriction) -> None:
    """An honest investor is talked into sending units to a forged SBT."""
    bob = scene.world.investors[1]
    call = operations.transfer(scene.world.token, forged, 10)
    outcome = scene.thief.attempt(own_key(bob), call, phase="deceiving an investor", arguments="a forged SBT, 10")
    scene.expect_refused(outcome, code=f"SecurityToken_Restricted({int(expected)})")


def d11(scene: Scene) -> None:
    """A captured attestation: on another holder, chain, contract; after its deadline; twice; its twin."""
    world = scene.world
    issuer, attestor = key_of(world, SignerRole.SBT_ISSUER), key_of(world, SignerRole.ATTESTOR)
    thief = scene.steal(issuer)
    dora = Key("dora")
    good = world.attestation(dora.address, secrets.token_bytes(32), deadline=world.now() + DAY)
    signature = attestor.attest(good)

    def submit(attested: Attestation, signed: bytes, what: str) -> str:
        return thief.attempt(
            issuer, operations.issue_sbt(attested, attestor.address, signed), phase="replaying", arguments=what
        )

    scene.expect_refused(submit(replace(good, holder=world.stranger.address), signature, "another holder"))
    scene.expect_refused(submit(replace(good, subject=world.investors[0].subject), signature, "another person"))
    scene.expect_refused(submit(replace(good, expires_at=good.expires_at + YEAR), signature, "a longer life"))
    scene.expect_refused(submit(replace(good, deadline=good.deadline + DAY), signature, "a later deadline"))
    scene.expect_refused(submit(good, _for_another_chain(attestor, good), "signed for another chain"))
    scene.expect_refused(
        submit(good, _for_another_contract(attestor, good, world.token), "signed for another contract")
    )
    scene.expect_refused(submit(good, _twin(signature), "the high-s twin"))
    scene.expect_refused(submit(good, signature[:64], "a short signature"))
    scene.expect(submit(good, signature, "as it was meant") == "done", "a genuine attestation was refused")
    scene.expect_refused(submit(good, signature, "twice"))
    late = world.attestation(Key("late").address, secrets.token_bytes(32), deadline=world.now() + HOUR)
    captured = attestor.attest(late)
    scene.wait(2 * HOUR)
    scene.expect_refused(submit(late, captured, "after its deadline"), code="InvestorSBT_DeadlinePassed")
    scene.note(THIEF, "replays_refused")
    scene.detect()
    scene.contain()
    scene.restore()


def _for_another_chain(attestor: Key, attested: Attestation) -> bytes:
    return _signed_for(attestor, attested, chainId=1)


def _for_another_contract(attestor: Key, attested: Attestation, contract: str) -> bytes:
    return _signed_for(attestor, attested, verifyingContract=contract)


def _signed_for(attestor: Key, attested: Attestation, **domain: object) -> bytes:
    """The officer's signature, under another EIP-712 domain."""
    data = attestation.typed_data(attested)
    data["domain"] |= domain
    return bytes(Account.sign_typed_data(attestor.private.to_bytes(), full_message=data).signature)


def _twin(signature: bytes) -> bytes:
    """The same signature with the other s: valid mathematics, refused as a copy (EIP-2)."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = order - int.from_bytes(signature[32:64])
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


def d18(scene: Scene) -> None:
    """Issuer and attestor: a second SBT with a holder's subject, and a clerk who is talked into a recovery to it."""
    world, alice = scene.world, scene.world.investors[0]
    issuer, attestor = key_of(world, SignerRole.SBT_ISSUER), key_of(world, SignerRole.ATTESTOR)
    thief = scene.steal(issuer, attestor)
    twin = Key("twin").address
    attested = world.attestation(twin, alice.subject)
    call = operations.issue_sbt(attested, attestor.address, attestor.attest(attested))
    scene.expect(
        thief.attempt(issuer, call, phase="forging", arguments="a fresh address, alice's subject") == "done",
        "the twin was not issued",
    )
    scene.wait(DAY + HOUR)
    agent = world.signer(SignerRole.TOKEN_AGENT)
    (row,) = world.carry_out(world.ask(operations.announce_recovery(world.token, alice.wallet, twin), agent))
    scene.expect(row.state in (State.MINED, State.FINAL), f"the deceived clerk could not announce: {row.error_code}")
    scene.note(PLATFORM, "recovery_announced", who="alice")
    assert alice.signer is not None  # noqa: S101
    world.must(operations.object_to_recovery(world.token), alice.signer)
    scene.note(PLATFORM, "objected", who="alice")
    scene.wait(8 * DAY)
    (row,) = world.carry_out(world.ask(operations.recover(world.token, alice.wallet, twin), agent))
    scene.expect(
        row.state == State.REFUSED and "Objected" in row.error_code,
        f"the recovery was not stopped: {row.state} {row.error_code}",
    )
    scene.note(THIEF, "refused", reason=row.error_code)
    scene.detect()
    scene.contain()
    scene.restore()


# --- D6 to D10, D14, D16: the platform's keys ----------------------------------------------------------------------


def _stolen(*roles: str) -> Callable[[Scene], None]:
    """A play: the keys of these roles, the usual order."""

    def play(scene: Scene) -> None:
        scene.steal(*(key_of(scene.world, role) for role in roles))
        scene.theft()

    return play


def d6(scene: Scene) -> None:
    """The token agent's key."""
    _stolen(SignerRole.TOKEN_AGENT)(scene)
    if scene.mode == HURRIED:
        scene.expect(
            "SecurityToken.mint" in scene.thief.used or "SecurityToken.mintBatch" in scene.thief.used,
            "the thief did not even mint",
        )


def d7(scene: Scene) -> None:
    """The controller's key: what it announces is cancelled before it can run."""
    _stolen(SignerRole.TOKEN_CONTROLLER)(scene)
    scene.expect(
        "AccessManager.schedule" in scene.thief.used or scene.mode == RACING, "the thief did not even announce"
    )
    scene.expect(scene.result.most_held_by_thief == 0, "units moved")


def d8(scene: Scene) -> None:
    """Both guardians' keys: they can stop, and nothing else."""
    _stolen(SignerRole.TOKEN_GUARDIAN, SignerRole.SBT_GUARDIAN)(scene)
    scene.expect(scene.result.most_held_by_thief == 0, "units moved")


def d10(scene: Scene) -> None:
    """Every hot key of the server at once."""
    scene.steal(*hot_keys(scene.world))
    scene.theft()


def pair(first: int, second: int) -> Callable[[Scene], None]:
    """An ordered pair of hot keys: the first acts, then the second, then both."""

    def play(scene: Scene) -> None:
        keys = hot_keys(scene.world)
        scene.steal(keys[first], keys[second])
        scene.theft()

    return play


def hot_pairs() -> list[tuple[int, int]]:
    """Every ordered pair of hot keys, by their place in `hot_keys`."""
    return list(itertools.permutations(range(len(HOT_ROLES) + 1), 2))


def d16(scene: Scene) -> None:
    """A guardian's key used to grief, again and again: the council lifts it, the key is stopped, redemption goes on."""
    world = scene.world
    scene.steal(key_of(world, SignerRole.TOKEN_GUARDIAN), key_of(world, SignerRole.SBT_GUARDIAN))
    scene.seize("first")
    _redemption_works(scene)
    for _again in range(2):
        if gateway().read("SecurityToken", world.token, "paused")[0]:
            scene.defence.council(operations.unpause(world.token))
            scene.note(OFFICERS, "unpaused")
        scene.seize("again")
    scene.detect()
    scene.contain()
    scene.restore()
    stopped = scene.seize("after the key was stopped")
    scene.expect(stopped == 0, "the guardian's stolen key still works")
    _redemption_works(scene)


def _redemption_works(scene: Scene) -> None:
    """On a copy of the chain: whatever a guardian did, units are redeemed at maturity."""
    world, node = scene.world, scene.world.node
    snapshot = node.snapshot()
    agent, alice = world.signer(SignerRole.TOKEN_AGENT), world.investors[0]
    node.pass_time(4 * YEAR)
    refused = try_call(world.rpc, agent.address, operations.redeem(world.token, alice.wallets[0], 1))
    node.revert(snapshot)
    scene.expect(not refused, f"redemption is stopped: {refused}")


# --- D9, D15, D21: the administrators -----------------------------------------------------------------------------


def d9(scene: Scene) -> None:
    """One administrator's key. It moves nothing; that it was used is noticed."""
    governance.one_admin_key(scene)
    _was_noticed(scene)


def d15(scene: Scene) -> None:
    """One signer of the administrators' and one of the council's."""
    governance.one_signer_of_each(scene)
    _was_noticed(scene)


def _was_noticed(scene: Scene) -> None:
    scene.expect(bool(scene.thief.used), "nothing went through: the drill shows nothing")
    scene.expect(Alarm.Kind.FOREIGN_ACT in scene.result.alarms, "an officer's lone approval raised no alarm")


def d21(scene: Scene) -> None:
    """The deployer's key, while delays that were set at deployment are not effective yet."""
    world = scene.world
    deployer = key_of(world, SignerRole.DEPLOYER)
    scene.steal(deployer)
    scene.expect(not roles_of(world, deployer.address), "the deployer still has a role")
    for phase in ("first days", "just before the fifth day", "after five days"):
        done = scene.seize(phase)
        scene.expect(done == 0, f"the deployer's key still does something: {sorted(scene.thief.used)}")
        scene.wait(2 * DAY)
    scene.expect(scene.result.most_held_by_thief == 0, "units moved")


# --- D12, D13, D17, D19, D20 --------------------------------------------------------------------------------------


def d12(scene: Scene) -> None:
    """The database: an applicant marked as approved, a register that says what the thief likes."""
    world = scene.world
    oracle = Oracle(world, SignerRole.SBT_ISSUER)
    thief = scene.steal()
    thief.keys = []
    attested = world.attestation(world.stranger.address, secrets.token_bytes(32))
    attestor = world.signer(SignerRole.ATTESTOR).address
    signatures = {
        "no signature": b"",
        "the thief's signature": world.stranger.attest(attested),
        "a made-up signature": secrets.token_bytes(65),
    }
    calls = {what: operations.issue_sbt(attested, attestor, signature) for what, signature in signatures.items()}
    calls["the thief as attestor"] = operations.issue_sbt(
        attested, world.stranger.address, world.stranger.attest(attested)
    )
    for what, call in calls.items():
        row = oracle.slip_in(call)
        scene.expect(row.state == State.REFUSED, f"{what}: {row.state}")
        # Were the business rows forged as well: the contract asks for an officer's signature all the same.
        on_chain = try_call(world.rpc, oracle.address, call)
        scene.expect(bool(on_chain), f"{what}: the contract would take it")
        scene.note(THIEF, "row_refused", what=what, reason=f"{row.error_code}; {on_chain}")
    scene.expect("NotAttestor" in on_chain, f"own attestor: {on_chain}")
    scene.detect()
    scene.expect(Alarm.Kind.UNASKED in scene.result.alarms, "nobody was told of the forged rows")
    _falsify_register(scene)
    scene.expect(gateway().standing(world.stranger.address) == Standing.NONE, "the stranger has an SBT")


def _falsify_register(scene: Scene) -> None:
    world = scene.world
    world.node.mine(3)  # what is final is compared
    world.read_index()
    invented = SbtRecord.objects.get(address=world.investors[0].wallet)
    invented.pk, invented.address, invented.token_id = None, world.stranger.address, 10**6
    invented.save(force_insert=True)
    held = Holding.objects.get(holder=world.investors[0].wallet, token=world.token)
    held.pk, held.holder, held.final_units = None, world.stranger.address, held.units
    held.save(force_insert=True)
    scene.note(THIEF, "falsified")
    agent, bob = world.signer(SignerRole.TOKEN_AGENT), own_key(world.investors[1])
    (admitted,) = world.carry_out(world.ask(operations.admit(world.token, [world.stranger.address]), agent))
    scene.expect(admitted.state == State.REFUSED, "an invented SBT was admitted")
    outcome = scene.thief.attempt(
        bob, operations.transfer(world.token, world.stranger.address, 1), phase="deceiving", arguments="stranger, 1"
    )
    scene.expect_refused(outcome, code="SecurityToken_Restricted(21)")
    services.run_reconciliation()
    noticed = Incident.objects.filter(closed_at=None, kind="chain.ledger_differs").exists()
    scene.expect(noticed, "the comparison with the chain did not notice the falsified register")
    scene.note(PLATFORM, "compared")


def d13(scene: Scene) -> None:
    """A lost wallet and a good story: recovery to another person."""
    world, alice = scene.world, scene.world.investors[0]
    scene.steal()
    agent = world.signer(SignerRole.TOKEN_AGENT)
    for other in (world.friend.wallet, world.mule.wallet, world.investors[1].wallet, world.stranger.address):
        (row,) = world.carry_out(world.ask(operations.announce_recovery(world.token, alice.wallet, other), agent))
        scene.expect(
            row.state == State.REFUSED and "NotSameSubject" in row.error_code,
            f"{world.name_of(other)}: {row.state} {row.error_code}",
        )
        scene.note(PLATFORM, "recovery_refused", who=world.name_of(other))
    attestor = world.signer(SignerRole.ATTESTOR)
    attested = world.attestation(world.friend.wallet, alice.subject)
    rebound = operations.issue_sbt(attested, attestor.address, attestation.sign(attested, attestor))
    (row,) = world.carry_out(world.ask(rebound, world.signer(SignerRole.SBT_ISSUER)))
    scene.expect(row.state == State.REFUSED, "an address was given another person's subject")


def d17(scene: Scene) -> None:
    """The worker's credentials: whatever the signers' policy lets through, without seeing a key.

    Our own worker signs none of it, and the desk is told by what the thief's own worker leaves on the chain.
    """
    world = scene.world
    oracles = [Oracle(world, role) for role in HOT_ROLES]
    alice = world.investors[0].signer
    assert alice is not None  # noqa: S101
    oracles.append(Oracle(world, SignerRole.CUSTODY, signer=alice))
    thief = scene.steal(*oracles)
    # First through our own worker: it is called out before anything is signed. Then one transaction of his own worker.
    agent = next(each for each in oracles if each.signer.role == SignerRole.TOKEN_AGENT)
    call = operations.mint(world.token, world.mule.wallet, 1)
    row = agent.slip_in(call)
    scene.expect(row.state == State.REFUSED and not row.attempts.exists(), f"our worker signed it: {row.state}")
    scene.note(THIEF, "row_refused", what=call.function, reason=row.error_code)
    scene.detect()
    scene.expect(scene.result.alarms == [Alarm.Kind.UNASKED], f"refused without an alarm: {scene.result.alarms}")
    scene.expect(thief.attempt(agent, call, phase="first", arguments="mule, 1") == "done", "his own worker did nothing")
    scene.detect()
    seen = AlarmEvidence.objects.filter(transaction_hash=thief.sent[-1]).exists()
    scene.expect(seen, "what the thief's own worker signed in our name raised no alarm")
    scene.theft()
    slipped_in = {function for oracle in oracles for function in oracle.slipped_in}
    let_through = {function for oracle in oracles for function in oracle.let_through}
    scene.expect(bool(slipped_in), "nothing was slipped into the outbox: the drill shows nothing")
    scene.expect(not let_through, f"our worker signed what nobody asked for: {sorted(let_through)}")
    scene.expect(Alarm.Kind.UNASKED in scene.result.alarms, "nobody was told of rows that nobody asked for")


def d19(scene: Scene) -> None:
    """A controller's key that was revoked and, by mistake, granted again: old announcements stay dead."""
    world = scene.world
    key = key_of(world, SignerRole.TOKEN_CONTROLLER)
    thief = scene.steal(key)
    calls = {
        "soon": (_forced(world, 100), 0),
        "in half a year": (_forced(world, 50), world.now() + YEAR // 2),
    }
    for what, (call, when) in calls.items():
        announce = governance.manager_call(world, "schedule", call.to, call.data, when)
        scene.expect(
            thief.attempt(key, announce, phase="announcing", arguments=what) == "done", "nothing was announced"
        )
    scene.note(THIEF, "announced", count=len(calls))
    scene.detect()
    scene.contain()
    scene.wait(30 * DAY)
    delay = 24 * HOUR
    again = governance.manager_call(world, "grantRole", int(ChainRole.TOKEN_CONTROLLER), key.address, delay)
    scene.defence.decide([again])
    scene.note(OFFICERS, "granted_again")
    for days in (0, 2, 155):
        scene.wait(max(days, 1) * DAY)
        for what, (call, _when) in calls.items():
            scene.expect_refused(thief.attempt(key, call, phase=f"after the new grant, day {days}", arguments=what))
    scene.defence.decide([governance.manager_call(world, "revokeRole", int(ChainRole.TOKEN_CONTROLLER), key.address)])
    scene.restore()


def _forced(world: World, units: int) -> Call:
    data = abi.encode_call(
        "SecurityToken", "forcedTransfer(address,address,uint256)", world.investors[0].wallet, world.mule.wallet, units
    )
    return Call(world.token, data, "SecurityToken.forcedTransfer")


def race_of(place: int) -> Callable[[Scene], None]:
    """One hot key against the pause, in the same block and with a higher fee."""

    def play(scene: Scene) -> None:
        scene.steal(hot_keys(scene.world)[place])
        scene.theft()

    return play


def _token_call(world: World, function: str, *args: object) -> Call:
    return Call(world.token, abi.encode_call("SecurityToken", function, *args), f"SecurityToken.{function}")


ALL_WAYS: Final = (HURRIED, PATIENT, RACING)
DRILLS: Final = (
    Drill("D1", (PLAIN,), d1),
    Drill("D2", (PLAIN,), d2),
    Drill("D3", (HURRIED, PATIENT), d3),
    Drill("D4", (HURRIED, PATIENT), d4),
    Drill("D5", ALL_WAYS, d5),
    Drill("D6", ALL_WAYS, d6),
    Drill("D7", ALL_WAYS, d7),
    Drill("D8", (HURRIED, PATIENT), d8),
    Drill("D9", (HURRIED, PATIENT), d9),
    Drill("D10", ALL_WAYS, d10),
    Drill("D11", (PLAIN,), d11),
    Drill("D12", (PLAIN,), d12),
    Drill("D13", (PLAIN,), d13),
    *(Drill(f"D14.{first + 1}-{second + 1}", (HURRIED,), pair(first, second)) for first, second in hot_pairs()),
    Drill("D15", (HURRIED, PATIENT), d15),
    Drill("D16", (PLAIN,), d16),
    Drill("D17", (HURRIED,), d17),
    Drill("D18", (PLAIN,), d18),
    Drill("D19", (PLAIN,), d19),
    *(Drill(f"D20.{place + 1}", (RACING,), race_of(place)) for place in range(len(HOT_ROLES) + 1)),
    Drill("D21", (PLAIN,), d21),
)


def named(codes: list[str]) -> list[Drill]:
    """The drills with these codes; "D14" stands for all of its pairs. Raises `KeyError` for a code that is none."""
    if not codes:
        return list(DRILLS)
    chosen: list[Drill] = []
    for code in codes:
        found = [drill for drill in DRILLS if drill.code == code or drill.code.startswith(f"{code}.")]
        if not found:
            raise KeyError(code)
        chosen += found
    return chosen
