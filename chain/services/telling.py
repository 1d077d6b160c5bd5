"""Telling the people on duty: from the rows as they stand, each thing once, whoever wrote the row and whenever.

An outbreak must not fill mailboxes: above `MOST_AN_HOUR` alarms of a kind one letter an hour says how many more there are.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from chain.desk.models import Alarm
from chain.governance import safe as safes
from chain.models import SafeProposal
from chain.notices import DECIDERS, DUTY
from chain.profiles import profile
from portal.notices.selectors import told, told_since
from portal.notices.services import notify_all
from portal.selectors import people_with

MOST_AN_HOUR: Final = 10
#: What is decided is announced again when this part of its waiting time is left.
_LAST_PART: Final = 4
_KINDS: Final = {Alarm.Severity.ACT: "chain.alarm_act", Alarm.Severity.LOOK: "chain.alarm_look"}


def tell_officers() -> None:
    """Write every notice that is due. Repeating it tells nothing twice."""
    tell_of_alarms()
    tell_of_proposals()


def tell_of_alarms() -> None:
    """Each open alarm once, and once more when it became urgent."""
    open_ones = Alarm.objects.filter(chain_id=settings.CHAIN_ID).exclude(state=Alarm.State.CLOSED)
    alarms = list(open_ones.order_by("-severity", "pk"))
    for severity, kind in _KINDS.items():
        concerned = [alarm for alarm in alarms if alarm.severity == severity]
        known = told(kind=kind, keys=[alarm.pk for alarm in concerned]) if concerned else set()
        _tell_of(kind, [alarm for alarm in concerned if str(alarm.pk) not in known])


def _tell_of(kind: str, alarms: list[Alarm]) -> None:
    if not alarms:
        return
    now = timezone.now()
    room = max(MOST_AN_HOUR - told_since(kind=kind, since=now - timedelta(hours=1)), 0)
    for alarm in alarms[:room]:
        params = {
            "alarm": alarm.kind, "key": alarm.key, "holder": alarm.holder, "token": alarm.token, "at": alarm.since,
        }  # fmt: skip
        _tell(DUTY, kind, alarm.pk, params, reverse("chain:alarm", args=[alarm.pk]))
    left = len(alarms) - room
    if left > 0:
        _tell(DUTY, "chain.alarms_many", f"{now:%Y-%m-%dT%H}", {"count": left}, "")


def tell_of_proposals() -> None:
    """What waits for signatures, what lost them, and what the council can cancel for a short while only."""
    under_way = SafeProposal.objects.filter(safe__chain_id=settings.CHAIN_ID).select_related("safe")
    # Where this installation signs for its officers nobody waits for them.
    if not settings.DEMO_SIGNS_FOR_OFFICERS:
        for proposal in under_way.filter(state=SafeProposal.State.COLLECTING, nonce__isnull=False):
            _tell_of_proposal("chain.proposal_waits", proposal, key=proposal.pk)
            digests = set(proposal.signatures.values_list("digest", flat=True))
            if digests and safes.digest(proposal) not in digests:
                _tell_of_proposal("chain.proposal_again", proposal, key=f"{proposal.pk}:{proposal.nonce}")
    now, last_part = timezone.now(), profile().admin_delay / _LAST_PART
    ending = under_way.filter(state=SafeProposal.State.SCHEDULED, effective_at__gt=now)
    for proposal in ending.filter(effective_at__lte=now + last_part):
        _tell_of_proposal("chain.proposal_ends", proposal, key=proposal.pk, at=proposal.effective_at)


def _tell_of_proposal(kind: str, proposal: SafeProposal, *, key: object, **more: Any) -> None:
    if not told(kind=kind, keys=[key]):
        params = {"number": str(proposal.pk), "call": proposal.purpose_call, **more}
        _tell(DECIDERS, kind, key, params, reverse("chain:proposal", args=[proposal.pk]))


def _tell(roles: Collection[str], kind: str, key: object, params: dict[str, Any], path: str) -> None:
    notify_all(users=people_with(roles), kind=kind, key=key, params=params, path=path)
