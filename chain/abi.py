"""Encoding and decoding by the ABIs in `chain/abi/`, which are generated from `contracts/` and never edited by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

import orjson
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

ABI_DIR: Final = Path(__file__).resolve().parent / "abi"
#: Every contract of ours. The vault makes the deposit addresses itself; the price feed is a simulator.
KINDS: Final = (
    "AccessManager",
    "InvestorSBT",
    "SecurityToken",
    "TimelockController",
    "Safe",
    "SafeProxyFactory",
    "CollateralVault",
    "DepositForwarder",
    "DemoPriceFeed",
)
#: Contracts of which each is a proxy before another's code: they are called by that one's ABI.
_PROXIES: Final = {"AdminSafe": "Safe", "CouncilSafe": "Safe"}

#: The two errors Solidity itself knows (docs.soliditylang.org, "Error handling").
_ERROR_STRING: Final = bytes.fromhex("08c379a0")
_PANIC: Final = bytes.fromhex("4e487b71")


def type_of(parameter: dict[str, Any]) -> str:
    """The canonical ABI type of one parameter; a struct becomes its tuple."""
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(type_of(component) for component in parameter["components"])
    return f"({inner}){kind[5:]}"


def signature_of(entry: dict[str, Any]) -> str:
    """`name(type,…)` of a function, event or error."""
    return f"{entry['name']}({','.join(type_of(p) for p in entry.get('inputs', []))})"


@dataclass(frozen=True, slots=True)
class Function:
    """One function of one contract."""

    name: str
    selector: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    entry: dict[str, Any]


class Artifact:
    """The ABI of one contract, its creation code, and the code that creating it leaves on the chain."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        content = orjson.loads((ABI_DIR / f"{code_of(kind)}.json").read_bytes())
        self.abi: list[dict[str, Any]] = content["abi"]
        self.bytecode: bytes = bytes.fromhex(content["bytecode"].removeprefix("0x"))
        self.runtime: bytes = bytes.fromhex(content["runtime"].removeprefix("0x"))
        #: Where the constructor writes values into `runtime`: for each, the starts of the words that hold it.
        self.immutables: list[list[int]] = [[int(start) for start in row.split()] for row in content["immutables"]]
        #: Who compiled it: our compiler and its settings, or the authors' published package.
        self.compiler: str = content.get("compiler", "")
        self.settings: str = content.get("settings", "")
        self.source: str = content.get("source", "")

    @cached_property
    def bytecode_hash(self) -> str:
        """keccak-256 of the creation code without constructor arguments."""
        return "0x" + keccak(self.bytecode).hex()

    @cached_property
    def functions(self) -> dict[str, Function]:
        """By name; ours are not overloaded. An overload would be found under its full signature too."""
        found: dict[str, Function] = {}
        for entry in self.abi:
            if entry["type"] != "function":
                continue
            function = Function(
                name=entry["name"],
                selector=keccak(text=signature_of(entry))[:4],
                inputs=tuple(type_of(p) for p in entry["inputs"]),
                outputs=tuple(type_of(p) for p in entry["outputs"]),
                entry=entry,
            )
            found.setdefault(function.name, function)
            found[signature_of(entry)] = function
        return found

    def selectors_of(self, name: str) -> list[bytes]:
        """Selectors of every overload of `name`; at least one, or `KeyError`."""
        first = self.functions[name].selector
        return [first, *(s for s, f in self.by_selector.items() if f.name == name and s != first)]

    @cached_property
    def by_selector(self) -> dict[bytes, Function]:
        return {function.selector: function for function in self.functions.values()}

    @cached_property
    def errors(self) -> dict[bytes, dict[str, Any]]:
        return {keccak(text=signature_of(e))[:4]: e for e in self.abi if e["type"] == "error"}

    @cached_property
    def constructor(self) -> dict[str, Any]:
        return next((e for e in self.abi if e["type"] == "constructor"), {"inputs": []})


def code_of(kind: str) -> str:
    """The contract whose code `kind` runs: itself, but for a proxy."""
    return _PROXIES.get(kind, kind)


@lru_cache(maxsize=32)
def artifact(kind: str) -> Artifact:
    """Read once per process. Raises `FileNotFoundError` for a contract that is not ours."""
    return Artifact(kind)


def encode_call(kind: str, function: str, *args: Any) -> bytes:
    """Calldata: selector and arguments."""
    found = artifact(kind).functions[function]
    return found.selector + encode(found.inputs, args)


def encode_deployment(kind: str, *args: Any) -> bytes:
    """Creation code followed by the constructor's arguments."""
    contract = artifact(kind)
    return contract.bytecode + encode([type_of(p) for p in contract.constructor["inputs"]], args)


def encode_values(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Standard ABI encoding of values, as Solidity's `abi.encode`."""
    return encode(types, values)


def decode_values(types: Sequence[str], data: bytes) -> tuple[Any, ...] | None:
    """Values of a standard ABI encoding, or None if `data` is no such encoding."""
    try:
        return tuple(decode(list(types), data))
    except DecodingError:
        return None


def decode_arguments(kind: str, data: bytes) -> tuple[str, tuple[Any, ...]] | None:
    """(function, arguments) of calldata; None if the selector is not one of `kind` or the arguments do not decode."""
    function = artifact(kind).by_selector.get(data[:4])
    if function is None:
        return None
    try:
        return function.name, decode(function.inputs, data[4:])
    except DecodingError:
        return None


def decode_result(kind: str, function: str, data: bytes) -> tuple[Any, ...]:
    """The return values of a call; addresses checksummed at the top level."""
    outputs = artifact(kind).functions[function].outputs
    values = decode(outputs, data)
    return tuple(to_checksum_address(v) if t == "address" else v for t, v in zip(outputs, values, strict=True))


def struct_values(parameter: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
    """The values of a struct parameter in the order its ABI gives, from `source` by component name.

    Raises `KeyError` for a component that `source` lacks, so a contract that grew a field is noticed.
    """
    return tuple(source[component["name"].lstrip("_")] for component in parameter["components"])


def decode_error(data: bytes) -> str:
    """Revert data for people and for comparison: `Name(arg, …)`, the text of a `require`, or the bare hex."""
    if not data:
        return "reverted without a reason"
    selector, body = data[:4], data[4:]
    try:
        if selector == _ERROR_STRING:
            return str(decode(["string"], body)[0])
        if selector == _PANIC:
            return f"Panic(0x{decode(['uint256'], body)[0]:02x})"
        for kind in KINDS:
            entry = artifact(kind).errors.get(selector)
            if entry is not None:
                return _format_error(entry, body)
    except DecodingError:
        pass
    return "0x" + data[:36].hex()


def _format_error(entry: dict[str, Any], body: bytes) -> str:
    types = [type_of(p) for p in entry["inputs"]]
    values = decode(types, body)
    return f"{entry['name']}({', '.join(_format(t, v) for t, v in zip(types, values, strict=True))})"


def _format(kind: str, value: Any) -> str:
    if kind == "address":
        return str(to_checksum_address(value))
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value)
