"""Reads of notices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import QuerySet

from portal.compiled import RowCount
from portal.models import User
from portal.notices.kinds import NoticeKind, Wording, is_known, kind_named, notice_kinds, worded
from portal.notices.models import Notice, NoticePreference


@dataclass(frozen=True, slots=True)
class NoticeView:
    """A notice as its person reads it."""

    notice: Notice
    words: Wording

    @property
    def is_new(self) -> bool:
        return self.notice.read_at is None


def notices_of(user: User) -> QuerySet[Notice]:
    """Newest first; kinds nobody registers any more are left out."""
    return Notice.objects.filter(user=user, kind__in=[kind.name for kind in notice_kinds])


def in_words(notices: Iterable[Notice]) -> list[NoticeView]:
    """In the active language, without a query."""
    return [
        NoticeView(row, worded(kind=kind_named(row.kind), params=row.params, path=row.path))
        for row in notices
        if is_known(row.kind)
    ]


def unread_count(user: User) -> int:
    return _unread(user.pk)


_unread: Final = RowCount(lambda user: Notice.objects.filter(user=user, read_at__isnull=True))


def told(*, kind: str, keys: Iterable[object]) -> set[str]:
    """Which of `keys` somebody was already told about, so that a sweep need not ask again."""
    return set(Notice.objects.filter(kind=kind, key__in=[str(key) for key in keys]).values_list("key", flat=True))


def told_since(*, kind: str, since: datetime) -> int:
    """How many different things of this kind somebody was told about since then."""
    return Notice.objects.filter(kind=kind, created_at__gte=since).values("key").distinct().count()


def kinds_by_group(user: User) -> list[tuple[str, list[tuple[NoticeKind, bool]]]]:
    """(group, [(kind, whether it comes by e-mail)]) in the order of registration."""
    off = set(NoticePreference.objects.filter(user=user, by_email=False).values_list("kind", flat=True))
    groups: dict[str, list[tuple[NoticeKind, bool]]] = {}
    for kind in notice_kinds:
        if not kind.concerns(user.roles):
            continue
        groups.setdefault(str(kind.group), []).append((kind, kind.security or kind.name not in off))
    return list(groups.items())
