"""The contracts' properties in words and their tests name each other (docs/security/properties.md)."""

from __future__ import annotations

import subprocess
from pathlib import Path

from django.conf import settings


def test_every_property_names_a_test_and_every_test_a_property() -> None:
    script = Path(settings.BASE_DIR) / "contracts" / "script" / "check-properties.mjs"
    run = subprocess.run(["node", str(script)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
