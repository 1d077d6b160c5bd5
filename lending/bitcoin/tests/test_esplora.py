"""The client against the simulator, and against answers that the API rules out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lending.bitcoin.addresses import Branch, account_key
from lending.bitcoin.esplora import Esplora
from lending.bitcoin.exceptions import BitcoinNotSetUp, EsploraNonsense, EsploraNotFound, EsploraUnavailable
from lending.bitcoin.simulator.chain import Chain


def ours(index: int = 0) -> str:
    return account_key().address(Branch.DEPOSIT, index)


def test_it_reads_the_tip_and_blocks_by_height(esplora: Esplora, bitcoin: Chain) -> None:
    assert esplora.tip_height() == 5
    assert esplora.tip_hash() == bitcoin.blocks[5].hash == esplora.block_hash(5)
    with pytest.raises(EsploraNotFound):
        esplora.block_hash(6)


def test_a_payment_waits_then_confirms(esplora: Esplora, bitcoin: Chain) -> None:
    txid = bitcoin.send({ours(): 250_000}, sender="alice")
    [seen] = esplora.transactions(ours())
    assert (seen.txid, seen.status.confirmed, seen.status.height) == (txid, False, -1)
    assert seen.senders == (bitcoin.wallet("alice"),)
    assert [paid.sats for paid in seen.outputs if paid.address == ours()] == [250_000]
    tip = bitcoin.mine()
    status = esplora.status(txid)
    assert (status.confirmed, status.block_hash) == (True, tip)
    assert esplora.coins(ours())[0].sats == 250_000
    assert esplora.transaction_count(ours()) == (1, 0)


def test_one_transaction_may_pay_one_address_twice_and_another_once(esplora: Esplora, bitcoin: Chain) -> None:
    bitcoin.pay([(ours(), 10_000), (ours(1), 20_000), (ours(), 30_000)])
    [seen] = esplora.transactions(ours())
    assert [(p.vout, p.sats) for p in seen.outputs if p.address == ours()] == [(0, 10_000), (2, 30_000)]
    assert [(p.vout, p.sats) for p in seen.outputs if p.address == ours(1)] == [(1, 20_000)]


def test_a_replaced_transaction_is_gone(esplora: Esplora, bitcoin: Chain) -> None:
    first = bitcoin.send({ours(): 10_000}, sender="alice")
    second = bitcoin.replace(first, {bitcoin.wallet("alice"): 10_000})
    with pytest.raises(EsploraNotFound):
        esplora.status(first)
    assert list(esplora.transactions(ours())) == []
    assert not esplora.status(second).confirmed


def test_a_reorganisation_moves_a_transaction_to_another_block_or_back_to_waiting(
    esplora: Esplora, bitcoin: Chain
) -> None:
    txid = bitcoin.send({ours(): 10_000})
    bitcoin.mine()
    before = esplora.status(txid)
    bitcoin.reorganise(1)
    assert esplora.status(txid).block_hash != before.block_hash
    bitcoin.reorganise(3, leave_out=[txid])
    assert not esplora.status(txid).confirmed
    bitcoin.mine()
    bitcoin.reorganise(1, forget=[txid])
    with pytest.raises(EsploraNotFound):
        esplora.status(txid)


def test_it_turns_pages_until_the_history_ends(esplora: Esplora, bitcoin: Chain) -> None:
    sent = []
    for number in range(60):
        sent.append(bitcoin.send({ours(): 1_000 + number}))
        if number % 7 == 0:
            bitcoin.mine()
    bitcoin.mine()
    waiting = bitcoin.send({ours(): 5_000})
    found = [seen.txid for seen in esplora.transactions(ours())]
    assert found[0] == waiting
    assert sorted(found[1:]) == sorted(sent)


def test_what_no_service_can_be_asked_of_is_refused() -> None:
    for url in ("", "file:///etc/passwd", "localhost:3000"):
        with pytest.raises(BitcoinNotSetUp):
            Esplora(url)


@contextmanager
def answering(body: Any, *, status: int = 200, wait: float = 0) -> Iterator[Esplora]:
    """A service that answers everything with `body`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(wait)
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            with suppress(BrokenPipeError):  # who asked has stopped waiting
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        def log_message(self, *_args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield Esplora(f"http://127.0.0.1:{server.server_address[1]}", timeout=0.3)
    finally:
        server.shutdown()
        server.server_close()


def _good(bitcoin: Chain) -> dict[str, Any]:
    from lending.bitcoin.simulator.server import Api

    txid = bitcoin.send({ours(): 10_000})
    bitcoin.mine()
    answer: dict[str, Any] = Api(bitcoin).get(f"/tx/{txid}")
    return answer


def _changed(path: str, value: Any) -> Any:
    def change(answer: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        target: Any = answer
        for part in parents:
            target = target[int(part)] if part.isdigit() else target[part]
        target[last] = value

    return change


NONSENSE = {
    "negative value": _changed("vout.0.value", -1),
    "a value as text": _changed("vout.0.value", "10000"),
    "a value as a float": _changed("vout.0.value", 1e4),
    "more than there is": _changed("vout.0.value", 2_100_000_000_000_001),
    "a sum that does not add up": _changed("vout.0.value", 10_001),
    "no inputs": _changed("vin", []),
    "outputs that are no list": _changed("vout", {}),
    "a txid that is no hash": _changed("txid", "ff"),
    "a status that is text": _changed("status", "confirmed"),
    "confirmed at no height": _changed("status", {"confirmed": True, "block_hash": "00" * 32, "block_time": 1}),
    "confirmed: 1": _changed("status.confirmed", 1),
    "a height below zero": _changed("status.block_height", -1),
    "an address that is no text": _changed("vout.0.scriptpubkey_address", ["x"]),
    "another transaction": _changed("txid", "ab" * 32),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_named_and_not_used(name: str, bitcoin: Chain) -> None:
    answer = _good(bitcoin)
    txid = answer["txid"]
    with answering(answer) as service:
        assert service.transaction(txid).txid == txid
    NONSENSE[name](answer)
    with answering(answer) as service, pytest.raises(EsploraNonsense):
        service.transaction(txid)


@pytest.mark.parametrize("body", [b"<html>", b"-1", b"1.5", b"", b"4294967296", "٣".encode()])
def test_a_tip_that_is_no_number_is_nonsense(body: bytes) -> None:
    with answering(body) as service, pytest.raises(EsploraNonsense):
        service.tip_height()


def test_a_service_that_is_slow_broken_or_away_is_unavailable() -> None:
    with answering(b"5", wait=1) as service, pytest.raises(EsploraUnavailable):
        service.tip_height()
    with answering(b"no", status=500) as service, pytest.raises(EsploraUnavailable):
        service.tip_height()
    with answering(b"no", status=302) as service, pytest.raises(EsploraUnavailable):
        service.tip_height()
    with pytest.raises(EsploraUnavailable):
        Esplora("http://127.0.0.1:1", timeout=0.3).tip_height()
