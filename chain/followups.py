"""What must follow a transaction or an event: handlers that apps register, run by the engine in the same database
transaction as the change they are told of. Put them in an app's `followups.py`; it is imported at start-up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from chain.models import ChainTransaction, EventLog
    from chain.outside.models import OutsideTransaction

logger = logging.getLogger(__name__)

FollowUp = Callable[["ChainTransaction", str], None]
OutsideFollowUp = Callable[["OutsideTransaction", str], None]
EventHandler = Callable[["EventLog"], None]
_F = TypeVar("_F", bound=FollowUp)
_E = TypeVar("_E", bound=EventHandler)
_O = TypeVar("_O", bound=OutsideFollowUp)

_followups: dict[str, FollowUp] = {}
_outside: dict[str, OutsideFollowUp] = {}
_event_handlers: dict[str, list[EventHandler]] = {}
_final_handlers: dict[str, list[EventHandler]] = {}
_undone_handlers: dict[str, list[EventHandler]] = {}


def followup(purpose: str) -> Callable[[_F], _F]:
    """Register `handler(transaction, state)` for transactions of `purpose`; one per purpose.

    Told of MINED, FINAL, REVERTED, CANCELLED, EXPIRED, REFUSED, and of BROADCAST when a reorganisation took the
    transaction out of its block. REVERTED and CANCELLED come again with `transaction.is_settled` once no
    reorganisation can undo them. The handler must be safe to call twice. If it raises, the change it was told of is
    rolled back with it, an incident is opened, and the next sweep tries again.
    """

    def register(handler: _F) -> _F:
        known = _followups.setdefault(purpose, handler)
        if known is not handler:
            raise ImproperlyConfigured(f"two follow-ups for {purpose}")
        return handler

    return register


def outside_followup(purpose: str) -> Callable[[_O], _O]:
    """Register `handler(row, state)` for what people send from their own wallets for `purpose`; one per purpose.

    Told of every state the row takes, of REVERTED again with `row.is_settled`; must be safe to call twice.
    """

    def register(handler: _O) -> _O:
        if _outside.setdefault(purpose, handler) is not handler:
            raise ImproperlyConfigured(f"two follow-ups for {purpose}")
        return handler

    return register


def tell_outside(row: OutsideTransaction, state: str) -> None:
    """Run the follow-up of `row`, if it has one, inside the caller's database transaction."""
    handler = _outside.get(row.purpose)
    if handler is not None:
        handler(row, state)


def on_event(event: str) -> Callable[[_E], _E]:
    """Register `handler(log)` for indexed events of this name (canonical and still provisional)."""

    def register(handler: _E) -> _E:
        _event_handlers.setdefault(event, []).append(handler)
        return handler

    return register


def on_event_final(event: str) -> Callable[[_E], _E]:
    """Register `handler(log)` for events of this name that no reorganisation can undo any more.

    It comes after that of `on_event`, at once where the block was final when it was read.
    """

    def register(handler: _E) -> _E:
        _final_handlers.setdefault(event, []).append(handler)
        return handler

    return register


def on_event_undone(event: str) -> Callable[[_E], _E]:
    """Register `handler(log)` for events that a reorganisation took back.

    The same may come again: as another log, or as this very one if its block comes back, told of from the start again.
    """

    def register(handler: _E) -> _E:
        _undone_handlers.setdefault(event, []).append(handler)
        return handler

    return register


def handled_events() -> frozenset[str]:
    """Names of the events somebody waits for."""
    return frozenset(_event_handlers)


def handled_final_events() -> frozenset[str]:
    """Names of the events whose finality somebody waits for."""
    return frozenset(_final_handlers)


def handled_undone_events() -> frozenset[str]:
    """Names of the events whose undoing somebody waits for."""
    return frozenset(_undone_handlers)


def tell(transaction: ChainTransaction, state: str) -> None:
    """Run the follow-up of `transaction`, if it has one, inside the caller's database transaction."""
    handler = _followups.get(transaction.purpose)
    if handler is not None:
        handler(transaction, state)


def tell_event(log: EventLog) -> None:
    """Run every handler of this event, inside the caller's database transaction."""
    for handler in _event_handlers.get(log.event, ()):
        handler(log)


def tell_event_final(log: EventLog) -> None:
    """Run every handler of this event's finality, inside the caller's database transaction."""
    for handler in _final_handlers.get(log.event, ()):
        handler(log)


def tell_event_undone(log: EventLog) -> None:
    """Run every handler of this event's undoing, inside the caller's database transaction."""
    for handler in _undone_handlers.get(log.event, ()):
        handler(log)
