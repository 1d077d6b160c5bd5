"""The menu of each role. Apps add their entries through `portal.registry.menu_items`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from portal.models import Role, User
from portal.registry import INVESTOR, VISITOR, MenuItem, Text, menu_items

ANYBODY = frozenset({INVESTOR, *Role.values})

OWN_ITEMS = (
    MenuItem(_("Public information"), "portal:public", frozenset({VISITOR}), order=10, section="/public/"),
    MenuItem(_("Overview"), "portal:dashboard", ANYBODY, order=0),
    MenuItem(_("People and roles"), "portal:people", frozenset({Role.ADMINISTRATOR}), order=80),
    MenuItem(_("Audit trail"), "portal:audit", frozenset({Role.ADMINISTRATOR, Role.AUDITOR}), order=85),
    MenuItem(_("Records"), "admin:index", frozenset({Role.ADMINISTRATOR}), order=90),
)


@dataclass(frozen=True, slots=True)
class MenuLink:
    """A menu entry ready to be shown."""

    label: Text
    url: str
    is_current: bool
    count: int | None


def audiences_of(user: User | AnonymousUser) -> frozenset[str]:
    """Whose menus this person sees: their roles, the investor's for those in none, the visitor's without sign-in."""
    if not isinstance(user, User):
        return frozenset({VISITOR})
    return user.roles or frozenset({INVESTOR})


def menu_for(request: HttpRequest) -> list[MenuLink]:
    """The entries this person may use, in order; the one whose address holds the current page is marked."""
    audiences = audiences_of(request.user)
    items = sorted((*OWN_ITEMS, *menu_items), key=lambda item: item.order)
    seen = [(item, _address(item.url_name)) for item in items if item.roles & audiences]
    current = _current(request.path, seen)
    return [
        MenuLink(
            label=item.label,
            url=url,
            is_current=item is current,
            count=item.count(request.user) if item.count and isinstance(request.user, User) else None,
        )
        for item, url in seen
    ]


@cache
def _address(url_name: str) -> str:
    """Addresses do not change while a process runs; asking for each anew is a good part of what a menu costs."""
    return reverse(url_name)


def _current(path: str, seen: list[tuple[MenuItem, str]]) -> MenuItem | None:
    matches = [(len(item.section or url), item) for item, url in seen if path.startswith(item.section or url)]
    return max(matches, key=lambda match: match[0])[1] if matches else None
