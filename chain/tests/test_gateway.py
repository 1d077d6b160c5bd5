"""Live reads, and addresses as people type them."""

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from chain import services
from chain.exceptions import InvalidAddress, NodeUnavailable
from chain.gateway import gateway, parse_address
from chain.types import SignerRole, Standing

GOOD = to_checksum_address("0x" + "ab12" * 10)


def test_somebody_without_an_sbt_stands_nowhere(platform):
    assert gateway().standing(GOOD) == Standing.NONE


def test_code_is_told_from_a_person(platform):
    assert gateway().is_contract(platform.sbt)
    assert not gateway().is_contract(GOOD)


def test_an_attestor_is_known(platform):
    assert gateway().is_attestor(platform.signer(SignerRole.ATTESTOR).address)
    assert not gateway().is_attestor(platform.signer(SignerRole.SBT_ISSUER).address)


def test_the_head_moves(platform):
    before = gateway().head()
    platform.node.mine()
    assert gateway().head() == before + 1


def test_a_node_that_is_down_is_a_503(platform, settings):
    settings.CHAIN_RPC_URL = "http://127.0.0.1:9"
    with pytest.raises(NodeUnavailable) as caught:
        gateway().standing(GOOD)
    assert caught.value.status_code == 503


def test_a_chain_without_our_contract_is_not_mistaken_for_an_answer(platform):
    with pytest.raises(NodeUnavailable):
        gateway().balance(services.create_custody_signer(label="x").address, GOOD)


@given(raw=st.binary(min_size=20, max_size=20).filter(any))
def test_an_address_is_accepted_checksummed_lower_and_upper(raw):
    address = to_checksum_address(raw)
    for typed in (address, address.lower(), "0x" + address[2:].upper(), f"  {address}\n"):
        assert parse_address(typed) == address


@given(raw=st.binary(min_size=20, max_size=20), position=st.integers(min_value=2, max_value=41))
def test_one_letter_of_the_wrong_case_is_noticed(raw, position):
    address = to_checksum_address(raw)
    wrong = address[:position] + address[position].swapcase() + address[position + 1 :]
    if wrong == address or wrong[2:] in (wrong[2:].lower(), wrong[2:].upper()):
        return
    with pytest.raises(InvalidAddress) as caught:
        parse_address(wrong)
    assert caught.value.code == "chain.address.bad_checksum"


@pytest.mark.parametrize(
    "typed", ["", "alice", "0x", GOOD[:-1], GOOD + "0", GOOD[2:], "0x" + "g" * 40, "0X" + "z" * 40]
)
def test_what_is_no_address_is_refused(typed):
    with pytest.raises(InvalidAddress) as caught:
        parse_address(typed)
    assert caught.value.code == "chain.address.malformed"


def test_the_zero_address_is_refused():
    with pytest.raises(InvalidAddress) as caught:
        parse_address("0x" + "0" * 40)
    assert caught.value.code == "chain.address.zero"


def test_each_refusal_has_a_sentence_of_its_own():
    sentences = set()
    for typed in ("alice", "0x" + "0" * 40, GOOD.swapcase().replace("X", "x", 1)):
        with pytest.raises(InvalidAddress) as caught:
            parse_address(typed)
        sentences.add(str(caught.value.message))
    assert len(sentences) == 3
