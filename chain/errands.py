"""Who asked for a transaction. Every purpose of the outbox has a check by the app behind it, in that app's `errands.py`.

The outbox is a table: whoever can write there can have the platform sign. So a row is never believed for what it says
about itself. Before it is signed, and again when its events are read, the app is asked whether it wanted exactly this,
and it answers from its own rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from django.core.exceptions import ImproperlyConfigured

from chain.types import Call

if TYPE_CHECKING:
    from chain.models import ChainTransaction


@dataclass(frozen=True, slots=True)
class Errand:
    """What a row of the outbox would have done in the end, and in whose name.

    `transaction` is the row the asking app follows. `row` is the id of the row that is judged: the same one, or the
    announcement of what officers decided. `call` is the bare call, out of the Safe's and the timelock's wrapping;
    `role` who makes it, of `SignerRole`.
    """

    row: int
    transaction: ChainTransaction
    role: str
    call: Call

    @property
    def key(self) -> str:
        return self.transaction.idempotency_key

    @property
    def purpose(self) -> str:
        return self.transaction.purpose

    @property
    def subject(self) -> str:
        return self.transaction.subject

    def is_for(self, call: Call) -> bool:
        """Whether it does exactly `call`: the same target, selector, arguments and value. Labels do not count."""
        mine = self.call
        return (mine.to, mine.data, mine.value_wei) == (call.to, call.data, call.value_wei)


#: Which of these were asked for, by `Errand.row`. A constant number of queries for all of them together. The answer
#: must stay the same once the transaction is over: it is asked again when its events are read, however late.
Check = Callable[[Sequence[Errand]], Collection[int]]
_C = TypeVar("_C", bound=Check)

_checks: dict[str, Check] = {}


def asked_by(*purposes: str) -> Callable[[_C], _C]:
    """Register a check for `purposes`; one each. What no check stands behind was asked for by nobody."""

    def register(check: _C) -> _C:
        for purpose in purposes:
            if _checks.setdefault(purpose, check) is not check:
                raise ImproperlyConfigured(f"two checks for {purpose}")
        return check

    return register


@contextmanager
def asked_meanwhile(purpose: str, check: Check) -> Iterator[None]:
    """Let `check` answer for `purpose` in this process for as long as the block runs: for drills and tests."""
    asked_by(purpose)(check)
    try:
        yield
    finally:
        del _checks[purpose]


def check_of(purpose: str) -> Check | None:
    return _checks.get(purpose)


def checked_purposes() -> frozenset[str]:
    """Purposes an app answers for."""
    return frozenset(_checks)


# --- what checks share -----------------------------------------------------------------------------------------------

#: A number as `str()` writes it, and no other way: `007` would be a second key for the same thing.
_NUMBER: Final = "(0|[1-9][0-9]{0,17})"


@lru_cache(maxsize=128)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\#", _NUMBER).replace("#", _NUMBER))


def keyed(errands: Iterable[Errand], pattern: str, *, subject: str = "") -> list[tuple[Errand, tuple[int, ...]]]:
    """Those whose idempotency key is `pattern`, with the numbers that stand at its `#`.

    `subject`, if given, has to be the row's subject with the first number at its `#`. The rest is left out.
    """
    found = []
    for errand in errands:
        match = _compiled(pattern).fullmatch(errand.key)
        if match is None:
            continue
        numbers = tuple(int(each) for each in match.groups())
        if not subject or errand.subject == subject.replace("#", str(numbers[0])):
            found.append((errand, numbers))
    return found


@dataclass(frozen=True, slots=True)
class Earlier:
    """What had been asked under the same purpose for the same subject before a row."""

    count: int = 0
    none_under_way: bool = True  # each is in a block or over
    none_happened: bool = True  # nothing of it happened or can happen any more


def earlier(errands: Sequence[Errand]) -> dict[int, Earlier]:
    """By id of the followed row. One query."""
    from django.db.models import Count, OuterRef, Q, Subquery
    from django.db.models.functions import Coalesce

    from chain.models import ChainTransaction

    state = ChainTransaction.State
    before = (
        ChainTransaction.objects.filter(purpose=OuterRef("purpose"), subject=OuterRef("subject"), pk__lt=OuterRef("pk"))
        .order_by()
        .values("subject")
    )
    under_way = Count("pk", filter=Q(state__in=[state.QUEUED, state.SIGNED, state.BROADCAST, state.CANCELLING]))
    alive = Count("pk", filter=~Q(state__in=ChainTransaction.DEAD))
    rows = ChainTransaction.objects.filter(pk__in=[errand.transaction.pk for errand in errands]).annotate(
        before=Coalesce(Subquery(before.annotate(n=Count("pk")).values("n")), 0),
        under_way=Coalesce(Subquery(before.annotate(n=under_way).values("n")), 0),
        alive=Coalesce(Subquery(before.annotate(n=alive).values("n")), 0),
    )
    found = rows.values_list("pk", "before", "under_way", "alive")
    return {pk: Earlier(count, not waiting, not alive) for pk, count, waiting, alive in found}
