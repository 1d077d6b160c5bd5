"""Proof that somebody holds a key: Sign-In with Ethereum (EIP-4361), for plain keys and for contract wallets (ERC-1271).

This module makes the text and judges what came back. That a nonce is used once is the asking app's part.
"""

from __future__ import annotations

import secrets
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from eth_account.messages import _hash_eip191_message, encode_defunct

from chain import signers
from chain.exceptions import NodeUnavailable
from chain.rpc import Rpc, RpcError, as_hex, node
from portal.exceptions import DomainError

if TYPE_CHECKING:
    from siwe import SiweMessage

VALID_FOR: Final = timedelta(minutes=10)
#: A clock that is a little ahead of ours is no attack.
_SKEW: Final = timedelta(seconds=30)
_MAX_LENGTH: Final = 2_000
_ERC1271_SELECTOR: Final = bytes.fromhex("1626ba7e")
#: Many times what a wallet with a dozen owners needs, and no more work than that for our node.
_ERC1271_GAS: Final = 5_000_000


class ProofRefused(DomainError):
    """The signed text does not prove what it should. Nothing was changed."""

    status_code = 400


@dataclass(frozen=True, slots=True)
class Proven:
    """What a signed text proved."""

    address: str
    nonce: str


def new_nonce() -> str:
    """Sixteen random bytes, alphanumeric as EIP-4361 wants it."""
    return secrets.token_hex(16)


def domain() -> str:
    """The authority (RFC 3986) people see in their wallet: where SITE_URL says the portal is."""
    return urlsplit(settings.SITE_URL).netloc


def message_for(*, address: str, nonce: str, uri: str, statement: str, now: datetime | None = None) -> str:
    """The text a wallet is asked to sign. `statement` is ASCII, as EIP-4361 demands."""
    issued = (now or timezone.now()).replace(microsecond=0)
    message = _model()(
        domain=domain(),
        address=signers.checksummed(address),  # type: ignore[arg-type]  # a NewType over str
        statement=statement,
        uri=uri,
        version="1",  # type: ignore[arg-type]  # pydantic takes the value of the enum
        chain_id=settings.CHAIN_ID,
        nonce=nonce,
        issued_at=_iso(issued),  # type: ignore[arg-type]  # pydantic reads the string
        expiration_time=_iso(issued + VALID_FOR),  # type: ignore[arg-type]
    )
    return str(message.prepare_message())


def verify(*, text: str, signature: bytes, uri: str, now: datetime | None = None) -> Proven:
    """Pass if the holder of the address in `text` signed it for this site, this purpose (`uri`), this chain and this time.

    Every field is compared with what we would have written. A contract's own answer (ERC-1271) counts where the key
    is not the address's. Raises `ProofRefused`; `NodeUnavailable` if a contract would have to be asked and cannot be.
    """
    message = _parsed(text)
    at = now or timezone.now()
    if message.domain != domain():
        raise _refuse(_("This text was signed for another website. Nothing was done."), "domain")
    if message.uri != uri:
        raise _refuse(_("This text was signed for another purpose. Nothing was done."), "uri")
    if message.chain_id != settings.CHAIN_ID:
        raise _refuse(_("This text was signed for another network. Nothing was done."), "chain")
    _check_times(message, at)
    if not _signed_by(str(message.address), message.prepare_message(), signature):
        raise _refuse(_("The signature is not by this address. Nothing was done. Please sign again."), "signature")
    return Proven(address=str(message.address), nonce=message.nonce)


def _model() -> type[SiweMessage]:
    # Reading its grammar takes a second and warns about itself; only a sign-in needs it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from siwe import SiweMessage
    return SiweMessage


def _parsed(text: str) -> SiweMessage:
    model = _model()
    try:
        if len(text) > _MAX_LENGTH:
            raise ValueError("too long")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            message = model.from_message(text)
    except Exception as error:  # the parser's own errors have no common base
        raise _refuse(_("This is not the text we asked you to sign. Nothing was done."), "malformed") from error
    if message.prepare_message() != text:
        raise _refuse(_("This is not the text we asked you to sign. Nothing was done."), "malformed")
    return message


def _check_times(message: SiweMessage, at: datetime) -> None:
    issued = datetime.fromisoformat(message.issued_at)
    if message.expiration_time is None or issued.tzinfo is None:
        raise _refuse(_("This is not the text we asked you to sign. Nothing was done."), "malformed")
    expires = datetime.fromisoformat(message.expiration_time)
    if at >= min(expires, issued + VALID_FOR):
        raise _refuse(_("The time to sign is over. Nothing was done. Please start again."), "expired")
    if issued > at + _SKEW or (message.not_before and datetime.fromisoformat(message.not_before) > at):
        raise _refuse(_("This text is not valid yet. Nothing was done. Please start again."), "too_early")


def _signed_by(address: str, text: str, signature: bytes) -> bool:
    return _recovered(text, signature) == address or _contract_agrees(node(), address, text, signature)


def _recovered(text: str, signature: bytes) -> str:
    """Whose key signed; "" if that cannot be said. The copy with the high `s` counts as no signature."""
    from eth_account import Account

    if len(signature) != 65 or int.from_bytes(signature[32:64]) > signers.HALF_ORDER:
        return ""
    try:
        return str(Account.recover_message(encode_defunct(text=text), signature=signature))
    except Exception:  # whatever it cannot read proves nothing
        return ""


def _contract_agrees(rpc: Rpc, address: str, text: str, signature: bytes) -> bool:
    """`isValidSignature(bytes32,bytes)` of a contract at `address`; False where there is no contract.

    Yes is the selector in one word and nothing behind it, as InvestorSBT takes it. A contract that reverts or never ends
    has not said yes.
    """
    from eth_abi.abi import encode

    digest = bytes(_hash_eip191_message(encode_defunct(text=text)))
    data = _ERC1271_SELECTOR + encode(["bytes32", "bytes"], [digest, signature])
    call = {"to": address, "data": as_hex(data), "gas": hex(_ERC1271_GAS)}
    try:
        if len(rpc.call("eth_getCode", address, "latest")) <= 2:
            return False
        answer = bytes.fromhex(rpc.call("eth_call", call, "latest")[2:])
    except RpcError as error:
        if error.is_revert or "outofgas" in error.message.lower().replace(" ", ""):
            return False
        raise NodeUnavailable(error.message) from error
    return bool(answer == _ERC1271_SELECTOR + bytes(28))


def _iso(at: datetime) -> str:
    return at.astimezone(tz=timezone.get_fixed_timezone(0)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _refuse(sentence: object, reason: str) -> ProofRefused:
    return ProofRefused(str(sentence), code=f"chain.siwe.{reason}")
