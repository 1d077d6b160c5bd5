"""What a price reads: one narrow row per open loan."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from chain.models import UnitsField
from lending.models.terms import Currency


class Stage(models.IntegerChoices):
    """The next step that a falling price would bring. Taking it moves the row on."""

    NONE = 0, _("None")
    REMINDER_FIRST = 1, _("First reminder")
    REMINDER_SECOND = 2, _("Second reminder")
    CALL = 3, _("Call for collateral")
    SALE = 4, _("Sale of collateral")


class Position(models.Model):
    """One open loan as the sweep sees it (docs/decisions/030-lending.md). Everything but `stage` follows from the ledger.

    Changed in the transaction of whatever changes debt, collateral or stage: `lending.services.positions`.
    """

    loan = models.OneToOneField("lending.Loan", primary_key=True, on_delete=models.PROTECT, related_name="position")
    currency = models.CharField(max_length=3, choices=Currency.choices)
    btc_sats = models.BigIntegerField(default=0)
    eth_wei = UnitsField(default=0)
    debt = models.BigIntegerField(default=0, help_text="minor units of the currency, interest to date included")
    stage = models.PositiveSmallIntegerField(choices=Stage.choices, default=Stage.NONE)
    threshold_bps = models.PositiveIntegerField(default=0, help_text="coverage at which `stage` comes")
    episode = models.PositiveIntegerField(
        default=1, help_text="grows when the loan has recovered; steps come once in each"
    )
    share_bucket = models.PositiveSmallIntegerField(default=0)
    reach = models.FloatField(null=True, blank=True, help_text="null: no price brings a step")
    cure_bps = models.PositiveIntegerField(null=True, blank=True, help_text="coverage that cures an open call")
    cure_reach = models.FloatField(null=True, blank=True)

    class Meta:
        verbose_name = _("position")
        verbose_name_plural = _("positions")
        constraints = [
            models.CheckConstraint(
                condition=Q(btc_sats__gte=0, eth_wei__gte=0, debt__gte=0), name="lending_position_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(reach__isnull=True) | Q(stage__gt=0, threshold_bps__gt=0), name="lending_position_stage"
            ),
        ]
        indexes = [
            models.Index(
                fields=["currency", "share_bucket", "reach"],
                condition=Q(reach__isnull=False),
                name="lending_position_reach",
            ),
            models.Index(
                fields=["currency", "share_bucket", "cure_reach"],
                condition=Q(cure_reach__isnull=False),
                name="lending_position_cure",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.loan_id} {self.stage}"


class Breach(models.Model):
    """A step that a price brought about for one loan, found by the sweep and carried out by a worker from this row.

    Written in one statement with the position's next stage, so it is found once; carried out once, on the locked loan.
    """

    class Kind(models.TextChoices):
        FALL = "fall", _("Coverage fell")
        CURE = "cure", _("Coverage recovered")

    class State(models.TextChoices):
        PENDING = "pending", _("To be carried out")
        DONE = "done", _("Carried out")
        OVERTAKEN = "overtaken", _("No longer needed")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.PENDING: {State.DONE, State.OVERTAKEN},
        State.DONE: set(),
        State.OVERTAKEN: set(),
    }

    loan = models.ForeignKey("lending.Loan", on_delete=models.PROTECT, related_name="breaches")
    tick = models.ForeignKey("lending.PriceTick", on_delete=models.PROTECT, related_name="found")
    kind = models.CharField(max_length=4, choices=Kind.choices)
    stage = models.PositiveSmallIntegerField(
        choices=Stage.choices, help_text="the deepest step reached; for a cure the next one"
    )
    episode = models.PositiveIntegerField()
    debt = models.BigIntegerField(help_text="minor units, as judged")
    worth = models.DecimalField(max_digits=40, decimal_places=18, help_text="of the collateral, as judged, cut")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    found_at = models.DateTimeField()
    acted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("step brought by a price")
        verbose_name_plural = _("steps brought by prices")
        constraints = [
            models.UniqueConstraint(fields=["loan", "kind", "stage", "episode"], name="lending_breach_once"),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(state="pending"), name="lending_breach_pending")]

    def __str__(self) -> str:
        return f"{self.loan_id} {self.kind} {self.stage}"


class Setback(models.Model):
    """Work of the desk's own that failed and is tried again. The row is gone when it succeeded: what is here waits."""

    class Kind(models.TextChoices):
        BREACH = "breach", _("Step brought by a price")
        CALL = "call", _("Call for collateral")
        SALE = "sale", _("Sale of collateral")

    kind = models.CharField(_("what"), max_length=6, choices=Kind.choices)
    row_id = models.BigIntegerField(help_text="of the breach, call or sale")
    loan = models.ForeignKey("lending.Loan", on_delete=models.PROTECT, related_name="setbacks")
    tries = models.PositiveIntegerField(_("tries"), default=0)
    since = models.DateTimeField(_("since"))
    last_at = models.DateTimeField(_("last tried"), null=True)
    problem = models.CharField(_("what went wrong"), max_length=200, blank=True)

    class Meta:
        ordering = ["since"]
        verbose_name = _("setback")
        verbose_name_plural = _("setbacks")
        constraints = [models.UniqueConstraint(fields=["kind", "row_id"], name="lending_setback_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.row_id}: {self.tries}"
