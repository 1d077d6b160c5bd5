"""What a page reads once: within one request, and within a moment."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from portal.memo import Remembered, RequestMemoMiddleware, once_per_request


class Asked:
    """Counts how often it is asked; answers with the count."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, *_: object) -> int:
        self.times += 1
        return self.times


def during(method: str, work) -> None:
    def respond(_request) -> HttpResponse:
        work()
        return HttpResponse()

    RequestMemoMiddleware(respond)(RequestFactory().generic(method, "/"))


def test_within_one_get_the_same_question_is_asked_once_and_another_one_anew() -> None:
    asked = Asked()
    ask = once_per_request(lambda *args: asked(*args))
    answers: list[int] = []
    during("GET", lambda: answers.extend([ask("a"), ask("a"), ask("b")]))
    assert answers == [1, 1, 2]


def test_the_next_request_asks_again() -> None:
    asked = Asked()
    ask = once_per_request(lambda: asked())
    for _request in range(2):
        during("GET", ask)
    assert asked.times == 2


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_request_that_may_change_something_remembers_nothing(method: str) -> None:
    asked = Asked()
    ask = once_per_request(lambda: asked())
    during(method, lambda: (ask(), ask()))
    assert asked.times == 2


def test_outside_a_request_nothing_is_remembered() -> None:
    asked = Asked()
    ask = once_per_request(lambda: asked())
    ask()
    ask()
    assert asked.times == 2


def test_a_request_that_fails_leaves_no_memory_behind() -> None:
    asked = Asked()
    ask = once_per_request(lambda: asked())

    def fail() -> None:
        ask()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        during("GET", fail)
    assert ask() == 2


def test_an_error_is_not_an_answer() -> None:
    asked = Asked()

    def once_broken() -> int:
        if asked() == 1:
            raise LookupError
        return asked.times

    ask = once_per_request(once_broken)

    def work() -> None:
        with pytest.raises(LookupError):
            ask()
        assert ask() == 2

    during("GET", work)


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Remembered, "keeps", True)


def test_a_moment_later_it_is_asked_again(remembering) -> None:
    asked, now = Asked(), [0.0]
    remembered = Remembered(asked, seconds=10, clock=lambda: now[0])
    assert (remembered(), remembered()) == (1, 1)
    now[0] = 9.9
    assert remembered() == 1
    now[0] = 10.0
    assert remembered() == 2
