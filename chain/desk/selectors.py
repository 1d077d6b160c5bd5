"""What the desk shows: alarms, and what stands announced on the chain. Database only; constant queries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings

from chain import abi
from chain.models import Attempt, Contract, EventLog

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
    """What stands announced, the next to become possible first; without what expired before `at`. Three queries."""
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
    ours = set(Attempt.objects.filter(hash__in=hashes).values_list("hash", flat=True))
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
