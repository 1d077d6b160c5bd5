"""Play D3 or D5 against the running demonstration; its page starts this."""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal.demo import live_drills
from portal.demo.drill_runs import LIVE


class Command(BaseCommand):
    help = "A theft against the running demonstration, one JSON line per step. Only where DEMO is set."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("code", choices=LIVE)

    def handle(self, *, code: str, **options: Any) -> None:
        if not live_drills.is_possible():
            raise CommandError("only a demonstration on its own chain can be stolen from")
        logging.disable(logging.WARNING)
        live_drills.play(code, self._say)

    def _say(self, content: dict[str, Any]) -> None:
        self.stdout.write(live_drills.as_line(content))
        self.stdout.flush()
