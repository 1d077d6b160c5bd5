"""How the states of the loan desk look, and coins as people read them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import segno
from django import template
from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lending.models import Deposit, Limit, Posting
from lending.money import ASSET_DIGITS, DIGITS
from portal.models import Role, User
from portal.units import format_units

register = template.Library()

_TONES = {
    "good": {
        "approved",
        "active",
        "repaid",
        "released",
        "booked",
        "credited",
        "came_back",
        "granted",
        "done",
        "cured",
        "final",
        "sent",
    },
    "warn": {
        "margin_called",
        "sent_back",
        "approved_first",
        "requested",
        "recorded",
        "suspended",
        "held",
        "proposed",
        "open",
    },
    "bad": {
        "in_sale",
        "sold_out",
        "written_off",
        "declined",
        "refused",
        "rejected",
        "failed",
        "orphaned",
        "expired",
        "broken",
    },
    "info": {"submitted", "in_review", "applied", "collateral_pending", "seen", "confirmed", "screened"},
}


@register.filter
def lending_tone(state: Any) -> str:
    """The colour of a state: good, warn, bad, info or neutral. Its words always stand beside it."""
    return next((tone for tone, states in _TONES.items() if str(state) in states), "neutral")


@register.filter
def coins(units: Any, asset: str) -> SafeString:
    """Base units of bitcoin or ether as people read them: no exponent, no needless zeros, with the asset's code."""
    digits = ASSET_DIGITS[asset]
    text = format_units(int(units or 0), decimals=digits)
    whole, _dot, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    return format_html('<span class="num">{}</span> {}', f"{whole}.{fraction}" if fraction else whole, asset)


@register.simple_tag(takes_context=True)
def may_decide(context: dict[str, Any], deposit: Deposit) -> bool:
    """Whether the reader is one of those who decide about this deposit: hits are for KYC officers, the rest for the desk."""
    user = context.get("user")
    wanted = Role.KYC_OFFICER if deposit.matter == Deposit.Hold.SANCTIONED else Role.LOAN_OFFICER
    return isinstance(user, User) and user.has_role(wanted)


@register.filter
def posting(line: Posting) -> str:
    """One line of the books in its own unit, with its sign."""
    return f"{format_units(int(line.amount), decimals=DIGITS[line.unit])} {line.unit}"


@register.simple_tag
def qr_code(text: str, name: str) -> SafeString:
    """An address as a picture for a wallet's camera; the address in words stands beside it."""
    picture = segno.make(text, error="m").svg_data_uri(scale=4, border=2)
    return format_html('<img class="qr" src="{}" alt="{}" width="164" height="164">', picture, name)


@register.filter
def bps_percent(bps: Any) -> str:
    """Coverage in basis points as whole and two decimals of a percent, without the sign."""
    return "—" if bps is None else f"{int(bps) / 100:.2f}"


@register.filter
def ltv_bps(coverage_bps: Any) -> int | None:
    """Loan to value, the other side of coverage, in basis points: 200 % coverage is 50 % LTV."""
    return None if not coverage_bps else 100_000_000 // int(coverage_bps)


@register.filter
def run_tone(state: Any) -> str:
    """The colour of a comparison between books and chain."""
    return {"agreed": "good", "differed": "bad", "running": "info"}.get(str(state), "warn")


@register.filter
def plain_price(value: Any) -> str:
    """A price or rate as sources quote it: grouped, without needless zeros."""
    whole, _dot, fraction = f"{Decimal(value):,.8f}".partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


@register.filter
def limit_scope(scope: str) -> str:
    """What a limit applies to, in words."""
    return str(Limit.Scope(scope).label)


@register.filter
def unlocalized(value: Any) -> str:
    """A number that names something (a year, an id): no grouping."""
    return str(localize(value, use_l10n=False))
