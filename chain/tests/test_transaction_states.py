"""The state machine of a transaction: every arrow that exists, and none that does not."""

from itertools import product
from typing import Any

import pytest

from chain import services
from chain.followups import _followups, followup
from chain.models import ChainTransaction
from chain.services import outbox
from chain.tests.steps import ask, payment
from chain.types import SignerRole
from portal.models import AuditEntry
from portal.state import WrongState

pytestmark = pytest.mark.django_db
State = ChainTransaction.State

#: Written out once more, so that a change to the model's table is a decision and not a slip.
ALLOWED = {
    ("queued", "signed"),
    ("queued", "expired"),
    ("queued", "refused"),
    ("signed", "broadcast"),
    ("signed", "mined"),
    ("signed", "reverted"),
    ("signed", "cancelling"),
    ("broadcast", "mined"),
    ("broadcast", "reverted"),
    ("broadcast", "cancelling"),
    ("broadcast", "cancelled"),
    ("cancelling", "cancelled"),
    ("cancelling", "mined"),
    ("cancelling", "reverted"),
    ("mined", "final"),
    ("mined", "broadcast"),
    ("mined", "reverted"),
    ("reverted", "broadcast"),
    ("reverted", "mined"),
    ("cancelled", "broadcast"),
    ("cancelled", "mined"),
    ("cancelled", "reverted"),
}
TOLD = {"mined", "final", "reverted", "cancelled", "expired", "refused"}
IN_BLOCK = {"mined", "reverted", "cancelled"}
WITHOUT_NONCE = {"queued", "expired", "refused"}


@pytest.fixture
def row(settings, tmp_path):
    settings.KEYSTORE_DIR = tmp_path
    funder = services.create_platform_signer(role=SignerRole.GAS_FUNDER)
    return ask(payment(funder.address), funder, "one")


@pytest.fixture
def told():
    heard = []

    @followup("test.payment")
    def hear(row, state):
        heard.append(state)

    yield heard
    _followups.pop("test.payment")


def put(row, state):
    """Place the row in a state, as the database's own checks allow it."""
    nonce = None if state in WITHOUT_NONCE else 0
    block = "0x" + "11" * 32 if state in IN_BLOCK | {"final"} else ""
    number = 1 if block else None
    ChainTransaction.objects.filter(pk=row.pk).update(state=state, nonce=nonce, block_hash=block, block_number=number)
    return outbox.lock_row(row.pk)


@pytest.mark.parametrize(("start", "target"), sorted(ALLOWED))
def test_an_arrow_that_exists_is_taken_told_and_audited(row, told, start, target):
    locked = put(row, start)
    fields: dict[str, Any] = {"nonce": 0} if start == "queued" and target == "signed" else {}
    outbox.advance(locked, target, **fields)
    locked.refresh_from_db()
    entry = AuditEntry.objects.get(action=f"chain.transaction.{target}")
    left_block = start in IN_BLOCK and target == "broadcast"
    assert locked.state == target
    assert (entry.from_state, entry.to_state) == (start, target)
    assert told == ([target] if target in TOLD or left_block else [])
    assert not left_block or (locked.block_hash, locked.block_number) == ("", None)


@pytest.mark.parametrize(("start", "target"), sorted(set(product(State.values, State.values)) - ALLOWED))
def test_an_arrow_that_does_not_exist_changes_nothing(row, told, start, target):
    locked = put(row, start)
    with pytest.raises(WrongState):
        outbox.advance(locked, target)
    assert ChainTransaction.objects.get(pk=row.pk).state == start
    assert (told, AuditEntry.objects.filter(action__startswith="chain.transaction").exists()) == ([], False)


@pytest.mark.parametrize(("state", "end"), [("mined", "final"), ("reverted", "reverted"), ("cancelled", "cancelled")])
def test_a_final_block_settles_and_is_told(row, told, state, end):
    outbox.settle(put(row, state))
    row.refresh_from_db()
    assert (row.state, row.is_settled, told) == (end, True, [end])


@pytest.mark.parametrize("state", ["queued", "signed", "broadcast", "cancelling", "final", "expired", "refused"])
def test_only_what_is_in_a_block_is_settled_by_a_receipt_that_comes_late(row, told, state):
    from chain.services import reconciler

    locked = put(row, state)
    reconciler._settle_if_same(locked, locked.block_hash)
    row.refresh_from_db()
    assert (row.state, told) == (state, [])


def test_the_database_itself_refuses_a_state_without_its_nonce(row):
    from django.db import IntegrityError, transaction

    with pytest.raises(IntegrityError), transaction.atomic():
        ChainTransaction.objects.filter(pk=row.pk).update(state="broadcast")
    with pytest.raises(IntegrityError), transaction.atomic():
        ChainTransaction.objects.filter(pk=row.pk).update(nonce=0)
