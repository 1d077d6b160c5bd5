"""Make, fill, compile and check the catalogues of translations."""

from __future__ import annotations

import io
from argparse import ArgumentParser
from typing import Any

from babel.messages.pofile import write_po
from django.core.management.base import BaseCommand, CommandError

from portal import catalogues


class Command(BaseCommand):
    help = (
        "extract: print what is to be translated; update: bring the .po files up to date; "
        "compile: write the .mo files; check: fail on anything missing, unsure, out of date or translated in two ways."
    )
    requires_system_checks: list[str] = []  # must work before anything else does

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["extract", "update", "compile", "check"])
        parser.add_argument(
            "names", nargs="*", help=f"catalogues: {catalogues.SHARED}, {', '.join(catalogues.APPS)} (default: all)"
        )

    def handle(self, *args: Any, action: str, names: list[str], **options: Any) -> None:
        known = (catalogues.SHARED, *catalogues.APPS)
        for name in names:
            if name not in known:
                raise CommandError(f"no catalogue {name!r}; there are {', '.join(known)}")
        getattr(self, f"_{action}")(names or list(known))

    def _extract(self, names: list[str]) -> None:
        for name in names:
            out = io.BytesIO()
            write_po(out, catalogues.extract(name), width=0, sort_output=True, omit_header=True, include_lineno=False)
            self.stdout.write(out.getvalue().decode())

    def _update(self, names: list[str]) -> None:
        for name in names:
            added, removed = catalogues.update(name)
            self.stdout.write(f"{name}: {added} new, {removed} gone")

    def _compile(self, names: list[str]) -> None:
        for name in names:
            path = catalogues.compile_catalogue(name)
            if path:
                self.stdout.write(f"{name}: compiled")

    def _check(self, names: list[str]) -> None:
        found = [problem for name in names for problem in catalogues.problems(name)]
        found += catalogues.clashes(names)
        for problem in found:
            self.stderr.write(problem)
        if found:
            raise CommandError(f"{len(found)} problems in the translations")
        self.stdout.write("translations are complete")
