"""The drills in words: titles, what was stolen, steps. English message ids; the catalogue has the Japanese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext_lazy

from chain.desk.models import Alarm, ResponseStep
from portal.registry import Text, filled


@dataclass(frozen=True, slots=True)
class Words:
    """What a drill is about, and how it must end."""

    title: str
    must_end: str


#: By the number of the drill; the parts of D14 and D20 share theirs.
DRILLS: Final[Mapping[str, Words]] = {
    "D1": Words(gettext_noop("An investor’s key: to an address without an SBT"), gettext_noop("The contract refuses the transfer.")),
    "D2": Words(gettext_noop("An investor’s key: to an SBT the security has not admitted"), gettext_noop("The contract refuses the transfer.")),
    "D3": Words(gettext_noop("An investor’s key: to an admitted accomplice"), gettext_noop("Found, stopped and moved back to a new wallet.")),
    "D4": Words(gettext_noop("The SBT issuer’s key"), gettext_noop("No SBT is issued without an officer’s signature.")),
    "D5": Words(gettext_noop("The SBT issuer’s key and one officer’s key"), gettext_noop("Bounded by the daily limit, without effect before the delay, no longer trusted after one transaction.")),
    "D6": Words(gettext_noop("The token agent’s key"), gettext_noop("What was minted is burned, freezes are lifted, nothing is lost.")),
    "D7": Words(gettext_noop("The controller’s key"), gettext_noop("What it announces is cancelled before it can run.")),
    "D8": Words(gettext_noop("Both guardians’ keys"), gettext_noop("They can only stop. No unit moves, and service comes back.")),
    "D9": Words(gettext_noop("One administrator’s key"), gettext_noop("Nothing happens without the others and without the delay.")),
    "D10": Words(gettext_noop("Every hot key of the server at once"), gettext_noop("Nothing is lost after the response.")),
    "D11": Words(gettext_noop("A captured attestation"), gettext_noop("It counts once, for its holder, on this contract, in time.")),
    "D12": Words(gettext_noop("The database"), gettext_noop("No SBT and no unit without what the chain asks for.")),
    "D13": Words(gettext_noop("A lost wallet and a good story"), gettext_noop("No recovery to another person.")),
    "D14": Words(gettext_noop("A pair of hot keys"), gettext_noop("Nothing is lost after the response.")),
    "D15": Words(gettext_noop("One signer of the administrators and one of the council"), gettext_noop("Nothing happens without the others.")),
    "D16": Words(gettext_noop("A guardian’s key, used to disturb"), gettext_noop("The council lifts it and stops the key. Redemption never stops.")),
    "D17": Words(gettext_noop("The worker’s credentials"), gettext_noop("The signing policy and the limits on the chain bound it.")),
    "D18": Words(gettext_noop("A forged second SBT of a real holder"), gettext_noop("The recovery waits, the holder objects, it is stopped.")),
    "D19": Words(gettext_noop("A key that was revoked and granted again"), gettext_noop("Old announcements stay dead.")),
    "D20": Words(gettext_noop("A hot key with a higher fee"), gettext_noop("What it wins in one block is bounded and undone.")),
    "D21": Words(gettext_noop("The deployer’s key in the first days"), gettext_noop("There is nothing to take: its role is gone.")),
}  # fmt: skip

MODES: Final[Mapping[str, str]] = {
    "hurried": gettext_noop("at once"),
    "patient": gettext_noop("with patience"),
    "racing": gettext_noop("in the same block, with a higher fee"),
    "plain": gettext_noop("the only way there is"),
    "live": gettext_noop("against this demonstration"),
}

STEPS: Final[Mapping[str, Text]] = {
    "stole": gettext_lazy("The thief has: %(keys)s."),
    "seized": ngettext_lazy(
        "%(count)s call went through: %(functions)s.", "%(count)s calls went through: %(functions)s.", "count"
    ),
    "nothing_works": ngettext_lazy(
        "%(tries)s call was tried; it would not go through.",
        "%(tries)s calls were tried; none would go through.",
        "tries",
    ),
    "refused": gettext_lazy("The contract refused: %(reason)s."),
    "passed_on": ngettext_lazy(
        "%(units)s unit was passed on to a second accomplice.",
        "%(units)s units were passed on to a second accomplice.",
        "units",
    ),
    "issued": ngettext_lazy(
        "%(count)s forged SBT was issued before the limit.",
        "%(count)s forged SBTs were issued before the limit.",
        "count",
    ),
    "replays_refused": gettext_lazy("Every copy of the attestation was refused."),
    "row_refused": gettext_lazy("A forged row in the outbox (%(what)s) was refused: %(reason)s."),
    "falsified": gettext_lazy("The register in the database was falsified."),
    "announced": ngettext_lazy("%(count)s operation was announced.", "%(count)s operations were announced.", "count"),
    "stage_set": gettext_lazy(
        "The stage is set with fresh sample people; their verification and holdings are genuine."
    ),
    "moved": ngettext_lazy(
        "%(units)s unit went from the victim to the accomplice.",
        "%(units)s units went from the victim to the accomplice.",
        "units",
    ),
    "lay_in_wait": ngettext_lazy(
        "%(count)s forged SBT lies in wait in the pool, behind the next honest one, to share its block.",
        "%(count)s forged SBTs lie in wait in the pool, behind the next honest one, to share its block.",
        "count",
    ),
    "did": gettext_lazy("%(who)s at the incident desk: %(step)s (%(state)s)."),
    "raced": ngettext_lazy(
        "%(count)s call was sent into the block of the first response; %(won)s went through.",
        "%(count)s calls were sent into the block of the first response; %(won)s went through.",
        "count",
    ),
    "reported": gettext_lazy("%(who)s reported the key as stolen."),
    "alarmed": gettext_lazy("Alarms at the incident desk: %(alarms)s."),
    "unalarmed": gettext_lazy(
        "The index shows what no transaction of ours explains, but no alarm was raised: %(events)s."
    ),
    "paused": gettext_lazy("The guardian paused the security."),
    "distrusted": gettext_lazy("The guardian distrusted a key: %(key)s."),
    "suspended": gettext_lazy("The guardian suspended the SBT of %(who)s."),
    "cancelled": gettext_lazy("The council cancelled an announced operation: %(what)s."),
    "rotated": gettext_lazy("The administrators replaced a key: %(key)s."),
    "contained": gettext_lazy("The theft is contained."),
    "trust_restored": gettext_lazy("The council restored the trust in %(key)s."),
    "new_wallet": gettext_lazy("%(who)s has a new wallet."),
    "reinstated": gettext_lazy("The council lifted the suspension of %(who)s."),
    "attested": ngettext_lazy("%(count)s SBT was attested anew.", "%(count)s SBTs were attested anew.", "count"),
    "activation_over": gettext_lazy("The activation delay is over."),
    "recovery_announced": gettext_lazy("A clerk was talked into announcing a recovery for %(who)s."),
    "recovery_refused": gettext_lazy("The recovery to %(who)s was refused: it is another person."),
    "objected": gettext_lazy("%(who)s objected to the recovery."),
    "recovery_cancelled": gettext_lazy("The council cancelled the recovery of %(who)s."),
    "admitted": ngettext_lazy(
        "%(count)s investor was admitted again.", "%(count)s investors were admitted again.", "count"
    ),
    "moved_back": ngettext_lazy(
        "The controller carried out %(count)s announced repair after the delay.",
        "The controller carried out %(count)s announced repairs after the delay.",
        "count",
    ),
    "unpaused": gettext_lazy("The council lifted the pause."),
    "restored": gettext_lazy("Everything is where it belongs."),
    "granted_again": gettext_lazy("By mistake, the role was granted to the same key again."),
    "compared": gettext_lazy("The nightly comparison with the chain ran."),
    "waited": gettext_lazy("%(hours)s hours passed."),
}

ACTORS: Final[Mapping[str, str]] = {
    "thief": gettext_noop("Thief"),
    "platform": gettext_noop("Platform"),
    "officers": gettext_noop("Officers"),
    "clock": gettext_noop("Clock"),
}


def number_of(code: str) -> str:
    """`D14` of `D14.2-3`."""
    return code.split(".")[0]


def title(code: str) -> str:
    return _(DRILLS[number_of(code)].title)


def must_end(code: str) -> str:
    return _(DRILLS[number_of(code)].must_end)


def mode_words(mode: str) -> str:
    return _(MODES[mode])


def actor_words(actor: str) -> str:
    return _(ACTORS[actor])


def step_words(text: str, values: Mapping[str, Any]) -> str:
    """The sentence of one step, in the language in force."""
    if "alarms" in values:
        values = {**values, "alarms": ", ".join(map(alarm_words, values["alarms"]))}
    if text == "did":
        kind, state = ResponseStep.Kind(values["step"]).label, ResponseStep.State(values["state"]).label
        values = {**values, "step": kind, "state": state}
    return filled(STEPS[text], values)


def alarm_words(kind: str) -> str:
    """What the desk calls this kind of alarm."""
    return str(Alarm.Kind(kind).label)
