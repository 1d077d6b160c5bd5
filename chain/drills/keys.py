"""Keys outside our signers: a thief's copies, investors' own wallets, officers' own wallets. They sign what they like."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from eth_keyfile.keyfile import decode_keyfile_json
from eth_keys.datatypes import PrivateKey
from eth_utils.address import to_canonical_address
from eth_utils.crypto import keccak
from rlp.codec import encode as rlp_encode

from chain import abi, attestation
from chain.models import Signer
from chain.rpc import Rpc, RpcError, as_hex, as_int
from chain.types import Attestation, Call

#: More than any call of ours needs, deployments aside: a thief does not lose time with estimates.
GAS_LIMIT: Final = 1_500_000
_GWEI: Final = 10**9
USUAL_TIP: Final = 1 * _GWEI
#: What somebody pays who must be first in the block.
RACING_TIP: Final = 100 * _GWEI


#: A node that mines at once still does so a moment after it took the transaction.
PATIENCE_SECONDS: Final = 10.0


class NotMined(Exception):
    """The node took a transaction and made no block with it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call: `reason` is empty if it went through, else the contract's decoded error."""

    reason: str
    gas_used: int = 0
    hash: str = ""
    at: int = 0  # block time, Unix seconds

    @property
    def done(self) -> bool:
        return not self.reason


class Key:
    """A private key and the address it controls. Nothing here asks our signers' policy."""

    def __init__(self, name: str, private_key: bytes | None = None) -> None:
        self.name = name
        self.private = PrivateKey(private_key or secrets.token_bytes(32))
        self.address: str = self.private.public_key.to_checksum_address()

    @classmethod
    def copy_of(cls, signer: Signer) -> Key:
        """What somebody has who got hold of a keystore file and its password: it is read as a thief would read it."""
        path = Path(settings.KEYSTORE_DIR) / f"{signer.address.lower().removeprefix('0x')}.json"
        content = json.loads(path.read_text())
        return cls(signer.label or signer.role, decode_keyfile_json(content, settings.KEYSTORE_PASSWORD.encode()))  # type: ignore[arg-type]

    def attest(self, attested: Attestation) -> bytes:
        """65 bytes over the attestation, as an officer's wallet gives them."""
        signature = self.private.sign_msg_hash(attestation.digest(attested))
        return bytes(signature.r.to_bytes(32, "big") + signature.s.to_bytes(32, "big") + bytes([27 + signature.v]))

    def raw(self, rpc: Rpc, call: Call, *, nonce: int, tip: int = USUAL_TIP) -> bytes:
        """Signed EIP-1559 bytes (EIP-2718 type 2)."""
        to = to_canonical_address(call.to) if call.to else b""
        # Nodes order by the tip, some by the most that is offered: whoever pays more is ahead in both.
        offer = 50 * _GWEI + 2 * tip
        fields: list[Any] = [chain_id(rpc), nonce, tip, offer, GAS_LIMIT, to, call.value_wei, call.data, []]
        signature = self.private.sign_msg_hash(keccak(b"\x02" + _rlp(fields)))
        return b"\x02" + _rlp([*fields, signature.v, signature.r, signature.s])

    def next_nonce(self, rpc: Rpc) -> int:
        """Behind everything of this key that is in a block or in the pool."""
        return as_int(rpc.call("eth_getTransactionCount", self.address, "pending"))

    def send(self, rpc: Rpc, call: Call, *, tip: int = USUAL_TIP) -> str:
        """Hand the signed call to the node; the transaction's hash."""
        return str(rpc.call("eth_sendRawTransaction", as_hex(self.raw(rpc, call, nonce=self.next_nonce(rpc), tip=tip))))

    def act(self, rpc: Rpc, call: Call, *, tip: int = USUAL_TIP) -> Outcome:
        """Send the call and look at its receipt. The node must mine at once."""
        return outcome_of(rpc, self.send(rpc, call, tip=tip), sender=self.address, call=call)


def _rlp(fields: list[Any]) -> bytes:
    return bytes(rlp_encode(fields))  # type: ignore[no-untyped-call]


_chain_ids: dict[str, int] = {}


def chain_id(rpc: Rpc) -> int:
    if rpc.url not in _chain_ids:
        _chain_ids[rpc.url] = as_int(rpc.call("eth_chainId"))
    return _chain_ids[rpc.url]


def outcome_of(rpc: Rpc, transaction_hash: str, *, sender: str, call: Call) -> Outcome:
    """The receipt in words. Raises `NotMined` if the transaction is in no block after `PATIENCE_SECONDS`."""
    receipt, until = rpc.call("eth_getTransactionReceipt", transaction_hash), time.monotonic() + PATIENCE_SECONDS
    while receipt is None:
        if time.monotonic() > until:
            raise NotMined(f"{call.function} is in no block")
        time.sleep(0.005)
        receipt = rpc.call("eth_getTransactionReceipt", transaction_hash)
    number = as_int(receipt["blockNumber"])
    block = rpc.call("eth_getBlockByNumber", hex(number), False)
    reason = "" if as_int(receipt["status"]) else try_call(rpc, sender, call, at=hex(number)) or "reverted"
    return Outcome(reason, as_int(receipt["gasUsed"]), transaction_hash, as_int(block["timestamp"]))


def call_request(sender: str, call: Call) -> dict[str, str]:
    request = {"from": sender, "data": as_hex(call.data), "gas": hex(GAS_LIMIT)}
    return request | ({"to": call.to} if call.to else {})


def try_call(rpc: Rpc, sender: str, call: Call, *, at: str = "latest") -> str:
    """Why the contract would refuse; empty if it would not."""
    try:
        rpc.call("eth_call", call_request(sender, call), at)
    except RpcError as error:
        return reason_of(error)
    return ""


def reason_of(error: RpcError) -> str:
    return abi.decode_error(error.revert_data) if error.revert_data else error.message
