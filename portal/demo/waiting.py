"""Waiting for what the workers and the chain bring about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: The chain makes a block a second; a step that takes this long will not happen.
PATIENCE_SECONDS = 180

Report = Callable[[str], object]


class WorldStuck(Exception):
    """A step did not become true in time; the message says which."""


def until(what: str, test: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait for the workers to make `test` true, and answer its value. Raises WorldStuck."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = test()
        if value:
            return value
        time.sleep(0.25)
    raise WorldStuck(f"{what} did not happen within {seconds:.0f} s")
