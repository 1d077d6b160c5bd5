"""Calls for more collateral, and every notice that was given about a loan's coverage."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from chain.models import UnitsField
from lending.models.terms import MoneyField


class MarginCall(models.Model):
    """More collateral (or a repayment) is asked for by a deadline. One open call per loan.

    What it was judged by is kept: prices, debt and collateral. `cure_bps` and `cured_by_price` come from the loan's terms.
    """

    class State(models.TextChoices):
        OPEN = "open", _("Waiting for the borrower")
        CURED = "cured", _("Cured")
        EXPIRED = "expired", _("Deadline passed")
        OVERRIDDEN = "overridden", _("Overtaken by the sale")
        CLOSED = "closed", _("Loan ended")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.OPEN: {State.CURED, State.EXPIRED, State.OVERRIDDEN, State.CLOSED},
        State.CURED: set(),
        State.EXPIRED: set(),
        State.OVERRIDDEN: set(),
        State.CLOSED: set(),
    }

    loan = models.ForeignKey("lending.Loan", on_delete=models.PROTECT, related_name="calls")
    breach = models.OneToOneField("lending.Breach", on_delete=models.PROTECT, related_name="call")
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.OPEN)
    opened_at = models.DateTimeField()
    deadline = models.DateTimeField(_("deadline"))
    btc_price = models.ForeignKey("lending.Price", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    eth_price = models.ForeignKey("lending.Price", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    debt = models.BigIntegerField(help_text="minor units at the call")
    btc_sats = models.BigIntegerField()
    eth_wei = UnitsField()
    worth = models.DecimalField(max_digits=40, decimal_places=18, help_text="of the collateral at the call")
    asked = MoneyField(
        _("collateral asked for"), help_text="worth of collateral that restores the target at those prices"
    )
    cure_bps = models.PositiveIntegerField(help_text="coverage that cures it")
    cured_by_price = models.BooleanField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=12, blank=True, help_text="price, borrower, deadline, sale, repaid")

    class Meta:
        ordering = ["-id"]
        verbose_name = _("call for collateral")
        verbose_name_plural = _("calls for collateral")
        constraints = [
            models.UniqueConstraint(fields=["loan"], condition=Q(state="open"), name="lending_call_one_open"),
            models.CheckConstraint(condition=Q(deadline__gt=F("opened_at")), name="lending_call_deadline"),
            models.CheckConstraint(
                condition=Q(state="open", ended_at__isnull=True) | (~Q(state="open") & Q(ended_at__isnull=False)),
                name="lending_call_ended",
            ),
        ]
        indexes = [models.Index(fields=["deadline"], condition=Q(state="open"), name="lending_call_due")]

    def __str__(self) -> str:
        return f"{self.loan_id} {self.state} {self.deadline:%Y-%m-%d %H:%M}"


class Reminder(models.Model):
    """A notice given to the borrower about coverage. The same notice is given once an episode, or once a call or sale."""

    class Kind(models.TextChoices):
        FIRST = "first", _("First reminder")
        SECOND = "second", _("Second reminder")
        CALLED = "called", _("Collateral called")
        CALL_HALFWAY = "call_halfway", _("Half of the time to answer is over")
        CALL_LAST = "call_last", _("Last notice before the deadline")
        CALL_CURED = "call_cured", _("Call cured")
        CALL_EXPIRED = "call_expired", _("Deadline passed")
        SALE_STARTED = "sale_started", _("Sale began")
        SALE_ENDED = "sale_ended", _("Sale ended")

    loan = models.ForeignKey("lending.Loan", on_delete=models.PROTECT, related_name="reminders")
    kind = models.CharField(pgettext_lazy("margin call", "notice"), max_length=12, choices=Kind.choices)
    key = models.CharField(max_length=40, help_text="the episode, call or sale it is about")
    breach = models.ForeignKey(
        "lending.Breach", null=True, blank=True, on_delete=models.PROTECT, related_name="reminders"
    )
    call = models.ForeignKey(MarginCall, null=True, blank=True, on_delete=models.PROTECT, related_name="notices")
    coverage_bps = models.PositiveIntegerField(null=True, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("notice about coverage")
        verbose_name_plural = _("notices about coverage")
        constraints = [
            models.UniqueConstraint(fields=["loan", "kind", "key"], name="lending_reminder_once"),
        ]

    def __str__(self) -> str:
        return f"{self.loan_id} {self.kind}"
