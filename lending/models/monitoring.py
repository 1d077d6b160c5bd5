"""What a price reads: one narrow row per open loan."""

from __future__ import annotations

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
