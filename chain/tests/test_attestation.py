"""EIP-712: our digest is the contract's, a browser wallet's and ours alike."""

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain import attestation as attestations
from chain import services, signers
from chain.exceptions import PolicyViolation
from chain.gateway import gateway
from chain.operations import attestation_values
from chain.types import Attestation, SignerRole

ATTESTATIONS = st.builds(
    Attestation,
    holder=st.binary(min_size=20, max_size=20).map(lambda raw: signers.checksummed("0x" + raw.hex())),
    subject=st.binary(min_size=32, max_size=32),
    categories=st.integers(min_value=0, max_value=2**16 - 1),
    expires_at=st.integers(min_value=0, max_value=2**48 - 1),
    evidence_hash=st.binary(min_size=32, max_size=32),
    nonce=st.integers(min_value=0, max_value=2**256 - 1),
    deadline=st.integers(min_value=0, max_value=2**48 - 1),
)
EXAMPLE = Attestation(
    holder=signers.checksummed("0x" + "a1" * 20),
    subject=b"\x02" * 32,
    categories=5,
    expires_at=1_900_000_000,
    evidence_hash=b"\x03" * 32,
    nonce=2**255 + 7,
    deadline=1_800_000_000,
)
KEY = "0x" + "11" * 32


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(attestation=ATTESTATIONS)
def test_our_digest_is_the_one_the_contract_checks(platform, attestation):
    (theirs,) = gateway().read("InvestorSBT", platform.sbt, "attestationDigest", attestation_values(attestation))
    assert attestations.digest(attestation) == theirs


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(attestation=ATTESTATIONS)
def test_a_wallet_that_signs_the_typed_data_is_recognised(platform, attestation):
    message = encode_typed_data(full_message=attestations.typed_data(attestation))
    signature = Account.sign_message(message, KEY).signature
    assert attestations.recover_attestor(attestation, bytes(signature)) == Account.from_key(KEY).address


def test_our_attestor_signs_what_recovers_to_it(platform):
    attestor, attestation = platform.signer(SignerRole.ATTESTOR), EXAMPLE
    assert attestations.recover_attestor(attestation, attestations.sign(attestation, attestor)) == attestor.address


@pytest.mark.parametrize("role", [SignerRole.SBT_ISSUER, SignerRole.TOKEN_AGENT, SignerRole.ADMIN_OWNER])
def test_no_other_key_of_ours_signs_attestations(platform, role):
    with pytest.raises(PolicyViolation):
        attestations.sign(EXAMPLE, platform.signer(role))


def test_a_custody_wallet_does_not_attest_for_itself(platform):
    with pytest.raises(PolicyViolation):
        attestations.sign(EXAMPLE, services.create_custody_signer(label="x"))


def test_the_high_s_twin_of_a_signature_is_refused(platform):
    attestation, attestor = EXAMPLE, platform.signer(SignerRole.ATTESTOR)
    signature = attestations.sign(attestation, attestor)
    order = 2 * signers.HALF_ORDER + 1
    high = (order - int.from_bytes(signature[32:64])).to_bytes(32)
    twin = signature[:32] + high + bytes([27 + 28 - signature[64]])
    with pytest.raises(attestations.InvalidSignature):
        attestations.recover_attestor(attestation, twin)


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(65), b"\x01" * 64 + b"\x1d", b"\x01" * 66])
def test_bytes_that_are_no_signature_are_refused(platform, signature):
    with pytest.raises(attestations.InvalidSignature):
        attestations.recover_attestor(EXAMPLE, signature)


def test_another_holder_is_another_digest(platform):
    from dataclasses import replace

    attestation = EXAMPLE
    assert attestations.digest(attestation) != attestations.digest(replace(attestation, holder=platform.sbt))


def test_nonces_do_not_repeat():
    assert len({attestations.new_nonce() for _ in range(100)}) == 100
