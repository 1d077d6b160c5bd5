"""Where the apps hang what the portal shows but does not know: next steps, menu entries, the state of the chain.

`portal` imports no other app. Each app registers from its `AppConfig.ready()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from django.utils.functional import Promise

from portal.money import Money

if TYPE_CHECKING:
    from portal.models import User

Text = str | Promise
Provider = TypeVar("Provider")


def filled(text: Text, values: Mapping[str, Any]) -> str:
    """The text with its values. One from `ngettext_lazy` says nothing before it knows its number, so not `str(text)`."""
    return str(cast(str, text) % values)


class Registry(Generic[Provider]):
    """Things registered once at start-up, in order. Usable as a decorator; registering twice changes nothing."""

    def __init__(self) -> None:
        self._items: list[Provider] = []

    def register(self, item: Provider) -> Provider:
        if item not in self._items:
            self._items.append(item)
        return item

    __call__ = register

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


@dataclass(frozen=True, slots=True)
class NextStep:
    """One thing that needs a person, as the dashboard shows it: what, why, and the one place to do it.

    `tone` is neutral, info, good, warn or bad. Lower `priority` stands first; what is blocked or due goes below 20,
    what merely waits above 60. `due` is shown as a countdown.
    """

    title: Text
    url: str
    action: Text
    detail: Text = ""
    tone: str = "info"
    priority: int = 50
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """One figure or state at a glance on the dashboard: its name, what it is, and the page behind it.

    `amounts` are shown as money, one per currency; otherwise `value` is shown as it is.
    """

    label: Text
    url: str
    value: Text = ""
    amounts: tuple[Money, ...] = ()
    detail: Text = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class MenuItem:
    """One entry of the header's menu.

    `roles` names who sees it: roles of `portal.models.Role`, `INVESTOR` for signed-in people without a role, `VISITOR`
    for those who are not signed in.
    `section` is the address prefix that marks it as current (default: its own address). `count` gives a number shown
    beside it (work that waits), or None.
    """

    label: Text
    url_name: str
    roles: frozenset[str]
    order: int = 50
    section: str = ""
    count: Callable[[User], int | None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PublicPart:
    """One part of the page that everybody may read, signed in or not: its template, and what that shows.

    `content` is asked at every request, so it costs a constant number of queries and never waits for the node.
    """

    template: str
    content: Callable[[], dict[str, Any]]
    order: int = 50


INVESTOR = "investor"
VISITOR = "visitor"

NextStepProvider = Callable[["User"], Iterable[NextStep]]

SummaryProvider = Callable[["User"], Iterable[Summary]]

next_steps: Registry[NextStepProvider] = Registry()
summaries: Registry[SummaryProvider] = Registry()
menu_items: Registry[MenuItem] = Registry()
public_parts: Registry[PublicPart] = Registry()
