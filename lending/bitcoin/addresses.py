"""Addresses of the custodian's account (BIP 84, native P2WPKH), from its public key alone.

`BITCOIN_ACCOUNT_XPUB` is the account's extended public key (m/84'/0'/0' on mainnet, m/84'/1'/0' elsewhere) as xpub/tpub
or in the SLIP-132 spelling zpub/vpub. Deposits go to branch 0, change of prepared transactions to branch 1.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

import bdkpython as bdk
from django.conf import settings
from django.utils.translation import gettext as _

from lending.bitcoin.exceptions import BitcoinNotSetUp, InvalidBitcoinAddress

NETWORKS: Final = {
    "mainnet": bdk.Network.BITCOIN,
    "testnet": bdk.Network.TESTNET,
    "signet": bdk.Network.SIGNET,
    "regtest": bdk.Network.REGTEST,
}
#: Version bytes of extended public keys: (as bdk reads them, SLIP-132's for P2WPKH), by whether coins have a value.
_VERSIONS: Final = {True: ("0488b21e", "04b24746"), False: ("043587cf", "045f1cf6")}
_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_XPUB_BYTES: Final = 78
#: Depth 3: purpose, coin, account. Index 0x80000000 + n: the account is a hardened child.
_ACCOUNT_DEPTH: Final = 3
_HARDENED: Final = 2**31


class Branch(IntEnum):
    """The two chains of addresses below an account (BIP 44)."""

    DEPOSIT = 0
    CHANGE = 1


@dataclass(frozen=True, slots=True)
class AccountKey:
    """The custodian's account: its public key, and where it lies below which master key."""

    xpub: str
    fingerprint: str
    account: int
    network: str

    @property
    def origin(self) -> str:
        """What a hardware signer needs to find its key again: `[fingerprint/84'/coin'/account']`."""
        coin = 0 if self.network == "mainnet" else 1
        return f"[{self.fingerprint}/84'/{coin}'/{self.account}']"

    def descriptor(self, branch: Branch) -> bdk.Descriptor:
        return bdk.Descriptor(f"wpkh({self.origin}{self.xpub}/{int(branch)}/*)", network_kind(self.network))

    def address(self, branch: Branch, index: int) -> str:
        if not 0 <= index < _HARDENED:
            raise ValueError("an index below 2**31 is required")
        return str(self.descriptor(branch).derive_address(index, NETWORKS[self.network]))


def network_kind(network: str) -> bdk.NetworkKind:
    return bdk.NetworkKind.MAIN if network == "mainnet" else bdk.NetworkKind.TEST


def network() -> bdk.Network:
    """The network of this installation. Raises BitcoinNotSetUp."""
    try:
        return NETWORKS[settings.BITCOIN_NETWORK]
    except KeyError:
        raise _not_set_up("BITCOIN_NETWORK", "mainnet, testnet, signet or regtest") from None


def account_key() -> AccountKey:
    """The account that deposits go to, from the settings. Raises BitcoinNotSetUp if they do not fit together."""
    network()
    return _read(settings.BITCOIN_ACCOUNT_XPUB, settings.BITCOIN_MASTER_FINGERPRINT, settings.BITCOIN_NETWORK)


def parse_account_key(text: str, *, fingerprint: str, network: str) -> AccountKey:
    """The account behind an xpub, zpub, tpub or vpub. Raises BitcoinNotSetUp; a private key is refused and not quoted."""
    return _read(text.strip(), fingerprint.strip().lower(), network)


@lru_cache(maxsize=8)
def _read(text: str, fingerprint: str, network: str) -> AccountKey:
    if not re.fullmatch(r"[0-9a-f]{8}", fingerprint):
        raise _not_set_up("BITCOIN_MASTER_FINGERPRINT", "eight hexadecimal digits, of the master key")
    payload = _base58_decoded(text)
    standard, native = _VERSIONS[network == "mainnet"]
    if payload is None or len(payload) != _XPUB_BYTES or payload[:4].hex() not in (standard, native):
        # The text is not repeated: somebody may have put a private key there.
        raise _not_set_up("BITCOIN_ACCOUNT_XPUB", f"an extended public key of {network}")
    child = int.from_bytes(payload[9:13], "big")
    if payload[4] != _ACCOUNT_DEPTH or child < _HARDENED:
        raise _not_set_up("BITCOIN_ACCOUNT_XPUB", "the key of an account (m/84'/coin'/account')")
    xpub = _base58_encoded(bytes.fromhex(standard) + payload[4:])
    key = AccountKey(xpub=xpub, fingerprint=fingerprint, account=child - _HARDENED, network=network)
    try:
        key.address(Branch.DEPOSIT, 0)
    except (bdk.DescriptorError, bdk.DescriptorKeyError, bdk.MiniscriptError) as error:
        raise _not_set_up("BITCOIN_ACCOUNT_XPUB", "a point on the curve") from error
    return key


def parse_bitcoin_address(text: str) -> str:
    """The address in its own spelling, if coins on this network can go there. Raises InvalidBitcoinAddress."""
    try:
        return str(bdk.Address(text.strip(), network()))
    except bdk.AddressParseError:
        raise InvalidBitcoinAddress(
            _("This is not a Bitcoin address of this network. Check that it was copied in full. Nothing was changed."),
            code="lending.bitcoin.address",
        ) from None


def script_of(address: str) -> bdk.Script:
    """The output script of an address that `parse_bitcoin_address` has passed."""
    return bdk.Address(address, network()).script_pubkey()


def address_of(script: bytes) -> str:
    """The address of an output script, or nothing where it has none (OP_RETURN, bare keys)."""
    try:
        return str(bdk.Address.from_script(bdk.Script(script), network()))
    except bdk.FromScriptError:
        return ""


def _not_set_up(setting: str, wanted: str) -> BitcoinNotSetUp:
    return BitcoinNotSetUp(
        _("Bitcoin is not set up here yet: %(setting)s must be %(wanted)s.") % {"setting": setting, "wanted": wanted},
        code="lending.bitcoin.not_set_up",
        setting=setting,
    )


def _base58_decoded(text: str) -> bytes | None:
    """The payload of Base58Check, or None if a character or the checksum is wrong."""
    number = 0
    for character in text:
        digit = _ALPHABET.find(character)
        if digit < 0:
            return None
        number = number * 58 + digit
    if number.bit_length() > (_XPUB_BYTES + 4) * 8:
        return None
    data = number.to_bytes(_XPUB_BYTES + 4, "big")
    payload, checksum = data[:-4], data[-4:]
    return payload if _checksum(payload) == checksum else None


def _base58_encoded(payload: bytes) -> str:
    number = int.from_bytes(payload + _checksum(payload), "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return text


def _checksum(payload: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
