"""D3 and D5 against the running demonstration: a thief acts with keys that are really stolen, people answer at the desk.

Nothing here defends. It sets the stage with sample people, steals, goes on trying, and writes down what the chain and the
desk show until the alarm is closed.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from chain import attestation as attestations
from chain import operations, selectors
from chain.desk.models import Alarm, ResponseStep
from chain.drills.keys import Key, outcome_of, try_call
from chain.exceptions import NodeUnavailable
from chain.gateway import gateway
from chain.models import Signer
from chain.rpc import as_hex, node
from chain.services.deployment import held_attestors
from chain.types import Attestation, Category, SignerRole, Standing
from portal.demo import verification, world
from portal.demo.people import BY_KEY, SamplePerson
from portal.demo.waiting import until
from portal.models import User

STOLEN: Final = {"D3": ["investor key"], "D5": ["SBT issuer", "attestor"]}
HELD: Final = 100
TAKEN: Final = 60
ROGUES: Final = 3
#: How long people have; after that the drill ends as it stands.
PATIENCE: Final = timedelta(minutes=45)
#: The thief tries again this often.
AGAIN_SECONDS: Final = 6
_FUNDS: Final = 10**19

Say = Callable[[dict[str, Any]], None]


@dataclass
class Live:
    """One drill under way: whom it concerns, and what was written down."""

    code: str
    say: Say
    began: float = field(default_factory=time.monotonic)
    began_at: Any = field(default_factory=timezone.now)
    number: int = 0
    watched: dict[str, str] = field(default_factory=dict)  # name → address
    token: str = ""
    alarm: Alarm | None = None
    seen_steps: dict[int, str] = field(default_factory=dict)
    spans: dict[str, int] = field(default_factory=dict)

    def note(self, actor: str, text: str, **values: Any) -> None:
        """One step, with who holds what and whose verification counts after it."""
        self.number += 1
        step = {
            "number": self.number,
            "seconds": self.seconds,
            "actor": actor,
            "text": text,
            "values": values,
            "holdings": {name: gateway().balance(self.token, at) for name, at in self.watched.items()},
            "standings": {name: int(gateway().standing(at)) for name, at in self.watched.items()},
        }
        self.say({"kind": "step", "code": self.code, "mode": "live", "step": step})

    @property
    def seconds(self) -> int:
        return int(time.monotonic() - self.began)

    def reached(self, phase: str) -> bool:
        """Write down how long it took to come here, once."""
        if phase in self.spans:
            return False
        self.spans[phase] = self.seconds
        return True


def play(code: str, say: Say) -> None:
    """Set the stage, steal, and watch until the alarm is closed or the time is over."""
    live = Live(code, say)
    say({"kind": "begin", "code": code, "mode": "live", "stolen": STOLEN[code]})
    thief = {"D3": _steal_from_a_holder, "D5": _forge_verifications}[code](live)
    until_over = timezone.now() + PATIENCE
    while timezone.now() < until_over:
        try:
            if _watch(live, thief):
                break
        except NodeUnavailable:
            pass
        time.sleep(AGAIN_SECONDS / 3)
    lost, failures = thief.judge()
    closed = live.alarm is not None and live.alarm.state == Alarm.State.CLOSED
    failures += [] if closed else ["the alarm is still open"]
    result = {"failures": failures, "lost_units": lost, "passed": not failures and not lost, **live.spans}
    say({"kind": "end", "code": code, "mode": "live", "result": result})


class Thief:
    """What goes on trying, and how it is told that all is well again."""

    def try_again(self) -> str:
        """Do more of the same; empty if it went through, else the contract's refusal."""
        raise NotImplementedError

    def concerns(self, alarm: Alarm) -> bool:
        raise NotImplementedError

    def judge(self) -> tuple[int, list[str]]:
        """Units that are not where they belong, and what else is not as before."""
        raise NotImplementedError


def _watch(live: Live, thief: Thief) -> bool:
    """One look at desk and chain; true once the alarm was closed."""
    if live.alarm is None:
        rows = Alarm.objects.filter(opened_at__gte=live.began_at).order_by("pk")
        live.alarm = next((alarm for alarm in rows if thief.concerns(alarm)), None)
        if live.alarm is not None and live.reached("detected"):
            live.note("platform", "alarmed", alarms=[live.alarm.kind])
    else:
        live.alarm.refresh_from_db()
    _follow_desk(live)
    if "contained" not in live.spans:
        refused = thief.try_again()
        if refused and live.alarm is not None and live.reached("contained"):
            live.note("thief", "refused", reason=refused)
            live.note("officers", "contained")
    elif "restored" not in live.spans and thief.judge() == (0, []) and live.reached("restored"):
        live.note("officers", "restored")
    return live.alarm is not None and live.alarm.state == Alarm.State.CLOSED


def _follow_desk(live: Live) -> None:
    if live.alarm is None:
        return
    done = (ResponseStep.State.DONE, ResponseStep.State.UNNEEDED, ResponseStep.State.FAILED)
    for step in ResponseStep.objects.filter(alarm=live.alarm, state__in=done).select_related(
        "requested_by", "transaction"
    ):
        if live.seen_steps.get(step.pk) != step.state:
            live.seen_steps[step.pk] = step.state
            if step.kind == ResponseStep.Kind.NEW_WALLET:
                _see_new_wallets(live)
            mined = step.transaction.mined_hash if step.transaction else ""
            who = str(step.requested_by or "")
            live.note("officers", "did", step=step.kind, state=step.state, who=who, hash=mined)


def _see_new_wallets(live: Live) -> None:
    from kyc.selectors import wallet_by_address, wallets_for

    wallet = wallet_by_address(live.watched["victim"])
    for each in wallets_for(wallet.user) if wallet else []:
        if each.address not in live.watched.values():
            live.watched["victim, new wallet"] = each.address


# --- the stage ----------------------------------------------------------------------------------------------------


def _person(role: str, family: tuple[str, str, str], given: tuple[str, str, str]) -> SamplePerson:
    """A fresh sample person; every drill brings its own, so that one that was left half done is in nobody's way."""
    serial = secrets.token_hex(3)
    key = f"drill_{role}_{serial}"
    answers = {section: dict(values) for section, values in verification.ANSWERS["investor_b"].items()}
    answers["name"] |= dict(
        zip(
            ("family_name", "family_kana", "family_romaji", "given_name", "given_kana", "given_romaji"),
            (*family, *given),
            strict=True,
        )
    )
    verification.ANSWERS[key] = answers
    return SamplePerson(key, f"{role}.{serial}@drill.example", f"{family[0]} {given[0]}", family[1], "", "")


def _staff() -> dict[str, User]:
    return {
        key: User.objects.get(email=BY_KEY[key].email) for key in ("officer_1", "officer_2", "issuer_1", "issuer_2")
    }


def _verified(people: list[SamplePerson]) -> list[User]:
    staff = _staff()
    users = {person.key: world.ensure_account(person) for person in people}
    verification.ensure_verified(users, {**staff, **users}, lambda line: None)
    return list(users.values())


def _wallet_of(user: User) -> str:
    from kyc.selectors import primary_wallet

    wallet = primary_wallet(user)
    assert wallet is not None  # noqa: S101 (verified)
    return str(wallet.address)


def _fund(address: str) -> None:
    """A thief has ETH of their own."""
    node().call("anvil_setBalance", address, hex(_FUNDS))


# --- D3 ------------------------------------------------------------------------------------------------------------


def _steal_from_a_holder(live: Live) -> Thief:
    """A holder's key, and an accomplice with a genuine, admitted verification."""
    victim, mule = _verified(
        [
            _person("victim", ("相田", "アイダ", "AIDA"), ("愛", "アイ", "Ai")),
            _person("accomplice", ("根津", "ネズ", "NEZU"), ("三郎", "サブロウ", "Saburo")),
        ]
    )
    staff = _staff()
    security = world.ensure_security(staff, lambda line: None)
    world.ensure_holding({**staff, "investor_a": victim}, security, HELD, lambda line: None)
    world.ensure_admitted({**staff, "investor_b": mule}, security, lambda line: None)
    live.token = security.token
    live.watched = {"victim": _wallet_of(victim), "accomplice": _wallet_of(mule)}
    live.note("platform", "stage_set")
    key = Key.copy_of(Signer.objects.get(address=live.watched["victim"]))
    _fund(key.address)
    live.note("thief", "stole", keys=key.address)
    taken = key.act(node(), operations.transfer(live.token, live.watched["accomplice"], TAKEN))
    live.began = time.monotonic()  # from here on the seconds count
    live.note("thief", "moved", units=TAKEN, hash=taken.hash)
    return _HolderThief(live, key)


@dataclass
class _HolderThief(Thief):
    live: Live
    key: Key
    more: int = 3

    def try_again(self) -> str:
        """The stolen key sends a little more; contained when neither it nor the accomplice can move anything."""
        live, rpc = self.live, node()
        call = operations.transfer(live.token, live.watched["accomplice"], 5)
        refused = try_call(rpc, self.key.address, call)
        if not refused and self.more:
            self.more -= 1
            live.note("thief", "moved", units=5, hash=self.key.act(rpc, call).hash)
        back = operations.transfer(live.token, self.key.address, 1)
        passed_on = try_call(rpc, live.watched["accomplice"], back)
        return refused if passed_on else ""

    def concerns(self, alarm: Alarm) -> bool:
        return self.key.address in (alarm.holder, alarm.key)

    def judge(self) -> tuple[int, list[str]]:
        from kyc.selectors import wallet_by_address, wallets_for

        wallet = wallet_by_address(self.key.address)
        theirs = [each.address for each in wallets_for(wallet.user)] if wallet else []
        safe = sum(gateway().balance(self.live.token, each) for each in theirs if each != self.key.address)
        return HELD - safe, []


# --- D5 ------------------------------------------------------------------------------------------------------------


def _forge_verifications(live: Live) -> Thief:
    """The issuing key and an officer's key; the forged ones lie in wait behind the next honest one, for its block."""
    from tokens.models import Security

    (client,) = _verified([_person("client", ("相田", "アイダ", "AIDA"), ("愛", "アイ", "Ai"))])
    live.token = Security.objects.get(symbol=world.SYMBOL).token
    live.watched = {"honest client": _wallet_of(client)}
    live.note("platform", "stage_set")
    issuer = Key.copy_of(selectors.signer_for_role(SignerRole.SBT_ISSUER))
    officer = held_attestors()[0]
    attestor = Key.copy_of(officer)
    _fund(issuer.address)
    live.note("thief", "stole", keys=f"{issuer.address}, {attestor.address}")
    rpc, nonce = node(), issuer.next_nonce(node())
    forged = {f"forged {place}": Key("forged").address for place in range(1, ROGUES + 1)}
    sent = {}
    for place, holder in enumerate(forged.values(), start=1):
        call = _forged(holder, attestor)
        raw = issuer.raw(rpc, call, nonce=nonce + place)
        sent[str(rpc.call("eth_sendRawTransaction", as_hex(raw)))] = call
    live.note("thief", "lay_in_wait", count=len(sent))
    _honest_renewal(client)
    for transaction_hash, call in sent.items():
        until(
            "the block with the forged ones",
            lambda which=transaction_hash: rpc.call("eth_getTransactionReceipt", which) is not None,  # type: ignore[misc]
        )
        outcome_of(rpc, transaction_hash, sender=issuer.address, call=call)
    live.watched |= forged
    live.began = time.monotonic()
    live.note("thief", "issued", count=len(sent), hash=next(iter(sent)))
    return _ForgingThief(live, issuer, attestor, list(forged.values()))


def _honest_renewal(client: User) -> None:
    """Business goes on: the second officer renews a client's verification, with the same issuing key."""
    from kyc import services
    from kyc.models import Application

    application = Application.objects.filter(user=client).order_by("-pk")[0]
    officer = _staff()["officer_2"]
    services.renew(application_id=application.pk, officer=officer, reason="定期的な確認", risk_rating="low")


def _forged(holder: str, attestor: Key) -> Any:
    now = int(time.time())
    attested = Attestation(
        holder=holder,
        subject=secrets.token_bytes(32),
        categories=Category.INDIVIDUAL,
        expires_at=now + 300 * 86400,
        evidence_hash=secrets.token_bytes(32),
        nonce=attestations.new_nonce(),
        deadline=now + 86400,
    )
    return operations.issue_sbt(attested, attestor.address, attestor.attest(attested))


@dataclass
class _ForgingThief(Thief):
    live: Live
    issuer: Key
    attestor: Key
    forged: list[str]

    def try_again(self) -> str:
        """Whether one more could be issued; contained when none can and none of the forged ones counts."""
        refused = try_call(node(), self.issuer.address, _forged(Key("more").address, self.attestor))
        counting = [each for each in self.forged if gateway().standing(each) in (Standing.EFFECTIVE, Standing.PENDING)]
        return "" if counting else refused

    def concerns(self, alarm: Alarm) -> bool:
        return alarm.kind == Alarm.Kind.UNAPPROVED_ISSUE and alarm.key == self.issuer.address

    def judge(self) -> tuple[int, list[str]]:
        failures = []
        honest = gateway().standing(self.live.watched["honest client"])
        if honest != Standing.EFFECTIVE:
            failures.append(f"the honest client's verification is {honest.name}")
        if any(gateway().standing(each) == Standing.EFFECTIVE for each in self.forged):
            failures.append("a forged verification counts")
        manager = selectors.contract_address("AccessManager")
        for role, key in ((1, self.issuer), (2, self.attestor)):
            if gateway().read("AccessManager", manager, "hasRole", role, key.address)[0]:
                failures.append("a stolen key still has its role")
        return 0, failures


def as_line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False)


def is_possible() -> bool:
    """Only on a chain that is ours to play with, in a demonstration."""
    return bool(settings.DEMO) and settings.CHAIN_ID == 31337
