"""What runs beside the portal stops in the middle of things. Nothing is lost, pages still load, and it goes on by itself."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from portal.demo.people import BY_KEY
from portal.demo.smoke import full_address, states, until
from portal.demo.visitor import Page, Visitor
from tests.journeys.conftest import RunningDemo

pytestmark = pytest.mark.browser

SECURITY = 1


def processes(demo: RunningDemo, *words: str) -> list[psutil.Process]:
    """The demo's processes whose command holds all the words."""
    supervisor = psutil.Process(int(demo.layout.pid_file.read_text()))
    found = []
    for process in supervisor.children(recursive=True):
        command = " ".join(process.cmdline())
        if all(word in command for word in words):
            found.append(process)
    assert found, f"no process like {words}"
    return found


@contextmanager
def frozen(demo: RunningDemo, *words: str) -> Iterator[None]:
    """Let these processes stand still: they keep their connections and answer nothing, the worst way to be down."""
    stopped = processes(demo, *words)
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def signed_in(demo: RunningDemo) -> Callable[[str], Visitor]:
    known: dict[str, Visitor] = {}

    def visitor_for(key: str) -> Visitor:
        if key not in known:
            person = BY_KEY[key]
            known[key] = Visitor(demo.address)
            known[key].sign_in(person.email, demo.password, person.totp_secret)
        return known[key]

    return visitor_for


def ask_for_a_transfer(signed_in: Callable[[str], Visitor], units: int) -> Page:
    """Investor A asks for a transfer to B; answers the page the confirmation led to."""
    recipient = full_address(signed_in("investor_b").open("/tokens/receive/"))
    holder = signed_in("investor_a")
    page = holder.open(f"/tokens/transfers/new/{SECURITY}/")
    page = holder.submit(page.form("recipient", "amount"), {"recipient": recipient, "amount": str(units)})
    return holder.confirm_identity(holder.submit(holder.confirm_identity(page).form("form_token", "recipient")))


def test_with_redis_down_pages_load_and_what_was_asked_is_done_all_the_same(
    demo: RunningDemo, signed_in: Callable[[str], Visitor]
) -> None:
    holder = signed_in("investor_a")
    with frozen(demo, "redis-server"):
        assert holder.open("/dashboard/").status == 200
        page = ask_for_a_transfer(signed_in, 2)
        assert re.search(r"/tokens/transfers/\d+/", page.path), page.text[:600]
    until("the transfer", lambda: "final" in states(holder.open(page.path)), seconds=90)


def test_a_killed_redis_comes_back_empty_and_nothing_is_missed(
    demo: RunningDemo, signed_in: Callable[[str], Visitor]
) -> None:
    for process in processes(demo, "redis-server"):
        process.kill()
    page = ask_for_a_transfer(signed_in, 1)
    holder = signed_in("investor_a")
    until("the transfer", lambda: "final" in states(holder.open(page.path)), seconds=90)


def test_with_the_node_down_pages_load_the_pre_check_says_so_and_the_request_waits(
    demo: RunningDemo, signed_in: Callable[[str], Visitor]
) -> None:
    holder, issuer = signed_in("investor_a"), signed_in("issuer_1")
    recipient = full_address(signed_in("investor_b").open("/tokens/receive/"))
    with frozen(demo, "anvil"):
        for path in ("/dashboard/", "/tokens/holdings/", f"/tokens/holdings/{SECURITY}/", "/tokens/transfers/"):
            assert holder.open(path).status == 200, path
        assert issuer.open(f"/tokens/securities/{SECURITY}/holders/").status == 200
        answer = holder.fetch(
            f"/tokens/transfers/new/{SECURITY}/precheck/?recipient={recipient}&amount=1",
        )
        assert answer.status_code == 200
        assert 'data-precheck="unknown"' in answer.text
    ok = until(
        "the pre-check",
        lambda: (
            "data-precheck"
            in holder.fetch(f"/tokens/transfers/new/{SECURITY}/precheck/?recipient={recipient}&amount=1").text
        ),
    )
    assert ok
    page = ask_for_a_transfer(signed_in, 1)
    until("the transfer", lambda: "final" in states(holder.open(page.path)), seconds=90)


def test_a_transfer_asked_for_just_before_the_node_stops_waits_and_then_becomes_final(
    demo: RunningDemo, signed_in: Callable[[str], Visitor]
) -> None:
    holder = signed_in("investor_a")
    page = ask_for_a_transfer(signed_in, 1)
    with frozen(demo, "anvil"):
        assert holder.open(page.path).status == 200
    until("the transfer", lambda: "final" in states(holder.open(page.path)), seconds=90)


@pytest.mark.parametrize("words", [("celery", "worker"), ("anvil",)], ids=["workers", "node"])
def test_a_killed_process_comes_back_and_the_transfer_is_made_exactly_once(
    demo: RunningDemo, signed_in: Callable[[str], Visitor], words: tuple[str, ...]
) -> None:
    holder, recipient = signed_in("investor_a"), signed_in("investor_b")
    before = units_held(recipient)
    page = ask_for_a_transfer(signed_in, 4)
    for process in processes(demo, *words):
        process.kill()
    until("the transfer", lambda: "final" in states(holder.open(page.path)), seconds=120)
    until("the recipient's balance", lambda: units_held(recipient) == before + 4, seconds=30)
    auditor = signed_in("administrator").open("/chain/console/")
    assert auditor.status == 200
    assert "history_rewritten" not in auditor.body


def units_held(visitor: Visitor) -> int:
    """What the person's own page about the bond says they hold; 0 before they hold any."""
    page = visitor.open(f"/tokens/holdings/{SECURITY}/")
    found = re.search(r"([\d,]+)\s*(?:units?|口)", page.text)
    return int(found.group(1).replace(",", "")) if page.status == 200 and found else 0
