"""The pictures in the documentation, taken from the running portal. Rewritten only when `MUSUBI_SCREENSHOTS` is set."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from portal.demo.layout import ROOT
from portal.demo.people import stranger_address
from tests.journeys.conftest import Person

pytestmark = pytest.mark.browser

FOLDER = ROOT / "docs" / "screenshots"
#: What is shown, by whom, and in which language.
PICTURES = {
    "dashboard": ("investor_a", "/dashboard/", "en"),
    "holdings": ("investor_a", "/tokens/holdings/1/", "en"),
    "queue": ("officer_1", "/kyc/queue/?state=all", "ja"),
    "placement": ("issuer_1", "/tokens/securities/1/placement/", "ja"),
    "console": ("administrator", "/chain/console/", "en"),
}


def keep(picture: bytes, name: str, folder: Path) -> Path:
    """Write a picture with at most 128 colours: a quarter of the size, and pages look the same."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_the_pages_can_be_taken(at_browser: Callable[..., Person], name: str, tmp_path: Path) -> None:
    key, path, language = PICTURES[name]
    person = at_browser(key, language=language)
    page = person.open(path)
    page.wait_for_load_state("networkidle")
    folder = FOLDER if os.environ.get("MUSUBI_SCREENSHOTS") else tmp_path
    assert keep(page.screenshot(), name, folder).stat().st_size > 10_000
    assert not person.observed.problems, person.observed.problems


def test_pictures_of_a_refused_transfer_can_be_taken(at_browser: Callable[..., Person], tmp_path: Path) -> None:
    person = at_browser("investor_a", language="en")
    page = person.open("/tokens/transfers/new/1/")
    page.locator("[name=recipient]").press_sequentially(stranger_address(), delay=2)
    page.locator("[name=amount]").press_sequentially("10", delay=5)
    page.locator("#precheck [data-precheck=refused]").wait_for(timeout=10_000)
    folder = FOLDER if os.environ.get("MUSUBI_SCREENSHOTS") else tmp_path
    assert keep(page.screenshot(full_page=True), "refused", folder).stat().st_size > 10_000
