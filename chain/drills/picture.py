"""Who holds what, as a picture: one bar per holder, drawn as SVG with a sentence for those who cannot see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

_ROW: Final = 26
_LABEL: Final = 130
_WIDTH: Final = 460
#: Names that are always there and nobody's loss.
NOT_ISSUED: Final = "not issued"
INVESTORS: Final = ("alice", "bob", "carol")


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the picture."""

    name: str
    units: int
    kind: str  # investor | thief | spare

    @property
    def label(self) -> str:
        return _("not issued") if self.kind == "spare" else self.name


def bars(holdings: Mapping[str, int]) -> list[Bar]:
    """Investors first, then what is not issued, then everybody who should hold nothing."""
    order = [*INVESTORS, NOT_ISSUED, *(name for name in holdings if name not in (*INVESTORS, NOT_ISSUED))]
    return [Bar(name, holdings[name], _kind(name)) for name in order if name in holdings]


def _kind(name: str) -> str:
    if name == NOT_ISSUED:
        return "spare"
    return "investor" if name in INVESTORS else "thief"


def in_words(holdings: Mapping[str, int]) -> str:
    return ", ".join(f"{bar.label} {bar.units:,}" for bar in bars(holdings))


def svg(holdings: Mapping[str, int], *, title: str) -> SafeString:
    """A bar per holder. Lengths are shares of what investors hold at most, so that a theft is seen at a glance."""
    lines = bars(holdings)
    most = max([bar.units for bar in lines if bar.kind != "spare"] + [1])
    rows = [
        (
            y + 17,
            bar.label,
            bar.kind,
            _LABEL,
            y + 5,
            max(_length(bar.units, most), 1 if bar.units else 0),
            _LABEL + _length(bar.units, most) + 6,
            y + 17,
            f"{bar.units:,}",
        )
        for y, bar in ((place * _ROW, bar) for place, bar in enumerate(lines))
    ]
    body = format_html_join(
        "",
        '<text x="0" y="{}">{}</text><rect class="bar-{}" x="{}" y="{}" height="16" width="{}" rx="2"/>'
        '<text x="{}" y="{}" class="bar-units">{}</text>',
        rows,
    )
    return format_html(
        '<svg class="holdings" role="img" aria-label="{}: {}" viewBox="0 0 {} {}">{}</svg>',
        title,
        in_words(holdings),
        _WIDTH,
        max(len(lines), 1) * _ROW,
        body,
    )


def _length(units: int, most: int) -> int:
    return round(min(units / most, 1.0) * (_WIDTH - _LABEL - 60))
