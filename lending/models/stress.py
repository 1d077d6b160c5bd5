"""Runs of a stress path over the book."""

from __future__ import annotations

from typing import ClassVar, Final

from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.lookups import Exact, GreaterThan, LessThan
from django.utils.translation import gettext_lazy as _

#: A path may be so long, and so may prices be missing.
MOST_HOURS: Final = 31 * 24
_MOST_POINTS: Final = 32


class StressRun(models.Model):
    """One fall of prices, historical or drawn, sent over the book as it stood; kept with what came out."""

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting to be calculated")
        RUNNING = "running", _("Being calculated")
        DONE = "done", _("Calculated")
        FAILED = "failed", _("Could not be calculated")

    class Problem(models.TextChoices):
        PRICE = "price", _("A price of bitcoin or ether is missing or not reliable.")
        LOST = "lost", _("The calculation stopped on the way: its worker was switched off.")
        ERROR = "error", _("The calculation met an error; the operator finds it in the log.")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.QUEUED: {State.RUNNING},
        State.RUNNING: {State.DONE, State.FAILED},
        State.DONE: set(),
        State.FAILED: set(),
    }

    path_code = models.CharField(max_length=10, blank=True, help_text="empty: drawn")
    points = models.JSONField(help_text="minutes and factors in basis points")
    deadline_hours = models.PositiveSmallIntegerField(_("hours to answer a call"))
    response_bps = models.PositiveSmallIntegerField(_("called borrowers who top up"), help_text="basis points")
    slippage_bps = models.PositiveSmallIntegerField(_("slippage of a sale"), help_text="basis points")
    outage_from_hour = models.PositiveSmallIntegerField(_("prices are missing from hour"))
    outage_hours = models.PositiveSmallIntegerField(_("hours without prices"))
    state = models.CharField(max_length=8, choices=State.choices, default=State.QUEUED)
    problem = models.CharField(max_length=8, choices=Problem.choices, blank=True)
    loans = models.PositiveIntegerField(default=0, help_text="in the book when the calculation began")
    progress = models.PositiveIntegerField(default=0, help_text="loans done")
    results = models.JSONField(default=dict, help_text="by currency: totals, series, prices, what drove it")
    asked_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(auto_now_add=True)
    book_at = models.DateTimeField(null=True, blank=True, help_text="when the calculation began")
    seen_at = models.DateTimeField(null=True, blank=True, help_text="when it was last heard of")
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("stress run")
        verbose_name_plural = _("stress runs")
        constraints = [
            models.CheckConstraint(
                # Unstarted, under way, or over: each with the times that belong to it and no others.
                condition=Q(state="queued", book_at=None, seen_at=None, ended_at=None)
                | Q(state="running", book_at__isnull=False, seen_at__isnull=False, ended_at=None)
                | Q(state__in=["done", "failed"], book_at__isnull=False, ended_at__gte=F("book_at")),
                name="lending_stress_state",
            ),
            models.CheckConstraint(
                condition=Q(state="failed", problem__in=["price", "lost", "error"])
                | (~Q(state="failed") & Q(problem="")),
                name="lending_stress_problem",
            ),
            models.CheckConstraint(condition=Q(state="done") | Q(results={}), name="lending_stress_results"),
            models.CheckConstraint(
                condition=Q(
                    deadline_hours__range=(1, 240),
                    response_bps__lte=10_000,
                    slippage_bps__lte=5_000,
                    outage_from_hour__lte=MOST_HOURS,
                    outage_hours__lte=MOST_HOURS,
                ),
                name="lending_stress_parameters",
            ),
            models.CheckConstraint(
                condition=Q(
                    Exact(Func("points", function="jsonb_typeof", output_field=models.TextField()), Value("array"))
                )
                & Q(GreaterThan(Func("points", function="jsonb_array_length", output_field=models.IntegerField()), 0))
                & Q(
                    LessThan(
                        Func("points", function="jsonb_array_length", output_field=models.IntegerField()),
                        _MOST_POINTS + 1,
                    )
                ),
                name="lending_stress_points",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.path_code} {self.state}"
