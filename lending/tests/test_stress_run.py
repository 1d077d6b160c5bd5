"""A stress run from the form to its figures."""

from __future__ import annotations

import pytest
from django.urls import reverse

from lending.models import Loan, StressRun
from lending.services.stress import ask_stress, execute_waiting
from lending.stress import Parameters
from lending.tests.test_pages import desk, loan  # noqa: F401 (a fixture)
from portal.models import Role
from portal.testing import make_person

pytestmark = pytest.mark.django_db


def test_a_run_is_calculated_once_and_shown(loan: Loan) -> None:  # noqa: F811
    """Coverage 250 %; −60 % leaves 100 %: a sale and a shortfall of its cost."""
    officer = make_person("asks@desk.example", role=Role.LOAN_OFFICER, second_factor=True)
    run = ask_stress(actor=officer, path="", shocks=[(1, 60, 0)], parameters=Parameters())
    assert execute_waiting(run_id=run.pk) == 1
    assert execute_waiting(run_id=run.pk) == 0
    run.refresh_from_db()
    assert run.state == StressRun.State.DONE
    assert run.results["JPY"]["totals"]["sales"] == 1
    assert run.results["JPY"]["totals"]["shortfall"] > 0
    response = desk().get(reverse("lending:stress-run", args=[run.pk]))
    assert response.status_code == 200
