"""Is the code at an address the code we say it is? Compared byte for byte, at one block.

A compiler leaves gaps in the code for values that are set when the contract is created (Solidity's immutables: the
manager's address, a delay). Those words are left out of the comparison; that the gaps of one value all hold the same is
checked. The build's places of them come with the ABI (contracts/script/export-abi.mjs). Sourcify and Etherscan compare
in the same manner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from eth_utils.crypto import keccak

from chain import abi
from chain.models import Contract
from chain.rpc import Request, Rpc, as_hex
from chain.signers import checksummed

_WORD: Final = 32
#: Every one of these is a small proxy of Safe's; it runs the code of the Safe whose address lies in its first slot.
_PROXIES: Final = frozenset({Contract.Kind.ADMIN_SAFE, Contract.Kind.COUNCIL_SAFE})
#: OpenZeppelin's own, compiled by us without a change.
_LIBRARY: Final = frozenset({Contract.Kind.ACCESS_MANAGER, Contract.Kind.TIMELOCK})
FORWARDER: Final = "DepositForwarder"


class Verdict(StrEnum):
    """What the comparison found."""

    EQUAL = "equal"  # to what our build of our source creates
    LIBRARY = "library"  # to what our build of OpenZeppelin's source creates
    RELEASE = "release"  # to the compiled package that the authors published
    PROXY = "proxy"  # to the authors' proxy, and it points to code that was found equal
    DIFFERS = "differs"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """One contract of ours and what stands at its address."""

    kind: str
    address: str
    verdict: str
    code_hash: str = ""  # keccak-256 of the code on the chain, as EXTCODEHASH gives it
    size: int = 0  # bytes
    blanks: int = 0  # values that were set at creation, left out of the comparison
    target: str = ""  # of a proxy: whose code it runs


def matches(code: bytes, contract: abi.Artifact) -> bool:
    """Whether `code` is what creating `contract` leaves, whatever values its constructor was given."""
    if not code or len(code) != len(contract.runtime):
        return False
    masked = bytearray(code)
    for places in contract.immutables:
        if len({code[start : start + _WORD] for start in places}) != 1:
            return False
        for start in places:
            masked[start : start + _WORD] = contract.runtime[start : start + _WORD]
    return bytes(masked) == contract.runtime


def check_codes(rpc: Rpc, contracts: Sequence[tuple[str, str]], *, block: int) -> list[CodeCheck]:
    """Compare `(kind, address)` each, and the forwarder the vault made, with the builds, at `block`.

    Raises `NodeUnavailable` or `RpcError`: a comparison that could not be made is no verdict.
    """
    asked = [*contracts, *_forwarder(rpc, contracts, block)]
    requests: list[Request] = [("eth_getCode", [address, hex(block)]) for _kind, address in asked]
    requests += [("eth_getStorageAt", [address, "0x0", hex(block)]) for kind, address in asked if kind in _PROXIES]
    answers = rpc.gather(requests)
    codes = [bytes.fromhex(answer[2:]) for answer in answers[: len(asked)]]
    proxies = [address for kind, address in asked if kind in _PROXIES]
    targets = {
        address: checksummed("0x" + word[2:].zfill(64)[-40:])
        for address, word in zip(proxies, answers[len(asked) :], strict=True)
    }
    plain = [
        _judge(kind, address, code) for (kind, address), code in zip(asked, codes, strict=True) if kind not in _PROXIES
    ]
    sound = {check.address for check in plain if check.kind == Contract.Kind.SAFE and check.verdict == Verdict.RELEASE}
    pointing = [
        _judge_proxy(kind, address, code, targets[address], sound)
        for (kind, address), code in zip(asked, codes, strict=True)
        if kind in _PROXIES
    ]
    return plain + pointing


def _forwarder(rpc: Rpc, contracts: Sequence[tuple[str, str]], block: int) -> list[tuple[str, str]]:
    """The code behind every deposit address: the vault's constructor made it, so only the vault knows where."""
    found = []
    for kind, address in contracts:
        if kind == Contract.Kind.COLLATERAL_VAULT:
            call = {"to": address, "data": as_hex(abi.encode_call(kind, "forwarder"))}
            answer = bytes.fromhex(rpc.call("eth_call", call, hex(block))[2:])
            if answer:
                found.append((FORWARDER, str(abi.decode_result(kind, "forwarder", answer)[0])))
    return found


def _judge(kind: str, address: str, code: bytes) -> CodeCheck:
    contract = abi.artifact(kind)
    if not code:
        return CodeCheck(kind, address, Verdict.ABSENT)
    verdict = Verdict.DIFFERS
    if matches(code, contract):
        verdict = Verdict.RELEASE if contract.source else Verdict.LIBRARY if kind in _LIBRARY else Verdict.EQUAL
    return CodeCheck(kind, address, verdict, _hash(code), len(code), len(contract.immutables))


def _judge_proxy(kind: str, address: str, code: bytes, target: str, sound: set[str]) -> CodeCheck:
    if not code:
        return CodeCheck(kind, address, Verdict.ABSENT)
    is_proxy = matches(code, abi.artifact("SafeProxy"))
    verdict = Verdict.PROXY if is_proxy and target in sound else Verdict.DIFFERS
    return CodeCheck(kind, address, verdict, _hash(code), len(code), target=target)


def _hash(code: bytes) -> str:
    return "0x" + keccak(code).hex()
