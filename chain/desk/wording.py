"""What an alarm says to the person who is called: what happened, and what it may mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from chain.desk.models import Alarm, AlarmEvidence

Kind = Alarm.Kind

#: kind → what happened. `key`, `holder` and `security` are named where they are known.
HAPPENED: Final[Mapping[str, str | Promise]] = {
    Kind.UNAPPROVED_ISSUE: _(
        "%(key)s issued a verification to %(holder)s that no two officers of ours approved. Whoever did it holds the issuing key and an officer’s key, or our own server was made to do it."
    ),
    Kind.FOREIGN_ISSUE: _(
        "A verification of %(holder)s was submitted with the key %(key)s, but not by this platform. The person was approved; the key is in other hands."
    ),
    Kind.FOREIGN_SCHEDULE: _(
        "%(key)s announced an operation that this platform did not ask for. Nothing moves before its waiting time is over: the council can cancel it until then."
    ),
    Kind.POWER_CHANGED: _(
        "Somebody changed who may do what on the chain, or how long it takes. If you do not know of it, somebody has given themselves power."
    ),
    Kind.FOREIGN_ACT: _(
        "Something was done with the key %(key)s that this platform did not ask for. The key is in other hands, or an officer used it outside."
    ),
    Kind.UNASKED: _(
        "Our server was asked to sign with the key %(key)s, and no business here stands behind it. Somebody writes to our queue of transactions, or runs a worker of their own. What we had not signed was refused. Change the worker’s credentials."
    ),
    Kind.KEY_USED_ELSEWHERE: _(
        "The key %(key)s was used elsewhere: the chain counts transactions of it that we never sent. It signs nothing more for us."
    ),
    Kind.CUSTODY_OUTFLOW: _(
        "Units of %(security)s left the wallet of %(holder)s, which we keep, in a transaction that we did not send. Its key is in other hands."
    ),
    Kind.BURST: _("More admissions or credits of new units of %(security)s than the rule allows in so short a time."),
    Kind.VELOCITY: _(
        "%(holder)s moved nearly everything of %(security)s within the time of the rule, and far more than ever before. Ask the holder whether it was them."
    ),
    Kind.LEDGER_DIFFERS: _(
        "The ledger shown here differs from the chain. The chain is right; do not pay by this ledger."
    ),
    Kind.KEY_REPORTED: _(
        "%(holder)s reports that their key is stolen. The verification is suspended and the holdings are frozen, as the steps below show."
    ),
}


def happened(alarm: Alarm, names: Mapping[str, str]) -> str:
    """What happened, in a sentence with names."""
    values = {
        "key": _shown(alarm.key, names, _("a key")),
        "holder": _shown(alarm.holder, names, _("a holder")),
        "security": _shown(alarm.token, names, _("a security")),
    }
    return str(HAPPENED[alarm.kind]) % values


def seen(evidence: AlarmEvidence) -> str:
    """What evidence that is no event on the chain says."""
    args = evidence.args
    if args.get("what") == "admissions":
        text = ngettext(
            "%(count)s admission within %(minutes)s minutes.",
            "%(count)s admissions within %(minutes)s minutes.",
            int(args["count"]),
        )
        return str(text % args)
    if args.get("what") == "mints":
        text = ngettext(
            "%(count)s credit of new units within %(minutes)s minutes.",
            "%(count)s credits of new units within %(minutes)s minutes.",
            int(args["count"]),
        )
        return str(text % args)
    if args.get("what") == "unasked":
        return str(_("%(function)s, in the name of “%(purpose)s” (transaction %(transaction)s).") % args)
    return str(args.get("detail") or _("The holder reported it here."))


def _shown(address: str, names: Mapping[str, str], unknown: str | Promise) -> str:
    if not address:
        return str(unknown)
    short = f"{address[:6]}…{address[-4:]}"
    return f"{names[address]} ({short})" if names.get(address) else short
