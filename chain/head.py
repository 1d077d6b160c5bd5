"""The node's newest block number, remembered for a moment so that no page ever waits for the node."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from django.conf import settings

from chain.exceptions import NodeUnavailable
from chain.rpc import Rpc, RpcError, as_int

#: Long enough that a page with several figures asks once, short enough for "as of a second ago".
FRESH_SECONDS: Final = 2.0
#: A node that is down is asked again after this long, so that at most one page in five seconds waits for it.
DOWN_SECONDS: Final = 5.0
#: What a page may wait for a node that does not answer.
TIMEOUT_SECONDS: Final = 1.0


def ask_node() -> int:
    """The newest block number, from the node, within `TIMEOUT_SECONDS`. Raises `NodeUnavailable` or `RpcError`."""
    return as_int(Rpc(settings.CHAIN_RPC_URL, timeout=TIMEOUT_SECONDS).call("eth_blockNumber"))


class HeadMemory:
    """One per process, shared by its threads; kept here and not in Redis, so that it works while Redis is down.

    `ask` is what really asks the node, `clock` a monotonic clock in seconds.
    """

    def __init__(self, ask: Callable[[], int] = ask_node, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._head: int | None = None
        self._until = float("-inf")

    def head(self) -> int | None:
        """The node's head as of at most `FRESH_SECONDS` ago; None while it cannot be reached.

        One thread asks at a time. The others wait for it no longer than it may take, then make do with what is known.
        """
        if self._clock() >= self._until and self._lock.acquire(timeout=TIMEOUT_SECONDS):
            try:
                if self._clock() >= self._until:
                    self._refresh()
            finally:
                self._lock.release()
        return self._head

    def forget(self) -> None:
        """Ask again at the next call."""
        self._until = float("-inf")

    def _refresh(self) -> None:
        try:
            self._head = self._ask()
            self._until = self._clock() + FRESH_SECONDS
        except (NodeUnavailable, RpcError):
            self._head = None
            self._until = self._clock() + DOWN_SECONDS


head_memory = HeadMemory()
