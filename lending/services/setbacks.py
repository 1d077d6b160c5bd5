"""What the desk has to do by itself and could not: counted, and an incident once it is more than bad luck.

A failure that is only logged is seen by nobody. After `TRIES` failures in a row, or a breach that waits longer than
`LATE`, the desk is told; the incident closes itself when the work succeeded or is no longer needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from chain.services.incidents import close_if_open, open_incident
from lending.models import Breach, Setback

#: Failures in a row after which it is an incident: with the beat, within a quarter of a minute to one and a half.
TRIES: Final = 3
#: A breach that nobody has carried out for so long is an incident, whether it failed or was never tried.
LATE: Final = timedelta(minutes=5)
_WAITING: Final = "lending.breaches_waiting"


@transaction.atomic
def note_failure(*, kind: str, row_id: int, loan_id: int, error: Exception) -> Setback:
    """Count one more failure, after the work's own transaction has rolled back. From the third on an incident is open."""
    row, _new = Setback.objects.select_for_update().get_or_create(
        kind=kind, row_id=row_id, defaults={"loan_id": loan_id, "since": timezone.now()}
    )
    row.tries, row.last_at, row.problem = row.tries + 1, timezone.now(), f"{type(error).__name__}: {error}"[:200]
    row.save(update_fields=["tries", "last_at", "problem"])
    if row.tries >= TRIES:
        open_incident(
            kind="lending.not_carried_out",
            detail=f"{row.get_kind_display()} {row_id} of loan {row.loan.reference} failed {row.tries} times: "
            f"{row.problem}"[:500],
            dedupe_key=_key(row),
            data={"kind": kind, "row": row_id, "loan": loan_id},
        )
    return row


def note_success(*, kind: str, row_ids: Iterable[int]) -> None:
    """These were carried out: what was counted against them is forgotten, and their incidents close."""
    _forget(Setback.objects.filter(kind=kind, row_id__in=list(row_ids)), "it was carried out")


def forget_gone(*, kind: str, waiting: QuerySet[Any]) -> None:
    """Rows that no longer wait (done elsewhere, or overtaken) are nobody's trouble any more."""
    _forget(Setback.objects.filter(kind=kind).exclude(row_id__in=waiting.values("pk")), "it is no longer needed")


def last_in_line(kind: str) -> Exists:
    """For `order_by`: what failed before comes after what has not, so that it starves nobody."""
    return Exists(Setback.objects.filter(kind=kind, row_id=OuterRef("pk")))


def watch_breaches() -> None:
    """One incident while any breach waits longer than `LATE`."""
    late = Breach.objects.filter(state=Breach.State.PENDING, found_at__lte=timezone.now() - LATE)
    oldest = late.order_by("found_at").values_list("found_at", flat=True).first()
    if oldest is None:
        close_if_open(dedupe_key=_WAITING, reason="every breach was carried out in time")
        return
    open_incident(
        kind=_WAITING,
        detail=f"{late.count()} breaches wait for more than {LATE.seconds // 60} minutes, "
        f"the oldest since {oldest:%Y-%m-%d %H:%M} UTC.",
        dedupe_key=_WAITING,
    )


def _forget(rows: QuerySet[Setback], reason: str) -> None:
    for row in rows:
        with transaction.atomic():
            close_if_open(dedupe_key=_key(row), reason=reason)
            row.delete()


def _key(row: Setback) -> str:
    return f"lending.setback:{row.kind}:{row.row_id}"
