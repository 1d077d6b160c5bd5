"""Runs of a stress path over the book."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class StressRun(models.Model):
    """One fall of prices, historical or drawn, sent over the book as it stood; kept with what came out."""

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting to be calculated")
        RUNNING = "running", _("Being calculated")
        DONE = "done", _("Calculated")
        FAILED = "failed", _("Could not be calculated")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.QUEUED: {State.RUNNING},
        State.RUNNING: {State.DONE, State.FAILED},
        State.DONE: set(),
        State.FAILED: set(),
    }

    path_code = models.CharField(max_length=10, blank=True, help_text="empty: drawn")
    points = models.JSONField(help_text="minutes and factors in basis points")
    parameters = models.JSONField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.QUEUED)
    progress = models.PositiveIntegerField(default=0, help_text="loans done")
    results = models.JSONField(default=dict, help_text="by currency: totals and the series")
    asked_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(auto_now_add=True)
    book_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("stress run")
        verbose_name_plural = _("stress runs")

    def __str__(self) -> str:
        return f"{self.pk} {self.path_code} {self.state}"
