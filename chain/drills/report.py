"""The report of a run of drills: JSON for machines, one self-contained HTML page for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from chain.drills import picture, wording
from chain.drills.record import Result, Span
from chain.drills.thief import Try


@dataclass(frozen=True, slots=True)
class Totals:
    """The last line of a run. A drill is counted once, whatever the number of ways it was played in."""

    passed: int
    failed: int
    lost_units: int

    def line(self) -> str:
        return f"DRILLS passed={self.passed} failed={self.failed} lost_units={self.lost_units}"


def totals(results: Sequence[Result]) -> Totals:
    by_number: dict[str, bool] = {}
    for result in results:
        number = wording.number_of(result.code)
        by_number[number] = by_number.get(number, True) and result.passed
    passed = sum(by_number.values())
    return Totals(passed, len(by_number) - passed, sum(result.lost_units for result in results))


def silent(results: Sequence[Result]) -> list[str]:
    """Played drills in which something went through that raised no alarm, by number and way of acting."""
    return [f"{result.code}/{result.mode}" for result in results if result.is_silent]


@dataclass(frozen=True, slots=True)
class Row:
    """One played drill as the page shows it."""

    result: Result

    @property
    def anchor(self) -> str:
        return f"{self.result.code}-{self.result.mode}".replace(".", "-")

    @property
    def title(self) -> str:
        return wording.title(self.result.code)

    @property
    def must_end(self) -> str:
        return wording.must_end(self.result.code)

    @property
    def mode(self) -> str:
        return wording.mode_words(self.result.mode)

    @property
    def alarms(self) -> str:
        return ", ".join(wording.alarm_words(kind) for kind in self.result.alarms)

    @property
    def tried(self) -> int:
        return sum(each.times for each in self.result.tries)

    @property
    def went_through(self) -> int:
        return sum(each.done for each in self.result.tries)

    @property
    def steps(self) -> list[tuple[int, str, str, str]]:
        """(number, when, who, what)"""
        return [
            (s.number, clock(s.seconds), wording.actor_words(s.actor), wording.step_words(s.text, s.values))
            for s in self.result.steps
        ]

    @property
    def tries(self) -> list[tuple[str, str, str, str, str, int]]:
        """Equal tries together: (phase, key, function, arguments, outcome, times)."""
        counted: dict[tuple[str, str, str, str, str], int] = {}
        for each in self.result.tries:
            key = (each.phase, each.by, each.function, each.arguments if each.done else "", shortened(each))
            counted[key] = counted.get(key, 0) + each.times
        return [(*key, times) for key, times in counted.items()]

    @property
    def before(self) -> SafeString:
        return picture.svg(self.result.before, title=_("Before"))

    @property
    def worst(self) -> SafeString:
        return picture.svg(self.result.worst, title=_("At the worst moment"))

    @property
    def after(self) -> SafeString:
        return picture.svg(self.result.after or self.result.before, title=_("After the response"))

    @property
    def detect(self) -> str:
        return span(self.result.detect)

    @property
    def contain(self) -> str:
        return span(self.result.contain)

    @property
    def restore(self) -> str:
        return span(self.result.restore)


def shortened(entry: Try) -> str:
    """The error without its arguments, so that equal ones are counted together; "done" stays."""
    return (
        entry.outcome
        if entry.done or entry.outcome.startswith("SecurityToken_Restricted")
        else entry.outcome.split("(")[0][:80]
    )


def span(value: Span | None) -> str:
    return "—" if value is None else f"{clock(value.seconds)} / {value.transactions}"


def clock(seconds: int) -> str:
    """`2 d 3 h`, `10 min`, `5 s`: the two largest units."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    shown = [f"{number} {unit}" for number, unit in parts if number][:2]
    return " ".join(shown) or "0 s"


def as_json(results: Sequence[Result], *, began: datetime, profile: str) -> dict[str, Any]:
    """Everything that was measured."""
    summary = totals(results)
    return {
        "began": began.isoformat(),
        "ended": timezone.now().isoformat(),
        "profile": profile,
        "passed": summary.passed,
        "failed": summary.failed,
        "lost_units": summary.lost_units,
        "silent": silent(results),
        "drills": [result.as_json() | {"title": wording.title(result.code)} for result in results],
    }


def write(results: Sequence[Result], directory: Path, *, began: datetime, profile: str) -> tuple[Path, Path]:
    """Write `drills.html` and `drills.json` into `directory`, which is made if need be."""
    directory.mkdir(parents=True, exist_ok=True)
    page, data = directory / "drills.html", directory / "drills.json"
    content = as_json(results, began=began, profile=profile)
    data.write_text(json.dumps(content, indent=1, ensure_ascii=False))
    context = {
        "rows": [Row(result) for result in results],
        "totals": totals(results),
        "began": began,
        "profile": profile,
    }
    page.write_text(render_to_string("chain/drills/report.html", context))
    return page, data
