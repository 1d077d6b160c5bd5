"""Alarms on the dashboard of those who are called, and who may see the transactions of the desk."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from chain.desk.selectors import open_alarms_for
from chain.models import SafeProposal
from chain.registry import visibility
from portal.models import Role, User
from portal.registry import NextStep, next_steps


def works_at_desk(user: User) -> bool:
    """Administrators and KYC officers act at the desk."""
    return user.has_role(Role.ADMINISTRATOR) or user.has_role(Role.KYC_OFFICER)


@next_steps.register
def alarm_steps(user: User) -> Iterable[NextStep]:
    """Open alarms come before everything else."""
    waiting = open_alarms_for(user) if works_at_desk(user) else None
    if waiting:
        yield NextStep(
            title=_("Alarms are open: %(count)d") % {"count": waiting},
            detail=_("Something on the chain may be a theft. Look at it now."),
            url=reverse("chain:desk"),
            action=_("Open the incident desk"),
            tone="bad",
            priority=1,
        )


@next_steps.register
def proposal_steps(user: User) -> Iterable[NextStep]:
    """Proposals that wait for signatures, where people give them."""
    if settings.DEMO_SIGNS_FOR_OFFICERS or not user.has_role(Role.ADMINISTRATOR):
        return
    waiting = SafeProposal.objects.filter(state=SafeProposal.State.COLLECTING, nonce__isnull=False).count()
    if waiting:
        yield NextStep(
            title=_("Proposals wait for signatures: %(count)d") % {"count": waiting},
            detail=_("Read what they do; sign what is right with your own wallet."),
            url=reverse("chain:proposals"),
            action=_("To the proposals"),
            tone="warn",
            priority=2,
        )


visibility.register("chain.response", lambda user, _subject: works_at_desk(user) or user.has_role(Role.AUDITOR))
