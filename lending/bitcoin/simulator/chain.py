"""The simulator's chain: blocks, a mempool, coins; mines, replaces and reorganises when told to."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import bdkpython as bdk

from lending.bitcoin.simulator.transactions import In, Out, Tx, double_sha256, header, merkle_root, parse

_SUBSIDY: Final = 50 * 10**8
_FAUCET_COIN: Final = 1_000 * 10**8
_COINBASE_IN: Final = "00" * 32
_DUMMY_WITNESS: Final = (b"\x30" * 71, b"\x02" * 33)
FAUCET: Final = "faucet"
#: The wallet of the exchange to which collateral is sold.
EXCHANGE: Final = "exchange"


def wallet_of(name: str, network: bdk.Network = bdk.Network.REGTEST) -> str:
    """The address of somebody whose key nobody has: a P2WPKH output of the hash of the name."""
    script = bdk.Script(b"\x00\x14" + hashlib.sha256(name.encode()).digest()[:20])
    return str(bdk.Address.from_script(script, network))


class Refused(Exception):
    """The chain does not take this transaction; the message is what a node would say."""


@dataclass(frozen=True, slots=True)
class Block:
    height: int
    header: bytes
    time: int
    txs: tuple[Tx, ...]

    @property
    def hash(self) -> str:
        return double_sha256(self.header)[::-1].hex()

    @property
    def previous(self) -> str:
        return self.header[4:36][::-1].hex()


class Chain:
    """Every method is safe to call from several threads. `path`: where to keep everything between runs."""

    def __init__(self, *, network: bdk.Network = bdk.Network.REGTEST, path: Path | None = None) -> None:
        self.network = network
        self.lock = threading.RLock()
        self.blocks: list[Block] = []
        self.mempool: dict[str, Tx] = {}
        self._path = path
        self._nonce = 0
        if path is not None and path.exists():
            self._load(path)
        else:
            self._append([])

    # --- reading -------------------------------------------------------------------------------------------

    def confirmed(self) -> dict[str, tuple[Tx, Block]]:
        return {tx.txid: (tx, block) for block in self.blocks for tx in block.txs}

    def find(self, txid: str) -> tuple[Tx, Block | None] | None:
        with self.lock:
            if txid in self.mempool:
                return self.mempool[txid], None
            return self.confirmed().get(txid)

    def all(self) -> list[tuple[Tx, Block | None]]:
        """Unconfirmed first, newest first, then from the tip down: the order of the API."""
        with self.lock:
            waiting: list[tuple[Tx, Block | None]] = [(tx, None) for tx in reversed(self.mempool.values())]
            return waiting + [(tx, block) for block in reversed(self.blocks) for tx in reversed(block.txs)]

    def spender(self, txid: str, vout: int) -> tuple[Tx, int, Block | None] | None:
        for tx, block in self.all():
            for number, spent in enumerate(tx.ins):
                if (spent.txid, spent.vout) == (txid, vout):
                    return tx, number, block
        return None

    def address(self, script: bytes) -> str:
        try:
            return str(bdk.Address.from_script(bdk.Script(script), self.network))
        except bdk.FromScriptError:
            return ""

    def script(self, address: str) -> bytes:
        try:
            return bdk.Address(address, self.network).script_pubkey().to_bytes()
        except bdk.AddressParseError:
            raise Refused(f"no address of this network: {address}") from None

    def wallet(self, name: str) -> str:
        return wallet_of(name, self.network)

    # --- what the world does ---------------------------------------------------------------------------------

    def mine(self, count: int = 1, *, leave_out: Collection[str] = ()) -> str:
        """Mine blocks with everything that waits (but `leave_out`); the new tip's hash."""
        with self.lock:
            for _number in range(count):
                taken = [tx for txid, tx in self.mempool.items() if txid not in leave_out]
                for tx in taken:
                    del self.mempool[tx.txid]
                self._append(taken)
            self._save()
            return self.blocks[-1].hash

    def is_busy(self, depth: int) -> bool:
        """True while something waits, or was paid within the last `depth` blocks."""
        with self.lock:
            return bool(self.mempool) or any(len(block.txs) > 1 for block in self.blocks[-depth:])

    def send(
        self, outputs: Mapping[str, int], *, sender: str = FAUCET, fee: int = 1_000, replaceable: bool = True
    ) -> str:
        """Pay addresses (several outputs, in order) from the wallet of `sender`; the txid. It waits in the mempool.

        `sender` is an address, or a name for one. A sender without coins is given some by the faucet first.
        """
        return self.pay(
            [(address, sats) for address, sats in outputs.items()], sender=sender, fee=fee, replaceable=replaceable
        )

    def pay(
        self, outputs: list[tuple[str, int]], *, sender: str = FAUCET, fee: int = 1_000, replaceable: bool = True
    ) -> str:
        """As `send`, but one address may be paid by several outputs."""
        with self.lock:
            address = self.wallet(sender) if sender.isidentifier() and len(sender) < 26 else sender
            script = self.script(address)
            outs = [Out(sats, self.script(to)) for to, sats in outputs]
            needed = sum(out.sats for out in outs) + fee
            coins, total = self._coins(script, needed)
            sequence = 0xFFFFFFFD if replaceable else 0xFFFFFFFF
            if total > needed:
                outs.append(Out(total - needed, script))
            tx = Tx(tuple(In(t, n, sequence, witness=_DUMMY_WITNESS) for t, n in coins), tuple(outs))
            return self._accept(tx)

    def replace(self, txid: str, outputs: Mapping[str, int], *, fee: int = 5_000) -> str:
        """Replace a waiting transaction by another that spends the same coins for a higher fee (BIP 125)."""
        with self.lock:
            old = self.mempool[txid]
            total = sum(self._value(spent) for spent in old.ins)
            outs = [Out(sats, self.script(address)) for address, sats in outputs.items()]
            rest = total - fee - sum(out.sats for out in outs)
            outs.append(Out(rest, self._output(old.ins[0]).script))
            return self._accept(Tx(old.ins, tuple(outs)))

    def broadcast(self, raw: bytes) -> str:
        """Take a signed transaction, as POST /tx does; the signatures are not checked."""
        try:
            tx = parse(raw)
        except (ValueError, struct.error) as error:
            raise Refused(f"TX decode failed: {error}") from None
        if not all(spent.witness or spent.script for spent in tx.ins):
            raise Refused("mandatory-script-verify-flag-failed (witness program hash mismatch)")
        with self.lock:
            return tx.txid if self.find(tx.txid) else self._accept(tx)

    def reorganise(self, depth: int, *, leave_out: Collection[str] = (), forget: Collection[str] = ()) -> str:
        """Replace the last `depth` blocks by `depth + 1` others.

        `leave_out` goes back to waiting and is in none of them; `forget` is gone for good (spent elsewhere).
        """
        with self.lock:
            gone = self.blocks[-depth:]
            del self.blocks[-depth:]
            back = [tx for block in gone for tx in block.txs if not tx.is_coinbase and tx.txid not in forget]
            self.mempool = {tx.txid: tx for tx in back} | self.mempool
            for txid in forget:
                self.mempool.pop(txid, None)
            self._drop_orphans()
            return self.mine(depth + 1, leave_out=leave_out)

    def forget(self, txid: str) -> None:
        """Drop a waiting transaction (its fee was too low for too long)."""
        with self.lock:
            self.mempool.pop(txid, None)
            self._drop_orphans()
            self._save()

    # --- rules ------------------------------------------------------------------------------------------------

    def _accept(self, tx: Tx) -> str:
        spent_here = {(spent.txid, spent.vout) for spent in tx.ins}
        paid_in = sum(self._value(spent) for spent in tx.ins)
        fee = paid_in - sum(out.sats for out in tx.outs)
        if fee < 0 or any(out.sats < 0 for out in tx.outs) or len(spent_here) != len(tx.ins):
            raise Refused("bad-txns-in-belowout")
        for other in list(self.mempool.values()):
            if spent_here & {(spent.txid, spent.vout) for spent in other.ins}:
                self._evict(other, for_fee=fee)
        for other, _block in self.confirmed().values():
            if spent_here & {(spent.txid, spent.vout) for spent in other.ins}:
                raise Refused("bad-txns-inputs-missingorspent")
        self.mempool[tx.txid] = tx
        self._save()
        return tx.txid

    def _evict(self, other: Tx, *, for_fee: int) -> None:
        theirs = sum(self._value(spent) for spent in other.ins) - sum(out.sats for out in other.outs)
        if all(spent.sequence >= 0xFFFFFFFE for spent in other.ins):
            raise Refused("txn-mempool-conflict")
        if for_fee <= theirs:
            raise Refused("insufficient fee, rejecting replacement")
        del self.mempool[other.txid]
        self._drop_orphans()

    def _drop_orphans(self) -> None:
        """Whoever spends what no longer exists goes too."""
        while True:
            known = set(self.mempool) | set(self.confirmed())
            lost = [t for t, tx in self.mempool.items() if any(spent.txid not in known for spent in tx.ins)]
            if not lost:
                return
            for txid in lost:
                del self.mempool[txid]

    def _output(self, spent: In) -> Out:
        found = self.find(spent.txid)
        if found is None or spent.vout >= len(found[0].outs):
            raise Refused("bad-txns-inputs-missingorspent")
        return found[0].outs[spent.vout]

    def _value(self, spent: In) -> int:
        return self._output(spent).sats

    def _coins(self, script: bytes, needed: int) -> tuple[list[tuple[str, int]], int]:
        chosen, total = self._spendable(script, needed)
        if total < needed:
            if script == self._faucet:
                raise Refused("the faucet is empty")
            self.pay([(self.address(script), needed + 100_000)])
            chosen, total = self._spendable(script, needed)
        return chosen, total

    def _spendable(self, script: bytes, needed: int) -> tuple[list[tuple[str, int]], int]:
        spent = {(i.txid, i.vout) for tx, _block in self.all() for i in tx.ins}
        chosen: list[tuple[str, int]] = []
        total = 0
        for tx, _block in reversed(self.all()):
            for vout, out in enumerate(tx.outs):
                if out.script == script and (tx.txid, vout) not in spent and total < needed:
                    chosen.append((tx.txid, vout))
                    total += out.sats
        return chosen, total

    @property
    def _faucet(self) -> bytes:
        return self.script(self.wallet(FAUCET))

    def _append(self, txs: list[Tx]) -> None:
        height = len(self.blocks)
        self._nonce += 1
        # The height (BIP 34) and a counter: no two coinbases, and no two blocks after a reorganisation, are alike.
        script = b"\x04" + struct.pack("<I", height) + b"\x08" + struct.pack("<Q", self._nonce)
        coinbase = Tx(
            (In(_COINBASE_IN, 0xFFFFFFFF, 0xFFFFFFFF, script),),
            # The first block pays the faucet in many coins, so that payments do not all hang on one another.
            (Out(_SUBSIDY, self.script(self.wallet("miner"))),)
            if height
            else (Out(_FAUCET_COIN, self._faucet),) * 2_000,
        )
        contents = (coinbase, *txs)
        previous = self.blocks[-1].hash if self.blocks else "00" * 32
        now = max(int(time.time()), self.blocks[-1].time + 1 if self.blocks else 0)
        root = merkle_root([tx.txid for tx in contents])
        head = header(previous=previous, merkle_root=root, time=now, nonce=self._nonce)
        self.blocks.append(Block(height, head, now, contents))

    # --- keeping ------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        if self._path is None:
            return
        state = {
            "nonce": self._nonce,
            "blocks": [
                {"header": b.header.hex(), "time": b.time, "txs": [tx.serialised().hex() for tx in b.txs]}
                for b in self.blocks
            ],
            "mempool": [tx.serialised().hex() for tx in self.mempool.values()],
        }
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(state))
        draft.replace(self._path)

    def _load(self, path: Path) -> None:
        state = json.loads(path.read_text())
        self._nonce = state["nonce"]
        self.blocks = [
            Block(
                height,
                bytes.fromhex(b["header"]),
                b["time"],
                tuple(parse(bytes.fromhex(raw)) for raw in b["txs"]),
            )
            for height, b in enumerate(state["blocks"])
        ]
        self.mempool = {tx.txid: tx for tx in (parse(bytes.fromhex(raw)) for raw in state["mempool"])}
