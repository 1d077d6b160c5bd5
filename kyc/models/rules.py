"""Business rules that change with the law or with policy: versioned, with the date from which they hold."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class DatedRule(models.Model):
    """One version of one rule. The one with the latest `effective_from` not after the day counts (`kyc.rules`)."""

    class Subject(models.TextChoices):
        VERIFICATION = "verification", _("Evidence that verifies an identity")
        SCREENING = "screening", _("Screening threshold")
        REVIEW_PERIOD = "review_period", _("Years until the next review, by risk rating")
        RETENTION = "retention", _("Years records are kept")

    subject = models.CharField(max_length=16, choices=Subject.choices)
    version = models.CharField(max_length=40)
    effective_from = models.DateField()
    value = models.JSONField()
    source = models.TextField(blank=True, help_text="law, ordinance or internal decision")

    class Meta:
        ordering = ["subject", "effective_from"]
        constraints = [
            models.UniqueConstraint(fields=["subject", "effective_from"], name="kyc_rule_one_per_day"),
            models.UniqueConstraint(fields=["subject", "version"], name="kyc_rule_version"),
        ]
        verbose_name = _("dated rule")
        verbose_name_plural = _("dated rules")

    def __str__(self) -> str:
        return f"{self.subject} {self.version}"
