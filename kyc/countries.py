"""Countries by ISO 3166-1 alpha-2 code; their names come from Babel in the reader's language."""

from __future__ import annotations

import re
from functools import lru_cache

from babel import Locale
from django.utils.translation import get_language

CODES = frozenset(
    str(code)
    for code in Locale("en").territories
    if re.fullmatch(r"[A-Z]{2}", str(code))
    and code not in {"ZZ", "EU", "EZ", "UN", "QO", "XA", "XB", "AC", "CP", "DG", "EA", "IC", "TA", "CQ"}
)


@lru_cache(maxsize=4)
def _choices(language: str) -> tuple[tuple[str, str], ...]:
    names = Locale.parse(language.split("-")[0]).territories
    rest = sorted(((code, str(names[code])) for code in CODES if code != "JP"), key=lambda item: item[1])
    return (("JP", str(names["JP"])), *rest)


def country_choices() -> tuple[tuple[str, str], ...]:
    """(code, name), Japan first, then by name, in the language of the request."""
    return _choices(get_language() or "ja")


def country_name(code: str) -> str:
    """The country's name in the reader's language; the code itself if it is none."""
    return dict(country_choices()).get(code, code)
