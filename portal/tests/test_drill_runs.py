"""Drills of the demonstration's page: one at a time, seen after a crash, never in production."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.http import Http404
from django.test import RequestFactory

from portal.demo import drill_picture, drill_runs, views


@pytest.fixture(autouse=True)
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MUSUBI_RUN_DIR", str(tmp_path))
    return tmp_path


def wrote(*said: dict[str, Any], code: str = "D3", cut_off: str = "") -> None:
    about = {"code": code, "live": True, "began": time.time()}
    (drill_runs.folder() / "about.json").write_text(json.dumps(about))
    lines = "".join(json.dumps(each) + "\n" for each in said)
    (drill_runs.folder() / "lines").write_text(lines + cut_off)


def step(number: int, **holdings: int) -> dict[str, Any]:
    content = {"number": number, "seconds": number, "actor": "thief", "text": "moved", "values": {"units": 1}}
    return {"kind": "step", "step": content | {"holdings": holdings}}


BEGIN = {"kind": "begin", "mode": "live", "stolen": ["a key"]}


def test_nothing_is_known_before_the_first_drill() -> None:
    assert drill_runs.current() is None


def test_a_second_one_is_refused_while_one_holds_the_lock() -> None:
    with (drill_runs.folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert drill_runs.is_running()
        with pytest.raises(drill_runs.DrillRuns):
            drill_runs.start(code="D3", live=True)
        assert not (drill_runs.folder() / "about.json").exists()
    assert not drill_runs.is_running()


@pytest.mark.parametrize(("code", "live"), [("D1", True), ("D99", False), ("D3; rm", False), ("", True)])
def test_only_drills_that_there_are_can_be_started(code: str, live: bool) -> None:
    with pytest.raises(ValueError, match=code[:3]):
        drill_runs.start(code=code, live=live)


def test_a_process_that_ends_early_leaves_the_way_free_and_is_seen() -> None:
    """The real command refuses to steal outside a demonstration: it ends without a word about how it went."""
    drill_runs.start(code="D3", live=True)
    deadline = time.monotonic() + 60
    while drill_runs.is_running() and time.monotonic() < deadline:
        time.sleep(0.1)
    run = drill_runs.current()
    assert run is not None
    assert run.broke_off
    assert "only a demonstration" in (drill_runs.folder() / "errors.log").read_text()


def test_keys_that_a_killed_drill_left_are_gone_before_the_next_starts() -> None:
    left = drill_runs.folder() / "tmp" / "drill-keys-1"
    left.mkdir(parents=True)
    drill_runs.start(code="D5", live=True)
    assert not left.exists()
    os.waitpid(-1, 0)


def test_a_line_that_is_just_being_written_is_left_out() -> None:
    wrote(BEGIN, step(1, victim=100, accomplice=0), step(2, victim=40, accomplice=60), cut_off='{"kind": "st')
    run = drill_runs.current()
    assert run is not None
    assert [each["number"] for each in run.steps] == [1, 2]
    shown = drill_picture.picture_of(run)
    assert [(line.part, line.before, line.now) for line in shown.lines] == [("owner", 100, 40), ("thief", 0, 60)]


def test_the_way_of_acting_that_is_played_now_is_shown() -> None:
    end = {"kind": "end", "result": {"passed": True}}
    wrote(BEGIN, step(1, alice=1), end, BEGIN, step(1, alice=2))
    run = drill_runs.current()
    assert run is not None
    assert (len(run.steps), run.result, run.steps[0]["holdings"]) == (1, None, {"alice": 2})


@pytest.mark.parametrize("view", [views.drills, views.drill_state, views.start_drill])
def test_the_pages_do_not_exist_in_production(view: Any, rf: RequestFactory, settings: Any) -> None:
    settings.DEMO = False
    ask = rf.post("/") if view is views.start_drill else rf.get("/")
    with pytest.raises(Http404):
        view(ask)


def test_nobody_steals_outside_a_demonstration(settings: Any) -> None:
    settings.DEMO = False
    with pytest.raises(CommandError):
        call_command("live_drill", "D3")
