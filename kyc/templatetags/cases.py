"""How the states of a case look."""

from __future__ import annotations

from django import template

from kyc.models import Application

register = template.Library()

_TONES = {
    Application.State.SUBMITTED: "info",
    Application.State.ACTIVE: "good",
    Application.State.SUSPENDED: "warn",
    Application.State.ATTESTED: "warn",
    Application.State.REJECTED: "bad",
    Application.State.REVOKED: "bad",
}


@register.filter
def case_tone(state: str) -> str:
    """The colour of a state; its words always stand beside it."""
    return _TONES.get(Application.State(state), "neutral")
