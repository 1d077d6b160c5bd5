"""The demo's pages give passwords away, so they exist in a demonstration only."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core import mail
from django.core.mail.backends.filebased import EmailBackend
from django.test import RequestFactory
from django.urls import NoReverseMatch, reverse

from portal.demo import views
from portal.demo.mail import sent_mail
from portal.demo.people import current_code


def test_without_demo_there_are_no_such_addresses() -> None:
    with pytest.raises(NoReverseMatch):
        reverse("demo:people")


@pytest.mark.parametrize("view", [views.people, views.codes, views.inbox])
def test_without_demo_the_views_answer_as_if_they_were_not_there(view: object, settings: object) -> None:
    from django.http import Http404

    settings.DEMO = False  # type: ignore[attr-defined]
    with pytest.raises(Http404):
        view(RequestFactory().get("/demo/"))  # type: ignore[operator]


def test_the_inbox_reads_what_the_file_backend_wrote_newest_first(tmp_path: Path) -> None:
    backend = EmailBackend(file_path=str(tmp_path))
    for number in (1, 2):
        message = mail.EmailMessage(f"件名 {number}", f"コード: ABCD-{number}", to=["aoki@investor.example"])
        backend.send_messages([message])
    found = sent_mail(tmp_path, recipient="aoki@investor.example")
    assert [each.subject for each in found] == ["件名 2", "件名 1"]
    assert "ABCD-2" in found[0].text
    assert found[0].sent_at is not None
    assert found[0].sent_at.tzinfo is not None
    assert sent_mail(tmp_path, recipient="baba@investor.example") == []


def test_codes_are_those_of_the_standard() -> None:
    """RFC 6238, appendix B, SHA-1, cut to six digits."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert [current_code(secret, at=at) for at in (59, 1111111109, 20000000000)] == ["287082", "081804", "353130"]
