"""Theft drills on a node and a database of their own; the exit status is 1 if one fails."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone, translation

from chain.drills import report, stage, wording
from chain.drills.engine import run_all
from chain.drills.record import Observer, Result, Silent, Step
from chain.drills.scenarios import named


class Command(BaseCommand):
    help = (
        "Play theft drills against a freshly deployed platform on a throw-away node and database. "
        "The last line is DRILLS passed=N failed=M lost_units=K."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--only", default="", help="drills, separated by commas: D3,D5")
        parser.add_argument("--mode", action="append", choices=sorted(wording.MODES), help="only this way of acting")
        parser.add_argument("--report", type=Path, help="directory for drills.html and drills.json")
        parser.add_argument("--progress", action="store_true", help="one JSON line per step, for a page that watches")
        parser.add_argument("--quick", action="store_true", help="one pair of D14 and one key of D20 instead of all")

    def handle(self, *, only: str, mode: list[str] | None, report: Path | None, **options: Any) -> None:
        try:
            drills = named([code.strip() for code in only.split(",") if code.strip()])
        except KeyError as unknown:
            raise CommandError(f"there is no drill {unknown.args[0]}; there are D1 to D21") from None
        if options["quick"]:
            drills = list({wording.number_of(drill.code): drill for drill in drills}.values())
        logging.disable(logging.ERROR)  # a thief makes a lot of noise; the report says what it was
        began, observer = timezone.now(), self._observer(options["progress"])
        with translation.override("en"), stage.scratch_database(), stage.stage() as world:
            results = run_all(world, drills, observer, modes=mode)
        self._finish(results, report, began)

    def _observer(self, progress: bool) -> Observer:
        return Lines(self) if progress else Summary(self)

    def _finish(self, results: list[Result], directory: Path | None, began: Any) -> None:
        directory = directory or Path(tempfile.gettempdir()) / "musubi-drills"
        with translation.override("en"):
            page, data = report.write(results, directory, began=began, profile="drill")
        summary = report.totals(results)
        self.stdout.write(f"report: {page}\n        {data}")
        silent = report.silent(results)
        self.stdout.write(f"went through without an alarm: {', '.join(silent) or 'none'}")
        self.stdout.write(summary.line())
        self.stdout.flush()
        if summary.failed or summary.lost_units or not results:
            sys.exit(1)


class Summary(Silent):
    """A line per drill, for a person at a terminal."""

    def __init__(self, command: BaseCommand) -> None:
        self.out = command.stdout

    def end(self, result: Result) -> None:
        verdict = "passed" if result.passed else "FAILED"
        figures = f"most held by the thief {result.most_held_by_thief}, lost {result.lost_units}"
        alarms = ", ".join(result.alarms) or ("NO ALARM" if result.is_silent else "-")
        self.out.write(f"{result.code:8} {result.mode:8} {verdict}  {figures}, alarms: {alarms}")
        for failure in result.failures:
            self.out.write(f"         {failure}")
        self.out.flush()


class Lines(Silent):
    """Everything as it happens, one JSON object per line."""

    def __init__(self, command: BaseCommand) -> None:
        self.out = command.stdout

    def begin(self, code: str, mode: str, stolen: list[str]) -> None:
        self._say(kind="begin", code=code, mode=mode, stolen=stolen)

    def step(self, code: str, mode: str, step: Step) -> None:
        self._say(kind="step", code=code, mode=mode, step=asdict(step))

    def end(self, result: Result) -> None:
        self._say(kind="end", code=result.code, mode=result.mode, result=result.as_json() | {"steps": [], "tries": []})

    def _say(self, **content: Any) -> None:
        self.out.write(json.dumps(content, ensure_ascii=False))
        self.out.flush()
