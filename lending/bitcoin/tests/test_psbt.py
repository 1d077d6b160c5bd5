"""Unsigned transactions: what they spend and pay, what the custodian makes of them, what is refused when it comes back."""

from __future__ import annotations

import bdkpython as bdk
import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from lending.bitcoin.addresses import Branch, account_key, address_of
from lending.bitcoin.exceptions import PsbtRefused
from lending.bitcoin.psbt import DUST_SATS, OwnCoin, Prepared, prepare, read_signed
from lending.bitcoin.simulator.chain import Chain
from lending.bitcoin.simulator.custodian import sign
from lending.bitcoin.simulator.transactions import parse


def coins(bitcoin: Chain, *amounts: tuple[int, Branch, int]) -> list[OwnCoin]:
    made = []
    for sats, branch, index in amounts:
        txid = bitcoin.send({account_key().address(branch, index): sats})
        found = bitcoin.find(txid)
        assert found is not None
        made.append(OwnCoin(txid, 0, sats, branch, index, found[0].serialised()))
    bitcoin.mine()
    return made


def prepared(bitcoin: Chain, own: list[OwnCoin], sats: int) -> Prepared:
    return prepare(
        key=account_key(),
        coins=own,
        sats=sats,
        recipient=bitcoin.wallet("borrower"),
        change_index=3,
        sats_per_vbyte=2.5,
    )


def outputs(bitcoin: Chain, made: Prepared) -> dict[str, int]:
    return {address_of(out.script_pubkey.to_bytes()): out.value.to_sat() for out in _unsigned(made).output()}


def _unsigned(made: Prepared) -> bdk.Transaction:
    return bdk.Psbt(made.psbt).extract_tx_unchecked_fee_rate()


def test_exactly_the_amount_leaves_and_the_rest_comes_back_to_the_named_change_address(bitcoin: Chain) -> None:
    own = coins(bitcoin, (400_000, Branch.DEPOSIT, 0), (300_000, Branch.DEPOSIT, 41), (50_000, Branch.CHANGE, 2))
    made = prepared(bitcoin, own, 600_000)
    assert outputs(bitcoin, made) == {
        bitcoin.wallet("borrower"): 600_000 - made.fee_sats,
        account_key().address(Branch.CHANGE, 3): 150_000,
    }
    assert (made.paid_sats, made.change_sats) == (600_000 - made.fee_sats, 150_000)
    assert 0 < made.fee_sats < 5_000


def test_everything_can_leave_without_change(bitcoin: Chain) -> None:
    made = prepared(bitcoin, coins(bitcoin, (400_000, Branch.DEPOSIT, 0)), 400_000)
    assert outputs(bitcoin, made) == {bitcoin.wallet("borrower"): 400_000 - made.fee_sats}


@given(amounts=st.lists(st.integers(20_000, 10**9), min_size=1, max_size=4), share=st.integers(1, 10_000))
@bounded(max_examples=25, deadline=None)
def test_coins_in_are_coins_out_plus_fee(amounts: list[int], share: int) -> None:
    bitcoin = Chain()
    own = coins(bitcoin, *[(sats, Branch.DEPOSIT, index) for index, sats in enumerate(amounts)])
    total = sum(amounts)
    sats = total * share // 10_000
    try:
        made = prepared(bitcoin, own, sats)
    except PsbtRefused:
        assert sats < 2_500 or 0 < total - sats < DUST_SATS
        return
    assert sum(outputs(bitcoin, made).values()) + made.fee_sats == total
    assert made.paid_sats + made.fee_sats == sats


def test_the_custodian_signs_it_and_the_txid_was_known_before(bitcoin: Chain) -> None:
    own = coins(bitcoin, (400_000, Branch.DEPOSIT, 0), (300_000, Branch.CHANGE, 1))
    made = prepared(bitcoin, own, 500_000)
    raw = read_signed(sign(made.psbt), txid=made.txid)
    assert bitcoin.broadcast(raw) == made.txid
    bitcoin.mine()
    found = bitcoin.find(made.txid)
    assert found is not None
    assert found[1] is not None
    assert read_signed(raw.hex(), txid=made.txid) == raw == parse(raw).serialised()


def test_what_comes_back_must_be_signed_and_the_same(bitcoin: Chain) -> None:
    own = coins(bitcoin, (400_000, Branch.DEPOSIT, 0))
    made, other = prepared(bitcoin, own, 300_000), prepared(bitcoin, own, 299_000)
    for text, code in [
        (sign(other.psbt), "lending.psbt.another"),
        (_unsigned(made).serialize().hex(), "lending.psbt.unsigned"),
        ("", "lending.psbt.unreadable"),
        ("zz", "lending.psbt.unreadable"),
        ("00ff", "lending.psbt.unreadable"),
    ]:
        with pytest.raises(PsbtRefused) as caught:
            read_signed(text, txid=made.txid)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("sats", "code"),
    [
        (400_001, "lending.psbt.too_little"),
        (400_000 - DUST_SATS + 1, "lending.psbt.too_small"),
        (0, "lending.psbt.too_small"),
        (-5, "lending.psbt.too_small"),
        (300, "lending.psbt.too_small"),
    ],
)
def test_an_amount_that_cannot_be_carried_is_refused(bitcoin: Chain, sats: int, code: str) -> None:
    own = coins(bitcoin, (400_000, Branch.DEPOSIT, 0))
    with pytest.raises(PsbtRefused) as caught:
        prepared(bitcoin, own, sats)
    assert caught.value.code == code


def test_nothing_is_prepared_from_nothing(bitcoin: Chain) -> None:
    with pytest.raises(PsbtRefused):
        prepared(bitcoin, [], 10_000)
