"""What borrowers are told about their credit and loans, in words."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from portal.notices.kinds import NoticeKind, notice_kinds
from portal.registry import Text

_LOAN: Final = (_("Loan"), "loan")
_AMOUNT: Final = (_("Amount"), "amount")
_DEADLINE: Final = (_("Deadline"), "deadline")


def _kind(name: str, label: Text, body: Text, *facts: tuple[Text, str], **more: Any) -> NoticeKind:
    return NoticeKind(
        name=f"lending.{name}", group=_("Loans"), label=label, subject=label, body=(body,), facts=facts, **more
    )


KINDS: Final = (
    _kind(
        "credit_approved",
        _("Your credit line was approved"),
        _("Your credit line is %(amount)s at %(rate)s%% a year."),
        tone="good",
    ),
    _kind("credit_sent_back", _("Your credit application needs something from you"), _("%(message)s"), tone="warn"),
    _kind(
        "credit_declined",
        _("About your credit application"),
        _("We could not open this credit line. Nothing was moved."),
        tone="bad",
    ),
    _kind(
        "loan_approved",
        _("Your loan was approved"),
        _("Please read the contract and accept it. Nothing is lent before the collateral is here."),
        _LOAN,
        _AMOUNT,
        tone="good",
    ),
    _kind("loan_declined", _("Your loan was declined"), _("We could not grant this loan. Nothing was moved."), _LOAN),
    _kind(
        "contract_accepted",
        _("You accepted a loan contract"),
        _("You accepted the contract of this loan. If this was not you, contact us at once."),
        _LOAN,
        security=True,
    ),
    _kind("draw_refused", _("A draw was refused"), _("Why: %(reason)s"), _LOAN, tone="bad"),
    _kind(
        "draw_released",
        _("Money was paid out to you"),
        _("We sent %(amount)s to your account. If you did not ask for it, contact us at once."),
        _LOAN,
        (_("Payment reference"), "reference"),
        security=True,
    ),
    _kind("charged", _("A charge was added to your loan"), _("Why: %(reason)s"), _LOAN, _AMOUNT, tone="warn"),
    _kind(
        "maturity_near",
        _("Your loan is due soon"),
        _(
            "Repay it by the due day, or ask for a renewal on the loan’s page. After that day the late rate is charged on what is owed."
        ),
        _LOAN,
        (_("Due"), "due"),
        (_("Owed today"), "amount"),
        security=True,
        tone="warn",
        page="lending:loans",
    ),
    _kind(
        "renewed",
        _("Your loan was renewed"),
        _("Your loan goes on for another term."),
        _LOAN,
        (_("Due"), "due"),
        tone="good",
    ),
    _kind("renewal_refused", _("Your loan was not renewed"), _("Why: %(reason)s"), _LOAN, tone="bad"),
    _kind(
        "repayment_booked", _("Your repayment was booked"), _("We booked your repayment."), _LOAN, _AMOUNT, tone="good"
    ),
    _kind("surplus", _("You paid more than you owed"), _("We pay the difference back to you."), _LOAN, _AMOUNT),
    _kind(
        "repaid",
        _("Your loan is repaid"),
        _(
            "Nothing is owed any more. What is left of your collateral goes back to your return address after two checks."
        ),
        _LOAN,
        tone="good",
    ),
    _kind(
        "collateral_waits",
        _("Your collateral waits for you"),
        _(
            "We could not ask it back for you. Register a return address, then ask for your collateral on the loan’s page."
        ),
        _LOAN,
        (_("Asset"), "asset"),
        tone="warn",
        page="lending:loans",
    ),
    _kind(
        "first",
        _("The coverage of your loan is falling"),
        _("The prices of your collateral have fallen. Nothing has to be done yet; a deposit or a repayment helps."),
        _LOAN,
        tone="warn",
        page="lending:loans",
    ),
    _kind(
        "second",
        _("The coverage of your loan is close to a call"),
        _("If prices fall further, more collateral is called. A deposit or a repayment now prevents it."),
        _LOAN,
        tone="warn",
        page="lending:loans",
    ),
    _kind(
        "called",
        _("More collateral is called for your loan"),
        _("Deposit collateral worth the amount below, or repay, before the deadline. Otherwise collateral is sold."),
        _LOAN,
        _AMOUNT,
        _DEADLINE,
        security=True,
        tone="bad",
        page="lending:loans",
    ),
    _kind(
        "call_halfway",
        _("Half of the time for more collateral is over"),
        _("The call for more collateral is still open."),
        _LOAN,
        _AMOUNT,
        _DEADLINE,
        security=True,
        tone="bad",
        page="lending:loans",
    ),
    _kind(
        "call_last",
        _("Last notice: more collateral is still called"),
        _("The deadline is near. After it collateral is sold."),
        _LOAN,
        _AMOUNT,
        _DEADLINE,
        security=True,
        tone="bad",
        page="lending:loans",
    ),
    _kind(
        "call_cured",
        _("The call for more collateral is settled"),
        _("Coverage is high enough again. Nothing more has to be done."),
        _LOAN,
        tone="good",
        page="lending:loans",
    ),
    _kind(
        "call_expired",
        _("The deadline for more collateral has passed"),
        _("Collateral is sold now, as much as restores the coverage the contract names."),
        _LOAN,
        security=True,
        tone="bad",
        page="lending:loans",
    ),
    _kind(
        "sale_started",
        _("Collateral of your loan is being sold"),
        _(
            "Coverage fell to the level at which the contract orders a sale. You see every part of it on the loan’s page."
        ),
        _LOAN,
        security=True,
        tone="bad",
        page="lending:loans",
    ),
    _kind(
        "sale_ended",
        _("The sale of your collateral has ended"),
        _("What was sold and what it brought stands on the loan’s page."),
        _LOAN,
        security=True,
        page="lending:loans",
    ),
    _kind(
        "shortfall",
        _("Your loan was closed with a shortfall"),
        _("The collateral did not cover what was owed."),
        _LOAN,
        tone="bad",
        security=True,
    ),
)


def connect() -> None:
    for kind in KINDS:
        notice_kinds.register(kind)
