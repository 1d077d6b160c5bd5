"""Say from which day on what counts as too much at the incident desk."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import date
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from chain.services.alarms import add_alarm_rule
from portal.exceptions import DomainError

_FIGURES: Final = (
    "burst_minutes",
    "burst_admissions",
    "burst_mints",
    "velocity_hours",
    "velocity_share_bps",
    "velocity_factor",
    "velocity_habit_days",
)


class Command(BaseCommand):
    help = (
        "Add a dated rule for alarms. Figures that are not given stay as in the rule before. Rules are never changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("effective_from", type=date.fromisoformat, help="the first day, e.g. 2027-01-01")
        parser.add_argument("--source", required=True, help="who decided it, and where that is written")
        for name in _FIGURES:
            parser.add_argument("--" + name.replace("_", "-"), type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        figures = {name: options[name] for name in _FIGURES if options[name] is not None}
        try:
            rule = add_alarm_rule(effective_from=options["effective_from"], source=options["source"], figures=figures)
        except DomainError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error
        self.stdout.write(
            f"In force from {rule.effective_from}: " + ", ".join(f"{n} {getattr(rule, n)}" for n in _FIGURES)
        )
