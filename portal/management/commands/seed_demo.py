"""`manage.py seed_demo`: introduce the sample people and what they hold. Safe to interrupt and to run again."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from portal.demo.world import WorldStuck, build


class Command(BaseCommand):
    help = (
        "Introduce the demonstration's sample people, their verification, the bond and its holders (only with DEMO=1)."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("DEMO is not set: sample people with known passwords belong in a demonstration only")
        try:
            build(self.stdout.write)
        except WorldStuck as error:
            raise CommandError(str(error)) from error
