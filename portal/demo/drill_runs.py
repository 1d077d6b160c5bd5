"""Drills started from a page: one at a time, each a process of its own that writes down every step as one JSON line.

The process holds a lock on a file for as long as it lives. Whoever can take the lock knows that nothing runs, however
the last one ended; what it left is tidied up before the next one starts. A page may be left and opened again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from portal.demo.layout import ROOT, Layout

#: Drills against this demonstration itself, led to their end by people at the incident desk.
LIVE: Final = ("D3", "D5")
REHEARSED: Final = tuple(f"D{number}" for number in range(1, 22))


class DrillRuns(Exception):
    """A drill runs already. Nothing was started."""


def folder() -> Path:
    path = Layout.at().run / "drill"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def _lock() -> Iterator[int | None]:
    """The lock's file number, or None if a running drill holds it."""
    handle = os.open(folder() / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield handle
    except BlockingIOError:
        yield None
    finally:
        os.close(handle)


def is_running() -> bool:
    with _lock() as handle:
        return handle is None


def start(*, code: str, live: bool) -> None:
    """Start a drill. Raises `DrillRuns` if one runs, `ValueError` for one that there is not."""
    if code not in (LIVE if live else REHEARSED):
        raise ValueError(code)
    with _lock() as handle:
        if handle is None:
            raise DrillRuns
        scratch = folder() / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)  # keys and the like of one that was killed
        scratch.mkdir(mode=0o700)
        about = {"code": code, "live": live, "began": time.time()}
        (folder() / "about.json").write_text(json.dumps(about))
        command = ["live_drill", code] if live else ["run_drills", "--only", code, "--quick", "--progress"]
        command += [] if live else ["--report", str(folder() / "report")]
        with (folder() / "lines").open("wb") as lines, (folder() / "errors.log").open("wb") as errors:
            # In the session of the web server, so that it ends with the demonstration; not with a worker of it.
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "manage.py", *command],
                cwd=ROOT,
                env=os.environ | {"TMPDIR": str(scratch)},
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=errors,
                pass_fds=(handle,),
            )


@dataclass
class Run:
    """The drill that runs, or ran last."""

    code: str
    live: bool
    began: float
    is_running: bool
    mode: str = ""
    stolen: list[str] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] | None = None

    @property
    def broke_off(self) -> bool:
        """It ended without saying how."""
        return not self.is_running and self.result is None


def current() -> Run | None:
    """What is known of the last drill; None if there was none. A line that is just being written is left out."""
    try:
        about = json.loads((folder() / "about.json").read_text())
    except (OSError, ValueError):
        return None
    running = is_running()  # asked first: what is written afterwards is then read as well
    run = Run(about["code"], about["live"], about["began"], running)
    for line in (folder() / "lines").read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError, KeyError):
            _take(run, json.loads(line))
    return run


def _take(run: Run, said: dict[str, Any]) -> None:
    if said["kind"] == "begin":
        # A rehearsal plays a drill in several ways, one after the other: the newest is shown.
        run.mode, run.stolen, run.steps, run.result = said["mode"], said["stolen"], [], None
    elif said["kind"] == "step":
        run.steps.append(said["step"])
    elif said["kind"] == "end":
        run.result = said["result"]
