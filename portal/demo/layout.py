"""Where the demo keeps what it makes, and the environment its processes run in."""

from __future__ import annotations

import os
import secrets
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parent.parent.parent

#: Made once per run directory and kept: losing KEYSTORE_PASSWORD or EVIDENCE_KEYS loses what they protect.
_SECRETS: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "KEYSTORE_PASSWORD": lambda: secrets.token_urlsafe(24),
    "EVIDENCE_KEYS": lambda: str(Fernet.generate_key().decode()),
    "REDIS_PASSWORD": lambda: secrets.token_urlsafe(24),
    "DEMO_PASSWORD": lambda: "demo-" + secrets.token_hex(6),
    "DEMO_TOTP_SEED": lambda: secrets.token_hex(20),
}


@dataclass(frozen=True)
class Layout:
    """One installation's files: everything lives below `run`, so removing that folder removes the demo."""

    run: Path

    @classmethod
    def at(cls, name: str | None = None) -> Layout:
        """The run directory `name` (default `$MUSUBI_RUN_DIR` or `.run`), below the repository unless absolute."""
        return cls(run=(ROOT / (name or os.environ.get("MUSUBI_RUN_DIR") or ".run")).resolve())

    @property
    def logs(self) -> Path:
        return self.run / "logs"

    @property
    def mail(self) -> Path:
        return self.run / "mail"

    @property
    def pid_file(self) -> Path:
        return self.run / "demo.pid"

    @property
    def ready_file(self) -> Path:
        """Exists while the demo answers; holds its address."""
        return self.run / "ready"

    def prepare(self) -> None:
        self.run.mkdir(parents=True, exist_ok=True)
        for folder in (self.logs, self.mail, self.run / "private", self.run / "keystore"):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)

    def secrets(self) -> dict[str, str]:
        """The secrets of this installation, made on the first call; the file is readable by its owner only.

        Written beside and renamed, so an interrupted first run never leaves half a file.
        """
        path = self.run / "env"
        known = _read_env(path)
        missing = {name: make() for name, make in _SECRETS.items() if name not in known}
        if missing:
            known |= missing
            draft = self.run / "env.new"
            draft.touch(mode=0o600)
            draft.chmod(0o600)
            draft.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in known.items()))
            draft.replace(path)
        return known


def _read_env(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): "".join(shlex.split(value)) for name, value in pairs}


def process_environment(
    layout: Layout, *, database_url: str, redis_url: str, chain_rpc_url: str, settings: str = "portal.settings.local"
) -> dict[str, str]:
    """The whole environment of the portal's processes: this shell's, over it what the demo decides."""
    environment = dict(os.environ)
    environment.update(
        DJANGO_SETTINGS_MODULE=settings,
        MUSUBI_RUN_DIR=str(layout.run),
        DATABASE_URL=database_url,
        REDIS_URL=redis_url,
        CHAIN_RPC_URL=chain_rpc_url,
        PRIVATE_ROOT=str(layout.run / "private"),
        KEYSTORE_DIR=str(layout.run / "keystore"),
        PYTHONUNBUFFERED="1",
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
    )
    environment.setdefault("CHAIN_ID", "31337")
    environment.setdefault("LOG_LEVEL", "INFO")
    environment.setdefault("EMAIL_URL", "filemail:///" + quote(str(layout.mail)))
    for name, value in layout.secrets().items():
        environment.setdefault(name, value)
    return environment
