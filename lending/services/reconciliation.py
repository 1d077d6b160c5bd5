"""Does the ledger stand on the chains? Every loan's coins and the totals, once a day, kept run by run.

Nothing is corrected here: a difference is an incident, and a person finds out why.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone

from chain.exceptions import NodeUnavailable
from chain.gateway import gateway
from chain.selectors import final_block
from chain.services import open_incident
from chain.services.incidents import close_if_open
from lending.bitcoin.esplora import Esplora, esplora
from lending.bitcoin.exceptions import BitcoinNotSetUp, EsploraNonsense, EsploraUnavailable
from lending.models import (
    Account,
    Asset,
    Delivery,
    Deposit,
    DepositAddress,
    EntryKind,
    Posting,
    ReconciliationRun,
    Withdrawal,
)
from lending.services.collateral.addresses import bitcoin_network, ether_network
from portal import audit

logger = logging.getLogger(__name__)
_SUBJECT: Final = "lending.reconciliationrun"
_SHOWN: Final = 200
_TRIES: Final = 3
State = ReconciliationRun.State


class MovedMeanwhile(Exception):
    """The network went on while it was asked, every time: no one moment could be compared."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a network has, by loan, at one block. `elsewhere`: in the vault, but under no account of ours."""

    height: int
    block_hash: str
    by_loan: Mapping[int, int]
    elsewhere: int = 0


@dataclass(slots=True)
class Expected:
    """What should be there, by loan: custody by the ledger, what is held uncounted, less what left but is not final."""

    ledger: dict[int, int] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)
    moving: dict[int, int] = field(default_factory=dict)

    def of(self, loan_id: int) -> int:
        return self.ledger.get(loan_id, 0) + self.held.get(loan_id, 0) - self.moving.get(loan_id, 0)


def reconcile_collateral() -> list[ReconciliationRun]:
    """Compare both assets. Run twice it compares twice; a run that was killed stays behind as unanswered."""
    return [reconcile_asset(asset=asset) for asset in Asset.values]


def reconcile_asset(*, asset: str) -> ReconciliationRun:
    """Compare one asset: each loan and the total. A difference opens an incident, agreement closes it."""
    ReconciliationRun.objects.filter(asset=asset, state=State.RUNNING).update(
        state=State.UNANSWERED, detail="killed", finished_at=timezone.now()
    )
    run = ReconciliationRun.objects.create(asset=asset)
    try:
        found, expected = _compared_bitcoin() if asset == Asset.BTC else _compared_ether()
    except (EsploraUnavailable, EsploraNonsense, NodeUnavailable, BitcoinNotSetUp, MovedMeanwhile) as error:
        return _unanswered(run, error)
    return _finish(run, found, expected)


def _compared_bitcoin() -> tuple[Found, Expected]:
    addresses = list(DepositAddress.objects.filter(network=bitcoin_network()).order_by("id"))
    if not addresses:
        return Found(0, "", {}), _expected(Asset.BTC)
    service = esplora()
    for _number in range(_TRIES):
        before = service.tip_hash()
        _refresh(service, addresses)
        expected = _expected(Asset.BTC)
        by_loan: dict[int, int] = defaultdict(int)
        for address in addresses:
            by_loan[address.loan_id] += service.confirmed_balance(address.address)
        height = service.tip_height()
        if service.tip_hash() == before:
            return Found(height, before, by_loan), expected
    raise MovedMeanwhile("Bitcoin found blocks faster than it could be asked")


def _refresh(service: Esplora, addresses: list[DepositAddress]) -> None:
    """Take in first what the network says now, so that only what is wrong differs."""
    from lending.services.bitcoin import follow_withdrawals, look_at_address, watch_open
    from lending.services.deliveries import follow_bitcoin

    tip = service.tip_height()
    watch_open(service, tip)
    for address in addresses:
        if address.purpose == DepositAddress.Purpose.DEPOSIT:
            address.refresh_from_db(fields=["history"])
            look_at_address(service, address, tip)
    follow_withdrawals(service, tip)
    follow_bitcoin(service, tip)


def _compared_ether() -> tuple[Found, Expected]:
    rows = DepositAddress.objects.filter(network=ether_network(), asset=Asset.ETH)
    loans = dict(rows.values_list("account", "loan_id"))
    block = final_block()
    if not loans or block < 0:
        return Found(max(block, 0), "", {}), _expected(Asset.ETH)
    with transaction.atomic():
        expected = _expected(Asset.ETH)
        block = final_block()
    balances = gateway().collateral_balances(list(loans), block)
    by_loan: dict[int, int] = defaultdict(int)
    for account, wei in balances.items():
        by_loan[loans[account]] += wei
    total = gateway().collateral_total(block)
    return Found(block, "", by_loan, elsewhere=total - sum(by_loan.values())), expected


def _expected(asset: Asset) -> Expected:
    """What the database says should be on the chain (five queries)."""
    custody = Posting.objects.filter(account=Account.CUSTODY, unit=asset).exclude(entry__kind=EntryKind.SALE)
    expected = Expected(ledger=_by_loan(custody, "entry__loan_id", "amount"))
    # A sale takes coins out of custody when a slice is sold; on the chain they left when they were delivered.
    deliveries = Delivery.objects.filter(asset=asset)
    gone = Q(state=Delivery.State.ARRIVED) | Q(state=Delivery.State.SENT, block_height__isnull=False)
    out = deliveries.filter(gone, direction=Delivery.Direction.OUT)
    back = deliveries.filter(direction=Delivery.Direction.BACK, state=Delivery.State.ARRIVED)
    for rows, sign in ((out, -1), (back, 1)):
        for loan_id, units in _by_loan(rows, "sale__loan_id", "units").items():
            expected.ledger[loan_id] = expected.ledger.get(loan_id, 0) + sign * units
    held = Deposit.objects.filter(asset=asset, block_height__isnull=False).exclude(
        state__in=[
            Deposit.State.CREDITED,
            Deposit.State.CAME_BACK,
            Deposit.State.RETURNED,
            Deposit.State.ORPHANED,
        ]
    )
    if asset == Asset.ETH:
        held = held.exclude(state=Deposit.State.SEEN)  # not final, so not at the block that is compared
    expected.held = _by_loan(held, "loan_id", "units")
    moving = Withdrawal.objects.filter(asset=asset, state=Withdrawal.State.SENT, block_height__isnull=False)
    expected.moving = _by_loan(moving, "loan_id", "units")
    return expected


def _by_loan(rows: object, loan: str, amount: str) -> dict[int, int]:
    found = rows.order_by().values_list(loan).annotate(total=Sum(amount))  # type: ignore[attr-defined]
    return {loan_id: int(total) for loan_id, total in found if loan_id is not None}


def _unanswered(run: ReconciliationRun, error: Exception) -> ReconciliationRun:
    logger.warning("comparison of %s: %s", run.asset, error)
    run.state, run.detail, run.finished_at = State.UNANSWERED, str(error)[:300], timezone.now()
    run.save(update_fields=["state", "detail", "finished_at"])
    return run


@transaction.atomic
def _finish(run: ReconciliationRun, found: Found, expected: Expected) -> ReconciliationRun:
    loans = sorted(found.by_loan.keys() | expected.ledger.keys() | expected.held.keys() | expected.moving.keys())
    differences: list[dict[str, object]] = [
        {"loan": loan_id, "expected": str(expected.of(loan_id)), "found": str(found.by_loan.get(loan_id, 0))}
        for loan_id in loans
        if expected.of(loan_id) != found.by_loan.get(loan_id, 0)
    ]
    if found.elsewhere:
        differences.append({"loan": None, "expected": "0", "found": str(found.elsewhere)})
    run.block_height, run.block_hash, run.loans = found.height, found.block_hash, len(loans)
    run.ledger_units, run.held_units = sum(expected.ledger.values()), sum(expected.held.values())
    run.moving_units = sum(expected.moving.values())
    run.chain_units = sum(found.by_loan.values()) + found.elsewhere
    run.differences, run.finished_at = differences[:_SHOWN], timezone.now()
    run.state = State.DIFFERED if differences else State.AGREED
    run.save()
    _report(run, len(differences))
    audit.record(
        action=f"lending.reconciliation.{run.state}",
        subject_type=_SUBJECT,
        subject_id=run.pk,
        actor="reconciliation",
        to_state=run.state,
        data={"asset": run.asset, "block": found.height, "loans": len(loans), "differences": len(differences)},
    )
    return run


def _report(run: ReconciliationRun, differences: int) -> None:
    key = f"collateral_differs:{run.asset}"
    if not differences:
        close_if_open(dedupe_key=key, reason=f"agrees with the chain at block {run.block_height}")
        return
    open_incident(
        kind="lending.collateral_differs",
        detail=f"The ledger's {run.asset} differs from the chain at block {run.block_height} for {differences} loans.",
        dedupe_key=key,
        data={"run": run.pk, "differences": run.differences[:20]},
    )
