"""Addresses: the published vectors of BIP 84, and a derivation written from the BIPs with another library's curve."""

from __future__ import annotations

import hashlib
import hmac

import bdkpython as bdk
import pytest
from coincurve import PublicKey
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from lending.bitcoin.addresses import (
    Branch,
    _base58_decoded,
    _base58_encoded,
    account_key,
    address_of,
    parse_account_key,
    parse_bitcoin_address,
    script_of,
)
from lending.bitcoin.exceptions import BitcoinNotSetUp, InvalidBitcoinAddress

# https://github.com/bitcoin/bips/blob/master/bip-0084.mediawiki#test-vectors
ZPUB = "zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYs"
VECTORS = [
    (Branch.DEPOSIT, 0, "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"),
    (Branch.DEPOSIT, 1, "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g"),
    (Branch.CHANGE, 0, "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el"),
]
FINGERPRINT = "73c5da0a"


@pytest.mark.parametrize(("branch", "index", "address"), VECTORS)
def test_it_derives_the_published_addresses(branch: Branch, index: int, address: str) -> None:
    key = parse_account_key(ZPUB, fingerprint=FINGERPRINT, network="mainnet")
    assert key.address(branch, index) == address
    assert key.origin == "[73c5da0a/84'/0'/0']"


@given(branch=st.sampled_from(Branch), index=st.integers(0, 2**31 - 1))
@bounded(max_examples=60, deadline=None)
def test_another_derivation_finds_the_same_address(branch: Branch, index: int) -> None:
    key = parse_account_key(ZPUB, fingerprint=FINGERPRINT, network="mainnet")
    assert key.address(branch, index) == _address_by_the_bips(key.xpub, [int(branch), index])


def test_either_spelling_of_the_key_is_the_same_account() -> None:
    native = parse_account_key(ZPUB, fingerprint=FINGERPRINT, network="mainnet")
    assert native.xpub.startswith("xpub")
    assert parse_account_key(native.xpub, fingerprint=FINGERPRINT.upper(), network="mainnet") == native


def test_the_settings_of_these_tests_name_a_regtest_account() -> None:
    assert account_key().address(Branch.DEPOSIT, 0).startswith("bcrt1q")


def _private() -> str:
    mnemonic = bdk.Mnemonic.from_string("abandon " * 11 + "about")
    return str(bdk.DescriptorSecretKey(bdk.NetworkKind.MAIN, mnemonic, None)).split("/")[0]


@pytest.mark.parametrize(
    ("text", "network", "fingerprint"),
    [
        ("", "mainnet", FINGERPRINT),
        (ZPUB[:-1] + "t", "mainnet", FINGERPRINT),
        (ZPUB, "testnet", FINGERPRINT),
        (ZPUB, "mainnet", "73c5da"),
        (_private(), "mainnet", FINGERPRINT),
        ("zpub" * 100, "mainnet", FINGERPRINT),
    ],
    ids=["empty", "checksum", "network", "fingerprint", "private", "long"],
)
def test_what_is_no_account_key_of_the_network_is_refused_and_not_repeated(
    text: str, network: str, fingerprint: str
) -> None:
    with pytest.raises(BitcoinNotSetUp) as caught:
        parse_account_key(text, fingerprint=fingerprint, network=network)
    assert not text or text not in str(caught.value)


def test_a_key_that_is_not_an_account_is_refused() -> None:
    key = parse_account_key(ZPUB, fingerprint=FINGERPRINT, network="mainnet")
    payload = _base58_decoded(key.xpub)
    assert payload is not None
    for depth, child in ((2, 2**31), (3, 0)):
        other = _base58_encoded(payload[:4] + bytes([depth]) + payload[5:9] + child.to_bytes(4, "big") + payload[13:])
        with pytest.raises(BitcoinNotSetUp):
            parse_account_key(other, fingerprint=FINGERPRINT, network="mainnet")


@pytest.mark.parametrize(
    "text",
    ["", "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu", "0x00000000000000000000000000000000000DEAD1", "bcrt1qqqqqqqq"],
    ids=["empty", "mainnet", "ether", "short"],
)
def test_an_address_of_another_kind_or_network_is_refused(text: str) -> None:
    with pytest.raises(InvalidBitcoinAddress):
        parse_bitcoin_address(text)


def test_a_script_and_its_address_lead_to_each_other() -> None:
    address = account_key().address(Branch.DEPOSIT, 7)
    assert parse_bitcoin_address(f" {address.upper()} ") == address
    assert address_of(script_of(address).to_bytes()) == address
    assert address_of(b"\x6a\x04abcd") == ""


# --- BIP 32 and BIP 173 once more, on coincurve --------------------------------------------------------------------


def _address_by_the_bips(xpub: str, path: list[int]) -> str:
    payload = _base58_decoded(xpub)
    assert payload is not None
    chain_code, point = payload[13:45], PublicKey(payload[45:])
    for index in path:
        seed = hmac.new(chain_code, point.format() + index.to_bytes(4, "big"), hashlib.sha512).digest()
        point, chain_code = point.add(seed[:32]), seed[32:]
    digest = hashlib.new("ripemd160", hashlib.sha256(point.format()).digest()).digest()
    return _bech32("bc", [0, *_five_bits(digest)])


def _five_bits(data: bytes) -> list[int]:
    number = int.from_bytes(data, "big")
    return [(number >> shift) & 31 for shift in range(len(data) * 8 - 5, -1, -5)]


def _bech32(prefix: str, values: list[int]) -> str:
    letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    checksum = 1
    for value in [*expanded, *values, *[0] * 6]:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate([0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3]):
            checksum ^= generator if top >> bit & 1 else 0
    checksum ^= 1
    tail = [(checksum >> 5 * (5 - i)) & 31 for i in range(6)]
    return f"{prefix}1" + "".join(letters[v] for v in [*values, *tail])
