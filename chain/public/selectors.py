"""The last reading, shaped for its pages. Nothing here asks the node."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from chain import abi
from chain.public import wording
from chain.public.lookup import TransactionFacts
from chain.public.models import PublicReading
from chain.public.reading import OLD_AFTER
from chain.public.wording import Text
from chain.types import ChainRole
from chain.wording import function_sentence


@dataclass(frozen=True, slots=True)
class HolderLine:
    """Who holds a role, what stands at the address, and how long it must wait. `delay` in seconds."""

    address: str
    kind: Text
    delay: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class RoleLine:
    """One role in words. `stopped_by` is the role that may cancel what this one announced."""

    name: Text
    does: Text
    holders: tuple[HolderLine, ...]
    stopped_by: Text
    functions: tuple[str, ...]
    is_empty_on_purpose: bool


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One figure of one contract, as it is in force. `unit`: seconds, count, units or wei."""

    name: Text
    value: int
    unit: str


@dataclass(frozen=True, slots=True)
class ContractSettings:
    """The figures of one contract."""

    kind: Text
    address: str
    settings: tuple[SettingLine, ...]


@dataclass(frozen=True, slots=True)
class TimelockLine:
    """The timelock: seconds it waits, and who may do what with it."""

    address: str
    delay: int
    members: tuple[tuple[Text, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class OpenLine:
    """Something announced that may be carried out from `ready_at` on."""

    what: Text
    target: str
    ready_at: datetime | None


@dataclass(frozen=True, slots=True)
class CodeLine:
    """One contract: what it is, where, whether its code is the one it should be, and what that was built with."""

    kind: Text
    name: str
    address: str
    verdict: str
    words: Text
    tone: str
    compared: str
    source: str
    code_hash: str
    size: int
    blanks: int
    target: str


@dataclass(frozen=True, slots=True)
class Powers:
    """Who may do what, as read."""

    reading: PublicReading
    roles: tuple[RoleLine, ...]
    safes: tuple[dict[str, Any], ...]
    timelocks: tuple[TimelockLine, ...]
    settings: tuple[ContractSettings, ...]
    announced: tuple[OpenLine, ...]
    weaknesses: int


def newest_reading() -> PublicReading | None:
    """The last reading; None before the first. One query."""
    return PublicReading.objects.filter(chain_id=settings.CHAIN_ID).first()


def is_old(reading: PublicReading) -> bool:
    """Whether readings have failed for hours: the page then says so."""
    return timezone.now() - reading.read_at > OLD_AFTER


def powers(reading: PublicReading) -> Powers:
    """Roles, Safes, timelocks, figures in force, and what is announced. No query."""
    report = reading.roles
    return Powers(
        reading=reading,
        roles=tuple(_role(row) for row in report["roles"] if row["role"] in wording.ROLES or row["holders"]),
        safes=tuple(report["safes"]),
        timelocks=tuple(_timelock(row) for row in report["timelocks"]),
        settings=_settings(report["settings"]),
        announced=tuple(_announced(row, reading.codes) for row in report["schedules"]),
        weaknesses=len(report["weaknesses"]),
    )


def code_lines(reading: PublicReading) -> tuple[CodeLine, ...]:
    """Every contract with its verdict, the platform's before the securities. No query."""
    lines = [_code(check) for check in reading.codes]
    return tuple(sorted(lines, key=lambda line: (line.name == "SecurityToken", line.name == "DemoPriceFeed")))


def code_verdict(reading: PublicReading | None, address: str) -> CodeLine | None:
    """The verdict on one contract; None if it was not there when the chain was read. No query."""
    checks = reading.codes if reading else []
    return next((_code(check) for check in checks if check["address"] == address), None)


def documents_on_chain(reading: PublicReading | None, token: str) -> Collection[str] | None:
    """SHA-256 of each document the security's contract names; None while it has not been read. No query."""
    rows = reading.documents.get(token) if reading else None
    return None if rows is None else {row["sha256"] for row in rows}


def public_part() -> dict[str, Any]:
    """For the page that everybody may read. One query."""
    reading = newest_reading()
    if reading is None:
        return {"reading": None}
    lines = code_lines(reading)
    return {
        "reading": reading,
        "is_old": is_old(reading),
        "weaknesses": len(reading.roles["weaknesses"]),
        "contracts": len(lines),
        "different": sum(line.tone == "bad" for line in lines),
    }


def kind_words(kind: str) -> Text:
    """What a contract of this kind is called; nothing for none."""
    return wording.KINDS.get(kind, kind)


def refusal_reason(facts: TransactionFacts) -> Text:
    """Why the contract refused a transaction, for somebody who was no part of it; nothing if nobody can tell."""
    if facts.restriction is not None:
        return wording.REASONS[facts.restriction]
    if facts.error_code == "out of gas":
        return wording.OUT_OF_GAS
    return ""


def _role(row: Mapping[str, Any]) -> RoleLine:
    words = wording.ROLES.get(row["role"], wording.RoleWords(row["name"], ""))
    guardian = wording.ROLES.get(row["guardian_role"])
    return RoleLine(
        name=words.name,
        does=words.does,
        holders=tuple(_holder(holder) for holder in row["holders"]),
        # Role 0 is the manager's default: the administration is nobody's guardian on purpose.
        stopped_by=guardian.name if guardian and row["guardian_role"] != ChainRole.ADMIN else "",
        functions=tuple(sorted(set(row["functions"]))),
        is_empty_on_purpose=row["role"] == ChainRole.MANAGEMENT,
    )


def _holder(row: Mapping[str, Any]) -> HolderLine:
    kind = wording.HOLDER_KINDS.get(row["kind"], row["kind"])
    return HolderLine(row["address"], kind, row["delay"], parse_datetime(row["since"] or ""))


def _timelock(row: Mapping[str, Any]) -> TimelockLine:
    members = ((words, tuple(row["members"].get(role, ()))) for role, words in wording.TIMELOCK_ROLES.items())
    return TimelockLine(row["address"], row["delay"], tuple(members))


def _settings(rows: list[dict[str, Any]]) -> tuple[ContractSettings, ...]:
    by_contract: dict[str, list[SettingLine]] = {}
    for row in rows:
        kind = row["contract"].partition(" ")[0]
        words = wording.SETTINGS.get((kind, row["name"]))
        if row["name"] == "targetAdminDelay" and row["value"]:
            words = wording.ADMIN_DELAY
        if words is not None:
            by_contract.setdefault(row["contract"], []).append(SettingLine(words.name, row["value"], words.unit))
    found = []
    for contract, lines in by_contract.items():
        kind, _space, address = contract.partition(" ")
        found.append(ContractSettings(wording.KINDS.get(kind, kind), address, tuple(lines)))
    return tuple(found)


def _announced(row: Mapping[str, Any], codes: list[dict[str, Any]]) -> OpenLine:
    kind = next((check["kind"] for check in codes if check["address"] == row["target"]), "")
    selector = bytes.fromhex(row["data"].removeprefix("0x")[:8])
    function = abi.artifact(kind).by_selector.get(selector) if kind else None
    what = function_sentence(f"{kind}.{function.name}" if function else row["data"][:10])
    return OpenLine(what, row["target"], parse_datetime(row["ready_at"]))


def _code(check: Mapping[str, Any]) -> CodeLine:
    kind = check["kind"]
    words = wording.VERDICTS[check["verdict"]]
    compared = "SafeProxy" if check["target"] else kind
    contract = abi.artifact(compared)
    return CodeLine(
        kind=wording.KINDS.get(kind, kind),
        name=kind,
        address=check["address"],
        verdict=check["verdict"],
        words=words.words,
        tone=words.tone,
        compared=compared,
        source=contract.source.split(",")[0] or f"solc {contract.compiler}, {contract.settings}",
        code_hash=check["code_hash"],
        size=check["size"],
        blanks=check["blanks"],
        target=check["target"],
    )
