"""Who holds what, derived from canonical events; exact under reorganisations.

Sums (units, supply) take the difference an event makes and give it back when the event is undone. Everything else
(frozen, admitted, SBT, distrust, paused, authorised) is "the last event wins": when one is undone, the events that are
left for that key are folded again from nothing. A row exists if and only if something in it is not zero, so the result
after any sequence of blocks and reorganisations equals a replay from nothing (chain/tests/test_projections_replay.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Count, Q, Sum

from chain.events import DecodedLog
from chain.models import (
    CollateralAccount,
    CollateralMovement,
    Contract,
    Cursor,
    Distrust,
    EventLog,
    Holding,
    Movement,
    SbtRecord,
    TokenState,
)

ZERO_ADDRESS: Final = "0x" + "0" * 40
_TOKEN: Final = Contract.Kind.SECURITY_TOKEN.value
_SBT: Final = Contract.Kind.INVESTOR_SBT.value
_VAULT: Final = Contract.Kind.COLLATERAL_VAULT.value
#: Everything that is derived from events, and nothing else.
PROJECTIONS: Final = (Movement, Holding, TokenState, SbtRecord, Distrust, CollateralMovement, CollateralAccount)
#: How many keys one query names, and how many events one pass of a replay holds.
_CHUNK: Final = 2_000

HolderKey = tuple[str, str]  # (token, holder)


@dataclass(slots=True)
class Changes:
    """What a run of events, in order, changes. Amounts are differences; the rest are last values."""

    units: defaultdict[HolderKey, int] = field(default_factory=lambda: defaultdict(int))
    final_units: defaultdict[HolderKey, int] = field(default_factory=lambda: defaultdict(int))
    supply: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    frozen: dict[HolderKey, int] = field(default_factory=dict)
    admitted: dict[HolderKey, int] = field(default_factory=dict)
    paused: dict[str, bool] = field(default_factory=dict)
    authorised: dict[str, int] = field(default_factory=dict)
    sbts: defaultdict[str, list[DecodedLog]] = field(default_factory=lambda: defaultdict(list))
    distrust: dict[str, tuple[datetime, int] | None] = field(default_factory=dict)

    @property
    def holder_keys(self) -> set[HolderKey]:
        return {*self.units, *self.final_units, *self.frozen, *self.admitted}

    @property
    def tokens(self) -> set[str]:
        return {*self.supply, *self.paused, *self.authorised, *(token for token, _ in self.holder_keys)}


# --- what each event means --------------------------------------------------------------------------


def _transfer(changes: Changes, log: DecodedLog, *, is_final: bool) -> None:
    sender, recipient, units = transfer_of(log.args)
    for holder, difference in ((sender, -units), (recipient, units)):
        if holder == ZERO_ADDRESS:
            changes.supply[log.address] -= difference
            continue
        changes.units[log.address, holder] += difference
        if is_final:
            changes.final_units[log.address, holder] += difference


def transfer_of(args: Mapping[str, Any]) -> tuple[str, str, int]:
    """(sender, recipient, units) of an ERC-20 `Transfer`."""
    return args["from"], args["to"], int(args["value"])


def _frozen(changes: Changes, log: DecodedLog, *, is_final: bool) -> None:
    changes.frozen[log.address, log.args["account"]] = int(log.args["amount"])


def _admitted(changes: Changes, log: DecodedLog, *, is_final: bool) -> None:
    changes.admitted[log.address, log.args["holder"]] = int(log.args["sbtId"])


def _dismissed(changes: Changes, log: DecodedLog, *, is_final: bool) -> None:
    changes.admitted[log.address, log.args["holder"]] = 0


def _paused(changes: Changes, log: DecodedLog, *, is_final: bool) -> None:
    changes.paused[log.address] = True


def _unpaused(changes: Changes, log: DecodedLog, *, is_final: bool) -> None:
    changes.paused[log.address] = False


def _authorised(changes: Changes, log: DecodedLog, *, is_final: bool) -> None:
    changes.authorised[log.address] = int(log.args["authorised"])


def _sbt(changes: Changes, log: DecodedLog, *, is_final: bool) -> None:
    changes.sbts[log.args["holder"]].append(log)


def _distrusted(changes: Changes, log: DecodedLog, *, is_final: bool) -> None:
    changes.distrust[log.args["key"]] = (_time(log.args["since"]), log.block_number)


def _trusted(changes: Changes, log: DecodedLog, *, is_final: bool) -> None:
    changes.distrust[log.args["key"]] = None


def _time(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), tz=UTC)


#: What one event of one contract changes.
MEANINGS: Final[Mapping[tuple[str, str], Callable[..., None]]] = {
    (_TOKEN, "Transfer"): _transfer,
    (_TOKEN, "Frozen"): _frozen,
    (_TOKEN, "Admitted"): _admitted,
    (_TOKEN, "Dismissed"): _dismissed,
    (_TOKEN, "Paused"): _paused,
    (_TOKEN, "Unpaused"): _unpaused,
    (_TOKEN, "AuthorisedAmountRaised"): _authorised,
    (_TOKEN, "AuthorisedAmountLowered"): _authorised,
    (_SBT, "SbtIssued"): _sbt,
    (_SBT, "SbtRenewed"): _sbt,
    (_SBT, "SbtSuspended"): _sbt,
    (_SBT, "SbtReinstated"): _sbt,
    (_SBT, "SbtRevoked"): _sbt,
    (_SBT, "KeyDistrusted"): _distrusted,
    (_SBT, "KeyTrustRestored"): _trusted,
}
_FROZEN: Final = ("Frozen",)
_ADMISSION: Final = ("Admitted", "Dismissed")
_PAUSE: Final = ("Paused", "Unpaused")
_AUTHORISED: Final = ("AuthorisedAmountRaised", "AuthorisedAmountLowered")
_SBT_LIFE: Final = ("SbtIssued", "SbtRenewed", "SbtSuspended", "SbtReinstated", "SbtRevoked")
_TRUST: Final = ("KeyDistrusted", "KeyTrustRestored")


def changes_of(logs: Iterable[DecodedLog], *, final_number: int) -> Changes:
    """Fold `logs`, given in chain order, into what they change. Pure."""
    changes = Changes()
    for log in logs:
        meaning = MEANINGS.get((log.kind, log.event))
        if meaning is not None:
            meaning(changes, log, is_final=log.block_number <= final_number)
    return changes


# --- forward ----------------------------------------------------------------------------------------------


def apply_logs(*, chain_id: int, logs: Sequence[DecodedLog], ids: Sequence[int], final_number: int) -> None:
    """Add `logs` (canonical, stored, in chain order; `ids` are their `EventLog` ids) to every projection.

    After: projections say what they would if all canonical logs had been folded from nothing. Inside the caller's
    transaction.
    """
    changes = changes_of(logs, final_number=final_number)
    _insert_movements(chain_id, logs, ids)
    _insert_collateral(chain_id, logs, ids)
    _save_holdings(chain_id, changes)
    _save_tokens(chain_id, changes)
    for address, events in changes.sbts.items():
        _save_sbt(chain_id, address, events)
    _save_distrust(chain_id, changes)


def _insert_movements(chain_id: int, logs: Sequence[DecodedLog], ids: Sequence[int]) -> None:
    rows = (
        (
            log_id, chain_id, log.address, *transfer_of(log.args), log.block_number, log.at, log.transaction_hash,
        )
        for log, log_id in zip(logs, ids, strict=True)
        if log.kind == _TOKEN and log.event == "Transfer"
    )  # fmt: skip
    columns = "log_id chain_id token sender recipient units block_number at transaction_hash"
    copy_rows(Movement._meta.db_table, columns.split(), rows)


#: Event → the argument that names who paid or was paid, and the one that names the release or sale.
_COLLATERAL: Final = {"Deposited": ("from", ""), "Released": ("to", "releaseId"), "Sold": ("to", "saleId")}


def _insert_collateral(chain_id: int, logs: Sequence[DecodedLog], ids: Sequence[int]) -> None:
    """One row per account that was opened and per movement of ETH; balances are their sums, so nothing can drift."""
    ours = [(log, log_id) for log, log_id in zip(logs, ids, strict=True) if log.kind == _VAULT]
    opened = (
        (
            log_id, chain_id, log.args["account"], log.args["loan"], log.args["borrower"], log.args["depositAddress"],
            log.block_number,
        )
        for log, log_id in ours
        if log.event == "AccountOpened"
    )  # fmt: skip
    columns = "log_id chain_id account loan borrower deposit_address block_number"
    copy_rows(CollateralAccount._meta.db_table, columns.split(), opened)
    moved = (
        (
            log_id, chain_id, log.args["account"], log.event, int(log.args["amount"]),
            log.args[_COLLATERAL[log.event][0]], log.args.get("origin", ""),
            log.args.get(_COLLATERAL[log.event][1], ""), log.block_number, log.at, log.transaction_hash,
        )
        for log, log_id in ours
        if log.event in _COLLATERAL
    )  # fmt: skip
    columns = "log_id chain_id account kind amount_wei party origin reference block_number at transaction_hash"
    copy_rows(CollateralMovement._meta.db_table, columns.split(), moved)


def copy_rows(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows by PostgreSQL's COPY: several times as fast as INSERT for thousands of rows."""
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _save_holdings(chain_id: int, changes: Changes) -> None:
    keys = sorted(changes.holder_keys)
    known = _holdings(chain_id, keys)
    rows = []
    for token, holder in keys:
        row = known.get((token, holder)) or Holding(
            chain_id=chain_id, token=token, holder=holder, units=0, final_units=0, frozen_units=0, admitted_sbt=0
        )
        row.units += changes.units.get((token, holder), 0)
        row.final_units += changes.final_units.get((token, holder), 0)
        row.frozen_units = changes.frozen.get((token, holder), row.frozen_units)
        row.admitted_sbt = changes.admitted.get((token, holder), row.admitted_sbt)
        rows.append(row)
    Holding.objects.bulk_create(
        rows,
        batch_size=_CHUNK,
        update_conflicts=True,
        unique_fields=["chain_id", "token", "holder"],
        update_fields=["units", "final_units", "frozen_units", "admitted_sbt"],
    )
    _drop_empty_holdings(chain_id, changes.tokens)


def _holdings(chain_id: int, keys: Sequence[HolderKey]) -> dict[HolderKey, Holding]:
    """The stored rows of `keys`. Read by token and holders, which may bring a few rows more than asked for."""
    by_token: defaultdict[str, list[str]] = defaultdict(list)
    for token, holder in keys:
        by_token[token].append(holder)
    rows: dict[HolderKey, Holding] = {}
    for token, holders in by_token.items():
        for row in Holding.objects.filter(chain_id=chain_id, token=token, holder__in=holders):
            rows[row.token, row.holder] = row
    return rows


_EMPTY: Final = Q(units=0, final_units=0, frozen_units=0, admitted_sbt=0)


def _drop_empty_holdings(chain_id: int, tokens: Iterable[str]) -> None:
    Holding.objects.filter(_EMPTY, chain_id=chain_id, token__in=set(tokens)).delete()


def _save_tokens(chain_id: int, changes: Changes) -> None:
    tokens = changes.tokens
    if not tokens:
        return
    known = {row.token: row for row in TokenState.objects.filter(chain_id=chain_id, token__in=tokens)}
    counts = _holder_counts(chain_id, tokens)
    rows = []
    for token in sorted(tokens):
        row = known.get(token) or TokenState(chain_id=chain_id, token=token, supply_units=0, authorised_units=0)
        row.supply_units += changes.supply.get(token, 0)
        row.paused = changes.paused.get(token, row.paused)
        row.authorised_units = changes.authorised.get(token, row.authorised_units)
        row.holders = counts.get(token, 0)
        rows.append(row)
    TokenState.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["chain_id", "token"],
        update_fields=["supply_units", "authorised_units", "holders", "paused"],
    )
    TokenState.objects.filter(
        chain_id=chain_id, token__in=tokens, supply_units=0, authorised_units=0, holders=0, paused=False
    ).delete()


def _holder_counts(chain_id: int, tokens: Iterable[str]) -> dict[str, int]:
    rows = Holding.objects.filter(chain_id=chain_id, token__in=set(tokens), units__gt=0)
    return dict(rows.values("token").annotate(count=Count("id")).values_list("token", "count"))


def _save_sbt(chain_id: int, address: str, events: Iterable[DecodedLog]) -> None:
    record = SbtRecord.objects.filter(chain_id=chain_id, address=address).first()
    for log in events:
        record = _folded_sbt(chain_id, record, log)
    if record is not None:
        record.save()


def _folded_sbt(chain_id: int, record: SbtRecord | None, log: DecodedLog) -> SbtRecord | None:
    """`record` after one more event of its life. Only `SbtIssued` makes one; a new issue after a revocation replaces it."""
    args = log.args
    if log.event == "SbtIssued":
        record = record or SbtRecord(chain_id=chain_id, address=args["holder"])
        record.revoked = record.suspended = False
    if record is None:
        return None
    if log.event in ("SbtIssued", "SbtRenewed"):
        record.token_id, record.subject = int(args["tokenId"]), args["subject"]
        record.categories = int(args["categories"])
        record.issued_at = log.at
        record.effective_from, record.expires_at = _time(args["effectiveFrom"]), _time(args["expiresAt"])
        record.issuer, record.attestor = args["issuer"], args["attestor"]
    elif log.event == "SbtRevoked":
        record.revoked = True
    else:
        record.suspended = log.event == "SbtSuspended"
    record.block_number, record.transaction_hash = log.block_number, log.transaction_hash
    return record


def _save_distrust(chain_id: int, changes: Changes) -> None:
    for key, value in changes.distrust.items():
        if value is None:
            Distrust.objects.filter(chain_id=chain_id, key=key).delete()
        else:
            since, number = value
            Distrust.objects.update_or_create(
                chain_id=chain_id, key=key, defaults={"since": since, "block_number": number}
            )


# --- finality ---------------------------------------------------------------------------------------------


def advance_final(*, chain_id: int, above: int, through: int) -> None:
    """Count the stored transfers of blocks `above`+1..`through` into `final_units`. Inside the caller's transaction."""
    if through <= above:
        return
    rows = Movement.objects.filter(chain_id=chain_id, block_number__gt=above, block_number__lte=through)
    changes = Changes()
    for side, sign in (("recipient", 1), ("sender", -1)):
        sums = rows.exclude(**{side: ZERO_ADDRESS}).values_list("token", side).annotate(total=Sum("units"))
        for token, holder, total in sums:
            changes.final_units[token, holder] += sign * total
    _save_holdings(chain_id, changes)


# --- back -------------------------------------------------------------------------------------------------


def undo_logs(*, chain_id: int, logs: Sequence[DecodedLog]) -> None:
    """Take `logs` out of every projection. They are no longer canonical in the database, and none of them was final.

    After: the same as `apply_logs`. Inside the caller's transaction.
    """
    undone = changes_of(logs, final_number=-1)
    if logs:
        for model in (Movement, CollateralMovement, CollateralAccount):
            model.objects.filter(
                chain_id=chain_id, log__canonical=False, block_number__gte=logs[0].block_number
            ).delete()
    changes = Changes()
    changes.units.update({key: -units for key, units in undone.units.items()})
    changes.supply.update({token: -units for token, units in undone.supply.items()})
    _restore_last_values(chain_id, undone, changes)
    _save_holdings(chain_id, changes)
    _save_tokens(chain_id, changes)
    SbtRecord.objects.filter(chain_id=chain_id, address__in=list(undone.sbts)).delete()
    for address, events in changes.sbts.items():
        _save_sbt(chain_id, address, events)
    _save_distrust(chain_id, changes)


def _restore_last_values(chain_id: int, undone: Changes, changes: Changes) -> None:
    """Put into `changes` what the remaining canonical events say of every key that `undone` touched."""
    left = changes_of(_remaining(chain_id, undone), final_number=-1)
    changes.frozen = {key: left.frozen.get(key, 0) for key in undone.frozen}
    changes.admitted = {key: left.admitted.get(key, 0) for key in undone.admitted}
    changes.paused = {token: left.paused.get(token, False) for token in undone.paused}
    changes.authorised = {token: left.authorised.get(token, 0) for token in undone.authorised}
    changes.sbts.update({address: left.sbts[address] for address in undone.sbts if address in left.sbts})
    changes.distrust = {key: left.distrust.get(key) for key in undone.distrust}


def _remaining(chain_id: int, undone: Changes) -> list[DecodedLog]:
    """The canonical events that decide the last values `undone` touched, in chain order."""
    wanted = Q(pk__in=[])
    wanted |= _by_holder(undone.frozen, _FROZEN, "account")
    wanted |= _by_holder(undone.admitted, _ADMISSION, "holder")
    if undone.paused:
        wanted |= Q(address__in=list(undone.paused), event__in=_PAUSE)
    if undone.authorised:
        wanted |= Q(address__in=list(undone.authorised), event__in=_AUTHORISED)
    if undone.sbts:
        wanted |= Q(event__in=_SBT_LIFE, args__holder__in=list(undone.sbts))
    if undone.distrust:
        wanted |= Q(event__in=_TRUST, args__key__in=list(undone.distrust))
    return stored_logs(EventLog.objects.filter(wanted, chain_id=chain_id, canonical=True), chain_id=chain_id)


def _by_holder(keys: Mapping[HolderKey, object], events: Sequence[str], argument: str) -> Q:
    """Events of these tokens about these holders; a few pairs too many do no harm, since only asked keys are taken."""
    if not keys:
        return Q(pk__in=[])
    tokens, holders = {token for token, _ in keys}, {holder for _, holder in keys}
    return Q(address__in=tokens, event__in=events, **{f"args__{argument}__in": list(holders)})


def stored_logs(rows: Any, *, chain_id: int) -> list[DecodedLog]:
    """Stored events as the decoder gave them, in chain order."""
    kinds = dict(Contract.objects.filter(chain_id=chain_id).values_list("address", "kind"))
    ordered = rows.select_related("block").order_by("block_number", "log_index")
    return [decoded(row, kinds) for row in ordered]


def decoded(row: EventLog, kinds: Mapping[str, str]) -> DecodedLog:
    """One stored event (with its block loaded) as the decoder gave it."""
    return DecodedLog(
        kind=kinds.get(row.address, ""),
        address=row.address,
        event=row.event,
        args=row.args,
        block_number=row.block_number,
        block_hash=row.block_hash,
        at=row.block.at,
        log_index=row.log_index,
        transaction_hash=row.transaction_hash,
    )


# --- from nothing -----------------------------------------------------------------------------------------


@transaction.atomic
def replay_projections(*, chain_id: int) -> int:
    """Drop every projection of a chain and fold its canonical events again. Returns how many there were.

    Holds the cursor's row lock, so no index step runs meanwhile. Nothing is asked of the node.
    """
    cursor = Cursor.objects.select_for_update().filter(chain_id=chain_id).first()
    for model in PROJECTIONS:
        model.objects.filter(chain_id=chain_id).delete()
    if cursor is None:
        return 0
    return _fold_all(chain_id, cursor.final_number)


def _fold_all(chain_id: int, final_number: int) -> int:
    kinds = dict(Contract.objects.filter(chain_id=chain_id).values_list("address", "kind"))
    rows = EventLog.objects.filter(chain_id=chain_id, canonical=True).select_related("block")
    count, batch = 0, []
    for row in rows.order_by("block_number", "log_index").iterator(chunk_size=_CHUNK):
        batch.append(row)
        count += 1
        if len(batch) == _CHUNK:
            _fold_batch(chain_id, batch, kinds, final_number)
            batch = []
    _fold_batch(chain_id, batch, kinds, final_number)
    return count


def _fold_batch(chain_id: int, rows: Sequence[EventLog], kinds: Mapping[str, str], final_number: int) -> None:
    logs = [decoded(row, kinds) for row in rows]
    apply_logs(chain_id=chain_id, logs=logs, ids=[row.pk for row in rows], final_number=final_number)
