"""Reading who may do what, and whose code stands where, for the public pages: at a final block, now and then.

The pages show the last reading with its block and time, so they cost the node nothing and stand while it is down.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from chain import abi
from chain.governance.roles import role_report
from chain.models import Contract, Cursor, EventLog
from chain.public.code import check_codes
from chain.public.models import PublicReading
from chain.rpc import Request, Rpc, as_hex, as_int, node
from chain.services.sweeps import sweep

#: Read again after this long, whatever happened: a delay that runs out changes nothing in the logs.
READ_EVERY: Final = timedelta(hours=1)
#: A reading older than this is called old on the page.
OLD_AFTER: Final = timedelta(hours=3)
#: An event of one of these is reason to read again at once.
_GOVERNANCE: Final = (
    Contract.Kind.ACCESS_MANAGER,
    Contract.Kind.TIMELOCK,
    Contract.Kind.ADMIN_SAFE,
    Contract.Kind.COUNCIL_SAFE,
)


@sweep("public")
def run_public_reading() -> None:
    """Read again if the last reading is an hour old, or final blocks have brought what may have changed it.

    A reading replaces the last one whole, or leaves it as it was.
    """
    cursor = Cursor.objects.filter(chain_id=settings.CHAIN_ID).first()
    manager = _contracts().filter(kind=Contract.Kind.ACCESS_MANAGER).first()
    if cursor is None or manager is None or cursor.final_number < manager.deployed_block:
        return
    last = PublicReading.objects.filter(chain_id=settings.CHAIN_ID).first()
    if last is None or _is_due(last, cursor.final_number):
        read_now(node(), block=cursor.final_number)


def read_now(rpc: Rpc, *, block: int) -> PublicReading:
    """Read everything at `block` and keep it. Raises `NodeUnavailable` or `RpcError`, and then changes nothing."""
    report = role_report(rpc, block=block)
    contracts = list(_contracts().filter(deployed_block__lte=block).order_by("pk").values_list("kind", "address"))
    codes = check_codes(rpc, contracts, block=block)
    tokens = [address for kind, address in contracts if kind == Contract.Kind.SECURITY_TOKEN]
    facts: dict[str, Any] = {
        "block_number": block,
        "block_at": _time_of(rpc, block),
        "read_at": timezone.now(),
        "roles": asdict(report),
        "codes": [asdict(check) for check in codes],
        "documents": _documents(rpc, tokens, block),
    }
    row, _made = PublicReading.objects.update_or_create(chain_id=settings.CHAIN_ID, defaults=facts)
    return row


def _is_due(last: PublicReading, final: int) -> bool:
    if timezone.now() - last.read_at >= READ_EVERY:
        return True
    fresh = {"block_number__gt": last.block_number, "block_number__lte": final}
    governing = _contracts().filter(kind__in=_GOVERNANCE).values("address")
    events = EventLog.objects.filter(chain_id=settings.CHAIN_ID, canonical=True, **fresh)
    newer = _contracts().filter(deployed_block__gt=last.block_number, deployed_block__lte=final)
    return newer.exists() or events.filter(address__in=governing).exists()


def _contracts() -> QuerySet[Contract]:
    return Contract.objects.filter(chain_id=settings.CHAIN_ID)


def _time_of(rpc: Rpc, block: int) -> datetime:
    return datetime.fromtimestamp(as_int(rpc.call("eth_getBlockByNumber", hex(block), False)["timestamp"]), UTC)


def _documents(rpc: Rpc, tokens: list[str], block: int) -> dict[str, list[dict[str, str]]]:
    """The documents each security's contract names, with their SHA-256. Two batches, however many securities."""
    counts = [int(count) for (count,) in _views(rpc, [(token, "documentCount", ()) for token in tokens], block)]
    places = [(token, number) for token, count in zip(tokens, counts, strict=True) for number in range(count)]
    found: dict[str, list[dict[str, str]]] = {token: [] for token in tokens}
    answers = _views(rpc, [(token, "documentAt", (number,)) for token, number in places], block)
    for (token, _number), ((name, _uri, digest),) in zip(places, answers, strict=True):
        found[token].append({"name": name, "sha256": digest.hex()})
    return found


def _views(rpc: Rpc, asked: list[tuple[str, str, tuple[Any, ...]]], block: int) -> list[tuple[Any, ...]]:
    kind = "SecurityToken"
    requests: list[Request] = [
        ("eth_call", [{"to": to, "data": as_hex(abi.encode_call(kind, function, *args))}, hex(block)])
        for to, function, args in asked
    ]
    answers = rpc.gather(requests)
    return [
        abi.decode_result(kind, function, bytes.fromhex(answer[2:]))
        for (_to, function, _args), answer in zip(asked, answers, strict=True)
    ]
