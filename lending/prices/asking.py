"""Asking every source at the same time, within one deadline. No database."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils import timezone

from lending.prices import exchanges, feeds
from lending.prices.acceptance import Quote
from lending.prices.exchanges import SourceFailed

#: The whole round. Whoever has not answered by then did not answer.
DEADLINE_SECONDS: Final = 8.0


@dataclass(frozen=True, slots=True)
class Question:
    """One source to be asked for one pair; `place` is what is asked in one go."""

    source_id: int
    symbol: str
    place: tuple[str, str, str]  # kind, exchange or feed, base URL
    is_inverse: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    source_id: int
    fetched_at: datetime
    quote: Quote | None
    problem: str = ""
    detail: str = ""


#: Places whose last question hangs still: they are not asked again before it has ended, so threads do not pile up.
_hanging: set[tuple[str, str, str]] = set()
_lock = threading.Lock()


def ask(questions: Sequence[Question], *, deadline: float = DEADLINE_SECONDS) -> list[Answer]:
    """An answer for every question, after at most `deadline` seconds whatever the sources do."""
    by_place: dict[tuple[str, str, str], list[Question]] = defaultdict(list)
    for question in questions:
        by_place[question.place].append(question)
    pool = ThreadPoolExecutor(max_workers=max(1, len(by_place)), thread_name_prefix="prices")
    started = time.monotonic()
    asked = {place: _start(pool, place, each) for place, each in by_place.items()}
    wait([future for future in asked.values() if future], timeout=deadline - (time.monotonic() - started))
    pool.shutdown(wait=False, cancel_futures=True)
    answers: list[Answer] = []
    for place, each in by_place.items():
        future = asked[place]
        if future is not None and future.done() and not future.cancelled():
            answers += future.result()
        else:
            answers += [Answer(q.source_id, timezone.now(), None, "timeout", "did not answer in time") for q in each]
    return answers


def _start(
    pool: ThreadPoolExecutor, place: tuple[str, str, str], questions: list[Question]
) -> Future[list[Answer]] | None:
    with _lock:
        if place in _hanging:
            return None
        _hanging.add(place)

    def run() -> list[Answer]:
        try:
            return _ask_place(place, questions)
        finally:
            with _lock:
                _hanging.discard(place)

    return pool.submit(run)


def _ask_place(place: tuple[str, str, str], questions: list[Question]) -> list[Answer]:
    kind, name, base_url = place
    symbols = [question.symbol for question in questions]
    read: Callable[[], dict[str, Quote | SourceFailed]]
    if kind == "feed":
        read = lambda: dict.fromkeys(symbols, feeds.quote(name))  # noqa: E731 (two ways to read, side by side)
    else:
        read = lambda: exchanges.quotes(name, symbols, base_url)  # noqa: E731
    try:
        found = read()
    except Exception as error:  # nothing a source answers may end the round
        failure = (
            error if isinstance(error, SourceFailed) else SourceFailed("nonsense", f"{type(error).__name__}: {error}")
        )
        found = dict.fromkeys(symbols, failure)
    return [_answer(question, found[question.symbol]) for question in questions]


def _answer(question: Question, found: Quote | SourceFailed) -> Answer:
    if isinstance(found, SourceFailed):
        return Answer(question.source_id, timezone.now(), None, found.problem, str(found)[:200])
    quote = Quote(1 / found.value, found.observed_at) if question.is_inverse and found.value > 0 else found
    return Answer(question.source_id, timezone.now(), quote)
