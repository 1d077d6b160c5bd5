"""Which Chromium the browser journeys drive: the system's, or the one the npm package `@sparticuz/chromium` carries."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Inside a container there is no sandbox to be had, and /dev/shm is small.
_ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
_UNPACK = "import('@sparticuz/chromium').then(m => m.default.executablePath()).then(p => console.log(p))"


@dataclass(frozen=True)
class Chromium:
    """An executable with what it must be started with."""

    path: Path
    arguments: list[str] = field(default_factory=lambda: list(_ARGUMENTS))
    environment: dict[str, str] = field(default_factory=dict)


def find_chromium() -> Chromium:
    """`$CHROMIUM`, else one on the PATH, else the packaged one, unpacked below the temporary folder once."""
    named = os.environ.get("CHROMIUM")
    if named:
        return Chromium(Path(named))
    for name in _NAMES:
        found = shutil.which(name)
        # A stub that only tells how to install a snap answers nothing here.
        if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return Chromium(Path(found))
    return _packaged()


def _packaged() -> Chromium:
    folder = Path(tempfile.gettempdir()) / f"musubi-chromium-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # The package unpacks the libraries a bare system lacks only where it believes to run on Amazon Linux.
    environment = {**os.environ, "TMPDIR": str(folder), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x"}
    unpacked = subprocess.run(
        ["node", "-e", _UNPACK], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    path = Path(unpacked.stdout.strip())
    libraries = folder / "al2023" / "lib"
    missing = "not found" in subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    extra = {"LD_LIBRARY_PATH": str(libraries)} if missing and libraries.exists() else {}
    return Chromium(path, [*_ARGUMENTS], extra)
