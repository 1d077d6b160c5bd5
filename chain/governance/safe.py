"""A Safe's transactions: the EIP-712 payload an owner signs, signatures, and the call that carries them to the chain.

Source of the encoding: Safe 1.5 (`getTransactionHash`, `checkNSignatures`). We never refund gas and never delegate, so
those fields are always zero: `operation` 0 is a call, and a call that reverts takes the whole transaction back with it.
"""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_lazy as _
from eth_keys import datatypes
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from chain import abi, signers
from chain.exceptions import PolicyViolation
from chain.gateway import ZERO_ADDRESS
from chain.models import Contract, SafeProposal, Signer
from chain.types import Call, SignerRole
from portal.exceptions import DomainError

_DOMAIN: Final = (("chainId", "uint256"), ("verifyingContract", "address"))
_FIELDS: Final = (
    ("to", "address"),
    ("value", "uint256"),
    ("data", "bytes"),
    ("operation", "uint8"),
    ("safeTxGas", "uint256"),
    ("baseGas", "uint256"),
    ("gasPrice", "uint256"),
    ("gasToken", "address"),
    ("refundReceiver", "address"),
    ("nonce", "uint256"),
)
#: Whose keys may sign for which Safe, where we hold such keys at all.
OWNER_ROLES: Final = {
    Contract.Kind.ADMIN_SAFE: SignerRole.ADMIN_OWNER,
    Contract.Kind.COUNCIL_SAFE: SignerRole.COUNCIL_OWNER,
}


class InvalidSafeSignature(DomainError):
    """The signature is not one of an owner over this proposal."""

    status_code = 400


def execution(safe: Contract, *, to: str, data: bytes, signatures: bytes) -> Call:
    """`execTransaction` of `safe` with these signatures, for the outbox."""
    arguments = (to, 0, data, 0, 0, 0, 0, ZERO_ADDRESS, ZERO_ADDRESS, signatures)
    encoded = abi.encode_call(safe.kind, "execTransaction", *arguments)
    return Call(to=safe.address, data=encoded, function=f"{safe.kind}.execTransaction")


def typed_data(proposal: SafeProposal) -> dict[str, Any]:
    """What an officer's wallet is asked to sign (`eth_signTypedData_v4`). JSON; integers as decimal strings."""
    safe = proposal.safe
    return {
        "domain": {"chainId": safe.chain_id, "verifyingContract": safe.address},
        "primaryType": "SafeTx",
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in _DOMAIN],
            "SafeTx": [{"name": name, "type": kind} for name, kind in _FIELDS],
        },
        "message": {
            "to": proposal.to,
            "value": "0",
            "data": "0x" + bytes(proposal.data).hex(),
            "operation": "0",
            "safeTxGas": "0",
            "baseGas": "0",
            "gasPrice": "0",
            "gasToken": ZERO_ADDRESS,
            "refundReceiver": ZERO_ADDRESS,
            "nonce": str(proposal.nonce),
        },
    }


def digest(proposal: SafeProposal) -> str:
    """What is signed, 0x-hex; equal to the Safe's `getTransactionHash`. Only for a proposal that has its nonce."""
    return "0x" + keccak(_payload(proposal)).hex()


def sign(proposal: SafeProposal, signer: Signer) -> bytes:
    """65 bytes r ‖ s ‖ v by an officer's key that we hold (development only).

    Raises `PolicyViolation` for a signer that is no officer of this Safe, or a call that officers are never asked for.
    """
    if signer.role != OWNER_ROLES[Contract.Kind(proposal.safe.kind)] or signer.halted_reason:
        raise PolicyViolation(f"{signer.role} may not sign for {proposal.safe.kind}")
    return signers.backend_of(signer).sign(signer.address, _payload(proposal)).to_bytes()


def recover_owner(proposal: SafeProposal, signature: bytes) -> str:
    """The address whose key made `signature` over the proposal. Raises `InvalidSafeSignature`.

    Only plain ECDSA with the low `s`: of the Safe's other kinds, one (`v` = 1) is no signature at all but an approval
    on the chain, and the twin with the high `s` is a copy.
    """
    try:
        if len(signature) != 65:
            raise ValueError("not 65 bytes")
        r, s, v = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), signature[64] - 27
        if v not in (0, 1) or s > signers.HALF_ORDER:
            raise ValueError("not a canonical signature")
        key = datatypes.Signature(vrs=(v, r, s)).recover_public_key_from_msg_hash(keccak(_payload(proposal)))
    except (ValueError, BadSignature, ValidationError) as error:
        raise InvalidSafeSignature(
            _("This is not a valid signature of the proposal. Nothing was recorded. Please sign it again."),
            code="chain.proposal.invalid_signature",
        ) from error
    return str(key.to_checksum_address())


def joined(signatures: dict[str, bytes]) -> bytes:
    """Signatures by owner, in the order the Safe wants: by rising address."""
    return b"".join(signatures[owner] for owner in sorted(signatures, key=lambda owner: int(owner, 16)))


def _payload(proposal: SafeProposal) -> bytes:
    """0x1901 ‖ domain separator ‖ struct hash (EIP-712)."""
    if proposal.nonce is None:
        raise ValueError("the proposal has no number yet")
    return payload(proposal.safe, to=proposal.to, data=bytes(proposal.data), nonce=proposal.nonce)


def payload(safe: Contract, *, to: str, data: bytes, nonce: int) -> bytes:
    """The bytes over whose keccak-256 an owner of `safe` signs."""
    domain = abi.encode_values([kind for _name, kind in _DOMAIN], (safe.chain_id, safe.address))
    separator = keccak(keccak(text=_encode_type("EIP712Domain", _DOMAIN)) + domain)
    values = (to, 0, keccak(data), 0, 0, 0, 0, ZERO_ADDRESS, ZERO_ADDRESS, nonce)
    types = ["bytes32" if kind == "bytes" else kind for _name, kind in _FIELDS]
    struct = keccak(keccak(text=_encode_type("SafeTx", _FIELDS)) + abi.encode_values(types, values))
    return bytes(b"\x19\x01" + separator + struct)


def _encode_type(name: str, fields: tuple[tuple[str, str], ...]) -> str:
    return f"{name}({','.join(f'{kind} {field}' for field, kind in fields)})"
