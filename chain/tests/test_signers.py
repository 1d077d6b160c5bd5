"""Keys: how they are kept, what they sign, and that they appear nowhere else."""

import json
import logging
import stat

import pytest
from eth_account import Account
from eth_keys.datatypes import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from chain import services, signers
from chain.exceptions import SignerUnavailable
from chain.models import Signer
from chain.services.custody import SignerExists
from chain.types import SignerRole

KEY = bytes.fromhex("11" * 32)
ADDRESS = Account.from_key(KEY).address


@pytest.fixture
def store(settings, tmp_path):
    settings.KEYSTORE_DIR = tmp_path / "keystore"
    return signers.keystore()


def test_a_key_is_kept_encrypted_for_its_owner_only(store, settings):
    assert store.store(KEY) == ADDRESS
    (file,) = settings.KEYSTORE_DIR.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.KEYSTORE_DIR.stat().st_mode) == 0o700
    content = json.loads(file.read_text())
    assert content["version"] == 3
    assert KEY.hex() not in file.read_text()
    assert Account.decrypt(content, settings.KEYSTORE_PASSWORD) == KEY  # an independent reader of the format


def test_a_stored_key_survives_the_process(store, settings):
    store.store(KEY)
    again = signers.Keystore(settings.KEYSTORE_DIR, settings.KEYSTORE_PASSWORD)
    assert again.sign(ADDRESS, b"payload") == store.sign(ADDRESS, b"payload")


def test_a_wrong_password_opens_nothing_and_says_nothing(store, settings, caplog):
    caplog.set_level(logging.DEBUG)
    store.store(KEY)
    with pytest.raises(SignerUnavailable) as caught:
        signers.Keystore(settings.KEYSTORE_DIR, "wrong").sign(ADDRESS, b"payload")
    told = f"{caught.value} {caught.value.reason} {caught.value.__cause__} {caplog.text}"
    assert KEY.hex() not in told
    assert settings.KEYSTORE_PASSWORD not in told


def test_a_missing_file_is_named_and_nothing_is_signed(store):
    with pytest.raises(SignerUnavailable):
        store.sign(ADDRESS, b"payload")


def test_a_file_that_holds_another_key_is_refused(store, settings):
    store.store(KEY)
    other = store.create()
    store._path(other).write_text(store._path(ADDRESS).read_text())
    with pytest.raises(SignerUnavailable) as caught:
        signers.Keystore(settings.KEYSTORE_DIR, settings.KEYSTORE_PASSWORD).sign(other, b"payload")
    assert "another key" in caught.value.reason


def test_without_a_password_no_key_is_written(settings, tmp_path):
    with pytest.raises(SignerUnavailable):
        signers.Keystore(tmp_path / "keystore", "").create()
    assert not (tmp_path / "keystore").exists()


_QUANTITY = st.integers(min_value=0, max_value=2**128)


@given(
    nonce=st.integers(min_value=0, max_value=2**63),
    fees=st.tuples(_QUANTITY, _QUANTITY),
    gas=st.integers(min_value=21_000, max_value=2**40),
    value=_QUANTITY,
    data=st.binary(max_size=200),
    to=st.one_of(st.none(), st.binary(min_size=20, max_size=20)),
)
def test_our_bytes_are_the_ones_an_independent_library_signs(tmp_path_factory, nonce, fees, gas, value, data, to):
    backend = signers.Keystore(tmp_path_factory.getbasetemp() / "signing", "password")
    backend._opened[ADDRESS] = PrivateKey(KEY)
    target = signers.checksummed("0x" + to.hex()) if to else None
    unsigned = signers.Unsigned(31337, nonce, min(fees), max(fees), gas, target, value, data)
    fields = {
        "type": 2,
        "chainId": 31337,
        "nonce": nonce,
        "maxPriorityFeePerGas": min(fees),
        "maxFeePerGas": max(fees),
        "gas": gas,
        "value": value,
        "data": data,
    }
    expected = Account.sign_transaction(fields | ({"to": target} if target else {}), KEY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signers, "backend_of", lambda signer: backend)
        signed = signers.sign_unsigned(Signer(address=ADDRESS), unsigned)
    assert (signed.raw, signed.hash) == (bytes(expected.raw_transaction), "0x" + expected.hash.hex().removeprefix("0x"))


@given(payload=st.binary(max_size=300))
def test_every_signature_has_the_low_s(tmp_path_factory, payload):
    backend = signers.Keystore(tmp_path_factory.getbasetemp() / "low-s", "password")
    backend._opened[ADDRESS] = PrivateKey(KEY)
    assert backend.sign(ADDRESS, payload).s <= signers.HALF_ORDER


def test_a_high_s_from_a_backend_is_turned_into_its_low_twin():
    order = 2 * signers.HALF_ORDER + 1
    low = signers._low_s(signers.Signature(r=5, s=order - 7, y_parity=0))
    assert (low.s, low.y_parity) == (7, 1)


# --- rows ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_custody_wallet_has_its_key_on_disk_before_its_row(store):
    wallet = services.create_custody_signer(label="Alice")
    assert store.has(wallet.address)
    assert (wallet.role, wallet.next_nonce, wallet.label) == (SignerRole.CUSTODY, 0, "Alice")
    assert services.create_custody_signer(label="Alice").address != wallet.address


@pytest.mark.django_db
def test_a_platform_role_has_one_signer(store):
    first = services.create_platform_signer(role=SignerRole.TOKEN_AGENT)
    assert services.create_platform_signer(role=SignerRole.TOKEN_AGENT).pk == first.pk


@pytest.mark.django_db
def test_an_imported_key_goes_on_after_the_nonces_it_has_used(node):
    account = Account.from_key(KEY)
    node.set_balance(ADDRESS, 10**18)
    fields = {"to": ADDRESS, "value": 0, "gas": 21_000, "gasPrice": 10**10, "nonce": 0, "chainId": 31337}
    node.call("eth_sendRawTransaction", "0x" + account.sign_transaction(fields).raw_transaction.hex())
    signer = services.import_signer(role=SignerRole.DEPLOYER, private_key=KEY)
    assert (signer.address, signer.next_nonce) == (ADDRESS, 1)
    with pytest.raises(SignerExists):
        services.import_signer(role=SignerRole.DEPLOYER, private_key=bytes.fromhex("22" * 32))


@pytest.mark.django_db
def test_the_command_reads_the_key_from_standard_input_and_never_repeats_it(node, monkeypatch, capsys):
    import io

    from django.core.management import call_command
    from django.core.management.base import CommandError

    monkeypatch.setattr("sys.stdin", io.StringIO(f"0x{KEY.hex()}\n"))
    call_command("import_signer", "deployer")
    shown = capsys.readouterr().out
    assert ADDRESS in shown
    assert KEY.hex() not in shown
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY.hex()[:-2]}\n"))
    with pytest.raises(CommandError) as caught:
        call_command("import_signer", "token_agent")
    assert KEY.hex()[:-2] not in str(caught.value)
