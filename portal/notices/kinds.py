"""Kinds of notices, and their words. Each app registers its own from `AppConfig.ready()`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.urls import reverse
from django.utils.html import strip_tags
from django.utils.translation import gettext_lazy as _

from portal.money import Money
from portal.registry import Registry, Text, filled

Params = Mapping[str, Any]
LOOK = _("Look at it")


@dataclass(frozen=True, slots=True)
class NoticeKind:
    """One kind: what it is called in the settings, and its words, with `%(name)s` for each of its params.

    `security` kinds cannot be turned off. `facts` are label and param, shown beneath the text. `path` leads to a
    page by its name, for kinds whose notices bring none. `roles`: only they get it, and only they choose about it.
    `prepare` adds params in the reader's language; numbers stay numbers, so that an `ngettext_lazy` can go by one.
    """

    name: str
    group: Text
    label: Text
    subject: Text
    body: tuple[Text, ...]
    facts: tuple[tuple[Text, str], ...] = ()
    security: bool = False
    tone: str = "info"
    action: Text = LOOK
    page: str = ""
    roles: frozenset[str] = frozenset()
    prepare: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None

    def concerns(self, roles: frozenset[str]) -> bool:
        """Whether somebody with these roles may get it."""
        return not self.roles or bool(self.roles & roles)


@dataclass(frozen=True, slots=True)
class Wording:
    """A notice in words, in the language that was active when it was made."""

    subject: str
    body: list[str]
    facts: list[tuple[str, str]]
    action: str
    path: str
    tone: str


notice_kinds: Registry[NoticeKind] = Registry()


def kind_named(name: str) -> NoticeKind:
    """The registered kind; KeyError if no app registered it."""
    for kind in notice_kinds:
        if kind.name == name:
            return kind
    raise KeyError(f"no notice kind {name!r} is registered")


def is_known(name: str) -> bool:
    return any(kind.name == name for kind in notice_kinds)


def packed(params: Params) -> dict[str, Any]:
    """`params` as the row keeps them: money and times by value, so that each reader gets them in their own words."""
    return {name: _pack(value) for name, value in params.items()}


def _pack(value: Any) -> Any:
    if isinstance(value, Money):
        return {"money": format(value.amount, "f"), "currency": value.currency}
    if isinstance(value, datetime):
        return {"instant": value.isoformat()}
    if isinstance(value, date):
        return {"day": value.isoformat()}
    if isinstance(value, bool | float):
        raise TypeError(f"a notice says text, integers, money and times, not {type(value).__name__}")
    return value if isinstance(value, int) else str(value)


def _unpack(value: Any) -> str:
    from portal.templatetags.musubi import amount, day, instant

    if not isinstance(value, dict):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if "money" in value:
        return strip_tags(amount(Money(Decimal(value["money"]), value["currency"])))
    if "instant" in value:
        return strip_tags(instant(datetime.fromisoformat(value["instant"])))
    return strip_tags(day(date.fromisoformat(value["day"])))


def worded(*, kind: NoticeKind, params: Mapping[str, Any], path: str = "") -> Wording:
    """The words of a notice, from `packed` params, in the active language. KeyError if a param is missing."""
    said: dict[str, Any] = {name: _unpack(value) for name, value in params.items()}
    if kind.prepare:
        said.update({name: v if isinstance(v, int) else str(v) for name, v in kind.prepare(dict(params)).items()})
    return Wording(
        subject=" ".join(filled(kind.subject, said).split()),
        body=[filled(paragraph, said) for paragraph in kind.body],
        facts=[(str(label), str(said[name])) for label, name in kind.facts],
        action=str(kind.action),
        path=path or (reverse(kind.page) if kind.page else ""),
        tone=kind.tone,
    )
