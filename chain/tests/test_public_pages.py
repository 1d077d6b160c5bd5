"""The public pages about roles and code: what they show, and that they show it when the node is away."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chain.head import head_memory
from chain.models import Contract
from chain.public.models import PublicReading
from chain.public.reading import run_public_reading
from chain.tests.conftest import Scene
from chain.tests.test_public_reading import address_of, finalise
from chain.types import SignerRole

pytestmark = pytest.mark.django_db
PAGES = ("/public/", "/public/roles/", "/public/contracts/")


@pytest.fixture
def read(scene: Scene) -> Scene:
    """A platform that was read for the public pages."""
    finalise(scene)
    assert run_public_reading()
    return scene


def page(path: str, language: str = "en") -> str:
    answer = Client(headers={"accept-language": language}).get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_every_role_is_shown_with_who_holds_it_how_long_it_waits_and_who_can_stop_it(read: Scene) -> None:
    shown = page("/public/roles/")
    for role in (SignerRole.SBT_ISSUER, SignerRole.TOKEN_AGENT, SignerRole.TOKEN_CONTROLLER, SignerRole.ATTESTOR):
        assert read.platform.signer(role).address in shown
    for kind in (Contract.Kind.TIMELOCK, Contract.Kind.COUNCIL_SAFE, Contract.Kind.ADMIN_SAFE):
        assert address_of(kind) in shown
    controller = shown[shown.index("Controller of the securities") :]
    assert controller.index("Announces first and waits 1 second") < controller.index("Guardian of the securities")
    assert controller.index("Can be cancelled by") < controller.index("Council<")
    assert "2 of 3" in shown
    assert "no single key has lasting power" in shown
    assert "100,000 ETH" in shown


def test_every_contract_is_shown_with_its_verdict_and_what_it_was_built_with(read: Scene) -> None:
    shown = page("/public/contracts/")
    for address in Contract.objects.values_list("address", flat=True):
        assert address in shown
    assert shown.count('data-state="equal"') == 7
    assert "solc 0.8.37+commit.f401782d, optimizer 200 runs, via IR, EVM cancun" in shown
    assert "@safe-global/safe-smart-account@1.5.0" in shown
    assert 'data-state="differs"' not in shown


def test_code_that_differs_and_roles_that_are_weak_are_not_hidden(read: Scene) -> None:
    row = PublicReading.objects.get()
    row.codes[0]["verdict"] = "differs"
    row.roles["weaknesses"] = [{"code": "admin_is_key", "subject": "0x", "detail": "ADMIN is held by a single key"}]
    row.save()
    assert 'data-state="differs"' in page("/public/contracts/")
    assert "found 1 point that is not as it was designed" in page("/public/roles/")
    overview = page("/public/")
    assert "Code differs" in overview
    assert "Points to be looked at" in overview
    assert "No single key has lasting power" not in overview


def test_the_pages_stand_while_the_node_is_away_and_say_how_old_they_are(read: Scene, settings: Any) -> None:
    settings.CHAIN_RPC_URL = "http://127.0.0.1:1"
    head_memory.forget()
    PublicReading.objects.update(read_at=timezone.now() - timedelta(hours=5))
    for path in PAGES:
        shown = page(path)
        assert "could not be read again since" in shown
        assert "which is final" in shown
    head_memory.forget()


def test_before_the_first_reading_the_pages_say_so(db: None) -> None:
    for path in PAGES:
        assert "Nothing has been read from the chain yet" in page(path)


def test_they_read_as_well_in_japanese(read: Scene) -> None:
    assert "評議会" in page("/public/roles/", "ja")
    assert "当社のビルドと一致" in page("/public/contracts/", "ja")


@pytest.mark.parametrize("path", PAGES)
def test_the_queries_do_not_grow_with_what_is_shown(path: str, read: Scene) -> None:
    page(path)
    with CaptureQueriesContext(connection) as before:
        page(path)
    row = PublicReading.objects.get()
    row.codes *= 5
    row.roles["settings"] *= 5
    row.save()
    with CaptureQueriesContext(connection) as after:
        page(path)
    assert len(after) == len(before) <= 12
