"""Roles: given and taken with a reason, by another administrator, on the record."""

from __future__ import annotations

import pytest

from portal import services
from portal.exceptions import NotPermitted
from portal.models import AuditEntry, Role, User
from portal.services import RoleUnchanged

pytestmark = pytest.mark.django_db


def test_an_administrator_gives_a_role_with_a_reason(administrator, make_person, sign_in):
    person = make_person("new@example.com")
    answer = sign_in(administrator).post(
        f"/people/{person.pk}/roles/", {"change": "give", "role": "kyc_officer", "reason": "hired 2026-11-01"}
    )
    assert answer["Location"] == f"/people/{person.pk}/"
    assert User.objects.get(pk=person.pk).has_role(Role.KYC_OFFICER)
    entry = AuditEntry.objects.get(action="portal.role.given")
    assert (entry.actor, entry.to_state, entry.reason) == (administrator, "kyc_officer", "hired 2026-11-01")


def test_a_role_is_not_given_without_a_reason(administrator, make_person, sign_in):
    person = make_person("new@example.com")
    answer = sign_in(administrator).post(f"/people/{person.pk}/roles/", {"change": "give", "role": "issuer"})
    assert answer.status_code == 422
    assert "data-error-summary" in answer.content.decode()
    assert not User.objects.get(pk=person.pk).roles


def test_a_role_is_not_given_without_a_fresh_second_factor(administrator, make_person, sign_in):
    person = make_person("new@example.com")
    form = {"change": "give", "role": "issuer", "reason": "x"}
    answer = sign_in(administrator, fresh=False).post(f"/people/{person.pk}/roles/", form)
    assert answer["Location"].startswith("/accounts/2fa/reauthenticate/")
    assert not User.objects.get(pk=person.pk).roles


def test_nobody_changes_their_own_role(administrator, sign_in):
    form = {"change": "take", "role": "administrator", "reason": "x"}
    answer = sign_in(administrator).post(f"/people/{administrator.pk}/roles/", form)
    assert answer.status_code == 403
    assert User.objects.get(pk=administrator.pk).has_role(Role.ADMINISTRATOR)
    assert not AuditEntry.objects.filter(action__startswith="portal.role").exists()


@pytest.mark.parametrize("role", [None, Role.KYC_OFFICER, Role.ISSUER, Role.AUDITOR])
def test_nobody_else_changes_roles(make_person, sign_in, role):
    person, other = make_person("new@example.com"), make_person("o@example.com", role=role, second_factor=True)
    form = {"change": "give", "role": "issuer", "reason": "x"}
    assert sign_in(other).post(f"/people/{person.pk}/roles/", form).status_code == 403
    with pytest.raises(NotPermitted):
        services.give_role(user_id=person.pk, role=Role.ISSUER, actor=other, reason="x")


def test_one_person_has_one_role(administrator, make_person):
    person = make_person("new@example.com", role=Role.ISSUER)
    with pytest.raises(RoleUnchanged):
        services.give_role(user_id=person.pk, role=Role.KYC_OFFICER, actor=administrator, reason="x")


def test_a_role_is_taken_away(administrator, second_administrator):
    services.take_role(
        user_id=second_administrator.pk, role=Role.ADMINISTRATOR, actor=administrator, reason="left the company"
    )
    assert not User.objects.get(pk=second_administrator.pk).roles
    assert AuditEntry.objects.get(action="portal.role.taken").from_state == "administrator"


def test_a_role_one_does_not_have_is_not_taken_away(administrator, make_person):
    person = make_person("new@example.com")
    with pytest.raises(RoleUnchanged):
        services.take_role(user_id=person.pk, role=Role.ISSUER, actor=administrator, reason="x")


def test_an_auditor_reads_the_list_but_is_offered_no_change(auditor, make_person, sign_in):
    person = make_person("new@example.com")
    browser = sign_in(auditor)
    assert browser.get("/people/").status_code == 200
    assert "/roles/" not in browser.get(f"/people/{person.pk}/").content.decode()


def test_the_list_takes_the_same_queries_however_many_people(administrator, make_person, sign_in):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def queries() -> int:
        browser = sign_in(administrator)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            browser.get("/people/")
        return len(captured)

    few = queries()
    for number in range(12):
        make_person(f"p{number}@example.com", role=Role.ISSUER)
    assert queries() == few
