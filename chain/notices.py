"""What the people on duty are told about the chain, in words: alarms, and decisions that wait for them or are about to count."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from chain.desk import wording
from chain.desk.models import Alarm
from chain.wording import function_sentence
from portal.models import Role
from portal.notices.kinds import NoticeKind, notice_kinds
from portal.registry import Text

#: Who may act at the incident desk, and who decides on proposals.
DUTY: Final = frozenset({Role.ADMINISTRATOR.value, Role.KYC_OFFICER.value})
DECIDERS: Final = frozenset({Role.ADMINISTRATOR.value})


def _alarm_words(params: dict[str, Any]) -> dict[str, Any]:
    alarm = Alarm(kind=params["alarm"], key=params["key"], holder=params["holder"], token=params["token"])
    return {"what": alarm.get_kind_display(), "happened": wording.happened(alarm, {})}


def _proposal_words(params: dict[str, Any]) -> dict[str, Any]:
    return {"does": function_sentence(params["call"])}


def _alarm(name: str, label: Text, subject: Text, then: Text, **more: Any) -> NoticeKind:
    return NoticeKind(
        name=f"chain.{name}",
        group=_("Incident desk"),
        label=label,
        subject=subject,
        body=("%(happened)s", then),
        facts=((_("Seen"), "at"),),
        roles=DUTY,
        action=_("Open the alarm"),
        prepare=_alarm_words,
        **more,
    )


def _proposal(name: str, label: Text, subject: Text, body: Text, **more: Any) -> NoticeKind:
    return NoticeKind(
        name=f"chain.{name}",
        group=_("Proposals"),
        label=label,
        subject=subject,
        body=("%(does)s", body),
        roles=DECIDERS,
        action=_("Open the proposal"),
        prepare=_proposal_words,
        **more,
    )


KINDS: Final = (
    _alarm(
        "alarm_act",
        _("An alarm calls you to act"),
        _("Act now: %(what)s"),
        _("The desk offers what can be stopped. Whoever opens it first stops it; the others see that."),
        security=True,
        tone="bad",
    ),
    _alarm(
        "alarm_look",
        _("An alarm to look at today"),
        _("Look at it today: %(what)s"),
        _("Close the alarm with what came of it, or stop what is going on."),
        tone="warn",
    ),
    NoticeKind(
        name="chain.alarms_many",
        group=_("Incident desk"),
        label=_("More alarms than we write about one by one"),
        subject=_("Many alarms at once"),
        body=(
            ngettext_lazy(
                "Besides those we wrote about, %(count)s alarm is open. It stands at the desk.",
                "Besides those we wrote about, %(count)s alarms are open. They stand at the desk, the most urgent first.",
                "number",
            ),
        ),
        roles=DUTY,
        security=True,
        tone="bad",
        page="chain:desk",
        action=_("Open the incident desk"),
        prepare=lambda params: {"number": int(params["count"])},
    ),
    _proposal(
        "proposal_waits",
        _("A proposal waits for your signature"),
        _("Proposal %(number)s waits for your signature"),
        _("Several officers decide it together. Read what it does, and sign it with your own wallet if it is right."),
        tone="warn",
    ),
    _proposal(
        "proposal_again",
        _("A proposal has to be signed again"),
        _("Proposal %(number)s has to be signed again"),
        _("Its number in the Safe changed, so the signatures that were given do not count any more."),
        tone="warn",
    ),
    _proposal(
        "proposal_ends",
        _("The waiting time of a decision is about to end"),
        _("Proposal %(number)s is about to be carried out"),
        _("Until then the council can cancel it. Look whether it is what was meant to be decided."),
        facts=((_("Waiting time ends"), "at"),),
        security=True,
        tone="warn",
    ),
)


def connect() -> None:
    for kind in KINDS:
        notice_kinds.register(kind)
