"""A sale restores its target and never sells more than that plus one slice."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lending.execution.sizing import Slice, next_slice, worth_to_sell
from lending.money import ASSET_DIGITS

D = Decimal


def test_the_figures_of_the_domain_page():
    # From 120 % at no cost: restoring 150 % sells half of the debt's worth … 50 % of the collateral; 200 % sells 67 %.
    assert worth_to_sell(worth=D(120), debt=D(100), target_bps=15_000, cost_bps=0) / 120 == D("0.5")
    assert round(worth_to_sell(worth=D(120), debt=D(100), target_bps=20_000, cost_bps=0) / 120, 2) == D("0.67")


def test_nothing_is_sold_when_the_target_is_there():
    assert worth_to_sell(worth=D(150), debt=D(100), target_bps=15_000, cost_bps=100) == 0


amounts = st.integers(1, 10**12)


@given(amounts, st.integers(10_300, 14_900), st.integers(15_000, 20_000), st.integers(0, 500))
def test_selling_that_much_lands_on_the_target(debt, coverage_bps, target, cost):
    worth = D(debt) * coverage_bps / 10_000
    sold = worth_to_sell(worth=worth, debt=D(debt), target_bps=target, cost_bps=cost)
    left = D(debt) - sold * (10_000 - cost) / 10_000
    assume(left > 0 and sold < worth)
    assert abs((worth - sold) / left - D(target) / 10_000) < D("1e-12")


@given(
    st.integers(0, 50 * 10**8), st.integers(0, 500 * 10**18), st.integers(1, 10**9), st.integers(0, 300),
    st.integers(1_000_000, 200_000_000), st.integers(-1, 1),
)  # fmt: skip
def test_a_sale_in_slices_restores_the_target_and_sells_no_more_than_one_slice_beyond(
    sats, wei, debt, cost, limit, drift
):
    assume(sats or wei)
    prices = {"BTC": D(15_000_000), "ETH": D(500_000)}
    holdings = {"BTC": sats, "ETH": wei}
    owed, sold, close_out, target = D(debt), D(0), D(100_000), D("1.5")
    keep = 1 - D(cost + drift * min(cost, 50)) / 10_000  # what the market really takes differs from what was expected

    def worth():
        return sum(D(units).scaleb(-ASSET_DIGITS[asset]) * prices[asset] for asset, units in holdings.items())

    enough = worth_to_sell(worth=worth(), debt=owed, target_bps=15_000, cost_bps=cost)
    for _ in range(3_000):
        piece = next_slice(
            holdings=holdings, prices=prices, debt=owed, target_bps=15_000, cost_bps=cost,
            slice_limit=D(limit), close_out_below=close_out,
        )  # fmt: skip
        if piece is None:
            break
        value = D(piece.units).scaleb(-ASSET_DIGITS[piece.asset]) * prices[piece.asset]
        assert value <= D(limit) + close_out + 1
        holdings[piece.asset] -= piece.units
        assert holdings[piece.asset] >= 0
        owed = max(D(0), owed - value * keep)
        sold += value
    else:
        raise AssertionError("the sale did not end")
    assert owed == 0 or worth() >= owed * target or worth() == 0
    assert sold <= enough * D("1.05") + D(limit) + close_out + 1


LEAST = {"BTC": 5_000, "ETH": 10**15}


@given(
    st.integers(0, 2 * 10**8), st.integers(0, 20 * 10**18), st.integers(1, 10**8), st.integers(1_000, 5_000_000),
    st.sampled_from((0, 500, 100_000)), st.sampled_from((None, 40, 4_000, 900_000)), st.data(),
)  # fmt: skip
def test_no_order_is_smaller_than_the_exchange_takes_and_every_sale_ends(sats, wei, debt, limit, close_out, wish, data):
    prices = {"BTC": D(15_000_000), "ETH": D(500_000)}
    holdings, owed, repay = {"BTC": sats, "ETH": wei}, D(debt), None if wish is None else D(wish)
    for number in range(20_000):
        piece = next_slice(
            holdings=holdings, prices=prices, debt=owed, target_bps=15_000, cost_bps=100,
            slice_limit=D(limit), close_out_below=D(close_out), repay=repay, least=LEAST,
        )  # fmt: skip
        if piece is None:
            break
        assert LEAST[piece.asset] <= piece.units <= holdings[piece.asset]
        # An immediate order may be carried out in part, any part: at the start of a sale it often is.
        part = data.draw(st.integers(piece.units // 2, piece.units)) if number < 5 else piece.units
        holdings[piece.asset] -= part
        brought = D(part).scaleb(-ASSET_DIGITS[piece.asset]) * prices[piece.asset] * D("0.99")
        owed = max(D(0), owed - brought)
        if repay is not None:
            repay -= brought
            if repay <= 0:
                break
    else:
        raise AssertionError("the sale did not end")


def test_a_slice_is_cut_so_that_the_rest_of_a_wish_is_an_order_of_its_own():
    # At 15 million yen the smallest order is worth 750 yen: of 10,300 in slices of 10,000 the first leaves 750, not 300.
    piece = next_slice(
        holdings={"BTC": 10**8}, prices={"BTC": D(15_000_000)}, debt=D(10**6), target_bps=15_000, cost_bps=0,
        slice_limit=D(10_000), close_out_below=D(0), repay=D(10_300), least=LEAST,
    )  # fmt: skip
    assert piece is not None
    assert D(piece.units).scaleb(-8) * 15_000_000 == pytest.approx(D(9_550), abs=D("0.2"))


def test_less_than_an_order_is_left_of_a_wish_so_nothing_more_is_sold():
    assert next_slice(
        holdings={"BTC": 10**8}, prices={"BTC": D(15_000_000)}, debt=D(10**6), target_bps=15_000, cost_bps=0,
        slice_limit=D(10_000), close_out_below=D(0), repay=D(700), least=LEAST,
    ) is None  # fmt: skip


def test_of_two_assets_the_one_that_can_be_sold_is_sold():
    piece = next_slice(
        holdings={"BTC": 4_999, "ETH": 10**15}, prices={"BTC": D(15_000_000), "ETH": D(500_000)}, debt=D(10**6),
        target_bps=15_000, cost_bps=0, slice_limit=D(10_000), close_out_below=D(0), least=LEAST,
    )  # fmt: skip
    assert piece == Slice("ETH", 10**15)
