"""What anybody sees of the securities without signing in, and what nobody sees."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chain.models import Holding, TokenState
from chain.public import figures
from portal.memo import Remembered
from tokens import services
from tokens.models import Security, SecurityDocument
from tokens.published import published_securities
from tokens.tests.conftest import World, put_on_chain

pytestmark = pytest.mark.django_db
ENGLISH = {"accept-language": "en"}


@pytest.fixture
def visitor() -> Client:
    return Client(headers=ENGLISH)


def page_of(security: Security) -> str:
    return reverse("public_securities:security", args=[security.token])


def test_a_visitor_reads_supply_and_holders_up_to_the_final_block(holding: World, visitor: Client) -> None:
    (row,) = published_securities()
    assert (row.figures.supply_units, row.figures.holders, row.figures.paused) == (100, 1, False)
    assert row.figures.agrees
    page = visitor.get("/public/").content.decode()
    assert page_of(holding.security) in page
    assert "100<span" in page


def test_what_is_not_final_yet_is_counted_apart(holding: World, visitor: Client) -> None:
    Holding.objects.filter(units=100).update(final_units=60)
    page = visitor.get(page_of(holding.security)).content.decode()
    assert "60<span" in page
    assert "may still be undone" in page


def test_a_sum_of_holders_that_differs_from_the_supply_is_shown(holding: World, visitor: Client) -> None:
    assert "differs from what is outstanding" not in visitor.get(page_of(holding.security)).content.decode()
    TokenState.objects.update(supply_units=99)
    assert "differs from what is outstanding" in visitor.get(page_of(holding.security)).content.decode()


def test_an_issue_between_two_reads_is_no_difference(holding: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = figures._sums

    def and_then_ten_more() -> Any:
        answer = sums()
        Holding.objects.filter(units=100).update(units=110, final_units=110)
        TokenState.objects.update(supply_units=110)
        return answer

    monkeypatch.setattr(figures, "_sums", and_then_ten_more)
    (row,) = published_securities()
    assert (row.figures.supply_units, row.figures.head_supply_units, row.figures.agrees) == (110, 110, True)


def test_however_many_visitors_ask_the_holdings_are_added_up_once(
    holding: World, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Remembered, "keeps", True)
    for remembered in (figures._all_figures, figures.verified_wallets):
        monkeypatch.setattr(remembered, "_kept", None)
    visitor.get("/public/")
    for path in ("/public/", page_of(holding.security)):
        with CaptureQueriesContext(connection) as asked:
            page = visitor.get(path).content.decode()
        assert "100<span" in page
        assert not [row["sql"] for row in asked if "chain_holding" in row["sql"] or "chain_sbtrecord" in row["sql"]]


def test_a_paused_security_says_so(world: World, visitor: Client) -> None:
    assert 'data-state="open"' in visitor.get(page_of(world.security)).content.decode()
    TokenState.objects.filter(token=world.security.token).update(paused=True)
    assert 'data-state="paused"' in visitor.get(page_of(world.security)).content.decode()


def test_a_draft_is_not_there_for_visitors(draft: Security, visitor: Client) -> None:
    assert draft.name not in visitor.get("/public/").content.decode()
    for address in ("0x" + "11" * 20, "nonsense", "0x" + "00" * 20):
        assert visitor.get(reverse("public_securities:security", args=[address])).status_code == 404


def test_a_security_on_offer_is_not_advertised_and_shows_its_terms_once_the_placement_is_over(
    holding: World, visitor: Client
) -> None:
    security = holding.security
    assert security.state == Security.State.OFFERED
    during = visitor.get(page_of(security)).content.decode()
    assert "0.80%" not in during
    assert "This is not an offer." in during
    services.close_offering(security_id=security.pk, actor=holding.issuer)
    after = visitor.get(page_of(security)).content.decode()
    assert "0.80%" in after


def test_a_document_is_shown_by_its_hash_and_cannot_be_fetched(world: World, visitor: Client) -> None:
    digest = hashlib.sha256(b"terms").hexdigest()
    document = SecurityDocument.objects.create(
        security=world.security,
        name="Terms and conditions",
        sha256=digest,
        size=5,
        content_type="application/pdf",
        path="nowhere",
        uploaded_by=world.issuer,
    )
    page = visitor.get(page_of(world.security)).content.decode()
    assert f'data-sha256="{digest}"' in page
    assert reverse("tokens:document", args=[document.pk]) not in page
    # The file field stands in no form: whatever is chosen there is never sent.
    assert "<form" not in page[page.index("data-document-check") : page.index("data-document-result")]


def test_nobody_is_named(holding: World, visitor: Client) -> None:
    for path in ("/public/", page_of(holding.security)):
        page = visitor.get(path).content.decode()
        for user in (holding.alice, holding.bob):
            assert holding.address(user) not in page
            assert user.email not in page
        assert "Alice" not in page


def test_the_page_costs_the_same_queries_with_one_security_and_with_three(
    world: World, visitor: Client, second_issuer: object
) -> None:
    visitor.get("/public/")
    with CaptureQueriesContext(connection) as one:
        visitor.get("/public/")
    for number in (2, 3):
        put_on_chain(
            world.issuer,
            second_issuer,  # type: ignore[arg-type]
            world.settle,
            name=f"Bond {number}",
            symbol=f"MSB{number}",
            isin={2: "JP3000000020", 3: "JP3000000038"}[number],
        )
    with CaptureQueriesContext(connection) as three:
        assert visitor.get("/public/").content.decode().count("MSB") == 3
    assert len(one) == len(three)
