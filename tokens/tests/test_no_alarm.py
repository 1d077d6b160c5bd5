"""The ordinary life of a security calls nobody."""

from __future__ import annotations

from uuid import uuid4

import pytest

from chain import services as chain_services
from chain.desk.models import Alarm
from chain.registry import desk
from chain.services.alarms import start_watching_here
from tokens import services


@pytest.fixture
def watched(platform, monkeypatch):
    """Everything from here on is looked at. The people of this app's sample world count as approved."""
    monkeypatch.setattr(desk, "_expected", [lambda issue: True])
    chain_services.run_index_step()
    start_watching_here()


def test_placing_and_passing_on_a_security_raises_no_alarm(watched, holding):
    for units in (30, 5):
        services.request_transfer(
            security_id=holding.security.pk,
            actor=holding.alice,
            recipient=holding.address(holding.bob),
            units=units,
            form_token=uuid4(),
        )
        holding.settle()
    chain_services.run_index_step()
    assert chain_services.run_alarm_sweep()
    assert [f"{alarm.kind} {alarm.cause}" for alarm in Alarm.objects.all()] == []
