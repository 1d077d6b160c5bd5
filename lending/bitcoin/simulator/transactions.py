"""Bitcoin's wire format of transactions and headers, as far as the simulator needs it."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class In:
    txid: str
    vout: int
    sequence: int = 0xFFFFFFFD  # may be replaced (BIP 125)
    script: bytes = b""
    witness: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Out:
    sats: int
    script: bytes


@dataclass(frozen=True, slots=True)
class Tx:
    ins: tuple[In, ...]
    outs: tuple[Out, ...]
    version: int = 2
    locktime: int = 0
    txid: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "txid", double_sha256(self.serialised(witness=False))[::-1].hex())

    @property
    def is_coinbase(self) -> bool:
        return self.ins[0].txid == "00" * 32

    @property
    def weight(self) -> int:
        return 3 * len(self.serialised(witness=False)) + len(self.serialised())

    def serialised(self, *, witness: bool = True) -> bytes:
        witness = witness and any(i.witness for i in self.ins)
        parts = [struct.pack("<i", self.version), b"\x00\x01" if witness else b"", compact(len(self.ins))]
        for i in self.ins:
            parts += [bytes.fromhex(i.txid)[::-1], struct.pack("<I", i.vout), sized(i.script)]
            parts.append(struct.pack("<I", i.sequence))
        parts.append(compact(len(self.outs)))
        parts += [struct.pack("<q", out.sats) + sized(out.script) for out in self.outs]
        if witness:
            parts += [compact(len(i.witness)) + b"".join(map(sized, i.witness)) for i in self.ins]
        return b"".join([*parts, struct.pack("<I", self.locktime)])


def parse(raw: bytes) -> Tx:
    """A transaction from its bytes. Raises ValueError if they are not exactly one."""
    reader = _Reader(raw)
    version = reader.number("<i")
    has_witness = raw[4:6] == b"\x00\x01"
    if has_witness:
        reader.take(2)
    ins = [
        In(reader.take(32)[::-1].hex(), reader.number("<I"), script=reader.sized(), sequence=reader.number("<I"))
        for _ in range(reader.compact())
    ]
    outs = [Out(reader.number("<q"), reader.sized()) for _ in range(reader.compact())]
    if has_witness:
        stacks = [tuple(reader.sized() for _ in range(reader.compact())) for _ in ins]
        ins = [In(i.txid, i.vout, i.sequence, i.script, stack) for i, stack in zip(ins, stacks, strict=True)]
    tx = Tx(tuple(ins), tuple(outs), version, reader.number("<I"))
    if not ins or not outs or tx.serialised() != raw:
        raise ValueError("not exactly one transaction")
    return tx


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    def take(self, count: int) -> bytes:
        taken = self._raw[self._at : self._at + count]
        if len(taken) != count:
            raise ValueError("too short")
        self._at += count
        return taken

    def number(self, shape: str) -> int:
        value: int = struct.unpack(shape, self.take(struct.calcsize(shape)))[0]
        return value

    def compact(self) -> int:
        first = self.take(1)[0]
        return first if first < 0xFD else self.number({0xFD: "<H", 0xFE: "<I", 0xFF: "<Q"}[first])

    def sized(self) -> bytes:
        return self.take(self.compact())


def header(*, previous: str, merkle_root: str, time: int, nonce: int) -> bytes:
    """The 80 bytes whose double hash is the block's: version, previous, root, time, bits (regtest's), nonce."""
    return (
        struct.pack("<i", 0x20000000)
        + bytes.fromhex(previous)[::-1]
        + bytes.fromhex(merkle_root)[::-1]
        + struct.pack("<III", time, 0x207FFFFF, nonce)
    )


def merkle_root(txids: list[str]) -> str:
    level = [bytes.fromhex(txid)[::-1] for txid in txids]
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [double_sha256(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0][::-1].hex()


def double_sha256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def compact(value: int) -> bytes:
    if value < 0xFD:
        return bytes([value])
    return b"\xfd" + struct.pack("<H", value) if value <= 0xFFFF else b"\xfe" + struct.pack("<I", value)


def sized(data: bytes) -> bytes:
    return compact(len(data)) + data
