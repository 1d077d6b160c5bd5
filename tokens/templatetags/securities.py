"""How states of this app look."""

from __future__ import annotations

from typing import Final

from django import template

register = template.Library()

_GOOD: Final = {"final", "allotted", "admitted", "live", "completed"}
_BAD: Final = {"failed", "refused", "declined", "not_allocated", "objected"}
_WARN: Final = {"awaiting_approval", "in_block", "requested", "waiting", "matured"}
_NEUTRAL: Final = {"draft", "cancelled", "not_sent", "withdrawn", "invited"}


@register.filter
def state_tone(state: str) -> str:
    """The tone of a badge. Provisional is never good: it may still be undone."""
    if state in _GOOD:
        return "good"
    if state in _BAD:
        return "bad"
    if state in _WARN:
        return "warn"
    return "neutral" if state in _NEUTRAL else "info"


@register.filter
def item(mapping: dict[str, str], key: str) -> str:
    """`mapping[key]`, or nothing."""
    return mapping.get(key, "")


@register.filter
def plain(units: int) -> str:
    """Digits only, for a form or an address."""
    return str(int(units))
