"""`.env.example` names every setting that can be made, and nothing that is read nowhere."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Read by the Procfile, or by Django before any settings.
PROCESSES = {"BIND", "PORT", "WEB_CONCURRENCY", "WORKER_CONCURRENCY", "DJANGO_SETTINGS_MODULE"}


def read() -> set[str]:
    """Names that the settings read from the environment."""
    sources = [path.read_text() for path in (ROOT / "portal" / "settings").glob("*.py")]
    return {name for text in sources for name in re.findall(r"env(?:\.\w+)?\(\s*\"([A-Z0-9_]+)\"", text)}


def told() -> set[str]:
    return set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_every_setting_that_is_read_is_in_the_example() -> None:
    assert {"SECRET_KEY", "SALE_VENUE", "DELIVERY_LATE_MINUTES"} <= read()
    assert sorted(read() - told()) == []


def test_the_example_names_nothing_that_nobody_reads() -> None:
    assert sorted(told() - read() - PROCESSES) == []
