"""Words to a PDF through typst: the same words are the same bytes, on every machine and day."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import typst
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

TEMPLATE: Final = Path(__file__).parent / "typst" / "document.typ"
FONTS: Final = ("NotoSansJP_400Regular.ttf", "NotoSansJP_700Bold.ttf")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with facts (name, value), a table of four columns, and paragraphs, in this order."""

    heading: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Words:
    """Everything a document says."""

    title: str
    issuer: str
    language: str
    footer: str
    lead: list[str]
    sections: list[Section]


@dataclass(frozen=True, slots=True)
class Made:
    """A finished file and its SHA-256."""

    content: bytes
    sha256: str


def render(words: Words) -> Made:
    """Typeset `words`. Raises `ImproperlyConfigured` when the fonts are missing: a page without its words is no contract."""
    fonts = Path(settings.DOCUMENT_FONTS)
    if not all((fonts / name).is_file() for name in FONTS):
        raise ImproperlyConfigured(f"the fonts of documents are missing in {fonts}: run `npm run build`")
    content = typst.compile(
        str(TEMPLATE),
        font_paths=[str(fonts)],
        ignore_system_fonts=True,
        format="pdf",
        sys_inputs={"words": json.dumps(asdict(words), ensure_ascii=False, sort_keys=True)},
        timestamp=0,
    )
    if not isinstance(content, bytes):
        raise TypeError("typst made no single file")
    return Made(content, hashlib.sha256(content).hexdigest())
