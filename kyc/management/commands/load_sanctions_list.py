"""Load a published sanctions list from a directory of its files."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kyc.models import SanctionsList
from kyc.services import load_sanctions_list
from portal.exceptions import DomainError

SAMPLE = Path(__file__).resolve().parents[2] / "fixtures" / "sanctions"


class Command(BaseCommand):
    help = "Load a sanctions list (OFAC: sdn.csv, alt.csv, add.csv) and screen everybody active against it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--kind", choices=SanctionsList.Kind.values, default=SanctionsList.Kind.OFAC)
        parser.add_argument("--dir", type=Path, help="directory with the files; without it the sample list")
        parser.add_argument("--published", type=date.fromisoformat, help="YYYY-MM-DD; default: date of the newest file")
        parser.add_argument("--name", help="name of the list")

    def handle(self, *args: Any, **options: Any) -> None:
        directory: Path = options["dir"] or SAMPLE
        if not directory.is_dir():
            raise CommandError(f"{directory} is not a directory")
        facts = _facts(directory)
        started = time.monotonic()
        try:
            loaded = load_sanctions_list(
                kind=options["kind"],
                directory=directory,
                name=options["name"] or facts.get("name") or "OFAC SDN",
                published_on=options["published"] or _published(directory, facts),
                is_sample=bool(facts.get("is_sample")),
            )
        except DomainError as error:
            raise CommandError(f"{error.message} ({error.code} {error.context})") from error
        self.stdout.write(
            f"{loaded}: {loaded.entry_count} entries, {loaded.name_count} names, {loaded.wallet_count} wallets, "
            f"sha256 {loaded.sha256[:16]}…, {time.monotonic() - started:.1f} s"
        )


def _facts(directory: Path) -> dict[str, Any]:
    """What stands in list.json beside the files (our sample has one; a published set has none)."""
    path = directory / "list.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _published(directory: Path, facts: dict[str, Any]) -> date:
    if "published_on" in facts:
        return date.fromisoformat(facts["published_on"])
    newest = max(path.stat().st_mtime for path in directory.iterdir() if path.suffix.lower() == ".csv")
    return datetime.fromtimestamp(newest, UTC).date()
