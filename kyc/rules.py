"""Reads the dated rules: which evidence verifies whom on which day, thresholds, periods."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from django.core.exceptions import ImproperlyConfigured

from kyc.models import DatedRule


def rule_on(*, subject: DatedRule.Subject, day: date) -> DatedRule:
    """The version in force on `day`. Raises ImproperlyConfigured if the table has none that early."""
    rule = DatedRule.objects.filter(subject=subject, effective_from__lte=day).order_by("-effective_from").first()
    if rule is None:
        raise ImproperlyConfigured(f"no {subject} rule is in force on {day}")
    return rule


def verifies(*, rule: DatedRule, kind: str, methods: Collection[str]) -> bool:
    """Whether evidence by `methods` verifies a person of `kind`: all methods of at least one accepted set are there."""
    held = set(methods)
    return any(set(needed) <= held for needed in rule.value[kind])


def screening_threshold(day: date) -> tuple[int, str]:
    """(score from 0 to 100 from which a name is a hit, version of the rule)."""
    rule = rule_on(subject=DatedRule.Subject.SCREENING, day=day)
    return int(rule.value["threshold"]), rule.version


def next_review(*, rating: str, day: date) -> date:
    """The day on which a person verified on `day` is verified again, by risk rating; the SBT expires then."""
    years = int(rule_on(subject=DatedRule.Subject.REVIEW_PERIOD, day=day).value[rating])
    return _plus_years(day, years)


def retention_ends(closed_on: date) -> date:
    """The first day on which records of a relationship that ended on `closed_on` may be deleted."""
    years = int(rule_on(subject=DatedRule.Subject.RETENTION, day=closed_on).value["years"])
    return _plus_years(closed_on, years)


def _plus_years(day: date, years: int) -> date:
    # 29 February has no anniversary in most years: the day after keeps the full period.
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)
