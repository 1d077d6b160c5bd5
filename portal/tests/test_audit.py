"""The audit trail: sealed, checked, shown, exported."""

from __future__ import annotations

import csv
import io

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from portal import audit
from portal.exports import safe_cell
from portal.models import AuditEntry

text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
event = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["kyc.application.approved", "tokens.transfer.requested"]),
        "reason": text,
        "from_state": st.sampled_from(["", "draft"]),
        "data": st.dictionaries(text, st.one_of(st.integers(), text, st.booleans(), st.none()), max_size=3),
    }
)
# Every column but the key: a change of any must show.
CHANGES = {
    "at": "at + interval '1 microsecond'",
    "actor_label": "actor_label || 'x'",
    "action": "action || 'x'",
    "subject_type": "subject_type || 'x'",
    "subject_id": "subject_id || '0'",
    "from_state": "from_state || 'x'",
    "to_state": "to_state || 'x'",
    "reason": "reason || ' '",
    "data": """data || '{"x": 1}'::jsonb""",
    "previous_digest": "translate(previous_digest, '0123456789abcdef', '123456789abcdef0')",
    "digest": "md5(digest) || md5(digest)",
    "sequence": "sequence + 1000",
}


def record(number: int = 1, **more):
    with transaction.atomic():
        values = {"action": "test.done", "subject_type": "test", "subject_id": number, "actor": "task", **more}
        return audit.record(**values)


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


class Tampering(TestCase):
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(events=st.lists(event, min_size=2, max_size=5), column=st.sampled_from(sorted(CHANGES)), data=st.data())
    def test_a_change_of_any_column_of_any_row_shows(self, events, column, data):
        rows = [record(index, **values) for index, values in enumerate(events)]
        assert audit.first_break() is None
        victim = data.draw(st.sampled_from(rows))
        run(f"UPDATE portal_auditentry SET {column} = {CHANGES[column]} WHERE id = {victim.pk}")  # noqa: S608
        found = audit.first_break()
        assert found is not None
        assert found.sequence <= victim.sequence + 1

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(count=st.integers(2, 6), data=st.data())
    def test_a_row_taken_out_shows_unless_it_was_the_last(self, count, data):
        rows = [record(index) for index in range(count)]
        victim = data.draw(st.sampled_from(rows))
        run(f"DELETE FROM portal_auditentry WHERE id = {victim.pk}")  # noqa: S608
        assert (audit.first_break() is None) == (victim is rows[-1])


def test_it_refuses_to_write_outside_the_transaction_of_the_change(transactional_db):
    with pytest.raises(transaction.TransactionManagementError):
        audit.record(action="a", subject_type="t", subject_id=1, actor="task")


@pytest.mark.django_db
def test_an_empty_trail_is_whole():
    assert audit.first_break() is None


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["/audit/", "/audit/check/", "/audit/export/"])
def test_administrators_and_auditors_see_it_and_nobody_else(page, administrator, auditor, investor, sign_in, client):
    assert sign_in(administrator).get(page).status_code == 200
    assert sign_in(auditor).get(page).status_code == 200
    assert sign_in(investor).get(page).status_code == 403
    assert client.get(page).status_code == 302


@pytest.mark.django_db
def test_the_list_is_filtered_by_subject_action_person_and_day(auditor, sign_in):
    record(1, action="kyc.application.approved", actor="reviewer")
    record(2, action="tokens.transfer.requested", actor="sweeper")
    browser = sign_in(auditor)

    def shown(query: str) -> list[str]:
        return [entry.action for entry in browser.get(f"/audit/?{query}").context["page"]]

    assert shown("search=test:2") == ["tokens.transfer.requested"]
    assert shown("action=kyc.") == ["kyc.application.approved"]
    assert shown("actor=sweep") == ["tokens.transfer.requested"]
    assert shown("until=2000-01-01") == []
    assert len(shown("since=2000-01-01")) == 2
    assert len(shown("since=nonsense")) == 2


@pytest.mark.django_db
def test_the_check_says_from_which_row_it_does_not_hold(auditor, sign_in):
    record(1)
    record(2)
    browser = sign_in(auditor)
    assert "The trail is whole" in browser.get("/audit/check/").content.decode()
    run("UPDATE portal_auditentry SET reason = 'other' WHERE sequence = 2")
    page = browser.get("/audit/check/").content.decode()
    assert "The trail does not hold" in page
    assert "From row 2 on" in page


@pytest.mark.django_db
def test_the_export_holds_every_hash_and_is_harmless_in_a_spreadsheet(auditor, sign_in):
    entry = record(1, reason="=HYPERLINK(1)")
    content = b"".join(sign_in(auditor).get("/audit/export/").streaming_content).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content)))
    assert rows[0]["digest"] == entry.digest
    assert rows[0]["reason"] == "'=HYPERLINK(1)"


@given(st.one_of(text, st.integers(), st.decimals(allow_nan=False, allow_infinity=False)))
def test_no_cell_starts_a_formula_and_no_number_has_an_exponent(value):
    cell = safe_cell(value)
    if isinstance(value, str):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    else:
        assert "e" not in cell.lower()


def test_the_whole_trail_takes_one_query_to_check(db, django_assert_num_queries):
    for number in range(5):
        record(number)
    with django_assert_num_queries(1):
        assert audit.first_break() is None
    assert AuditEntry.objects.count() == 5
