"""Two draws at the same moment, on two connections."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from lending.exceptions import OverTheCap
from lending.models import Draw, Loan
from lending.services import draws
from lending.tests.test_loan_life import borrower, desk, pending, require_balanced

__all__ = ["borrower", "desk", "pending"]


@pytest.mark.django_db(transaction=True)
def test_of_two_draws_that_each_fit_and_together_do_not_one_is_taken(transactional_db: None, pending: Loan) -> None:
    """Eight million are left under the coverage; each asks for five."""
    start = Barrier(2)

    def ask(name: str) -> str:
        try:
            start.wait(timeout=10)
            draws.request_draw(
                loan_id=pending.pk, actor=pending.borrower, amount=Decimal(5_000_000), form_key=f"race-{name}"
            )
        except OverTheCap as refused:
            return refused.code
        finally:
            connection.close()
        return "taken"

    with ThreadPoolExecutor(2) as pool:
        outcomes: list[Any] = list(pool.map(ask, ("a", "b")))
    assert outcomes.count("taken") == 1
    assert Draw.objects.filter(loan=pending).count() == 1
    require_balanced()
