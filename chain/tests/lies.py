"""Every way a row of the outbox can lie about what was asked for, tried on rows that were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import transaction

from chain.models import ChainTransaction
from chain.services.judging import judge

ELSEWHERE = "0x" + "22" * 20
#: Of a deployment only the last words of the constructor's arguments are changed one by one.
_WORDS = 12


def verdict(row: ChainTransaction) -> str:
    """What the apps say now of the row as it is stored."""
    return judge([ChainTransaction.objects.select_related("signer").get(pk=row.pk)])[row.pk]


def lies_about(row: ChainTransaction) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is changed, in words and as fields. Arguments and amounts are words of the calldata: each is changed alone."""
    data = bytes(row.data)
    yield "other target", {"to": ELSEWHERE}
    yield "other value", {"value_wei": int(row.value_wei) + 1}
    for start in _words_of(row, data):
        changed = data[: start + 31] + bytes([data[start + 31] ^ 1]) + data[start + 32 :]
        yield f"other argument at byte {start}", {"data": changed}
    yield "other function", {"data": bytes(b ^ 0xFF for b in data[:4]) + data[4:]}
    yield "something after the arguments", {"data": data + bytes(32)}
    yield "a key that was never given", {"idempotency_key": f"{row.idempotency_key}0"}
    yield "a key written another way", {"idempotency_key": f"{row.idempotency_key} "}
    yield "a key nobody knows", {"idempotency_key": "forged"}
    yield "unknown purpose", {"purpose": "nobody.knows"}
    yield "set-up after it is over", {"purpose": "chain.deploy"}
    yield "step of the desk", {"purpose": "chain.response"}


def _words_of(row: ChainTransaction, data: bytes) -> range:
    """Where the words of the arguments begin. Signatures for a Safe are not ours to judge: it counts them itself."""
    if row.function.endswith(".execTransaction"):
        return range(4, 4 + int.from_bytes(data[4 + 9 * 32 : 4 + 10 * 32]), 32)
    return range(4 if row.to else len(data) - 32 * _WORDS, len(data), 32)


def assert_only_the_truth_passes(*purposes: str) -> None:
    """Every row of `purposes` was asked for, and no lie about it passes; and each of `purposes` has a row."""
    rows = list(ChainTransaction.objects.filter(purpose__in=purposes).order_by("pk"))
    assert {row.purpose for row in rows} == set(purposes)
    for row in rows:
        assert verdict(row) == "asked", row
        for what, lie in lies_about(row):
            if lie.get("purpose") == row.purpose:
                continue
            with transaction.atomic():
                ChainTransaction.objects.filter(pk=row.pk).update(**lie)
                assert verdict(row) == "unasked", f"{row.purpose}: {what}"
                transaction.set_rollback(True)


def copy_of(row: ChainTransaction, **changes: Any) -> ChainTransaction:
    """A second row for the same thing, as somebody would slip it in; queued, under a key of its own."""
    return ChainTransaction.objects.create(
        **{
            "signer": row.signer,
            "idempotency_key": f"{row.idempotency_key}:again",
            "purpose": row.purpose,
            "subject": row.subject,
            "function": row.function,
            "to": row.to,
            "data": bytes(row.data),
            "value_wei": row.value_wei,
        }
        | changes
    )
