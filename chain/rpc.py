"""A raw JSON-RPC client: HTTP keep-alive, batches, strict parsing. Specification: https://www.jsonrpc.org/specification.

web3.py's own provider costs 5–10 times as much per call (docs/decisions), so the engine speaks to the node through this.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import orjson
import urllib3
from django.conf import settings

from chain.exceptions import NodeUnavailable

Request = tuple[str, list[Any]]

#: Requests in one HTTP body. Nodes commonly refuse more than 100–1,000.
BATCH_SIZE: Final = 100
_HEADERS: Final = {"Content-Type": "application/json"}


class RpcError(Exception):
    """The node understood and said no. `data` is the revert data of a failed call, when there is some."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.data = data

    @property
    def revert_data(self) -> bytes:
        """The ABI-encoded error of a reverted call; empty if the node gave none. Nodes nest it differently."""
        data = self.data.get("data", self.data.get("result")) if isinstance(self.data, dict) else self.data
        if isinstance(data, str) and "0x" in data:
            try:
                return bytes.fromhex(data.split("0x", 1)[1].split()[0])
            except (ValueError, IndexError):
                return b""
        return b""

    @property
    def is_revert(self) -> bool:
        """The call itself failed on chain (EIP-1474 code 3, or the words nodes use), not the asking of it."""
        return self.code == 3 or "revert" in self.message.lower() or bool(self.revert_data)


class Rpc:
    """One node. Safe to share between threads of one process; connections stay open."""

    def __init__(self, url: str, *, timeout: float) -> None:
        self.url = url
        self._pool = urllib3.PoolManager(
            num_pools=2, maxsize=8, retries=False, timeout=urllib3.Timeout(connect=min(timeout, 2.0), read=timeout)
        )
        self._ids: Iterator[int] = itertools.count(1)

    def call(self, method: str, *params: Any) -> Any:
        """The result of one request. Raises `RpcError` or `NodeUnavailable`."""
        answer = self._answer(self._post(self._body(method, list(params))))
        if isinstance(answer, RpcError):
            raise answer
        return answer

    def batch(self, requests: Sequence[Request]) -> list[Any]:
        """Results in the order of `requests`; one that failed is its `RpcError`, as a value.

        Sent in HTTP bodies of at most `BATCH_SIZE`. Raises `NodeUnavailable` if any body goes unanswered.
        """
        answers: list[Any] = []
        for start in range(0, len(requests), BATCH_SIZE):
            answers.extend(self._batch(requests[start : start + BATCH_SIZE]))
        return answers

    def gather(self, requests: Sequence[Request]) -> list[Any]:
        """Like `batch`, but the first failure is raised: for reads that must all succeed."""
        answers = self.batch(requests)
        for answer in answers:
            if isinstance(answer, RpcError):
                raise answer
        return answers

    def _batch(self, requests: Sequence[Request]) -> list[Any]:
        bodies = [self._body(method, params) for method, params in requests]
        answers = self._post(bodies)
        if not isinstance(answers, list):
            raise NodeUnavailable("a batch was not answered with a list")
        by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
        missing = [body for body in bodies if body["id"] not in by_id]
        if missing:
            raise NodeUnavailable(f"{len(missing)} requests of a batch were not answered")
        return [self._answer(by_id[body["id"]]) for body in bodies]

    def _body(self, method: str, params: list[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}

    def _post(self, body: Any) -> Any:
        try:
            response = self._pool.request("POST", self.url, body=orjson.dumps(body), headers=_HEADERS)
        except urllib3.exceptions.HTTPError as error:
            raise NodeUnavailable(type(error).__name__) from error
        if response.status != 200:
            raise NodeUnavailable(f"HTTP {response.status}")
        try:
            return orjson.loads(response.data)
        except orjson.JSONDecodeError as error:
            raise NodeUnavailable("the answer is not JSON") from error

    @staticmethod
    def _answer(answer: Any) -> Any:
        if not isinstance(answer, dict):
            raise NodeUnavailable("the answer is not JSON-RPC")
        error = answer.get("error")
        if error is not None:
            return RpcError(int(error.get("code", 0)), str(error.get("message", "")), error.get("data"))
        if "result" not in answer:
            raise NodeUnavailable("the answer has neither result nor error")
        return answer["result"]


@lru_cache(maxsize=8)
def _client(url: str, timeout: float, pid: int) -> Rpc:
    return Rpc(url, timeout=timeout)


def node() -> Rpc:
    """The node of `CHAIN_RPC_URL`; one client per process, since connections must not be shared across a fork."""
    return _client(settings.CHAIN_RPC_URL, settings.CHAIN_RPC_TIMEOUT, os.getpid())


def as_int(quantity: str) -> int:
    """A JSON-RPC quantity (`0x`-hex) as int."""
    return int(quantity, 16)


def as_hex(value: bytes | memoryview) -> str:
    """Bytes as JSON-RPC data. PostgreSQL hands BinaryField values back as memoryview."""
    return "0x" + bytes(value).hex()
