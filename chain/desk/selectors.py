"""What the desk shows: alarms, and what stands announced on the chain. Database only; constant queries."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db.models import Count, Prefetch

from chain import abi, selectors
from chain.desk import wording
from chain.desk.models import Alarm, ResponseStep
from chain.models import Contract, EventLog, Holding, Signer
from chain.services import judging
from chain.types import Standing
from chain.wording import event_sentence
from portal.compiled import RowCount
from portal.models import User

if TYPE_CHECKING:
    from chain.desk.actions import Scene

#: How long an announced operation can be carried out once its time has come (AccessManager.expiration).
EXPIRATION = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ScheduledOperation:
    """Something announced in the AccessManager and neither carried out nor cancelled, as indexed."""

    operation_id: str
    caller: str
    target: str
    data: str  # calldata, 0x-hex
    function: str  # Contract.function, or the bare selector
    ready_at: datetime
    announced_at: datetime
    transaction_hash: str
    is_ours: bool

    @property
    def expires_at(self) -> datetime:
        return self.ready_at + EXPIRATION


def scheduled_operations(*, at: datetime | None = None) -> list[ScheduledOperation]:
    """What stands announced, the next to become possible first; without what expired before `at`. Constant queries."""
    rows = EventLog.objects.filter(
        chain_id=settings.CHAIN_ID,
        canonical=True,
        event__in=["OperationScheduled", "OperationExecuted", "OperationCanceled"],
    )
    standing: dict[str, EventLog] = {}
    for row in rows.select_related("block").order_by("block_number", "log_index"):
        if row.event == "OperationScheduled":
            standing[row.args["operationId"]] = row
        else:
            standing.pop(row.args["operationId"], None)
    kinds = dict(Contract.objects.filter(chain_id=settings.CHAIN_ID).values_list("address", "kind"))
    hashes = {row.transaction_hash for row in standing.values()}
    ours = judging.ours_among(hashes)
    found = [_operation(row, kinds, ours) for row in standing.values()]
    return sorted((each for each in found if at is None or each.expires_at > at), key=lambda each: each.ready_at)


def _operation(row: EventLog, kinds: dict[str, str], ours: set[str]) -> ScheduledOperation:
    return ScheduledOperation(
        operation_id=row.args["operationId"],
        caller=row.args["caller"],
        target=row.args["target"],
        data=row.args["data"],
        function=function_of(kinds.get(row.args["target"], ""), row.args["data"]),
        ready_at=datetime.fromtimestamp(int(row.args["schedule"]), UTC),
        announced_at=row.block.at,
        transaction_hash=row.transaction_hash,
        is_ours=row.transaction_hash in ours,
    )


def function_of(kind: str, data: str) -> str:
    """`Contract.function` of some calldata; the bare selector where it is not ours."""
    decoded = abi.decode_arguments(kind, bytes.fromhex(data[2:])) if kind in abi.KINDS else None
    return f"{kind}.{decoded[0]}" if decoded else data[:10]


def operation(operation_id: str) -> ScheduledOperation | None:
    """What stands announced under this id."""
    return next((each for each in scheduled_operations() if each.operation_id == operation_id), None)


# --- alarms ---------------------------------------------------------------------------------------------------

_CLOSED_SHOWN = 20


def open_alarms() -> list[Alarm]:
    """Open and contained alarms, the most urgent first, then the oldest; with how often each was seen."""
    rows = Alarm.objects.filter(chain_id=settings.CHAIN_ID).exclude(state=Alarm.State.CLOSED)
    return list(rows.annotate(times=Count("evidence")).order_by("-severity", "opened_at", "pk"))


def closed_alarms() -> list[Alarm]:
    """The last alarms that were closed."""
    rows = Alarm.objects.filter(chain_id=settings.CHAIN_ID, state=Alarm.State.CLOSED).select_related("closed_by")
    return list(rows.order_by("-closed_at")[:_CLOSED_SHOWN])


def open_alarms_for(user: User) -> int | None:
    """How many alarms wait for a duty officer, for the menu; None if none does. One query."""
    return _open() or None


_open: Final = RowCount(lambda _key: Alarm.objects.filter(chain_id=settings.CHAIN_ID).exclude(state=Alarm.State.CLOSED))


def names_for(user: User, addresses: Iterable[str]) -> dict[str, str]:
    """Names of people and contracts as this reader may know them; the platform's own keys by their role."""
    wanted = set(addresses)
    keys = Signer.objects.filter(chain_id=settings.CHAIN_ID, address__in=wanted).exclude(role="custody")
    return dict(keys.values_list("address", "label")) | selectors.names_for(user, wanted)


def reports_of(addresses: Collection[str]) -> list[Alarm]:
    """Reports of stolen keys of these addresses that are not closed, with the steps that concern these addresses.

    What is done about others in the same alarm is nobody's but the desk's.
    """
    steps = ResponseStep.objects.filter(target__in=addresses)
    rows = Alarm.objects.filter(
        chain_id=settings.CHAIN_ID, holder__in=addresses, evidence__key__startswith="reported:"
    ).exclude(state=Alarm.State.CLOSED)
    return list(rows.distinct().prefetch_related(Prefetch("steps", queryset=steps)).order_by("opened_at"))


@dataclass(frozen=True, slots=True)
class PersonLine:
    """One address in the picture of who holds what of one security."""

    address: str
    name: str
    part: str  # victim | suspect
    standing: Standing
    token: str
    token_name: str
    units: int
    frozen_units: int
    is_admitted: bool
    share: int  # percent of what all of them hold of it


def picture(scene: Scene, names: Mapping[str, str]) -> list[PersonLine]:
    """Who holds what now, security by security; addresses that hold nothing stand there too."""
    totals: dict[str, int] = {}
    for row in scene.holdings:
        totals[row.token] = totals.get(row.token, 0) + int(row.units)
    lines = []
    for address in scene.addresses:
        rows: list[Holding | None] = [row for row in scene.holdings if row.holder == address]
        lines += [_person_line(scene, names, address, each, totals) for each in rows or [None]]
    return lines


def _person_line(
    scene: Scene, names: Mapping[str, str], address: str, row: Holding | None, totals: Mapping[str, int]
) -> PersonLine:
    units = int(row.units) if row else 0
    total = totals.get(row.token, 0) if row else 0
    return PersonLine(
        address=address,
        name=names.get(address, ""),
        part="suspect" if address in scene.suspects else "victim",
        standing=scene.standing(address),
        token=row.token if row else "",
        token_name=names.get(row.token, "") if row else "",
        units=units,
        frozen_units=min(int(row.frozen_units), units) if row else 0,
        is_admitted=bool(row and row.admitted_sbt),
        share=100 * units // total if total else 0,
    )


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """One thing that was seen, in words."""

    at: datetime
    words: str
    transaction_hash: str
    block_number: int | None


_EVIDENCE_SHOWN = 50


def evidence_lines(alarm: Alarm, names: Mapping[str, str]) -> list[EvidenceLine]:
    """What was seen, oldest first. No query: the caller fetched the evidence with the alarm."""
    return [
        EvidenceLine(
            row.at,
            event_sentence(row.kind, row.event, row.args, names) if row.event else wording.seen(row),
            row.transaction_hash,
            row.block_number,
        )
        for row in list(alarm.evidence.all())[:_EVIDENCE_SHOWN]
    ]


def waiting_operations(scene: Scene) -> list[ScheduledOperation]:
    """What stands announced and concerns this alarm: by its key, or by its own steps."""
    ours = {step.data.get("calldata") for step in scene.steps}
    return [each for each in scene.operations if each.caller == scene.alarm.key or each.data in ours]
