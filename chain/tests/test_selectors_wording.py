"""Every answer of the chain has words, in both languages, and a refusal says all that a refusal must."""

from __future__ import annotations

import pytest
from django.utils import translation

from chain import selectors
from chain.abi import KINDS, artifact
from chain.events import decoders
from chain.types import Restriction, Standing
from chain.wording import EVENTS, STANDINGS, error_sentence, event_sentence, function_sentence, restriction_of_error

REFUSALS = [r for r in Restriction if r != Restriction.NONE]


@pytest.mark.parametrize("restriction", REFUSALS)
def test_every_refusal_says_that_nothing_has_moved_and_what_to_do(restriction: Restriction) -> None:
    with translation.override("en"):
        sentence = selectors.restriction_sentence(restriction)
        reason = selectors.restriction_reason(restriction)
    before, _found, after = sentence.partition("Nothing has moved")
    assert before
    assert len(after) > 20
    assert 0 < len(reason) < 60


@pytest.mark.parametrize("restriction", list(Restriction))
def test_every_refusal_is_translated(restriction: Restriction) -> None:
    with translation.override("en"):
        english = selectors.restriction_sentence(restriction), selectors.restriction_reason(restriction)
    with translation.override("ja"):
        japanese = selectors.restriction_sentence(restriction), selectors.restriction_reason(restriction)
    assert japanese[0] != english[0]
    assert japanese[1] != english[1]
    if restriction != Restriction.NONE:
        assert "何も動いていません" in japanese[0]


def test_no_two_refusals_say_the_same() -> None:
    with translation.override("ja"):
        assert len({selectors.restriction_sentence(r) for r in Restriction}) == len(Restriction)


def test_every_standing_has_words() -> None:
    assert set(STANDINGS) == set(Standing)


def test_a_number_from_the_contract_is_accepted_as_it_is() -> None:
    assert selectors.restriction_sentence(30) == selectors.restriction_sentence(Restriction.RECEIVER_NOT_ADMITTED)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("SecurityToken_Restricted(30)", Restriction.RECEIVER_NOT_ADMITTED),
        ("SecurityToken_Restricted(250)", None),
        (f"SecurityToken_EntryRestricted(0, 0x{'1' * 40}, 21)", Restriction.RECEIVER_NO_SBT),
        (f"SecurityToken_EntryRestricted(30, 0x{'1' * 40}, 250)", None),
        ("SecurityToken_MintAboveAuthorised(30)", None),
        ("Panic(0x11)", None),
        ("", None),
    ],
)
def test_the_restriction_inside_an_error_is_found(code: str, expected: Restriction | None) -> None:
    assert restriction_of_error(code) == expected


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_entry_of_a_batch_that_is_refused_is_named_with_the_reason(language: str) -> None:
    with translation.override(language):
        restricted = error_sentence(f"SecurityToken_EntryRestricted(4, 0x{'1' * 40}, 21)")
        impossible = error_sentence("SecurityToken_InvalidEntry(4, 0)")
        reasons = (
            selectors.restriction_sentence(Restriction.RECEIVER_NO_SBT),
            error_sentence("SecurityToken_InvalidAmount(0)"),
        )
        unknown = error_sentence("0xdeadbeef")
    assert reasons[1] != unknown
    for sentence, reason in zip((restricted, impossible), reasons, strict=True):
        assert sentence.endswith(reason)
        assert "5" in sentence.removesuffix(reason)  # people count from one


def test_an_unknown_error_keeps_its_code_out_of_the_sentence() -> None:
    with translation.override("en"):
        assert error_sentence("0xdeadbeef").startswith("The contract refused this step. Nothing has moved.")


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize(
    "code", ["withdrawn", "dependency did not happen", "policy: mint is not allowed", "out of gas"]
)
def test_what_the_engine_itself_ended_is_not_blamed_on_the_contract(code: str, language: str) -> None:
    with translation.override(language):
        assert error_sentence(code) != error_sentence("0xdeadbeef")


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_of_our_contracts_that_tells_a_person_something_has_a_sentence(kind: str) -> None:
    silent = {"EIP712DomainChanged", "AuthorityUpdated", "Unlocked", "Approval", "ApprovalForAll"}
    # What only names a part of something else that is worded, or what our Safes never do.
    silent |= {"CallSalt", "ProxyCreationL2", "ChainSpecificProxyCreationL2", "ChangedModuleGuard", "SignMsg"}
    names = {decoder.name for decoder in decoders(kind).values()} - silent
    assert {name for name in names if (kind, name) not in EVENTS} == set()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_sentence_can_be_filled_from_the_arguments_of_its_event(kind: str, language: str) -> None:
    for entry in artifact(kind).abi:
        if entry["type"] == "event":
            args = {parameter["name"]: "7" for parameter in entry["inputs"]}
            with translation.override(language):
                assert "%(" not in event_sentence(kind, entry["name"], args, {})


def test_a_credit_and_a_redemption_are_worded_as_such() -> None:
    zero, alice = "0x" + "0" * 40, "0x" + "a" * 40
    with translation.override("en"):
        credit = event_sentence("SecurityToken", "Transfer", {"from": zero, "to": alice, "value": "1200"}, {})
        burn = event_sentence("SecurityToken", "Transfer", {"from": alice, "to": zero, "value": "5"}, {alice: "Alice"})
        one = event_sentence("SecurityToken", "Burned", {"holder": alice, "amount": "1"}, {})
    assert credit == "1,200 new units were credited to 0xaaaa…aaaa."
    assert one == "1 unit credited by mistake to 0xaaaa…aaaa was taken back."
    assert burn == "5 units of Alice (0xaaaa…aaaa) were taken out of circulation."


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("SecurityToken.constructor", "Put a contract on the chain."),
        ("SecurityToken.mintBatch", "Credit newly issued units to an investor."),
        ("InvestorSBT.issue", "Issue the verification token to an investor's wallet."),
        ("Other.thing", "Call the contract function “Other.thing”."),
    ],
)
def test_a_function_is_named_in_a_sentence(function: str, expected: str) -> None:
    with translation.override("en"):
        assert function_sentence(function) == expected
