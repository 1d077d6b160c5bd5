"""Opening and closing incidents: what should not have happened and a person must look at."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.utils import timezone

from chain.models import Incident
from portal import audit
from portal.models import User

logger = logging.getLogger(__name__)

#: Who acted when no person did.
ENGINE = "chain engine"


@transaction.atomic
def open_incident(*, kind: str, detail: str, dedupe_key: str, data: dict[str, Any] | None = None) -> Incident:
    """Open an incident, or return the one that is open under `dedupe_key`; one that was closed opens again.

    Call it outside a transaction that is about to roll back, or it is lost with it.
    """
    incident, created = Incident.objects.select_for_update().get_or_create(
        dedupe_key=dedupe_key, defaults={"kind": kind, "detail": detail, "data": data or {}}
    )
    if not created and incident.closed_at is None:
        return incident
    if not created:
        incident.detail, incident.data, incident.closed_at, incident.closed_by = detail, data or {}, None, None
        incident.save(update_fields=["detail", "data", "closed_at", "closed_by"])
    logger.error("incident %s: %s", kind, detail)
    audit.record(
        action="chain.incident.opened", subject_type="chain.incident", subject_id=incident.pk, actor=ENGINE, reason=kind
    )
    return incident


@transaction.atomic
def close_incident(*, incident_id: int, actor: User | None, reason: str = "") -> Incident:
    """Close an incident; `actor` None when what caused it is over by itself. Closing it again changes nothing."""
    incident = Incident.objects.select_for_update().get(pk=incident_id)
    if incident.closed_at is not None:
        return incident
    incident.closed_at, incident.closed_by = timezone.now(), actor
    incident.save(update_fields=["closed_at", "closed_by"])
    audit.record(
        action="chain.incident.closed",
        subject_type="chain.incident",
        subject_id=incident.pk,
        actor=actor or ENGINE,
        reason=reason or incident.kind,
    )
    return incident


def close_if_open(*, dedupe_key: str, reason: str) -> None:
    """Close the incident under `dedupe_key` if one is open: its cause is over."""
    incident_id = Incident.objects.filter(dedupe_key=dedupe_key, closed_at=None).values_list("pk", flat=True).first()
    if incident_id is not None:
        close_incident(incident_id=incident_id, actor=None, reason=reason)
