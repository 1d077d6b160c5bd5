"""What investors are told about their securities, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from portal.notices.kinds import NoticeKind, notice_kinds
from portal.registry import Text


def _kind(name: str, label: Text, subject: Text, body: Text, **more: Any) -> NoticeKind:
    return NoticeKind(name=f"tokens.{name}", group=_("Securities"), label=label, subject=subject, body=(body,), **more)


def _count(params: Mapping[str, Any]) -> dict[str, int]:
    """The number by which the words take the singular: the units themselves are text, as they are written."""
    return {"number": 1 if params["units"] == "1" else 2}


_WITH: Final = ((_("Address"), "counterparty"),)

KINDS: Final = (
    _kind(
        "invitation",
        _("You are invited to subscribe"),
        _("You are invited to subscribe to %(security)s"),
        _(
            "An issuer invites you to subscribe to %(security)s by private placement. The terms and documents are in the portal."
        ),
        action=_("Look at the offer"),
    ),
    _kind(
        "allotted",
        _("Units were allotted to you"),
        ngettext_lazy("%(units)s unit of %(security)s is yours", "%(units)s units of %(security)s are yours", "number"),
        ngettext_lazy(
            "%(units)s unit of %(security)s (%(value)s at face) is in your wallet. This is final and can no longer be undone.",
            "%(units)s units of %(security)s (%(value)s at face) are in your wallet. This is final and can no longer be undone.",
            "number",
        ),
        tone="good",
        prepare=_count,
    ),
    _kind(
        "admitted",
        _("An issuer admitted your wallet"),
        _("You can now receive %(security)s"),
        _("The issuer admitted your wallet to %(security)s. You can now receive it from a holder."),
        tone="good",
        page="tokens:holdings",
    ),
    _kind(
        "transfer_requested",
        _("A transfer was asked for in your name"),
        ngettext_lazy(
            "You asked to transfer %(units)s unit of %(security)s",
            "You asked to transfer %(units)s units of %(security)s",
            "number",
        ),
        ngettext_lazy(
            "You asked to transfer %(units)s unit of %(security)s (%(value)s at face). It is being submitted and is not"
            " final yet. If this was not you, contact us at once.",
            "You asked to transfer %(units)s units of %(security)s (%(value)s at face). It is being submitted and is not"
            " final yet. If this was not you, contact us at once.",
            "number",
        ),
        facts=_WITH,
        security=True,
        action=_("Look at the transfer"),
        prepare=_count,
    ),
    _kind(
        "transfer_final",
        _("A transfer of yours is final"),
        ngettext_lazy(
            "Your transfer of %(units)s unit of %(security)s is final",
            "Your transfer of %(units)s units of %(security)s is final",
            "number",
        ),
        ngettext_lazy(
            "%(units)s unit of %(security)s (%(value)s at face) has left your wallet. This is final and can no longer be undone.",
            "%(units)s units of %(security)s (%(value)s at face) have left your wallet. This is final and can no longer be undone.",
            "number",
        ),
        facts=_WITH,
        tone="good",
        action=_("Look at the transfer"),
        prepare=_count,
    ),
    _kind(
        "transfer_received",
        _("You received a transfer"),
        ngettext_lazy(
            "You received %(units)s unit of %(security)s", "You received %(units)s units of %(security)s", "number"
        ),
        ngettext_lazy(
            "%(units)s unit of %(security)s (%(value)s at face) arrived in your wallet. This is final and can no longer be undone.",
            "%(units)s units of %(security)s (%(value)s at face) arrived in your wallet. This is final and can no longer be undone.",
            "number",
        ),
        facts=_WITH,
        tone="good",
        action=_("Look at the transfer"),
        prepare=_count,
    ),
    _kind(
        "transfer_failed",
        _("A transfer of yours was refused"),
        ngettext_lazy(
            "Your transfer of %(units)s unit of %(security)s was refused",
            "Your transfer of %(units)s units of %(security)s was refused",
            "number",
        ),
        ngettext_lazy(
            "The transfer of %(units)s unit of %(security)s was refused by the chain. Nothing has moved.",
            "The transfer of %(units)s units of %(security)s was refused by the chain. Nothing has moved.",
            "number",
        ),
        facts=_WITH,
        tone="bad",
        action=_("Look at the transfer"),
        prepare=_count,
    ),
    _kind(
        "recipient_added",
        _("A recipient was added to your address book"),
        _("A recipient was added to your address book"),
        _(
            "A recipient was saved in your address book: %(label)s, %(address)s. You can send to them after the waiting"
            " time. If it was not you, remove them, sign out everywhere, change your password and tell us at once."
        ),
        security=True,
        tone="warn",
        page="tokens:address-book",
    ),
    _kind(
        "recovery_announced",
        _("Your units are to move to another wallet"),
        _("Recovery announced: %(security)s"),
        _(
            "An administrator announced that your units of %(security)s move to another wallet of yours, because the"
            " first one was reported lost. If you did not report this, object at once on the page below, or contact us."
        ),
        facts=((_("Lost wallet"), "lost"), (_("New wallet"), "replacement")),
        security=True,
        tone="bad",
        action=_("Look at it, or object"),
    ),
)


def connect() -> None:
    for kind in KINDS:
        notice_kinds.register(kind)
