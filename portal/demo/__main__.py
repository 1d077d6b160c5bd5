"""`python -m portal.demo …`: the demo's own command line, used by the Makefile."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

from portal.demo.layout import ROOT, Layout, process_environment
from portal.demo.services import ServiceFailed, tail
from portal.demo.stack import Demo, Services, StepFailed, memory_by_process, running_pid


def up(options: argparse.Namespace) -> int:
    """Run the demo in the foreground, or detached: then come back as soon as it answers."""
    layout = Layout.at(options.run)
    if options.detach:
        return _up_detached(layout, options)
    return Demo(layout, echo=options.logs, port=options.port).run()


def _up_detached(layout: Layout, options: argparse.Namespace) -> int:
    if running_pid(layout):
        print(f"already running at {layout.ready_file.read_text() if layout.ready_file.exists() else '?'}")
        return 0
    layout.prepare()
    layout.ready_file.unlink(missing_ok=True)
    log_path = layout.logs / "demo.log"
    command = [sys.executable, "-m", "portal.demo", "--run", str(layout.run), "up"]
    command += ["--port", str(options.port)] if options.port else []
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True, cwd=ROOT
        )
    while process.poll() is None:
        if layout.ready_file.exists():
            print(f"running at {layout.ready_file.read_text()} (process {process.pid}); logs in {layout.logs}")
            return 0
        time.sleep(0.2)
    print(tail(log_path, 40), file=sys.stderr)
    return 1


def down(options: argparse.Namespace) -> int:
    """Stop a running demo in order, and wait until it has."""
    pid = running_pid(Layout.at(options.run))
    if pid is None:
        print("not running")
        return 0
    os.kill(pid, signal.SIGTERM)
    for _ in range(900):
        if running_pid(Layout.at(options.run)) is None:
            print("stopped")
            return 0
        time.sleep(0.1)
    print("still running after 90 s", file=sys.stderr)
    return 1


def status(options: argparse.Namespace) -> int:
    """Whether it runs, where, and what its processes take."""
    layout = Layout.at(options.run)
    pid = running_pid(layout)
    if pid is None:
        print("not running")
        return 1
    address = layout.ready_file.read_text() if layout.ready_file.exists() else "(coming up)"
    print(f"running at {address}, process {pid}")
    rows = memory_by_process(pid)
    for name, megabytes in rows:
        print(f"{megabytes:8.1f} MB  {name}")
    print(f"RATIO demo_memory_mb={sum(megabytes for _, megabytes in rows):.0f} processes={len(rows)}")
    return 0


def reset(options: argparse.Namespace) -> int:
    """Remove a demo with everything it made; refuses while it runs."""
    layout = Layout.at(options.run)
    if running_pid(layout):
        print("the demo is running; stop it first", file=sys.stderr)
        return 1
    shutil.rmtree(layout.run, ignore_errors=True)
    return 0


def manage(options: argparse.Namespace) -> int:
    """A management command inside the running demo's environment."""
    layout = Layout.at(options.run)
    pid = running_pid(layout)
    if pid is None:
        print("the demo is not running", file=sys.stderr)
        return 1
    environment = _environment_of(pid) or process_environment(layout, database_url="", redis_url="", chain_rpc_url="")
    return subprocess.run(
        [sys.executable, "manage.py", *(argument for argument in options.arguments if argument != "--")],
        env=environment,
        cwd=ROOT,
        check=False,
    ).returncode


def _environment_of(pid: int) -> dict[str, str]:
    """What the demo gave its processes, read from one of them."""
    import psutil

    for process in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):
            environment: dict[str, str] = process.environ()
            if environment.get("DEMO") == "1" and environment.get("DATABASE_URL"):
                return environment
    return {}


def with_services(options: argparse.Namespace) -> int:
    """Run one command against fresh embedded services, then stop and remove them. Answers its exit status."""
    layout = Layout.at(options.run or f".run/with-{os.getpid()}")
    services = Services(layout, settings=options.settings, keep_chain=False)
    process: subprocess.Popen[bytes] | None = None

    def stop(*_: object) -> None:
        if process and process.poll() is None:
            process.terminate()
        else:
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        environment = services.start()
        command = options.command[1:] if options.command[:1] == ["--"] else options.command
        process = subprocess.Popen(command, env=environment, cwd=ROOT)
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # Ctrl-C reached the command as well; its own answer decides
    finally:
        services.stop()
        if not options.keep:
            shutil.rmtree(layout.run, ignore_errors=True)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m portal.demo", description=__doc__)
    parser.add_argument("--run", help="run directory (default .run)")
    actions = parser.add_subparsers(required=True)
    action = actions.add_parser("up", help=up.__doc__)
    action.add_argument("--detach", action="store_true")
    action.add_argument("--logs", action="store_true", help="show every process's log here as well")
    action.add_argument("--port", type=int, help="of the web server; the next free one is taken")
    action.set_defaults(do=up)
    for name, function in (("down", down), ("status", status), ("reset", reset)):
        actions.add_parser(name, help=function.__doc__).set_defaults(do=function)
    action = actions.add_parser("manage", help=manage.__doc__)
    action.add_argument("arguments", nargs=argparse.REMAINDER)
    action.set_defaults(do=manage)
    action = actions.add_parser("with-services", help=with_services.__doc__)
    action.add_argument("--settings", default="portal.settings.test")
    action.add_argument("--keep", action="store_true", help="leave the run directory for a look")
    action.add_argument("command", nargs=argparse.REMAINDER)
    action.set_defaults(do=with_services)
    return parser


def main() -> int:
    options = _arguments().parse_args()
    try:
        return int(options.do(options))
    except (ServiceFailed, StepFailed) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
