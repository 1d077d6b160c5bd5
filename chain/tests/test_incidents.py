"""Incidents: opened once, closed by a person or by themselves, opened again."""

import pytest

from chain.models import Incident
from chain.services.incidents import close_if_open, close_incident, open_incident
from portal.models import AuditEntry, User

pytestmark = pytest.mark.django_db


def opened(detail="first"):
    return open_incident(kind="test.trouble", detail=detail, dedupe_key="trouble:1", data={"transaction": 1})


def test_the_same_trouble_is_one_incident():
    assert opened().pk == opened("second").pk
    assert Incident.objects.get().detail == "first"
    assert AuditEntry.objects.filter(action="chain.incident.opened").count() == 1


def test_a_person_closes_it_with_a_reason():
    officer = User.objects.create_user("duty@example.com")
    incident = close_incident(incident_id=opened().pk, actor=officer, reason="looked at it")
    assert incident.closed_by == officer
    assert AuditEntry.objects.get(action="chain.incident.closed").reason == "looked at it"


def test_closing_it_again_changes_nothing():
    incident = close_incident(incident_id=opened().pk, actor=None)
    again = close_incident(incident_id=incident.pk, actor=None)
    assert again.closed_at == incident.closed_at
    assert AuditEntry.objects.filter(action="chain.incident.closed").count() == 1


def test_trouble_that_comes_back_opens_it_again():
    close_incident(incident_id=opened().pk, actor=None)
    assert opened("back again").closed_at is None
    assert Incident.objects.get().detail == "back again"


def test_trouble_that_is_over_closes_its_own_incident_and_no_other():
    opened()
    close_if_open(dedupe_key="trouble:2", reason="over")
    assert Incident.objects.get().closed_at is None
    close_if_open(dedupe_key="trouble:1", reason="over")
    assert Incident.objects.get().closed_at is not None
