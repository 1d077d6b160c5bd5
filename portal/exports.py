"""Cells of CSV files: plain, and harmless in a spreadsheet."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(value: Any) -> str:
    """Text of one cell. Numbers never with an exponent; text that a spreadsheet would run starts with an apostrophe.

    Source of the rule: OWASP, "CSV Injection". A number of ours keeps its minus sign.
    """
    if value is None:
        return ""
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat()
    text = json.dumps(value, ensure_ascii=False, sort_keys=True) if isinstance(value, dict | list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
