"""How long pages take with 100,000 rows behind them, beside a page of this same project that asks the database nothing.

A fresh demo is started (gunicorn as in Procfile, the real PostgreSQL, Redis and node), filled with 100,000 applications
and 100,000 loans, and `CLIENTS` signed-in browsers ask for each page at once, `ROUNDS` times each; all pages take turns in
one run, so that a slower machine is slower for all. The yardstick is the public front page: one template, no query.

The pre-check is measured alone, one request after the other, against the two things it cannot do without: one bare
`eth_call` of the same check, and one yardstick page.

Run `make bench-pages`. Ends in one line `RATIO name=value …` (medians and 95th percentiles over the yardstick's).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from eth_abi.abi import encode
from eth_utils.crypto import keccak

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from portal.demo.__main__ import _environment_of  # noqa: E402
from portal.demo.layout import Layout  # noqa: E402
from portal.demo.people import BY_KEY  # noqa: E402
from portal.demo.stack import running_pid  # noqa: E402
from portal.demo.visitor import Visitor  # noqa: E402

RUN, PORT = ".run-bench-pages", "8190"
CLIENTS, ROUNDS = 16, 20
YARDSTICK = "yardstick"


def demo(*arguments: str) -> int:
    environment = os.environ | {"WEB_CONCURRENCY": "2"}
    command = [sys.executable, "-m", "portal.demo", "--run", RUN, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def data(*arguments: str) -> dict[str, Any]:
    """One command of `bench/pages_data.py` in the demo's environment."""
    environment = _environment_of(running_pid(Layout.at(RUN)) or 0)
    made = subprocess.run(
        [sys.executable, "bench/pages_data.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise SystemExit(made.stdout + made.stderr)
    answer: dict[str, Any] = json.loads(made.stdout.strip().splitlines()[-1])
    return answer


def timed(ask: Callable[[], requests.Response]) -> float:
    began = time.perf_counter()
    answer = ask()
    took = time.perf_counter() - began
    if answer.status_code != 200:
        raise SystemExit(f"{answer.url} answered {answer.status_code}")
    return took * 1000


def cookies_of(address: str, key: str, secret: str) -> requests.cookies.RequestsCookieJar:
    visitor = Visitor(address)
    visitor.sign_in(BY_KEY[key].email, secret, BY_KEY[key].totp_secret)
    return visitor.session.cookies


def all_at_once(address: str, path: str, cookies: requests.cookies.RequestsCookieJar | None) -> list[float]:
    """Milliseconds of every request of `CLIENTS` browsers that each ask `ROUNDS` times."""
    took: list[float] = []

    def browse() -> None:
        session = requests.Session()
        if cookies is not None:
            session.cookies.update(cookies)
        took.extend([timed(lambda: session.get(address + path, allow_redirects=False)) for _round in range(ROUNDS)])

    browsers = [threading.Thread(target=browse) for _client in range(CLIENTS)]
    for browser in browsers:
        browser.start()
    for browser in browsers:
        browser.join()
    if len(took) != CLIENTS * ROUNDS:
        raise SystemExit(f"{path}: {len(took)} answers of {CLIENTS * ROUNDS}")
    return took


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[18]


def precheck(
    address: str, path: str, cookies: requests.cookies.RequestsCookieJar, call: dict[str, object]
) -> tuple[float, float, float]:
    """Medians in milliseconds, one at a time: the pre-check, a bare `eth_call`, the yardstick."""
    session, node = requests.Session(), requests.Session()
    session.cookies.update(cookies)
    url = _environment_of(running_pid(Layout.at(RUN)) or 0)["CHAIN_RPC_URL"]
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"]}
    kinds = {
        "check": lambda: session.get(address + path),
        "call": lambda: node.post(url, json=body),
        "page": lambda: session.get(address + "/"),
    }
    took: dict[str, list[float]] = {name: [] for name in kinds}
    for _round in range(60):
        for name, ask in kinds.items():
            took[name].append(timed(ask))
    return statistics.median(took["check"]), statistics.median(took["call"]), statistics.median(took["page"])


def facts(address: str, secret: str) -> dict[str, str]:
    """The bond's page, and the two people's addresses, read from the pages as they would."""
    holder, receiver = Visitor(address), Visitor(address)
    holder.sign_in(BY_KEY["investor_a"].email, secret, BY_KEY["investor_a"].totp_secret)
    receiver.sign_in(BY_KEY["investor_b"].email, secret, BY_KEY["investor_b"].totp_secret)
    holdings = holder.open("/tokens/holdings/").body
    security = re.search(r"/tokens/holdings/(\d+)/", holdings)
    own = re.search(r"0x[0-9a-fA-F]{40}", holder.open("/tokens/receive/").body)
    other = re.search(r"0x[0-9a-fA-F]{40}", receiver.open("/tokens/receive/").body)
    if not (security and own and other):
        raise SystemExit("the demo's world is not complete")
    return {"security": security.group(1), "own": own.group(0), "other": other.group(0)}


def check_call(found: dict[str, str]) -> dict[str, object]:
    """The contract's own answer to the same question: ERC-1404 `detectTransferRestriction`."""
    selector = keccak(text="detectTransferRestriction(address,address,uint256)")[:4]
    arguments = encode(["address", "address", "uint256"], [found["own"], found["other"], 1])
    token = data("token", found["security"])["token"]
    return {"to": token, "data": "0x" + (selector + arguments).hex()}


def main() -> None:
    demo("down")
    shutil.rmtree(ROOT / RUN, ignore_errors=True)
    try:
        if demo("up", "--detach", "--port", PORT) != 0:
            raise SystemExit(1)
        measure()
    finally:
        demo("down")
        shutil.rmtree(ROOT / RUN, ignore_errors=True)


def measure() -> None:
    layout = Layout.at(RUN)
    known = layout.secrets()
    os.environ.update({name: known[name] for name in ("DEMO_TOTP_SEED", "DEMO_PASSWORD")})
    address, secret = layout.ready_file.read_text(), known["DEMO_PASSWORD"]
    print(f"filled: {data('fill')}", flush=True)
    found = facts(address, secret)
    transfer = f"/tokens/transfers/new/{found['security']}/"
    check = f"{transfer}precheck/?recipient={found['other']}&amount=1"
    pages = {
        YARDSTICK: ("", "/"),
        "holdings": ("investor_a", "/tokens/holdings/"),
        "transfer": ("investor_a", check),
        "form": ("investor_a", transfer),
        "queue": ("officer_1", "/kyc/queue/"),
        "book": ("loan_officer_1", "/lending/desk/"),
    }
    cookies = {key: cookies_of(address, key, secret) for key in ("investor_a", "officer_1", "loan_officer_1")}
    took: dict[str, list[float]] = {name: [] for name in pages}
    for warm in (True, False, False, False):
        for name, (who, path) in pages.items():
            values = all_at_once(address, path, cookies.get(who))
            if not warm:
                took[name] += values
    asked = data("queries", json.dumps({n: (BY_KEY[w].email, p) for n, (w, p) in pages.items() if w}))
    base, base95 = statistics.median(took[YARDSTICK]), p95(took[YARDSTICK])
    print(f"\n{'page':<12}{'median ms':>10}{'p95 ms':>10}{'times':>8}{'p95 times':>11}{'queries':>9}")
    for name, values in took.items():
        middle, high = statistics.median(values), p95(values)
        print(
            f"{name:<12}{middle:>10.1f}{high:>10.1f}{middle / base:>8.2f}{high / base95:>11.2f}{asked.get(name, 0):>9}"
        )
    alone, bare, page = precheck(address, check, cookies["investor_a"], check_call(found))
    print(f"\npre-check alone {alone:.1f} ms, bare eth_call {bare:.1f} ms, yardstick alone {page:.1f} ms")
    ratios = {name: statistics.median(took[name]) / base for name in ("holdings", "transfer", "queue", "book")}
    highs = {f"{name}_p95": p95(took[name]) / base95 for name in ratios}
    words = " ".join(f"{name}={value:.2f}" for name, value in {**ratios, **highs}.items())
    print(f"RATIO {words} precheck_vs_call_and_page={alone / (bare + page):.2f} queries_max={max(asked.values())}")


if __name__ == "__main__":
    main()
