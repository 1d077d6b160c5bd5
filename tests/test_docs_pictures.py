"""The pictures of the documentation: small, shown somewhere, and none missing."""

from __future__ import annotations

import re

from portal.demo.layout import ROOT

FOLDER = ROOT / "docs" / "screenshots"
_SHOWN = re.compile(r"(?:docs/screenshots/|\()([a-z0-9-]+\.png)")


def test_every_picture_is_shown_and_every_shown_picture_is_there() -> None:
    there = {path.name for path in FOLDER.glob("*.png")}
    shown: set[str] = set()
    for path in (ROOT / "README.md", FOLDER / "README.md"):
        shown |= set(_SHOWN.findall(path.read_text()))
    assert there == shown
    assert len(there) > 20


def test_the_pictures_weigh_little() -> None:
    sizes = {path.name: path.stat().st_size for path in FOLDER.glob("*.png")}
    assert not {name: size for name, size in sizes.items() if size >= 150_000}
    assert sum(sizes.values()) < 4_000_000
