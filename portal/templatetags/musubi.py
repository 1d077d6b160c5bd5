"""How figures, dates, addresses and states are written: one place, for every page and element."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from django import template
from django.conf import settings
from django.forms import BaseForm
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext, ngettext, npgettext

from portal import charts
from portal.idempotency import FIELD, new_token
from portal.models import Role
from portal.money import MINOR_DIGITS, Money
from portal.units import format_units, plural_number

register = template.Library()

CURRENCY_SIGN: Final = {"JPY": ("", "円", "¥"), "USD": ("", "米ドル", "$")}

# Our own drawings on a 24-unit grid, stroked in the colour of the text.
ICONS: Final = {
    "info": '<circle cx="12" cy="12" r="9"/><path d="M12 11v5.5M12 7.2v.6"/>',
    "good": '<circle cx="12" cy="12" r="9"/><path d="m8 12.4 2.8 2.8L16 9.6"/>',
    "warn": '<path d="M12 3.5 21.5 20h-19z"/><path d="M12 10v4.5M12 17v.4"/>',
    "bad": '<path d="M8.3 3h7.4L21 8.3v7.4L15.7 21H8.3L3 15.7V8.3z"/><path d="M12 7.5v6M12 16.4v.4"/>',
    "neutral": '<circle cx="12" cy="12" r="9"/><path d="M8 12h8"/>',
    "check": '<path d="m5 12.6 4.6 4.6L19 7.4"/>',
    "cross": '<path d="m6 6 12 12M18 6 6 18"/>',
    "copy": '<rect x="8.5" y="8.5" width="11.5" height="11.5" rx="2"/><path d="M15.5 8.5V6a2 2 0 0 0-2-2H6a2 2 0 0 0-2 2v7.5a2 2 0 0 0 2 2h2.5"/>',
    "external": '<path d="M10 5H6a2 2 0 0 0-2 2v11a2 2 0 0 0 2 2h11a2 2 0 0 0 2-2v-4M14 4h6v6M20 4l-9 9"/>',
    "menu": '<path d="M4 7h16M4 12h16M4 17h16"/>',
    "person": '<circle cx="12" cy="8.2" r="3.9"/><path d="M4.6 20.2a7.6 7.6 0 0 1 14.8 0"/>',
    "globe": '<circle cx="12" cy="12" r="9"/><path d="M3 12h18M12 3c3 3.2 3 14.8 0 18M12 3c-3 3.2-3 14.8 0 18"/>',
    "key": '<circle cx="8" cy="15.5" r="4"/><path d="m11 12.6 8.4-8.4M16 7.6l2.8 2.8"/>',
    "lock": '<rect x="4.5" y="10.5" width="15" height="10" rx="2"/><path d="M8 10.5V8a4 4 0 0 1 8 0v2.5"/>',
    "leave": '<path d="M14 4h4a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-4M10 8l-4 4 4 4M6 12h10"/>',
    "next": '<path d="m9 5 7 7-7 7"/>',
    "back": '<path d="m15 5-7 7 7 7"/>',
    "down": '<path d="m5 9 7 7 7-7"/>',
    "search": '<circle cx="10.5" cy="10.5" r="6.5"/><path d="m15.5 15.5 5 5"/>',
    "clock": '<circle cx="12" cy="12" r="9"/><path d="M12 7v5.4l3.4 2"/>',
    "file": '<path d="M6 3h8l5 5v13H6zM14 3v5h5"/>',
    "upload": '<path d="M12 16V5M7.5 9 12 4.5 16.5 9M4 15.5V19h16v-3.5"/>',
    "download": '<path d="M12 4v11.5M7.5 11 12 15.5l4.5-4.5M4 19.5h16"/>',
    "block": '<path d="m12 3 8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9"/>',
    "send": '<path d="M4 12h15M13 6l6 6-6 6"/>',
    "shield": '<path d="M12 3 20 6v6c0 4.6-3.3 7.8-8 9-4.7-1.2-8-4.4-8-9V6z"/><path d="m8.5 12 2.5 2.5 4.5-5"/>',
    "sun": '<circle cx="12" cy="12" r="4.2"/><path d="M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M18.4 5.6 17 7M7 17l-1.4 1.4"/>',
    "moon": '<path d="M19.5 14.6A8 8 0 0 1 9.4 4.5a8 8 0 1 0 10.1 10.1z"/>',
    "screen": '<rect x="3.5" y="4.5" width="17" height="11.5" rx="2"/><path d="M9 20h6M12 16v4"/>',
    "bell": '<path d="M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15z"/><path d="M10 20.5a2 2 0 0 0 4 0"/>',
    "settings": '<path d="M4 7h9M17 7h3M4 17h3M11 17h9"/><circle cx="15" cy="7" r="2"/><circle cx="9" cy="17" r="2"/>',
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """One of `ICONS`, hidden from screen readers: the words beside it carry the meaning."""
    drawing = ICONS[name]
    return format_html(
        '<svg class="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.9"'
        ' stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">{}</svg>',
        mark_safe(drawing),  # noqa: S308  # constants of this module
    )


@register.simple_tag
def badge(label: Any = "", tone: str = "", state: str = "") -> SafeString:
    """A state in words, coloured by its tone. In a long list for itself, elsewhere as `c-badge`: the same, dearer to draw."""
    return _badge(str(label or state), tone or "neutral", str(state))


# `typed`: words that were escaped already and the same characters as somebody typed them are not the same.
@lru_cache(maxsize=1024, typed=True)
def _badge(label: str, tone: str, state: str) -> SafeString:
    marked = format_html(' data-state="{}"', state) if state else ""
    return format_html('<span class="badge badge-{}"{}>{}</span>', tone, marked, label)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool | float):
        raise TypeError(f"an amount is a Decimal or an integer, not {type(value).__name__}")
    return Decimal(str(value).replace(",", "")) if not isinstance(value, Decimal) else value


def format_amount(value: Decimal | int | str | Money, currency: str = "") -> str:
    """Yen without decimals, dollars with two, grouped; more decimals are shown rather than cut away."""
    if isinstance(value, Money):
        return format_amount(value.amount, value.currency)
    if currency not in MINOR_DIGITS:
        raise ValueError(f"an amount needs its currency; got {currency!r}")
    number = _decimal(value)
    exponent = number.normalize().as_tuple().exponent
    needed = max(-exponent, 0) if isinstance(exponent, int) else 0
    places = max(MINOR_DIGITS[currency], needed)
    return f"{number:,.{places}f}"


@register.filter
def amount(value: Any, currency: str = "") -> SafeString:
    """`1,000,000円` in Japanese, `¥1,000,000` in English."""
    if value is None or value == "":
        return format_html('<span class="muted">{}</span>', "—")
    code = value.currency if isinstance(value, Money) else currency
    number = format_amount(value, currency)
    _before, suffix, sign = CURRENCY_SIGN[code]
    if (get_language() or "").startswith("ja"):
        return format_html('<span class="num">{}<span class="unit">{}</span></span>', number, suffix)
    minus, digits = ("-", number[1:]) if number.startswith("-") else ("", number)
    return format_html('<span class="num">{}{}{}</span>', minus, sign, digits)


@register.simple_tag
def units(value: Any, decimals: Any = 0, unit: str = "") -> SafeString:
    """Token units with their counter: `10 口`, `10 units`, `1 unit`."""
    if value is None or value == "":
        return format_html('<span class="muted">{}</span>', "—")
    number = format_units(int(value), decimals=int(decimals or 0))
    counter = unit or npgettext("counter of securities", "unit", "units", units_plural(value, decimals))
    return format_html('<span class="num">{}<span class="unit">{}</span></span>', number, counter)


@register.filter
def units_text(value: Any, decimals: Any = 0) -> str:
    """Token units as plain text, for a sentence that names what is counted."""
    return format_units(int(value), decimals=int(decimals or 0))


@register.filter
def units_plural(value: Any, decimals: Any = 0) -> int:
    """The number by which such a sentence takes the singular or the plural."""
    return plural_number(int(value), decimals=int(decimals or 0))


@register.filter
def rate(bps: Any) -> SafeString:
    """Basis points as percent with two decimals: 80 → 0.80%."""
    if bps is None or bps == "":
        return format_html('<span class="muted">{}</span>', "—")
    return format_html('<span class="num">{}%</span>', f"{_decimal(bps) / 100:,.2f}")


@register.filter
def instant(value: Any) -> SafeString:
    """Date and time in Japan, to the minute, saying so."""
    if not isinstance(value, datetime):
        return format_html('<span class="muted">{}</span>', "—")
    local = timezone.localtime(value)
    text = _japanese_date(local) if _is_japanese() else f"{local.day} {_month(local)} {local.year}"
    shown = f"{text} {local:%H:%M} {_zone(local)}"
    return format_html(
        '<time class="num" datetime="{}" title="{}">{}</time>',
        value.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S %z}",
        shown,
    )


@register.filter
def day(value: Any) -> SafeString:
    """A date as people write it: 2026年11月23日, 23 Nov 2026. An instant is taken in Japan's time."""
    if isinstance(value, datetime):
        value = timezone.localtime(value).date()
    if not isinstance(value, date):
        return format_html('<span class="muted">{}</span>', "—")
    return _day(value, is_japanese=_is_japanese())


@lru_cache(maxsize=1024)
def _day(value: date, *, is_japanese: bool) -> SafeString:
    """A list has the same day in many rows. `is_japanese` is the active language, by which it is written."""
    return format_html('<time class="num" datetime="{}">{}</time>', value.isoformat(), day_text(value))


def day_text(value: date) -> str:
    """A date as `day` writes it, without markup: beneath a chart, in a label."""
    return _japanese_date(value) if _is_japanese() else f"{value.day} {_month(value)} {value.year}"


@register.filter
def duration(seconds: Any) -> str:
    """A wait in the largest unit that says it exactly: 604800 → 7 days, 5400 → 90 minutes; nothing at all: no wait."""
    number = int(seconds)
    if number == 0:
        return gettext("no wait")
    if number % 86_400 == 0:
        return ngettext("%(count)s day", "%(count)s days", number // 86_400) % {"count": number // 86_400}
    if number % 3600 == 0:
        return ngettext("%(count)s hour", "%(count)s hours", number // 3600) % {"count": number // 3600}
    if number % 60 == 0:
        return ngettext("%(count)s minute", "%(count)s minutes", number // 60) % {"count": number // 60}
    return ngettext("%(count)s second", "%(count)s seconds", number) % {"count": number}


@register.filter
def waited(since: datetime) -> str:
    """For how long something has waited, in one unit: 40 minutes, 30 hours, from two days on in days."""
    minutes = max(int((timezone.now() - since).total_seconds()) // 60, 1)
    if minutes < 2 * 60:
        return duration(minutes * 60)
    hours = minutes // 60
    return duration((hours if hours < 2 * 24 else hours // 24 * 24) * 3600)


def _is_japanese() -> bool:
    return (get_language() or "").startswith("ja")


def _japanese_date(value: date) -> str:
    return f"{value.year}年{value.month}月{value.day}日"


def _month(value: date) -> str:
    return ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][value.month - 1]


def _zone(value: datetime) -> str:
    return value.tzname() or ""


#: What a browser calls itself, and its name; the first that is found counts (Edge calls itself Chrome as well).
_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


@register.filter
def browser(user_agent: Any) -> str:
    """`Chrome · Windows` for what a browser says of itself; what is not known stays as it is, cut to 40 characters."""
    text = str(user_agent or "")
    found = (next((name for mark, name in marks if mark in text), "") for marks in (_BROWSERS, _SYSTEMS))
    return " · ".join(filter(None, found)) or text[:40] or "—"


@register.filter
def short_address(value: Any) -> str:
    """0x1234…abcd; anything that is not so long stays whole."""
    text = str(value or "")
    return f"{text[:6]}…{text[-4:]}" if len(text) > 14 else text


@register.filter
def short_hash(value: Any) -> str:
    text = str(value or "")
    return f"{text[:10]}…{text[-6:]}" if len(text) > 22 else text


@register.simple_tag
def transaction_url(transaction_hash: Any) -> str:
    """The transaction in the configured explorer (`CHAIN_EXPLORER_TX_URL`, with `{hash}`), else on our own page of it."""
    pattern: str = settings.CHAIN_EXPLORER_TX_URL
    if not transaction_hash:
        return ""
    if not pattern:
        return reverse("chain:events", args=[transaction_hash])
    return pattern.format(hash=transaction_hash) if "{hash}" in pattern else f"{pattern}{transaction_hash}"


@register.filter
def step_label(key: str) -> str:
    """What a step of a transaction is called, for a person."""
    labels = {
        "asked": gettext("Asked for"),
        "submitted": gettext("Submitted"),
        "in_block": gettext("In a block, not final yet"),
        "final": gettext("Final"),
        "refused": gettext("Refused before it was sent; nothing moved"),
        "reverted": gettext("Refused by the chain; nothing moved"),
        "cancelled": gettext("Cancelled; nothing moved"),
        "expired": gettext("Expired before it was sent; nothing moved"),
    }
    return labels[key]


BAD_STEPS: Final = frozenset({"refused", "reverted", "cancelled", "expired"})


@register.filter
def marked_steps(steps: Any) -> list[dict[str, Any]]:
    """Timeline steps with their look: done, bad, now (the first still to come), todo.

    Once one is bad, what would have come after it is left out. A step in a block is provisional until `final`.
    """
    marked: list[dict[str, Any]] = []
    now_given = False
    for step in steps or ():
        if step.key in BAD_STEPS and step.at:
            marked.append({"step": step, "look": "bad", "icon": "cross"})
            break
        if step.at:
            marked.append({"step": step, "look": "done", "icon": "check"})
        else:
            marked.append({"step": step, "look": "todo" if now_given else "now", "icon": "clock"})
            now_given = True
    return marked


@register.simple_tag
def filter_fields(form: BaseForm) -> SafeString:
    """The fields of a form of filters. With nothing chosen they are the same for everybody: rendered once per language."""
    if any(form.data.get(form.add_prefix(name)) for name in form.fields):
        return _groups(form)
    kind: Any = type(form)
    return _empty_filters(kind, get_language())


@lru_cache(maxsize=64)
def _empty_filters(kind: Any, language: str | None) -> SafeString:
    return _groups(kind({}))


def _groups(form: BaseForm) -> SafeString:
    return mark_safe("".join(field.as_field_group() for field in form.visible_fields()))  # noqa: S308 (Django's own)


@register.filter
def form_errors(form: Any) -> list[tuple[str, str]]:
    """(id of the field, message) of every error of a form, the form's own errors first with an empty id."""
    if not isinstance(form, BaseForm) or not form.is_bound:
        return []
    found = [("", str(error)) for error in form.non_field_errors()]
    for field in form:
        target = field.id_for_label or f"{field.auto_id}_0"
        found += [(target, _labelled(str(field.label), str(error))) for error in field.errors]
    return found


def _labelled(label: str, error: str) -> str:
    """“This field is required” says nothing in a list; with its label it does."""
    return f"{label}{'：' if _is_japanese() else ': '}{error}" if label and label not in error else error


GAUGE_MAX: Final = 300


@register.filter
def gauge_width(percent: Any) -> str:
    """Length of the gauge's bar on its 300-unit track."""
    return f"{max(min(_decimal(percent), Decimal(GAUGE_MAX)), Decimal(0)):.1f}"


@register.filter
def gauge_tone(percent: Any) -> str:
    """From the terms' own marks: 200 % to start, 150 % more is demanded, 120 % sold."""
    value = _decimal(percent)
    if value >= 200:
        return "good"
    if value >= 150:
        return "info"
    return "warn" if value > 120 else "bad"


@register.filter
def percent(value: Any) -> str:
    return f"{_decimal(value):,.2f}%"


@register.simple_tag
def chart_drawings(
    data: Any, marks: Any = (), bars: Any = "", divide: Any = 1, currency: str = ""
) -> list[dict[str, Any]]:
    """Where the parts of the chart of `data` stand, once for each canvas; none when there is too little to draw.

    Of a `currency` the axis is in millions from ten million on, and the first drawing's `unit` says so.
    """
    # Labels as they read now: a drawing is kept, and a label may read otherwise in another language.
    rows = tuple((str(row[0]), *row[1:]) for row in data or ())
    unit = ""
    if currency:
        highest = max((abs(charts.number(value)) for row in rows for value in row[1:]), default=Decimal(0))
        divide, unit = _money_axis(highest, currency)
    drawn = [_drawn(canvas, rows, tuple(marks or ()), bool(bars), int(divide or 1)) for canvas in charts.CANVASES]
    return [drawing | {"unit": unit} for drawing in drawn if drawing]


@lru_cache(maxsize=256)
def _drawn(
    canvas: charts.Canvas, rows: tuple[Any, ...], marks: tuple[Any, ...], bars: bool, divide: int
) -> dict[str, Any]:
    """The same figures give the same drawing, page after page."""
    return charts.draw(rows, canvas=canvas, marks=marks, bars=bars, divide=divide)


def _money_axis(highest: Decimal, currency: str) -> tuple[int, str]:
    """By how much figures of this size are divided on an axis, and what the axis then counts."""
    if highest < 10_000_000:
        return 1, {"JPY": gettext("yen"), "USD": gettext("US dollars")}[currency]
    return 1_000_000, {"JPY": gettext("million yen"), "USD": gettext("million US dollars")}[currency]


@register.simple_tag
def chart_figure(value: Any, currency: str = "", divide: Any = 1) -> str:
    """A figure of the table behind a chart: whole and grouped, with its currency if it has one."""
    if currency:
        return amount(value, currency)
    shown = charts.number(value) / int(divide or 1)
    return f"{shown.normalize():,f}"


@register.filter
def message_tone(level: str) -> str:
    """The tone of a notice for a Django message level."""
    return {"success": "good", "warning": "warn", "error": "bad"}.get(level, "info")


@register.simple_tag(takes_context=True)
def back_url(context: template.Context) -> str:
    """Where the reader came from, when that was a page of ours; else the first page."""
    request = context["request"]
    referrer = request.META.get("HTTP_REFERER", "")
    ours = url_has_allowed_host_and_scheme(referrer, {request.get_host()}, require_https=request.is_secure())
    return referrer if ours and referrer != request.build_absolute_uri() else "/"


@register.filter
def role_label(name: str) -> str:
    """A role's name for people."""
    return str(Role(name).label)


@register.simple_tag(takes_context=True)
def once_token(context: template.Context) -> SafeString:
    """The hidden field that makes a form act once; its view wears `portal.idempotency.acts_once`."""
    request = context["request"]
    # What was posted and came back with mistakes keeps its token: nothing was done with it.
    token = request.POST.get(FIELD) or new_token(request.user)
    return format_html('<input type="hidden" name="{}" value="{}">', FIELD, token)


@register.filter
def without_placeholders(form: Any) -> Any:
    """allauth repeats each label as a placeholder; a label that stays says it better."""
    for field in form.fields.values() if isinstance(form, BaseForm) else ():
        field.widget.attrs.pop("placeholder", None)
    return form


@register.filter
def button_kind(tags: Any) -> str:
    """Our kind of button for the tags allauth gives its own."""
    given = {str(tag).strip() for tag in (tags or ())} if not isinstance(tags, str) else set(tags.split(","))
    if given & {"danger", "delete"}:
        return "danger"
    if "link" in given:
        return "quiet"
    return "secondary" if given & {"outline", "secondary", "minor", "tool", "cancel"} else "primary"


@register.simple_tag
def wallet_network() -> dict[str, Any]:
    """The network a person's own wallet has to be on, and where it can be reached by everybody ("": nowhere public)."""
    return {"id": settings.CHAIN_ID, "name": settings.CHAIN_NAME, "rpc": settings.CHAIN_PUBLIC_RPC_URL}
