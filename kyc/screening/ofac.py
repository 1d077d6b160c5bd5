"""OFAC's Specially Designated Nationals list in its published comma-separated form.

`sdn.csv` (12 columns), `alt.csv` (5), `add.csv` (6) and, if present, `sdn_comments.csv` (remarks that did not fit):
no header, text quoted, "-0-" (often with a space after it) for null, joined on the entity number in column 1, a
single Ctrl-Z at the end. Format: OFAC, "SDN list data formats: specification" (dat_spec.txt).
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from django.utils.translation import gettext_lazy as _

from kyc.exceptions import ListUnreadable

FILES: Final = ("sdn.csv", "alt.csv", "add.csv", "sdn_comments.csv")
REQUIRED: Final = ("sdn.csv", "alt.csv", "add.csv")
_MONTHS: Final = {
    name: f"{number:02d}"
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], start=1
    )
}
_BIRTH = re.compile(r"(?:^|;)\s*(?:alt\. )?DOB\s+([^;]+)", re.IGNORECASE)
_DAY = re.compile(r"(?:(\d{1,2})\s+)?(?:([A-Za-z]{3})[a-z]*\s+)?(\d{4})")
_COUNTRY = re.compile(r"(?:^|;)\s*(?:alt\. )?(?:nationality|citizen)\s+([^;.]+)", re.IGNORECASE)
_DIGITAL = re.compile(r"Digital Currency Address\s*-\s*([A-Z0-9]{2,8})\s+([A-Za-z0-9:]{20,120})")


@dataclass(slots=True)
class ListedName:
    name: str
    kind: str  # name, aka, fka, nka


@dataclass(slots=True)
class ListedEntity:
    """One entity number with everything the files say about it."""

    number: int
    name: str
    kind: str  # individual, vessel, aircraft; empty: entity
    program: str
    title: str
    remarks: str
    names: list[ListedName] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    countries: list[str] = field(default_factory=list)
    birth_dates: list[str] = field(default_factory=list)
    wallets: list[tuple[str, str]] = field(default_factory=list)  # (currency, address)


def digest(directory: Path) -> str:
    """SHA-256 over the files of the set, name and bytes, in their fixed order."""
    total = hashlib.sha256()
    for name in FILES:
        path = _find(directory, name)
        if path is not None:
            total.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def read(directory: Path) -> list[ListedEntity]:
    """Every entity of the set in `directory`. Raises ListUnreadable if a file is missing or not in the format."""
    entities: dict[int, ListedEntity] = {}
    for row in _rows(directory, "sdn.csv", columns=12):
        number = _number(row[0], "sdn.csv")
        entity = ListedEntity(number, row[1], row[2].lower(), row[3], row[4], row[11])
        entity.names.append(ListedName(row[1], "name"))
        entities[number] = entity
    comments: dict[int, list[str]] = defaultdict(list)
    if _find(directory, "sdn_comments.csv"):
        for row in _rows(directory, "sdn_comments.csv", columns=2):
            comments[_number(row[0], "sdn_comments.csv")].append(row[1])
    _add_aliases(entities, _rows(directory, "alt.csv", columns=5))
    _add_addresses(entities, _rows(directory, "add.csv", columns=6))
    for entity in entities.values():
        entity.remarks = " ".join([entity.remarks, *comments[entity.number]]).strip()
        _read_remarks(entity)
    if not entities:
        raise ListUnreadable(_("The list has no entries. The list in use stays."), code="kyc.list.empty")
    return list(entities.values())


def address_key(address: str) -> str:
    """The form in which addresses are compared: in lower case where case carries nothing.

    Case is a checksum in 0x addresses and none at all in Bech32 (bc1, tb1, bcrt1), but part of the address in Base58.
    """
    return address.lower() if address.lower().startswith(("0x", "bc1", "tb1", "bcrt1")) else address


def _add_aliases(entities: dict[int, ListedEntity], rows: Iterable[list[str]]) -> None:
    for row in rows:
        entity = entities.get(_number(row[0], "alt.csv"))
        if entity is not None and row[3]:
            entity.names.append(ListedName(row[3], row[2].lower()[:8] or "aka"))


def _add_addresses(entities: dict[int, ListedEntity], rows: Iterable[list[str]]) -> None:
    for row in rows:
        entity = entities.get(_number(row[0], "add.csv"))
        if entity is None:
            continue
        if line := ", ".join(part for part in row[2:5] if part):
            entity.addresses.append(line)
        if row[4] and row[4] not in entity.countries:
            entity.countries.append(row[4])


def _read_remarks(entity: ListedEntity) -> None:
    for match in _BIRTH.finditer(entity.remarks):
        entity.birth_dates.extend(_birth_dates(match.group(1)))
    for match in _COUNTRY.finditer(entity.remarks):
        country = match.group(1).strip()[:60]
        if country not in entity.countries:
            entity.countries.append(country)
    entity.wallets = [(match.group(1), match.group(2)) for match in _DIGITAL.finditer(entity.remarks)]


def _birth_dates(text: str) -> list[str]:
    """'14 Mar 1968' → 1968-03-14, 'Mar 1968' → 1968-03, 'circa 1968' → 1968, '1966 to 1968' → every year of it."""
    found = [_iso(match) for match in _DAY.finditer(text)]
    if " to " in text and len(found) == 2:
        first, last = int(found[0][:4]), int(found[1][:4])
        if first <= last <= first + 20:
            return [str(year) for year in range(first, last + 1)]
    return found


def _iso(match: re.Match[str]) -> str:
    day, month, year = match.groups()
    number = _MONTHS.get((month or "").lower())
    if number and day:
        return f"{year}-{number}-{int(day):02d}"
    return f"{year}-{number}" if number else year


def _rows(directory: Path, name: str, *, columns: int) -> Iterator[list[str]]:
    path = _find(directory, name)
    if path is None:
        raise ListUnreadable(
            _("A file of the list is missing. The list in use stays."), code="kyc.list.file_missing", file=name
        )
    reader = csv.reader(io.StringIO(_text(path.read_bytes()).replace("\x1a", "")), skipinitialspace=True)
    for line, row in enumerate(reader, start=1):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != columns:
            raise ListUnreadable(
                _("A file of the list is not in the published format. The list in use stays."),
                code="kyc.list.wrong_columns",
                file=name,
                line=line,
            )
        yield ["" if cell.strip() == "-0-" else " ".join(cell.split()) for cell in row]


def _text(data: bytes) -> str:
    # Published as ASCII for decades, with Latin-1 letters in some editions and UTF-8 in the newest.
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _number(cell: str, name: str) -> int:
    if not cell.isdigit():
        raise ListUnreadable(
            _("A file of the list is not in the published format. The list in use stays."),
            code="kyc.list.entity_number",
            file=name,
        )
    return int(cell)


def _find(directory: Path, name: str) -> Path | None:
    """The file by name, whatever its case (OFAC has served both SDN.CSV and sdn.csv)."""
    return next((path for path in sorted(directory.iterdir()) if path.name.lower() == name), None)
