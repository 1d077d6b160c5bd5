"""Reading the chain into the database: one cursor per chain over all our contracts.

A step asks the node first and writes afterwards, in one database transaction that checks that the cursor is still where
the step began. So a step that dies, or two that meet, change nothing or all of it. Blocks that are final are read by
range; newer ones one by one, by block hash, which a node that lags or reorganises answers with an error and not with
an empty list.

Rows of empty blocks are kept only while a reorganisation may still need them (`first_block_to_keep`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Min, QuerySet
from django.utils import timezone

from chain.events import DecodedLog, RawLog, checksummed, decode_log
from chain.exceptions import NodeUnavailable
from chain.followups import (
    handled_events,
    handled_final_events,
    handled_undone_events,
    tell_event,
    tell_event_final,
    tell_event_undone,
)
from chain.models import Block, Contract, Cursor, EventLog, FollowedContract
from chain.reader import Header, Heads, HistoryMoved, Reader, reader
from chain.rpc import RpcError
from chain.services.incidents import close_if_open, open_incident
from chain.services.projections import PROJECTIONS, advance_final, apply_logs, copy_rows, stored_logs, undo_logs
from chain.services.sweeps import sweep
from portal import audit
from portal.models import User

logger = logging.getLogger(__name__)

#: Blocks asked for at once: start, bounds, and when to ask for more or fewer (CHAIN: Indexing).
RANGE_START: Final = 50
RANGE_MAX: Final = 5_000
RECENT_MAX: Final = 500
RANGE_STEP_DOWN: Final = 20
QUICK_SECONDS: Final = 2.0
SLOW_SECONDS: Final = 10.0
#: Newest headers that are always kept, whatever the node calls final.
KEEP_HEADERS: Final = 256
#: Headers kept on a chain that does not say what is final.
KEEP_HEADERS_WITHOUT_FINALITY: Final = 4_096
#: Headers compared at once when looking for the last block that we and the node have in common.
_COMPARE: Final = 64
#: How long one sweep goes on before it lets the next one start.
SWEEP_SECONDS: Final = 20.0


class CursorMoved(Exception):
    """Another run advanced the cursor between reading and writing. Nothing was written."""


class HistoryRewritten(Exception):
    """The node's chain lacks a block that was final, or everything we know. No step can repair that."""

    def __init__(self, detail: str, **data: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.data = data


@dataclass(frozen=True, slots=True)
class Portion:
    """What one step read: the headers to keep, in order, and the raw logs of ours in them."""

    headers: Sequence[Header]
    logs: Sequence[RawLog]


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What one step did. `is_current`: there is nothing more to read right now."""

    blocks: int = 0
    logs: int = 0
    rolled_back: int = 0
    is_current: bool = False


# --- the sweep --------------------------------------------------------------------------------------------


@sweep("index")
def run_index_step() -> None:
    """Read the chain up to its head, or for `SWEEP_SECONDS`, whichever comes first. One runner at a time.

    Raises nothing: a node that is away is waited for, a history that was rewritten becomes an incident, and the next
    sweep looks again.
    """
    until = time.monotonic() + SWEEP_SECONDS
    while time.monotonic() < until:
        if index_once().is_current:
            return


def index_once(source: Reader | None = None) -> StepOutcome:
    """One step: read the next blocks, or roll back what the chain no longer contains.

    Raises `NodeUnavailable`. A rewritten history opens an incident and leaves everything as it is.
    """
    source = source or reader()
    try:
        heads = source.heads()
        _require_chain(heads)
        outcome = _step(source, heads)
    except HistoryRewritten as error:
        open_incident(
            kind="chain.history_rewritten", detail=error.detail, dedupe_key=_rewritten_key(), data=dict(error.data)
        )
        return StepOutcome(is_current=True)
    except (HistoryMoved, CursorMoved, RpcError) as error:
        logger.info("index step is asked again: %s %s", type(error).__name__, error)
        return StepOutcome(is_current=True)
    close_if_open(dedupe_key=_rewritten_key(), reason="the node's history contains our final blocks again")
    return outcome


def _rewritten_key() -> str:
    return f"history_rewritten:{settings.CHAIN_ID}"


def _require_chain(heads: Heads) -> None:
    if heads.chain_id != settings.CHAIN_ID:
        raise HistoryRewritten(
            f"The node answers for chain {heads.chain_id}, but this installation works on chain {settings.CHAIN_ID}.",
            found=heads.chain_id,
        )


def _step(source: Reader, heads: Heads) -> StepOutcome:
    cursor = _cursor(source)
    if cursor is None:
        return StepOutcome(is_current=True)
    fork = _fork_point(source, cursor, heads)
    if fork is not None:
        return _roll_back(cursor, fork)
    _catch_up_contracts(source, cursor)
    if heads.head <= cursor.number:
        return _stand_still(cursor, heads)
    return _read_on(source, cursor, heads)


def _cursor(source: Reader) -> Cursor | None:
    """The chain's cursor; made just below our oldest contract, so that nobody's history but ours is read."""
    cursor = Cursor.objects.filter(chain_id=settings.CHAIN_ID).first()
    if cursor is not None:
        return cursor
    oldest = Contract.objects.filter(chain_id=settings.CHAIN_ID).aggregate(oldest=Min("deployed_block"))["oldest"]
    if oldest is None:
        return None
    return _start_cursor(source, oldest - 1)


def _start_cursor(source: Reader, number: int) -> Cursor | None:
    if number < 0:
        return Cursor.objects.create(chain_id=settings.CHAIN_ID, range_size=RANGE_START)
    header = source.headers([number])[0]
    if header is None:
        raise HistoryRewritten(f"The node does not know block {number + 1}, in which our first contract was deployed.")
    with transaction.atomic():
        _save_blocks(settings.CHAIN_ID, [header])
        return Cursor.objects.create(
            chain_id=settings.CHAIN_ID,
            number=header.number,
            hash=header.hash,
            block_at=header.at,
            range_size=RANGE_START,
        )


# --- is the chain still the one we read? ------------------------------------------------------------------


def _fork_point(source: Reader, cursor: Cursor, heads: Heads) -> Block | None:
    """The last block that we and the node have in common, if the node has left the history we read; else None.

    A node that is merely behind has the newest block of ours that it can have. Raises `HistoryRewritten` if there is
    no common block, or if what was final is not among what is common.
    """
    if cursor.number < 0:
        return None
    ours = Block.objects.filter(chain_id=cursor.chain_id, canonical=True, number__lte=heads.head).order_by("-number")
    start = 0
    while rows := list(ours[start : start + (_COMPARE if start else 1)]):
        common = _first_common(source, rows)
        if common is not None:
            return _checked_fork(common, cursor, heads, is_newest=start == 0)
        start += len(rows)
    raise HistoryRewritten(
        f"The node's chain ends at block {heads.head} and contains none of the blocks that were read before, up to "
        f"block {cursor.number}. It was reset, or it is another chain.",
        head=heads.head,
        cursor=cursor.number,
    )


def _first_common(source: Reader, rows: Sequence[Block]) -> Block | None:
    theirs = source.headers(row.number for row in rows)
    return next((row for row, header in zip(rows, theirs, strict=True) if header and header.hash == row.hash), None)


def _checked_fork(common: Block, cursor: Cursor, heads: Heads, *, is_newest: bool) -> Block | None:
    if is_newest and heads.head >= cursor.final_number:
        return None
    if is_newest:
        raise HistoryRewritten(
            f"The node's newest block is {heads.head}, but block {cursor.final_number} had been final. The node is far "
            "behind, or its chain was reset.",
            head=heads.head,
            final=cursor.final_number,
        )
    if common.number < cursor.final_number:
        raise HistoryRewritten(
            f"The node's chain and ours part after block {common.number}, but block {cursor.final_number} had been "
            "final.",
            common=common.number,
            final=cursor.final_number,
        )
    return common


@transaction.atomic
def _roll_back(seen: Cursor, ancestor: Block) -> StepOutcome:
    """Undo every block above `ancestor`, exactly, in one transaction. The rows stay, marked as not canonical."""
    cursor = _locked(seen)
    chain_id = cursor.chain_id
    above = EventLog.objects.filter(chain_id=chain_id, canonical=True, block_number__gt=ancestor.number)
    undone = stored_logs(above, chain_id=chain_id)
    told = list(above.filter(event__in=handled_undone_events()).values_list("pk", flat=True))
    above.update(canonical=False)
    Block.objects.filter(chain_id=chain_id, canonical=True, number__gt=ancestor.number).update(canonical=False)
    undo_logs(chain_id=chain_id, logs=undone)
    _tell_stored(EventLog.objects.filter(pk__in=told), tell_event_undone)
    FollowedContract.objects.filter(contract__chain_id=chain_id, number__gt=ancestor.number).update(
        number=ancestor.number
    )
    depth = cursor.number - ancestor.number
    _move(cursor, number=ancestor.number, block_hash=ancestor.hash, at=ancestor.at, final=cursor.final_number)
    logger.warning("rolled back %s blocks and %s events, to block %s", depth, len(undone), ancestor.number)
    return StepOutcome(rolled_back=depth, logs=len(undone))


# --- reading ------------------------------------------------------------------------------------------------


def _read_on(source: Reader, cursor: Cursor, heads: Heads) -> StepOutcome:
    """Read and store the next blocks: final ones by range, newer ones by hash."""
    addresses = _joined_addresses(cursor.chain_id)
    first = cursor.number + 1
    if first <= heads.finalized:
        last = min(cursor.number + cursor.range_size, heads.finalized)
        read: Callable[[], Portion] = partial(_read_final, source, cursor, first, last, addresses)
    else:
        last = min(cursor.number + min(cursor.range_size, RECENT_MAX), heads.head)
        read = partial(_read_recent, source, cursor, first, last, addresses)
    portion, range_size = _timed(cursor, read)
    return _store(cursor, portion, heads, range_size)


def _read_final(source: Reader, cursor: Cursor, first: int, last: int, addresses: Sequence[str]) -> Portion:
    start, end = source.headers([first, last])
    if start is None or end is None or (cursor.number >= 0 and start.parent_hash != cursor.hash):
        raise HistoryMoved
    logs = source.logs_in_range(first, last, addresses) if addresses else []
    found = source.headers_by_hash(log["blockHash"] for log in logs)
    found[end.hash] = end
    return Portion(headers=sorted(found.values(), key=lambda header: header.number), logs=logs)


def _read_recent(source: Reader, cursor: Cursor, first: int, last: int, addresses: Sequence[str]) -> Portion:
    headers = list(_linked(cursor, source.headers(range(first, last + 1))))
    if not headers:
        raise HistoryMoved
    logs = source.logs_of_blocks([header.hash for header in headers], addresses) if addresses else []
    return Portion(headers=headers, logs=logs)


def _linked(cursor: Cursor, headers: Iterable[Header | None]) -> Iterator[Header]:
    """The headers as far as each names the one before it as its parent."""
    parent = cursor.hash
    for header in headers:
        if header is None or (parent and header.parent_hash != parent):
            return
        yield header
        parent = header.hash


def _timed(cursor: Cursor, read: Callable[[], Portion]) -> tuple[Portion, int]:
    """What `read` gave, and how many blocks to ask for next time. An error halves the range at once."""
    started = time.monotonic()
    try:
        portion = read()
    except (RpcError, NodeUnavailable):
        Cursor.objects.filter(pk=cursor.pk).update(range_size=max(cursor.range_size // 2, 1))
        raise
    return portion, next_range_size(cursor.range_size, time.monotonic() - started)


def next_range_size(size: int, seconds: float) -> int:
    """How many blocks to ask for after `size` of them took the node this long."""
    if seconds < QUICK_SECONDS:
        return min(size * 2, RANGE_MAX)
    if seconds > SLOW_SECONDS:
        return max(size - RANGE_STEP_DOWN, 1)
    return size


# --- contracts that were deployed behind the cursor -------------------------------------------------------


def _joined_addresses(chain_id: int) -> list[str]:
    rows = FollowedContract.objects.filter(contract__chain_id=chain_id, joined=True)
    return list(rows.order_by("contract_id").values_list("contract__address", flat=True))


def _catch_up_contracts(source: Reader, cursor: Cursor) -> None:
    """Bring every contract that is new to us to the cursor, so that none of its events is missed."""
    for contract in Contract.objects.filter(chain_id=cursor.chain_id).exclude(followed__joined=True):
        followed, _created = FollowedContract.objects.get_or_create(
            contract=contract, defaults={"number": contract.deployed_block - 1}
        )
        while followed.number < cursor.number:
            _catch_up_once(source, cursor, followed)
        with transaction.atomic():
            _locked(cursor)
            followed.joined = True
            followed.save(update_fields=["joined"])


def _catch_up_once(source: Reader, cursor: Cursor, followed: FollowedContract) -> None:
    """Read the next blocks behind the cursor for one contract alone."""
    first, address = followed.number + 1, followed.contract.address
    if first <= cursor.final_number:
        last = min(followed.number + cursor.range_size, cursor.final_number)
        logs = source.logs_in_range(first, last, [address])
    else:
        last = cursor.number
        hashes = Block.objects.filter(
            chain_id=cursor.chain_id, canonical=True, number__gte=first, number__lte=last
        ).order_by("number")
        logs = source.logs_of_blocks(list(hashes.values_list("hash", flat=True)), [address])
    headers = source.headers_by_hash(log["blockHash"] for log in logs)
    with transaction.atomic():
        _locked(cursor)
        _add(cursor.chain_id, Portion(list(headers.values()), logs), final=cursor.final_number)
        followed.number = last
        followed.save(update_fields=["number"])


# --- writing ------------------------------------------------------------------------------------------------


def _locked(seen: Cursor) -> Cursor:
    """The cursor, locked, still where `seen` was. Raises `CursorMoved`."""
    cursor = Cursor.objects.select_for_update().get(pk=seen.pk)
    if (cursor.number, cursor.hash) != (seen.number, seen.hash):
        raise CursorMoved
    return cursor


@transaction.atomic
def _store(seen: Cursor, portion: Portion, heads: Heads, range_size: int) -> StepOutcome:
    """Blocks, events, projections, handlers and the cursor: all of it or nothing."""
    cursor = _locked(seen)
    last = portion.headers[-1]
    final = max(cursor.final_number, min(heads.finalized, last.number))
    _make_final(cursor, min(final, cursor.number))
    count = _add(cursor.chain_id, portion, final=final)
    cursor.range_size = range_size
    blocks, before = last.number - cursor.number, first_block_to_keep(cursor.number, cursor.final_number)
    _move(cursor, number=last.number, block_hash=last.hash, at=last.at, final=final)
    _prune(cursor.chain_id, before, first_block_to_keep(cursor.number, cursor.final_number))
    return StepOutcome(blocks=blocks, logs=count, is_current=last.number >= heads.head)


@transaction.atomic
def _stand_still(seen: Cursor, heads: Heads) -> StepOutcome:
    """No new block; what was read may have become final meanwhile."""
    final = min(heads.finalized, seen.number)
    if final > seen.final_number:
        cursor = _locked(seen)
        _make_final(cursor, final)
        _move(cursor, number=cursor.number, block_hash=cursor.hash, at=cursor.block_at, final=final)
    return StepOutcome(is_current=True)


def _make_final(cursor: Cursor, through: int) -> None:
    """Count what is stored up to block `through` as final, and tell who waits for that."""
    advance_final(chain_id=cursor.chain_id, above=cursor.final_number, through=through)
    if through > cursor.final_number:
        newly = EventLog.objects.filter(
            chain_id=cursor.chain_id, block_number__gt=cursor.final_number, block_number__lte=through, canonical=True
        )
        _tell_stored(newly.filter(event__in=handled_final_events()), tell_event_final)


def _move(cursor: Cursor, *, number: int, block_hash: str, at: datetime | None, final: int) -> None:
    cursor.number, cursor.hash, cursor.block_at = number, block_hash, at
    cursor.final_number, cursor.moved_at = final, timezone.now()
    cursor.save(update_fields=["number", "hash", "block_at", "final_number", "moved_at", "range_size"])


def _add(chain_id: int, portion: Portion, *, final: int) -> int:
    """Store the portion's blocks and events, fold them into the projections, tell the handlers. Returns the events added.

    A block that was rolled back and came again is canonical again, with the rows it had.
    """
    blocks = _save_blocks(chain_id, portion.headers)
    logs = _decoded(chain_id, portion)
    kept = _kept_logs(chain_id, blocks)
    logs = [log for log in logs if not kept.get((log.block_hash, log.log_index), (0, False))[1]]
    ids = _save_logs(chain_id, logs, blocks, {key: log_id for key, (log_id, _canonical) in kept.items()})
    apply_logs(chain_id=chain_id, logs=logs, ids=ids, final_number=final)
    _tell_handlers(chain_id, logs, ids, blocks, final=final)
    return len(logs)


def _decoded(chain_id: int, portion: Portion) -> list[DecodedLog]:
    kinds = dict(Contract.objects.filter(chain_id=chain_id).values_list("address", "kind"))
    times = {header.hash: header.at for header in portion.headers}
    logs = [
        decode_log(raw, kind=kinds[checksummed(raw["address"])], at=times[raw["blockHash"]]) for raw in portion.logs
    ]
    return sorted(logs, key=lambda log: (log.block_number, log.log_index))


def _save_blocks(chain_id: int, headers: Sequence[Header]) -> dict[str, Block]:
    """The rows of these blocks by hash, all canonical; made where they are missing."""
    known = {row.hash: row for row in Block.objects.filter(chain_id=chain_id, hash__in=[h.hash for h in headers])}
    Block.objects.filter(pk__in=[row.pk for row in known.values() if not row.canonical]).update(canonical=True)
    missing = [
        Block(chain_id=chain_id, number=h.number, hash=h.hash, parent_hash=h.parent_hash, at=h.at)
        for h in headers
        if h.hash not in known
    ]
    return known | {row.hash: row for row in Block.objects.bulk_create(missing, batch_size=1_000)}


def _kept_logs(chain_id: int, blocks: Mapping[str, Block]) -> dict[tuple[str, int], tuple[int, bool]]:
    """Events of these blocks that are stored already: (block hash, index) → (id, canonical)."""
    rows = EventLog.objects.filter(chain_id=chain_id, block_id__in=[block.pk for block in blocks.values()])
    return {
        (block_hash, index): (log_id, canonical)
        for block_hash, index, log_id, canonical in rows.values_list("block_hash", "log_index", "id", "canonical")
    }


def _save_logs(
    chain_id: int, logs: Sequence[DecodedLog], blocks: Mapping[str, Block], kept: Mapping[tuple[str, int], int]
) -> list[int]:
    """Make every log canonical, inserting those that are not `kept`; their ids in the order of `logs`."""
    fresh = [log for log in logs if (log.block_hash, log.log_index) not in kept]
    new_ids = dict(zip(((log.block_hash, log.log_index) for log in fresh), _new_ids(len(fresh)), strict=True))
    ids = [kept.get(key) or new_ids[key] for key in ((log.block_hash, log.log_index) for log in logs)]
    EventLog.objects.filter(pk__in=[log_id for log_id in ids if log_id in set(kept.values())]).update(canonical=True)
    rows = (
        (
            new_ids[log.block_hash, log.log_index], chain_id, blocks[log.block_hash].pk, log.block_number,
            log.block_hash, log.log_index, log.transaction_hash, log.address, log.event,
            orjson.dumps(log.args).decode(), True,
        )
        for log in fresh
    )  # fmt: skip
    columns = "id chain_id block_id block_number block_hash log_index transaction_hash address event args canonical"
    copy_rows(EventLog._meta.db_table, columns.split(), rows)
    return ids


def _new_ids(count: int) -> list[int]:
    """Ids for rows that COPY will insert, from the table's own sequence."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
            [EventLog._meta.db_table, count],
        )
        return [row[0] for row in cursor.fetchall()]


def _tell_handlers(
    chain_id: int, logs: Sequence[DecodedLog], ids: Sequence[int], blocks: Mapping[str, Block], *, final: int
) -> None:
    """Run the apps' handlers. One that fails loses only its own writes and becomes an incident: the index goes on."""
    wanted, wanted_final = handled_events(), handled_final_events()
    for log, log_id in zip(logs, ids, strict=True):
        if log.event in wanted:
            _tell_calmly(_event_log(chain_id, log, log_id, blocks[log.block_hash]), tell_event)
        if log.event in wanted_final and log.block_number <= final:
            _tell_calmly(_event_log(chain_id, log, log_id, blocks[log.block_hash]), tell_event_final)


def _tell_stored(rows: QuerySet[EventLog], tell: Callable[[EventLog], None]) -> None:
    for row in rows.select_related("block").order_by("block_number", "log_index"):
        _tell_calmly(row, tell)


def _tell_calmly(row: EventLog, tell: Callable[[EventLog], None]) -> None:
    try:
        with transaction.atomic():
            tell(row)
    except Exception as error:
        logger.exception("a handler of %s failed", row)
        open_incident(
            kind="chain.event_handler_failed",
            detail=f"What should follow {row.event} in block {row.block_number} failed: {type(error).__name__}.",
            dedupe_key=f"event_handler:{row.block_hash}:{row.log_index}",
            data={"event_log": row.pk, "transaction_hash": row.transaction_hash},
        )


def _event_log(chain_id: int, log: DecodedLog, log_id: int, block: Block) -> EventLog:
    return EventLog(
        pk=log_id,
        chain_id=chain_id,
        block=block,
        block_number=log.block_number,
        block_hash=log.block_hash,
        log_index=log.log_index,
        transaction_hash=log.transaction_hash,
        address=log.address,
        event=log.event,
        args=log.args,
        canonical=True,
    )


# --- keeping the table small ------------------------------------------------------------------------------


def first_block_to_keep(number: int, final_number: int) -> int:
    """From here on every header is kept: all that a reorganisation can reach, and never fewer than `KEEP_HEADERS`."""
    if final_number < 0:
        return number - KEEP_HEADERS_WITHOUT_FINALITY
    return min(final_number, number - KEEP_HEADERS)


def _prune(chain_id: int, former: int, first: int) -> None:
    """Forget the empty blocks that fell out of reach since the last step; older ones are gone already."""
    if first > former:
        Block.objects.filter(chain_id=chain_id, number__gte=former, number__lt=first, logs__isnull=True).delete()


# --- starting over ------------------------------------------------------------------------------------------


@transaction.atomic
def forget_chain(*, chain_id: int, actor: User | str, reason: str) -> None:
    """Drop everything that was read from this chain; the next steps read it again from our first contract on.

    For an installation whose chain was reset on purpose. The contracts, signers and transactions stay. Audited.
    """
    Cursor.objects.select_for_update().filter(chain_id=chain_id).first()
    for model in (*PROJECTIONS, EventLog, Block, Cursor):
        model.objects.filter(chain_id=chain_id).delete()
    FollowedContract.objects.filter(contract__chain_id=chain_id).delete()
    audit.record(action="chain.index.forgotten", subject_type="chain", subject_id=chain_id, actor=actor, reason=reason)
