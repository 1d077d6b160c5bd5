"""What the applicant's status page shows: the steps so far and to come, and the chain's part of it."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from chain import selectors as chain_selectors
from kyc.models import Application, LifecycleStep
from kyc.selectors import InvestorStatus, investor_status, primary_wallet

State = Application.State
#: States that change without the person doing anything: the page looks again by itself.
MOVING = (
    State.SUBMITTED,
    State.IN_REVIEW,
    State.APPROVED_FIRST,
    State.APPROVED,
    State.ATTESTED,
    State.ISSUING,
    State.PENDING,
    State.SUSPENDING,
    State.REINSTATING,
    State.REVOKING,
    State.RENEWING,
)
_ORDER = {
    State.DRAFT: 0,
    State.SENT_BACK: 0,
    State.SUBMITTED: 1,
    State.IN_REVIEW: 1,
    State.APPROVED_FIRST: 1,
    State.APPROVED: 2,
    State.ATTESTED: 2,
    State.ISSUING: 2,
    State.PENDING: 3,
}


def applicant_progress(application: Application) -> dict[str, Any]:
    """Context of the status page; a constant number of queries, none to the node."""
    step = latest_step(application)
    wallet = primary_wallet(application.user)
    return {
        "application": application,
        "status": investor_status(application.user),
        "tone": TONES[investor_status(application.user)],
        "stages": stages(application),
        "sentence": sentence(application),
        "step": step,
        "chain_steps": chain_selectors.transaction_timeline(step.transaction) if step and step.transaction else [],
        "wallet": wallet,
        "sbt": chain_selectors.sbt_for(wallet.address) if wallet else None,
        "is_moving": application.state in MOVING,
    }


TONES = {
    InvestorStatus.NOT_STARTED: "neutral",
    InvestorStatus.DRAFT: "neutral",
    InvestorStatus.SUBMITTED: "info",
    InvestorStatus.IN_REVIEW: "info",
    InvestorStatus.SENT_BACK: "warn",
    InvestorStatus.APPROVED_PENDING: "info",
    InvestorStatus.ACTIVE: "good",
    InvestorStatus.SUSPENDED: "warn",
    InvestorStatus.EXPIRED: "warn",
    InvestorStatus.REJECTED: "bad",
    InvestorStatus.REVOKED: "bad",
}


def latest_step(application: Application) -> LifecycleStep | None:
    """The last thing asked of the chain, with its transaction."""
    return application.steps.select_related("transaction").order_by("-id").first()


def stages(application: Application) -> list[dict[str, Any]]:
    """received → reviewed → token issued → effective, each done, current or to come."""
    labels = [_("Application received"), _("Reviewed by two officers"), _("Token issued"), _("Effective")]
    reached = _ORDER.get(State(application.state), 4)
    if application.state in Application.CLOSED:
        return []
    return [
        {
            "label": label,
            "state": _("Done") if number < reached else _("Now") if number == reached else _("To come"),
            "tone": "good" if number < reached else "info" if number == reached else "neutral",
            "is_current": number == reached,
        }
        for number, label in enumerate(labels)
    ]


def sentence(application: Application) -> str:
    """What is going on and what comes next, in a sentence or two."""
    state = State(application.state)
    if state == State.SUBMITTED:
        return _("We have received your application. An officer will look at it, usually within three working days.")
    if state in (State.IN_REVIEW, State.APPROVED_FIRST):
        return _("Your application is being reviewed. Two officers look at every application.")
    if state == State.SENT_BACK:
        return _("We need one document again. Everything else is kept.")
    if state in (State.APPROVED, State.ATTESTED):
        return _("You are approved. Your verification token is being prepared; you need not do anything.")
    if state == State.ISSUING:
        return _("Your verification token is being put on the chain. It is not final yet.")
    if state == State.PENDING:
        return _("Your token is on the chain. It takes effect after a waiting time that protects you.")
    return _later_sentence(state)


def _later_sentence(state: State) -> str:
    sentences = {
        State.ACTIVE: _("You are verified. You can hold securities and receive them from others."),
        State.SUSPENDING: _("Your verification is suspended. What you hold stays yours; nothing can be moved for now."),
        State.SUSPENDED: _("Your verification is suspended. What you hold stays yours; nothing can be moved for now."),
        State.REINSTATING: _("The suspension is being lifted. This takes effect with the next blocks."),
        State.REVOKING: _("Your verification is being withdrawn. What you hold stays yours until it is redeemed."),
        State.REVOKED: _("Your verification was withdrawn. What you hold stays yours until it is redeemed."),
        State.RENEWING: _("Your verification is being renewed. It stays valid meanwhile."),
        State.EXPIRED: _("Your verification has expired. What you hold stays yours. We will contact you to renew it."),
        State.REJECTED: _("We could not accept your application. Nothing of yours was moved."),
        State.DRAFT: _("Your application is not finished. Everything you entered is kept."),
    }
    return sentences[state]
