"""The officer's attestation as EIP-712 typed data. The digest is the contract's own `attestationDigest`."""

from __future__ import annotations

import secrets
from typing import Any, Final

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from eth_keys import datatypes
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from chain import abi, signers
from chain.exceptions import PolicyViolation
from chain.models import Contract, Signer
from chain.operations import attestation_values
from chain.types import Attestation, SignerRole
from portal.exceptions import DomainError

#: EIP-712 domain of InvestorSBT: the constructor's `EIP712(name, version)`.
DOMAIN_NAME: Final = "Musubi InvestorSBT"
DOMAIN_VERSION: Final = "1"
_DOMAIN_FIELDS: Final = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)
_FIELDS: Final = (
    ("holder", "address"),
    ("subject", "bytes32"),
    ("categories", "uint16"),
    ("expiresAt", "uint48"),
    ("evidenceHash", "bytes32"),
    ("nonce", "uint256"),
    ("deadline", "uint48"),
)


class InvalidSignature(DomainError):
    """The signature is not one over this attestation."""

    status_code = 400


def new_nonce() -> int:
    """A random 256-bit nonce: unique without asking anybody, and telling nothing about how many there were."""
    return secrets.randbits(256)


def typed_data(attestation: Attestation) -> dict[str, Any]:
    """What a browser wallet is asked to sign (`eth_signTypedData_v4`). JSON; big integers as decimal strings."""
    names = [name for name, _kind in _FIELDS]
    values = [
        "0x" + v.hex() if isinstance(v, bytes) else v if isinstance(v, str) else str(v)
        for v in attestation_values(attestation)
    ]
    return {
        "domain": {
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": settings.CHAIN_ID,
            "verifyingContract": _contract(),
        },
        "primaryType": "Attestation",
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in _DOMAIN_FIELDS],
            "Attestation": [{"name": name, "type": kind} for name, kind in _FIELDS],
        },
        "message": dict(zip(names, values, strict=True)),
    }


def digest(attestation: Attestation) -> bytes:
    """The 32 bytes that are signed; equal to `InvestorSBT.attestationDigest`."""
    return bytes(keccak(_payload(attestation)))


def sign(attestation: Attestation, signer: Signer) -> bytes:
    """65 bytes r ‖ s ‖ v by an attestor key that we hold (demo officers; a real officer signs in their own wallet).

    Raises `PolicyViolation` for a signer of any other role.
    """
    is_usable = signer.state == Signer.State.ACTIVE and not signer.halted_reason
    if signer.role != SignerRole.ATTESTOR or signer.chain_id != settings.CHAIN_ID or not is_usable:
        raise PolicyViolation(f"{signer.role} may not sign attestations")
    return signers.backend_of(signer).sign(signer.address, _payload(attestation)).to_bytes()


def recover_attestor(attestation: Attestation, signature: bytes) -> str:
    """The address whose key made `signature` over `attestation`. Raises `InvalidSignature`.

    A signature with the high `s` is refused, as the contract refuses it: it is a copy of another one.
    """
    try:
        r, s, v = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), signature[64] - 27
        if len(signature) != 65 or v not in (0, 1) or s > signers.HALF_ORDER:
            raise ValueError("not a canonical signature")
        key = datatypes.Signature(vrs=(v, r, s)).recover_public_key_from_msg_hash(digest(attestation))
    except (ValueError, IndexError, BadSignature, ValidationError) as error:
        raise InvalidSignature(
            _("This is not a valid signature of the attestation. Nothing was recorded. Please sign it again."),
            code="chain.attestation.invalid_signature",
        ) from error
    return str(key.to_checksum_address())


def _payload(attestation: Attestation) -> bytes:
    """0x1901 ‖ domain separator ‖ struct hash (EIP-712)."""
    return b"\x19\x01" + _domain_separator() + _hash_struct("Attestation", _FIELDS, attestation_values(attestation))


def _domain_separator() -> bytes:
    values = (keccak(text=DOMAIN_NAME), keccak(text=DOMAIN_VERSION), settings.CHAIN_ID, _contract())
    types = ["bytes32" if kind == "string" else kind for _name, kind in _DOMAIN_FIELDS]
    type_hash = keccak(text=_encode_type("EIP712Domain", _DOMAIN_FIELDS))
    return bytes(keccak(type_hash + abi.encode_values(types, values)))


def _hash_struct(name: str, fields: tuple[tuple[str, str], ...], values: tuple[Any, ...]) -> bytes:
    encoded = abi.encode_values([kind for _name, kind in fields], values)
    return bytes(keccak(keccak(text=_encode_type(name, fields)) + encoded))


def _encode_type(name: str, fields: tuple[tuple[str, str], ...]) -> str:
    return f"{name}({','.join(f'{kind} {field}' for field, kind in fields)})"


def _contract() -> str:
    return Contract.objects.values_list("address", flat=True).get(
        chain_id=settings.CHAIN_ID, kind=Contract.Kind.INVESTOR_SBT
    )
