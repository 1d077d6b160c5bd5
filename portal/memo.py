"""Two ways not to read the same thing twice: once per request, and once per moment.

Neither is a store. What decides anything reads the database itself; these serve what pages show.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from functools import wraps
from typing import Any, ClassVar, Final, Generic, ParamSpec, TypeVar

from django.http import HttpRequest, HttpResponse

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

_SAFE: Final = frozenset({"GET", "HEAD"})
_answers: ContextVar[dict[Hashable, Any] | None] = ContextVar("answers", default=None)


class RequestMemoMiddleware:
    """Gives each request that changes nothing a memory of its own; others, and work outside a request, have none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = _answers.set({} if request.method in _SAFE else None)
        try:
            return self.get_response(request)
        finally:
            _answers.reset(token)


def once_per_request(function: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """Within one GET, the same question (equal hashable arguments) gets the first answer again. Do not change it."""

    @wraps(function)
    def ask(*args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        answers = _answers.get()
        if answers is None:
            return function(*args, **kwargs)
        key = (function, args, tuple(sorted(kwargs.items())))
        if key not in answers:
            answers[key] = function(*args, **kwargs)
        kept: Answer = answers[key]
        return kept

    return ask


class Remembered(Generic[Answer]):
    """What `ask` answered at most `seconds` ago, kept in this process; one thread asks, the others wait for it.

    An error is not remembered. `clock` is a monotonic clock in seconds.
    """

    #: Off in tests, so that what they see and count does not depend on how fast they run.
    keeps: ClassVar[bool] = True

    def __init__(
        self, ask: Callable[[], Answer], *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[float, Answer] | None = None

    def __call__(self) -> Answer:
        with self._lock:
            if not self.keeps or self._kept is None or self._clock() >= self._kept[0]:
                answer = self._ask()
                self._kept = (self._clock() + self._seconds, answer)
            return self._kept[1]
