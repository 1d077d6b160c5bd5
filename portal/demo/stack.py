"""Brings the whole demo up and down: services, schema, contracts, sample people, processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import psutil

from lending.bitcoin.simulator import custodian
from lending.bitcoin.simulator.chain import EXCHANGE, wallet_of
from lending.execution import kraken_simulator
from portal.demo.layout import ROOT, Layout, process_environment
from portal.demo.services import (
    Anvil,
    EsploraSimulator,
    ExchangeSimulator,
    Postgres,
    Redis,
    Service,
    ServiceFailed,
    free_port,
    tail,
)
from portal.demo.supervisor import Child, make_children, stop_all, watch


class StepFailed(Exception):
    """A step of bringing the demo up failed; the message ends with what it printed."""


@dataclass
class Services:
    """The embedded services that the environment does not already name, in the order they are started."""

    layout: Layout
    settings: str = "portal.settings.local"
    keep_chain: bool = True
    running: list[Service] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)

    def start(self) -> dict[str, str]:
        """The environment of every process of the portal. Raises ServiceFailed, with everything stopped again."""
        self.layout.prepare()
        run, logs = self.layout.run, self.layout.logs
        password = self.layout.secrets()["REDIS_PASSWORD"]
        makers: dict[str, Any] = {
            "DATABASE_URL": lambda: Postgres(run / "postgres", logs / "postgres.log"),
            "REDIS_URL": lambda: Redis(run / "redis", logs / "redis.log", password=password),
            "CHAIN_RPC_URL": lambda: Anvil(run / "chain", logs / "chain.log", keep=self.keep_chain),
        }
        try:
            for variable, make in makers.items():
                self.urls[variable] = os.environ.get(variable) or self._start(make())
        except BaseException:
            self.stop()
            raise
        return process_environment(
            self.layout,
            database_url=self.urls["DATABASE_URL"],
            redis_url=self.urls["REDIS_URL"],
            chain_rpc_url=self.urls["CHAIN_RPC_URL"],
            settings=self.settings,
        )

    def start_bitcoin(self) -> dict[str, str]:
        """The simulated Bitcoin network of the demo: what the portal is told about it and about its custodian's account."""
        service = EsploraSimulator(self.layout.run / "bitcoin", self.layout.logs / "bitcoin.log")
        fingerprint, xpub = custodian.kept_at(service.custodian_file).account
        return {
            "BITCOIN_ESPLORA_URL": self._start(service),
            "BITCOIN_NETWORK": "regtest",
            "BITCOIN_ACCOUNT_XPUB": xpub,
            "BITCOIN_MASTER_FINGERPRINT": fingerprint,
            "BITCOIN_SALE_ADDRESS": wallet_of(EXCHANGE),
        }

    def start_exchanges(self) -> dict[str, str]:
        """The simulated exchanges of the demo: where they are, and the account with which collateral is sold there."""
        service = ExchangeSimulator(self.layout.run / "exchanges", self.layout.logs / "exchanges.log")
        return {
            "EXCHANGE_SIMULATOR_URL": self._start(service),
            "SALE_VENUE": "kraken",
            "SALE_API_KEY": kraken_simulator.KEY,
            "SALE_API_SECRET": kraken_simulator.SECRET,
        }

    def _start(self, service: Service) -> str:
        self.running.append(service)
        return service.start()

    def stop(self) -> None:
        while self.running:
            self.running.pop().stop()


@dataclass
class Demo:
    """One running demonstration in one run directory."""

    layout: Layout
    echo: bool = False
    port: int | None = None
    services: Services = field(init=False)
    children: list[Child] = field(default_factory=list)
    address: str = ""
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.services = Services(self.layout)

    def run(self) -> int:
        """Bring everything up, say where it is, and stay until asked to stop. Answers the exit status."""
        self._refuse_twice()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._ask_to_stop())
        began = time.monotonic()
        try:
            environment = self._start()
            self._announce(environment, seconds=time.monotonic() - began)
            watch(self.children, self.services.running, until=self.stopping)
        except KeyboardInterrupt:
            pass
        except Exception as error:
            print(f"\n{error}", file=sys.stderr, flush=True)
            return 1
        finally:
            self._stop()
        return 0

    def _ask_to_stop(self) -> None:
        """First signal: stop. While still coming up there is a step to break off as well."""
        already = self.stopping.is_set()
        self.stopping.set()
        if not already and not self.children:
            raise KeyboardInterrupt

    def _refuse_twice(self) -> None:
        running = running_pid(self.layout)
        if running:
            raise StepFailed(f"the demo is already running in {self.layout.run} (process {running})")
        self.layout.prepare()
        self.layout.pid_file.write_text(str(os.getpid()))
        self.layout.ready_file.unlink(missing_ok=True)

    def _start(self) -> dict[str, str]:
        say("starting PostgreSQL, Redis and the EVM node")
        environment = self.services.start()
        port = free_port(self.port or int(os.environ.get("PORT", "8000")))
        self.address = f"http://localhost:{port}"
        environment |= {"DEMO": "1", "PORT": str(port), "SITE_ADDRESS": self.address}
        environment.setdefault("CHAIN_PROFILE", "demo")
        environment.setdefault("WEB_CONCURRENCY", "1")
        environment.setdefault("WORKER_CONCURRENCY", "2")
        environment.setdefault("CSRF_TRUSTED_ORIGINS", self.address)
        environment.setdefault("SITE_URL", self.address)
        environment.setdefault("ALLOWED_HOSTS", "localhost,127.0.0.1")
        if "BITCOIN_ESPLORA_URL" not in environment:
            environment |= self.services.start_bitcoin()
        if "EXCHANGE_SIMULATOR_URL" not in environment:
            environment |= self.services.start_exchanges()
        self._manage(environment, "bringing the database up to date", "migrate", "--no-input")
        self._manage(environment, "collecting static files", "collectstatic", "--no-input")
        self._manage(environment, "deploying the contracts", "deploy_contracts", "--profile", "demo")
        children = make_children(
            ROOT / "Procfile", environment=environment, folder=ROOT, logs=self.layout.logs, echo=self.echo
        )
        # The workers carry the sample world's transactions to the chain, so they come before it.
        for child in children:
            if child.name != "web":
                child.start()
        self.children = children
        self._manage(environment, "introducing the sample people (about a minute the first time)", "seed_demo")
        for child in children:
            if child.name == "web":
                child.start()
        say("waiting for the first page")
        self._wait_for_web()
        self.layout.ready_file.write_text(self.address)
        return environment

    def _manage(self, environment: dict[str, str], what: str, *arguments: str) -> None:
        """One management command. Its output goes to `logs/setup.log`; a failure shows the end of it."""
        say(what)
        log_path = self.layout.logs / "setup.log"
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                env=environment,
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                while process.poll() is None:
                    if self.stopping.wait(0.1):
                        raise KeyboardInterrupt
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait(20)
        if process.returncode != 0:
            raise StepFailed(f"`manage.py {' '.join(arguments)}` failed; see {log_path}\n{tail(log_path, 30)}")

    def _wait_for_web(self) -> None:
        web = next(child for child in self.children if child.name == "web")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not self.stopping.is_set():
            if web.has_ended:
                raise StepFailed(f"the web server ended; see {web.log}\n{tail(web.log)}")
            if _page_loads(self.address + "/demo/"):
                return
            time.sleep(0.2)
        if not self.stopping.is_set():
            raise StepFailed(f"the web server does not answer; see {web.log}\n{tail(web.log)}")

    def _announce(self, environment: dict[str, str], *, seconds: float) -> None:
        if self.stopping.is_set():
            return
        print(
            f"\nMusubi is running at {self.address}  (up in {seconds:.0f} s)\n"
            f"\n  Who to sign in as, with passwords and sign-in codes:  {self.address}/demo/"
            f"\n  Mail this installation sent (sign-up codes):          {self.address}/demo/inbox/"
            f"\n  EVM node: {environment['CHAIN_RPC_URL']}   Logs: {self.layout.logs}"
            f"\n\nPress Ctrl-C to stop. Run `make demo` again to go on from where it was.",
            flush=True,
        )

    def _stop(self) -> None:
        self.stopping.set()
        self.layout.ready_file.unlink(missing_ok=True)
        if self.children or self.services.running:
            print("\nstopping", flush=True)
        stop_all(self.children)
        self.services.stop()
        self.layout.pid_file.unlink(missing_ok=True)


def _page_loads(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:  # noqa: S310
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def say(what: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')}  {what} …", flush=True)


def running_pid(layout: Layout) -> int | None:
    """The process id of the demo running in this run directory, or None."""
    try:
        pid = int(layout.pid_file.read_text())
        process = psutil.Process(pid)
        return pid if "portal.demo" in " ".join(process.cmdline()) and pid != os.getpid() else None
    except (OSError, ValueError, psutil.Error):
        return None


def memory_by_process(pid: int) -> list[tuple[str, float]]:
    """What each process of the demo really takes: proportional set size in MB, largest first (RSS where unknown)."""
    found = []
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            info = process.memory_full_info()
            name = " ".join(process.cmdline()[:6])[-60:] or process.name()
            found.append((name, getattr(info, "pss", info.rss) / 1_000_000))
    return sorted(found, key=lambda row: -row[1])


__all__ = ["Demo", "ServiceFailed", "Services", "StepFailed", "memory_by_process", "running_pid"]
