"""Calldata, results and errors by the committed ABIs."""

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3

from chain import abi

HOLDER = "0x" + "11" * 20


@pytest.mark.parametrize("kind", abi.KINDS)
def test_every_selector_is_the_one_an_independent_library_computes(kind):
    artifact = abi.artifact(kind)
    contract = Web3().eth.contract(abi=artifact.abi)
    theirs = {f.abi_element_identifier for f in contract.all_functions()}
    assert {abi.signature_of(f.entry) for f in artifact.by_selector.values()} == theirs
    assert all(selector == keccak(text=abi.signature_of(f.entry))[:4] for selector, f in artifact.by_selector.items())


def test_a_struct_becomes_its_tuple():
    assert abi.signature_of(abi.artifact("InvestorSBT").functions["issue"].entry) == (
        "issue((address,bytes32,uint16,uint48,bytes32,uint256,uint48),address,bytes)"
    )


def test_every_overload_is_found_by_its_name():
    selectors = abi.artifact("SecurityToken").selectors_of("forcedTransfer")
    assert set(selectors) == {
        keccak(text="forcedTransfer(address,address,uint256)")[:4],
        keccak(text="forcedTransfer(address,address,uint256,bytes32)")[:4],
    }


@given(units=st.integers(min_value=0, max_value=2**256 - 1))
def test_calldata_decodes_to_what_was_encoded(units):
    data = abi.encode_call("SecurityToken", "transfer", HOLDER, units)
    assert abi.decode_arguments("SecurityToken", data) == ("transfer", (HOLDER, units))


@given(data=st.binary(max_size=120))
def test_bytes_of_anybody_decode_to_nothing_or_to_a_call_and_never_raise(data):
    decoded = abi.decode_arguments("SecurityToken", data)
    assert decoded is None or data[:4] in abi.artifact("SecurityToken").by_selector


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "reverted without a reason"),
        (keccak(text="SecurityToken_Restricted(uint8)")[:4] + encode(["uint8"], [30]), "SecurityToken_Restricted(30)"),
        (keccak(text="Error(string)")[:4] + encode(["string"], ["no"]), "no"),
        (keccak(text="Panic(uint256)")[:4] + encode(["uint256"], [0x11]), "Panic(0x11)"),
        (keccak(text="InvestorSBT_NoSbt(address)")[:4] + encode(["address"], [HOLDER]), f"InvestorSBT_NoSbt({HOLDER})"),
        (bytes.fromhex("deadbeef"), "0xdeadbeef"),
        (keccak(text="SecurityToken_Restricted(uint8)")[:4], None),
    ],
)
def test_errors_are_decoded_for_people(data, words):
    assert abi.decode_error(data) == (words if words is not None else "0x" + data.hex())


def test_a_deployment_is_recognised_by_its_creation_code():
    from chain.signers import deployed_kind

    data = abi.encode_deployment("AccessManager", HOLDER)
    assert deployed_kind(data) == "AccessManager"
    assert deployed_kind(data[1:]) is None


def test_terms_with_a_field_the_contract_does_not_know_are_noticed():
    parameter = {"components": [{"name": "isin", "type": "string"}, {"name": "newField", "type": "uint8"}]}
    with pytest.raises(KeyError):
        abi.struct_values(parameter, {"isin": "JP"})
