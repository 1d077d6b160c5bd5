"""What every sweep shares: one runner at a time, and calm when the node is away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Final

from django.db import connection
from django.db.utils import InterfaceError, OperationalError

from chain.exceptions import NodeUnavailable, WrongChain
from chain.rpc import RpcError
from chain.services.incidents import close_if_open, open_incident

logger = logging.getLogger(__name__)

#: First half of our advisory lock keys (PostgreSQL's two-integer form), so that they meet nobody else's.
_LOCK_SPACE: Final = 0x43484149
_LOCKS: Final = {
    "submit": 1,
    "reconcile": 2,
    "index": 3,
    "funding": 4,
    "deploy": 5,
    "alarms": 6,
    "outside": 7,
    "public": 8,
}
#: Sweeps of this process that last failed because of the node: an outage is logged once, not every second.
_failing: set[str] = set()


@contextmanager
def only_one(name: str) -> Iterator[bool]:
    """Yield whether this process is the only one in sweep `name`; PostgreSQL frees the lock if we die."""
    key = [_LOCK_SPACE, _LOCKS[name]]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", key)
        taken = bool(cursor.fetchone()[0])
    try:
        yield taken
    finally:
        if taken and connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", key)


def sweep(name: str) -> Callable[[Callable[[], None]], Callable[[], bool]]:
    """Make a function a sweep: exits at once (False) when another runs or the node is away; True if it ran through.

    What the function did before the node went away stays done; the next sweep goes on from there.
    """

    def decorate(body: Callable[[], None]) -> Callable[[], bool]:
        @wraps(body)
        def run() -> bool:
            with only_one(name) as alone:
                return alone and _run_calmly(name, body)

        return run

    return decorate


def _run_calmly(name: str, body: Callable[[], None]) -> bool:
    try:
        body()
    except (NodeUnavailable, WrongChain, RpcError) as error:
        if name not in _failing:
            logger.warning("%s sweep waits for the node: %s %s", name, error, getattr(error, "context", ""))
            _failing.add(name)
        return False
    if name in _failing:
        _failing.discard(name)
        logger.info("%s sweep: the node answers again", name)
    return True


@contextmanager
def set_apart(what: str) -> Iterator[None]:
    """Keep trouble with one signer from stopping the sweep for the others: log it, open an incident, go on.

    Trouble with the node or the database is everybody's and passes through. The incident closes itself when it works.
    """
    key = f"sweep:{what}"[:120]
    try:
        yield
    except (NodeUnavailable, WrongChain, RpcError, OperationalError, InterfaceError):
        raise
    except Exception as error:
        logger.exception("%s failed", what)
        open_incident(
            kind="chain.sweep_failed",
            detail=f"{what}: {type(error).__name__}. It is tried again by every sweep.",
            dedupe_key=key,
        )
    else:
        close_if_open(dedupe_key=key, reason="succeeded")
