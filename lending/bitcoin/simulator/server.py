"""The Esplora HTTP API over the simulator's chain, and `/sim/…` with which an operator makes the world go on."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from lending.bitcoin.simulator.chain import Block, Chain, Refused
from lending.bitcoin.simulator.custodian import PUBLISHED, Custodian
from lending.bitcoin.simulator.transactions import In, Out, Tx

_PAGE: Final = 25
_MEMPOOL_PAGE: Final = 50
_MAX_BODY: Final = 4_000_000


class _NotFound(Exception):
    pass


class Simulator:
    """A running simulator on a loopback port. Use as a context manager, or `serve_forever` in a process of its own."""

    def __init__(self, chain: Chain, *, port: int = 0, custodian: Custodian = PUBLISHED) -> None:
        self.chain = chain
        handler = type("Handler", (_Handler,), {"api": Api(chain, custodian)})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve_forever(self) -> None:
        self._server.serve_forever()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Simulator:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()


class Api:
    """Answers of the API; a `str` goes out as text, `bytes` as they are, anything else as JSON."""

    def __init__(self, chain: Chain, custodian: Custodian = PUBLISHED) -> None:
        self.chain, self.custodian = chain, custodian

    def get(self, path: str) -> Any:
        parts = [part for part in path.split("?")[0].split("/") if part]
        with self.chain.lock:
            match parts:
                case ["blocks", "tip", "height"]:
                    return str(len(self.chain.blocks) - 1)
                case ["blocks", "tip", "hash"]:
                    return self.chain.blocks[-1].hash
                case ["blocks", *start]:
                    return self._blocks(int(start[0]) if start else len(self.chain.blocks) - 1)
                case ["block-height", height]:
                    return self._at(height).hash
                case ["block", block_hash, *rest]:
                    return self._block(block_hash, rest)
                case ["tx", txid, *rest]:
                    return self._tx(txid, rest)
                case ["address", address, *rest]:
                    return self._script(self.chain.script(address), rest, address)
                case ["scripthash", script_hash, *rest]:
                    return self._script(self._by_hash(script_hash), rest, "")
                case ["mempool", "txids"]:
                    return list(self.chain.mempool)
                case ["fee-estimates"]:
                    return {str(blocks): 2.0 for blocks in (1, 2, 3, 6, 12, 144, 1008)}
        raise _NotFound

    def post(self, path: str, body: bytes) -> Any:
        if path == "/tx":
            try:
                raw = bytes.fromhex(body.decode().strip())
            except ValueError:
                raise Refused("TX decode failed") from None
            return self.chain.broadcast(raw)
        order = json.loads(body or b"{}")
        match path:
            case "/sim/mine":
                return self.chain.mine(int(order.get("count", 1)))
            case "/sim/send":
                return self.chain.send(order["outputs"], sender=order.get("sender", "faucet"))
            case "/sim/sign":
                return self.custodian.sign(order["psbt"])
            case "/sim/replace":
                return self.chain.replace(order["txid"], order["outputs"])
            case "/sim/reorganise":
                return self.chain.reorganise(
                    int(order["depth"]), leave_out=order.get("leave_out", ()), forget=order.get("forget", ())
                )
        raise _NotFound

    # --- blocks -----------------------------------------------------------------------------------------------

    def _at(self, height: str) -> Block:
        number = int(height)
        if not 0 <= number < len(self.chain.blocks):
            raise _NotFound
        return self.chain.blocks[number]

    def _blocks(self, start: int) -> list[dict[str, Any]]:
        return [self._block_json(block) for block in reversed(self.chain.blocks[max(0, start - 9) : start + 1])]

    def _block(self, block_hash: str, rest: list[str]) -> Any:
        block = next((b for b in self.chain.blocks if b.hash == block_hash), None)
        if rest == ["status"]:
            return self._block_status(block)
        if block is None:
            raise _NotFound
        match rest:
            case []:
                return self._block_json(block)
            case ["header"]:
                return block.header.hex()
            case ["txids"]:
                return [tx.txid for tx in block.txs]
            case ["txs", *start]:
                begin = int(start[0]) if start else 0
                return [self._tx_json(tx, block) for tx in block.txs[begin : begin + _PAGE]]
        raise _NotFound

    def _block_status(self, block: Block | None) -> dict[str, Any]:
        if block is None:
            return {"in_best_chain": False}
        following = self.chain.blocks[block.height + 1].hash if block.height + 1 < len(self.chain.blocks) else None
        return {"in_best_chain": True, "height": block.height, "next_best": following}

    def _block_json(self, block: Block) -> dict[str, Any]:
        return {
            "id": block.hash,
            "height": block.height,
            "version": 0x20000000,
            "timestamp": block.time,
            "tx_count": len(block.txs),
            "size": 80 + sum(len(tx.serialised()) for tx in block.txs),
            "weight": 320 + sum(tx.weight for tx in block.txs),
            "merkle_root": block.header[36:68][::-1].hex(),
            "previousblockhash": block.previous if block.height else None,
            "mediantime": block.time,
            "nonce": int.from_bytes(block.header[76:80], "little"),
            "bits": 0x207FFFFF,
            "difficulty": 0,
        }

    # --- transactions -------------------------------------------------------------------------------------------

    def _tx(self, txid: str, rest: list[str]) -> Any:
        found = self.chain.find(txid)
        if found is None:
            raise _NotFound
        tx, block = found
        match rest:
            case []:
                return self._tx_json(tx, block)
            case ["status"]:
                return self._status(block)
            case ["hex"]:
                return tx.serialised().hex()
            case ["raw"]:
                return tx.serialised()
            case ["outspend", vout]:
                return self._outspend(txid, int(vout))
            case ["outspends"]:
                return [self._outspend(txid, vout) for vout in range(len(tx.outs))]
        raise _NotFound

    def _outspend(self, txid: str, vout: int) -> dict[str, Any]:
        found = self.chain.spender(txid, vout)
        if found is None:
            return {"spent": False}
        tx, number, block = found
        return {"spent": True, "txid": tx.txid, "vin": number, "status": self._status(block)}

    def _tx_json(self, tx: Tx, block: Block | None) -> dict[str, Any]:
        vins = [self._vin(spent, tx) for spent in tx.ins]
        total = sum(vin["prevout"]["value"] for vin in vins if vin["prevout"])
        return {
            "txid": tx.txid,
            "version": tx.version,
            "locktime": tx.locktime,
            "vin": vins,
            "vout": [self._vout(out) for out in tx.outs],
            "size": len(tx.serialised()),
            "weight": tx.weight,
            "sigops": 0,
            "fee": 0 if tx.is_coinbase else total - sum(out.sats for out in tx.outs),
            "status": self._status(block),
        }

    def _vin(self, spent: In, tx: Tx) -> dict[str, Any]:
        prevout = None
        if not tx.is_coinbase:
            source = self.chain.find(spent.txid)
            assert source is not None  # noqa: S101  # the chain refuses what spends the unknown
            prevout = self._vout(source[0].outs[spent.vout])
        return {
            "txid": spent.txid,
            "vout": spent.vout,
            "prevout": prevout,
            "scriptsig": spent.script.hex(),
            "scriptsig_asm": "",
            "witness": [item.hex() for item in spent.witness],
            "is_coinbase": tx.is_coinbase,
            "sequence": spent.sequence,
        }

    def _vout(self, out: Out) -> dict[str, Any]:
        kind = "v0_p2wpkh" if out.script[:2] == b"\x00\x14" else "unknown"
        data = {"scriptpubkey": out.script.hex(), "scriptpubkey_asm": "", "scriptpubkey_type": kind, "value": out.sats}
        address = self.chain.address(out.script)
        return data | {"scriptpubkey_address": address} if address else data

    def _status(self, block: Block | None) -> dict[str, Any]:
        if block is None:
            return {"confirmed": False}
        return {
            "confirmed": True,
            "block_height": block.height,
            "block_hash": block.hash,
            "block_time": block.time,
        }

    # --- addresses ----------------------------------------------------------------------------------------------

    def _by_hash(self, script_hash: str) -> bytes:
        """The script behind a hash, if anything has been paid to it; any other script is as good as one without history."""
        for tx, _block in self.chain.all():
            for out in tx.outs:
                if hashlib.sha256(out.script).hexdigest() == script_hash:
                    return out.script
        return b""

    def _script(self, script: bytes, rest: list[str], address: str) -> Any:
        touching = [(tx, block) for tx, block in self.chain.all() if script and self._touches(tx, script)]
        confirmed = [(tx, block) for tx, block in touching if block]
        waiting = [(tx, block) for tx, block in touching if not block]
        match rest:
            case []:
                return self._stats(script, address, confirmed, waiting)
            case ["txs"]:
                return [self._tx_json(*pair) for pair in waiting[:_MEMPOOL_PAGE] + confirmed[:_PAGE]]
            case ["txs", "chain", *last]:
                return [self._tx_json(*pair) for pair in self._after(confirmed, last)]
            case ["txs", "mempool"]:
                return [self._tx_json(*pair) for pair in waiting[:_MEMPOOL_PAGE]]
            case ["utxo"]:
                return self._utxo(script, touching)
        raise _NotFound

    def _after(self, confirmed: list[tuple[Tx, Block]], last: list[str]) -> list[tuple[Tx, Block]]:
        begin = 0
        if last:
            begin = next((n + 1 for n, (tx, _block) in enumerate(confirmed) if tx.txid == last[0]), len(confirmed))
        return confirmed[begin : begin + _PAGE]

    def _touches(self, tx: Tx, script: bytes) -> bool:
        return any(out.script == script for out in tx.outs) or any(s.script == script for s in self._sources(tx))

    def _sources(self, tx: Tx) -> list[Out]:
        if tx.is_coinbase:
            return []
        found = [(self.chain.find(spent.txid), spent.vout) for spent in tx.ins]
        return [source[0].outs[vout] for source, vout in found if source]

    def _stats(self, script: bytes, address: str, confirmed: list[Any], waiting: list[Any]) -> dict[str, Any]:
        def stats(pairs: list[Any]) -> dict[str, int]:
            funded = [out.sats for tx, _block in pairs for out in tx.outs if out.script == script]
            spent = [out.sats for tx, _block in pairs for out in self._sources(tx) if out.script == script]
            return {
                "tx_count": len(pairs),
                "funded_txo_count": len(funded),
                "funded_txo_sum": sum(funded),
                "spent_txo_count": len(spent),
                "spent_txo_sum": sum(spent),
            }

        return {"address": address, "chain_stats": stats(confirmed), "mempool_stats": stats(waiting)}

    def _utxo(self, script: bytes, touching: list[tuple[Tx, Block | None]]) -> list[dict[str, Any]]:
        spent = {(i.txid, i.vout) for tx, _block in touching for i in tx.ins}
        return [
            {"txid": tx.txid, "vout": vout, "value": out.sats, "status": self._status(block)}
            for tx, block in touching
            for vout, out in enumerate(tx.outs)
            if out.script == script and (tx.txid, vout) not in spent
        ]


class _Handler(BaseHTTPRequestHandler):
    api: Api
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(lambda: self.api.get(self.path))

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), _MAX_BODY))
        self._answer(lambda: self.api.post(self.path, body))

    def _answer(self, make: Callable[[], Any]) -> None:
        try:
            answer = make()
        except _NotFound:
            return self._send(404, "text/plain", b"not found")
        except (Refused, ValueError, KeyError) as error:
            return self._send(400, "text/plain", str(error).encode())
        if isinstance(answer, str):
            return self._send(200, "text/plain", answer.encode())
        if isinstance(answer, bytes):
            return self._send(200, "application/octet-stream", answer)
        return self._send(200, "application/json", json.dumps(answer).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the demo's logs are for what the portal does."""
