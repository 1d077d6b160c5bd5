"""The drills in words: titles, what was stolen, steps. English message ids; the catalogue has the Japanese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as say


@dataclass(frozen=True, slots=True)
class Words:
    """What a drill is about, and how it must end."""

    title: str
    must_end: str


#: By the number of the drill; the parts of D14 and D20 share theirs.
DRILLS: Final[Mapping[str, Words]] = {
    "D1": Words(say("An investor’s key: to an address without an SBT"), say("The contract refuses the transfer.")),
    "D2": Words(say("An investor’s key: to an SBT the security has not admitted"), say("The contract refuses the transfer.")),
    "D3": Words(say("An investor’s key: to an admitted accomplice"), say("Found, stopped and moved back to a new wallet.")),
    "D4": Words(say("The SBT issuer’s key"), say("No SBT is issued without an officer’s signature.")),
    "D5": Words(say("The SBT issuer’s key and one officer’s key"), say("Bounded by the daily limit, without effect before the delay, no longer trusted after one transaction.")),
    "D6": Words(say("The token agent’s key"), say("What was minted is burned, freezes are lifted, nothing is lost.")),
    "D7": Words(say("The controller’s key"), say("What it announces is cancelled before it can run.")),
    "D8": Words(say("Both guardians’ keys"), say("They can only stop. No unit moves, and service comes back.")),
    "D9": Words(say("One administrator’s key"), say("Nothing happens without the others and without the delay.")),
    "D10": Words(say("Every hot key of the server at once"), say("Nothing is lost after the response.")),
    "D11": Words(say("A captured attestation"), say("It counts once, for its holder, on this contract, in time.")),
    "D12": Words(say("The database"), say("No SBT and no unit without what the chain asks for.")),
    "D13": Words(say("A lost wallet and a good story"), say("No recovery to another person.")),
    "D14": Words(say("A pair of hot keys"), say("Nothing is lost after the response.")),
    "D15": Words(say("One signer of the administrators and one of the council"), say("Nothing happens without the others.")),
    "D16": Words(say("A guardian’s key, used to disturb"), say("The council lifts it and stops the key. Redemption never stops.")),
    "D17": Words(say("The worker’s credentials"), say("The signing policy and the limits on the chain bound it.")),
    "D18": Words(say("A forged second SBT of a real holder"), say("The recovery waits, the holder objects, it is stopped.")),
    "D19": Words(say("A key that was revoked and granted again"), say("Old announcements stay dead.")),
    "D20": Words(say("A hot key with a higher fee"), say("What it wins in one block is bounded and undone.")),
    "D21": Words(say("The deployer’s key in the first days"), say("There is nothing to take: its role is gone.")),
}  # fmt: skip

MODES: Final[Mapping[str, str]] = {
    "hurried": say("at once"),
    "patient": say("with patience"),
    "racing": say("in the same block, with a higher fee"),
    "plain": say("the only way there is"),
}

STEPS: Final[Mapping[str, str]] = {
    "stole": say("The thief has: %(keys)s."),
    "seized": say("%(count)s calls went through: %(functions)s."),
    "nothing_works": say("%(tries)s calls were tried; none would go through."),
    "refused": say("The contract refused: %(reason)s."),
    "passed_on": say("%(units)s units were passed on to a second accomplice."),
    "issued": say("%(count)s forged SBTs were issued before the limit."),
    "replays_refused": say("Every copy of the attestation was refused."),
    "row_refused": say("A forged row in the outbox (%(what)s) was refused: %(reason)s."),
    "falsified": say("The register in the database was falsified."),
    "announced": say("%(count)s operations were announced."),
    "raced": say("%(count)s calls were sent into the block of the first response; %(won)s went through."),
    "reported": say("%(who)s reported the key as stolen."),
    "detected": say("The index shows what no transaction of ours explains: %(events)s."),
    "paused": say("The guardian paused the security."),
    "distrusted": say("The guardian distrusted a key: %(key)s."),
    "suspended": say("The guardian suspended the SBT of %(who)s."),
    "cancelled": say("The council cancelled an announced operation: %(what)s."),
    "rotated": say("The administrators replaced a key: %(key)s."),
    "contained": say("The theft is contained."),
    "trust_restored": say("The council restored the trust in %(key)s."),
    "new_wallet": say("%(who)s has a new wallet."),
    "reinstated": say("The council lifted the suspension of %(who)s."),
    "attested": say("%(count)s SBTs were attested anew."),
    "activation_over": say("The activation delay is over."),
    "recovery_announced": say("A clerk was talked into announcing a recovery for %(who)s."),
    "recovery_refused": say("The recovery to %(who)s was refused: it is another person."),
    "objected": say("%(who)s objected to the recovery."),
    "recovery_cancelled": say("The council cancelled the recovery of %(who)s."),
    "admitted": say("%(count)s investors were admitted again."),
    "moved_back": say("The controller carried out %(count)s announced repairs after the delay."),
    "unpaused": say("The council lifted the pause."),
    "restored": say("Everything is where it belongs."),
    "granted_again": say("By mistake, the role was granted to the same key again."),
    "compared": say("The nightly comparison with the chain ran."),
    "waited": say("%(hours)s hours passed."),
}

ACTORS: Final[Mapping[str, str]] = {
    "thief": say("Thief"),
    "platform": say("Platform"),
    "officers": say("Officers"),
    "clock": say("Clock"),
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
    return _(STEPS[text]) % values
