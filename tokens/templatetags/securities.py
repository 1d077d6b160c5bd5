"""How states of this app look, and the rows of its charts."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from django import template
from django.utils.translation import gettext

from portal.templatetags.musubi import day_text
from tokens.cash_flow import CashFlow
from tokens.over_time import ValueLine
from tokens.types import Board

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


@register.filter
def value_rows(line: ValueLine) -> list[tuple[str, Decimal]]:
    """Of the chart of a portfolio."""
    return [(day_text(day), value) for day, value in line.points]


@register.filter
def flow_rows(flows: Iterable[CashFlow]) -> list[tuple[str, Decimal, Decimal]]:
    """Of the calendar of what a bond pays: the day, interest, redemption."""
    return [(day_text(flow.on), flow.interest.amount, flow.redemption.amount) for flow in flows]


@register.filter
def progress_rows(board: Board) -> list[tuple[str, int]]:
    """Of the progress of a placement, in base units."""
    return [
        (gettext("Subscribed"), board.subscribed_units),
        (gettext("Allocated"), board.allocated_units),
        (gettext("Issued"), board.issued_units),
    ]


@register.simple_tag
def chart_names(chart: str) -> list[str]:
    """What the series of one of this app's charts are called."""
    return {
        "value": [gettext("Value at face")],
        "flows": [gettext("Interest"), gettext("Redemption")],
        "progress": [gettext("Units")],
    }[chart]
