"""What others did to a token on chain, past this portal: the application follows, and the trail says so."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_noop

from chain.models import EventLog
from kyc.models import Application, LifecycleStep, Wallet
from kyc.services.guards import locked
from kyc.services.lifecycle import MOVES, advance, state_by_time, tell_person

State = Application.State
Kind = LifecycleStep.Kind
Outcome = LifecycleStep.Outcome

#: Shown to officers beside the step.
OUTSIDE: Final = gettext_noop("Done on the chain, not through this portal")
_KINDS: Final = {"SbtSuspended": Kind.SUSPEND, "SbtReinstated": Kind.REINSTATE, "SbtRevoked": Kind.REVOKE}
EVENTS: Final = tuple(_KINDS)


def follow_event(log: EventLog) -> None:
    """Take the application to where the chain says its token is, if the transition table has a way there.

    An event that our own transaction made is left to its follow-up. Called in the index's database transaction; told
    twice, the second time changes nothing.
    """
    wallet = Wallet.objects.filter(address=log.args["holder"], is_primary=True).first()
    if wallet is None:
        return
    current = Application.objects.filter(user=wallet.user_id).order_by("-id").values_list("pk", flat=True).first()
    if current is None:
        return
    application = locked(current)
    kind = _KINDS[log.event]
    if application.steps.filter(kind=kind, outcome=Outcome.OPEN).exists():
        return
    waiting = MOVES[kind].waiting
    if waiting not in Application.TRANSITIONS[State(application.state)] or _is_ours(application, kind, log):
        return
    step = LifecycleStep.objects.create(
        application=application, kind=kind, from_state=application.state, outcome=Outcome.FINAL, reason=OUTSIDE
    )
    target = state_by_time(application) if kind == Kind.REINSTATE else MOVES[kind].done
    for state in (waiting, target):
        advance(application, state, action=f"kyc.token.{kind}_outside", step=step, reason=OUTSIDE)
    tell_person(application, step)


def _is_ours(application: Application, kind: str, log: EventLog) -> bool:
    """Whether one of our steps made this event, whatever became of the application since."""
    return application.steps.filter(kind=kind, transaction__mined_hash=log.transaction_hash).exists()
