"""The dashboard says at a glance what an investor has."""

from __future__ import annotations

from decimal import Decimal

from tokens import steps


def test_a_holder_sees_the_sum_at_face_and_the_number_of_securities(holding, signed_in):
    (held,) = steps.investor_summary(holding.alice)
    assert [(money.amount, money.currency) for money in held.amounts] == [(Decimal(10_000_000), "JPY")]
    page = signed_in(holding.alice).get("/dashboard/").content.decode()
    assert "At a glance" in page
    assert "¥10,000,000" in page
    assert "1 security" in page


def test_somebody_without_anything_and_staff_see_no_figures(holding, signed_in):
    assert list(steps.investor_summary(holding.bob)) == []
    assert list(steps.investor_summary(holding.issuer)) == []
    assert "At a glance" not in signed_in(holding.bob).get("/dashboard/").content.decode()
