"""Runs the lines of the Procfile, keeps their logs, starts again what fell over, and stops all of it in order."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from portal.demo.services import Service, end_with_parent, stop_process, tail

#: A process that fell over this often within a minute will not come up by itself.
_MOST_RESTARTS_A_MINUTE = 5


class ProcessKeepsFailing(Exception):
    """A process ends as often as it is started; the message holds the end of its log."""


def read_procfile(path: Path) -> dict[str, str]:
    """Names and commands of a Procfile, in its order."""
    pairs = (line.split(":", 1) for line in path.read_text().splitlines() if ":" in line and not line.startswith("#"))
    return {name.strip(): command.strip() for name, command in pairs}


@dataclass
class Child:
    """One process of the Procfile in a session of its own."""

    name: str
    command: str
    environment: dict[str, str]
    folder: Path
    log: Path
    echo: bool = False
    process: subprocess.Popen[bytes] | None = None
    started: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_RESTARTS_A_MINUTE + 1))

    def start(self) -> None:
        self.started.append(time.monotonic())
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {self.command}"],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGTERM),
        )
        threading.Thread(target=self._copy_output, args=(self.process,), daemon=True).start()

    def _copy_output(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - asked for above
        with self.log.open("ab") as log:
            for line in process.stdout:
                log.write(line)
                log.flush()
                if self.echo:
                    sys.stdout.write(f"{self.name:<8}| {line.decode(errors='replace')}")
                    sys.stdout.flush()

    @property
    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def start_again(self) -> None:
        """Raises ProcessKeepsFailing when it fell over too often within the last minute."""
        if len(self.started) > _MOST_RESTARTS_A_MINUTE and time.monotonic() - self.started[0] < 60:
            raise ProcessKeepsFailing(f"{self.name} keeps failing; see {self.log}\n{tail(self.log)}")
        self._end_what_it_left()
        self.start()

    def wait_until_stopped(self) -> None:
        """For the end of a process that was asked to stop. Celery takes a second SIGTERM for impatience."""
        stop_process(self.process, None, seconds=20)
        self._end_what_it_left()

    def _end_what_it_left(self) -> None:
        """Its own children live in its session; none may outlast it."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


def make_children(
    procfile: Path, *, environment: dict[str, str], folder: Path, logs: Path, echo: bool = False
) -> list[Child]:
    """The processes of a Procfile, not started yet. The last run's log is kept beside as `<name>.log.1`."""
    children = []
    for name, command in read_procfile(procfile).items():
        log = logs / f"{name}.log"
        if log.exists():
            log.replace(logs / f"{name}.log.1")
        children.append(Child(name=name, command=command, environment=environment, folder=folder, log=log, echo=echo))
    return children


def watch(children: list[Child], services: list[Service], *, until: threading.Event) -> None:
    """Start again what ends, until the event is set. A service comes back at the address it had."""
    while not until.wait(0.5):
        for service in services:
            if service.process is not None and service.process.poll() is not None and not until.is_set():
                print(f"{service.name} ended with status {service.process.returncode}; starting it again", flush=True)
                service.start()
        for child in children:
            if child.has_ended and not until.is_set():
                status = child.process.returncode if child.process else "?"
                print(f"{child.name} ended with status {status}; starting it again", flush=True)
                child.start_again()


def stop_all(children: list[Child]) -> None:
    """All are asked at once, then waited for in the reverse of the order they were started in."""
    for child in children:
        if child.process is not None and not child.has_ended:
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(signal.SIGTERM)
    for child in reversed(children):
        child.wait_until_stopped()
