"""The JSON-RPC client against the real node, and against servers that misbehave."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from chain.exceptions import NodeUnavailable
from chain.rpc import BATCH_SIZE, Request, Rpc, RpcError, as_int


@pytest.fixture
def server():
    """An HTTP server that answers whatever the test says, and counts connections."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        status, body, connections, delay = 200, b"{}", 0, threading.Event()

        def setup(self):
            type(self).connections += 1
            super().setup()

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.body is None:
                self.delay.wait(5)
                return
            self.send_response(self.status)
            self.send_header("Content-Length", str(len(self.body)))
            self.end_headers()
            self.wfile.write(self.body)

        def log_message(self, *args):
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield Handler, f"http://127.0.0.1:{http.server_port}"
    Handler.delay.set()
    http.shutdown()
    http.server_close()


def test_a_call_returns_the_result(shared_node):
    assert as_int(shared_node.rpc.call("eth_chainId")) == 31337


def test_a_refusal_is_an_error_with_its_code(shared_node):
    with pytest.raises(RpcError) as caught:
        shared_node.rpc.call("eth_noSuchMethod")
    assert caught.value.code == -32601


def test_a_batch_keeps_its_order_and_its_failures_are_values(shared_node):
    requests: list[Request] = [("eth_chainId", []), ("eth_noSuchMethod", []), ("eth_blockNumber", [])]
    first, second, third = shared_node.rpc.batch(requests)
    assert (as_int(first), as_int(third)) == (31337, shared_node.head())
    assert isinstance(second, RpcError)
    with pytest.raises(RpcError):
        shared_node.rpc.gather(requests)


def test_a_long_batch_is_sent_in_several_bodies(shared_node):
    asked = [("eth_getBlockByNumber", [hex(0), False])] * (2 * BATCH_SIZE + 1)
    answers = shared_node.rpc.batch(asked)
    assert len(answers) == len(asked)
    assert {answer["number"] for answer in answers} == {"0x0"}


def test_an_empty_batch_asks_nothing():
    assert Rpc("http://127.0.0.1:9", timeout=1).batch([]) == []


def test_nobody_listening_means_unavailable():
    with pytest.raises(NodeUnavailable) as caught:
        Rpc("http://127.0.0.1:9", timeout=1).call("eth_chainId")
    assert caught.value.status_code == 503


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (502, b"bad gateway"),
        (429, b"slow down"),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"jsonrpc": "2.0", "id": 1}'),
    ],
)
def test_an_answer_that_is_not_json_rpc_means_unavailable(server, status, body):
    handler, url = server
    handler.status, handler.body = status, body
    with pytest.raises(NodeUnavailable):
        Rpc(url, timeout=5).call("eth_chainId")


@pytest.mark.parametrize("body", [b"{}", b"[]", b'[{"jsonrpc": "2.0", "id": 99, "result": "0x1"}]'])
def test_a_batch_that_is_not_fully_answered_means_unavailable(server, body):
    handler, url = server
    handler.body = body
    with pytest.raises(NodeUnavailable):
        Rpc(url, timeout=5).batch([("eth_chainId", []), ("eth_blockNumber", [])])


def test_a_node_that_never_answers_is_given_up(server):
    handler, url = server
    handler.body = None
    with pytest.raises(NodeUnavailable):
        Rpc(url, timeout=0.2).call("eth_chainId")


def test_one_connection_serves_many_calls(server):
    handler, url = server
    handler.body = b'{"jsonrpc": "2.0", "id": 1, "result": "0x1"}'
    rpc = Rpc(url, timeout=5)
    for _ in range(5):
        rpc.call("eth_chainId")
    assert handler.connections == 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("0x08c379a0", bytes.fromhex("08c379a0")),
        ({"data": "0x08c379a0"}, bytes.fromhex("08c379a0")),
        ("Reverted 0x08c379a0", bytes.fromhex("08c379a0")),
        ("Reverted 0x", b""),
        (None, b""),
        ({"other": 1}, b""),
    ],
)
def test_revert_data_is_found_where_different_nodes_put_it(data, expected):
    assert RpcError(3, "execution reverted", data).revert_data == expected


@pytest.mark.parametrize(
    ("error", "reverted"),
    [
        (RpcError(3, "execution reverted"), True),
        (RpcError(-32000, "execution reverted: no"), True),
        (RpcError(-32000, "insufficient funds for gas * price + value"), False),
        (RpcError(-32601, "method not found"), False),
    ],
)
def test_a_reverted_call_is_told_from_a_request_that_failed(error, reverted):
    assert error.is_revert is reverted
