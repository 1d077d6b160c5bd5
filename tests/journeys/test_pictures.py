"""The pictures in the documentation, taken from the running portal. Rewritten only when `MUSUBI_SCREENSHOTS` is set."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from portal.demo.layout import ROOT
from portal.demo.people import stranger_address
from tests.journeys.conftest import Person, RunningDemo
from tests.journeys.test_own_wallet import choose, panel
from tests.journeys.wallet_provider import TestWallet

pytestmark = pytest.mark.browser

#: The other way round than the journeys: the documentation is in English, and its pictures of a desk with it.
LOOKS = pytest.mark.parametrize(("language", "phone"), [("en", False), ("ja", True)], ids=["en-desk", "ja-phone"])
FOLDER = ROOT / "docs" / "screenshots"
LARGEST = 150_000
#: Each role's main work: by whom, from which page on, and the links followed from there (the first that fits).
PICTURES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "home": ("", "/", ()),
    "public": ("", "/public/", ()),
    "sign-up": ("", "/accounts/signup/", ()),
    "dashboard": ("investor_a", "/dashboard/", ()),
    "holdings": ("investor_a", "/tokens/holdings/", (r"/tokens/holdings/\d+/",)),
    "loan": ("investor_a", "/lending/loans/", (r"/lending/loans/\d+/",)),
    "wallets": ("investor_a", "/kyc/wallets/", ()),
    "queue": ("officer_1", "/kyc/queue/?state=all", ()),
    "case": ("officer_1", "/kyc/queue/?state=all", (r"/kyc/cases/\d+/",)),
    "placement": (
        "issuer_1",
        "/tokens/securities/",
        (r"/tokens/securities/\d+/", r"/tokens/securities/\d+/placement/"),
    ),
    "loan-desk": ("loan_officer_1", "/lending/desk/", ()),
    "loan-case": ("loan_officer_1", "/lending/desk/", (r"/lending/desk/loans/\d+/",)),
    "incident-desk": ("officer_2", "/chain/desk/", ()),
    "console": ("administrator", "/chain/console/", ()),
    "audit": ("auditor", "/audit/", ()),
}


def keep(page: Page, name: str, language: str, phone: bool, folder: Path) -> None:
    """Write what is in sight with at most 128 colours: a quarter of the size, and pages look the same."""
    page.wait_for_load_state("networkidle")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{language}{'-phone' if phone else ''}.png"
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    assert 8_000 < path.stat().st_size < LARGEST, path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return FOLDER if os.environ.get("MUSUBI_SCREENSHOTS") else tmp_path


def follow(page: Page, pattern: str) -> None:
    """On to the first link in the main part whose path is like this."""
    links = page.locator("main a[href]").evaluate_all("links => links.map(link => [link.pathname, link.href])")
    found = [href for path, href in links if re.fullmatch(pattern, path)]
    assert found, f"{page.url} has no link like {pattern}"
    page.goto(found[0])


@LOOKS
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_each_roles_main_work_can_be_taken(
    at_browser: Callable[..., Person], name: str, language: str, phone: bool, folder: Path
) -> None:
    key, start, links = PICTURES[name]
    person = at_browser(key, language=language, phone=phone)
    page = person.open(start)
    for pattern in links:
        follow(page, pattern)
    keep(page, name, language, phone, folder)
    assert not person.observed.problems, person.observed.problems


@LOOKS
def test_pictures_of_a_refused_transfer_can_be_taken(
    at_browser: Callable[..., Person], language: str, phone: bool, folder: Path
) -> None:
    person = at_browser("investor_a", language=language, phone=phone)
    page = person.open("/tokens/holdings/")
    follow(page, r"/tokens/transfers/new/\d+/")
    page.locator("[name=recipient]").press_sequentially(stranger_address(), delay=2)
    page.locator("[name=amount]").press_sequentially("10", delay=5)
    page.locator("#precheck [data-precheck=refused]").wait_for(timeout=10_000)
    if phone:
        page.locator("#precheck").scroll_into_view_if_needed()
    keep(page, "refused", language, phone, folder)


@LOOKS
def test_pictures_of_a_wallet_on_the_wrong_network_can_be_taken(
    at_browser: Callable[..., Person], demo: RunningDemo, language: str, phone: bool, folder: Path
) -> None:
    person = at_browser("", language=language, phone=phone)
    TestWallet(bytes([7]) * 32, "", chain_id=1).open_in(person.page)
    page = person.open("/kyc/wallets/sign-in/")
    choose(page)
    panel(page, "network")
    keep(page, "own-wallet", language, phone, folder)
