"""The hash-chained log of business events: one writer, one verifier."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from portal.models import AuditEntry, User

GENESIS = "0" * 64
# Serialises writers so that each row can seal the one before it. Any constant of ours will do.
_ADVISORY_LOCK = 0x4D555355


@dataclass(frozen=True)
class Break:
    """Where the chain of hashes stops holding."""

    sequence: int
    expected: str
    found: str


def _seal(entry: AuditEntry) -> str:
    body = {
        "sequence": entry.sequence,
        "at": entry.at.isoformat(timespec="microseconds"),
        "actor": entry.actor_id,
        "actor_label": entry.actor_label,
        "action": entry.action,
        "subject_type": entry.subject_type,
        "subject_id": entry.subject_id,
        "from_state": entry.from_state,
        "to_state": entry.to_state,
        "reason": entry.reason,
        "data": entry.data,
    }
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256((entry.previous_digest + canonical).encode()).hexdigest()


def record(
    *,
    action: str,
    subject_type: str,
    subject_id: object,
    actor: User | str,
    from_state: str = "",
    to_state: str = "",
    reason: str = "",
    data: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Add one event; must run inside the transaction of the change it describes.

    `actor` is the person, or the name of the task that acted on nobody's behalf. `data` must be JSON and hold no
    secret and no personal data beyond references. The advisory lock is held until that transaction ends, so call
    this last.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("audit.record needs the transaction of the change it describes")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
    previous = AuditEntry.objects.order_by("-sequence").values_list("sequence", "digest").first()
    sequence, previous_digest = previous if previous else (0, GENESIS)
    entry = AuditEntry(
        sequence=sequence + 1,
        at=timezone.now(),
        actor=actor if isinstance(actor, User) else None,
        actor_label=actor.email if isinstance(actor, User) else actor,
        action=action,
        subject_type=subject_type,
        subject_id=str(subject_id),
        from_state=from_state,
        to_state=to_state,
        reason=reason,
        # What PostgreSQL's jsonb would make of it, so that the seal can be recomputed from the row.
        data=json.loads(json.dumps(data or {})),
        previous_digest=previous_digest,
    )
    entry.digest = _seal(entry)
    entry.save(force_insert=True)
    return entry


def first_break() -> Break | None:
    """Walk the whole chain; None when every row seals the one before, else the first that does not."""
    previous_digest = GENESIS
    for sequence, entry in enumerate(AuditEntry.objects.order_by("sequence").iterator(chunk_size=2000), start=1):
        if entry.sequence != sequence or entry.previous_digest != previous_digest:
            return Break(sequence=sequence, expected=previous_digest, found=entry.previous_digest)
        expected = _seal(entry)
        if entry.digest != expected:
            return Break(sequence=sequence, expected=expected, found=entry.digest)
        previous_digest = entry.digest
    return None
