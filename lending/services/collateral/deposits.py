"""What arrived: seen, confirmed, searched for on the lists, counted; and undone when the network takes it back.

Every step is a transaction of its own on the locked loan and deposit, so a worker killed between two of them leaves a
deposit from which the next sweep goes on, and the same news twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from chain.services import open_incident
from kyc.selectors import search_listed_wallets
from lending import coverage, hooks
from lending.models import (
    Account,
    Asset,
    Delivery,
    Deposit,
    DepositAddress,
    Disposition,
    EntryKind,
    Loan,
    Posting,
)
from lending.selectors.prices import prices_of
from lending.services import positions
from lending.services.guards import locked_loan, move
from lending.services.ledger import Line, post
from portal import audit

DESK: Final = "loan desk"
_SUBJECT: Final = "lending.deposit"
#: Open deposits taken on in one sweep.
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class DepositFacts:
    """What a network says about one output that pays an address of ours. The same facts for BTC and ETH.

    `asset` is `BTC` or `ETH`, or the name of something else. `position`: of the output, or of the log entry. Without a
    block `height` is None and `block_hash` empty. `is_confirmed`: deep enough to count; `is_settled`: deep enough to
    be looked at no more.
    """

    network: str
    address: str
    asset: str
    txid: str
    position: int
    units: int
    senders: tuple[str, ...]
    height: int | None
    block_hash: str
    is_confirmed: bool
    is_settled: bool = False
    loan_id: int | None = None


@transaction.atomic
def observe_deposit(*, facts: DepositFacts) -> Deposit | None:
    """Record what the network says now; None if the address is not one for deposits of ours.

    After it the deposit is at least seen, confirmed if the facts say so, and no longer confirmed (or counted) if they
    no longer do. Called again with the same facts it changes nothing.
    """
    address = _address(facts)
    if address is None or facts.units <= 0:
        return None
    loan = locked_loan(address.loan_id)
    deposit, is_new = Deposit.objects.select_for_update(of=("self",)).get_or_create(
        network=facts.network,
        txid=facts.txid,
        position=facts.position,
        defaults={
            "loan": loan,
            "address": address,
            "asset": facts.asset if facts.asset in Asset.values else "",
            "label": "" if facts.asset in Asset.values else facts.asset[:60],
            "units": facts.units,
            "senders": list(facts.senders),
            "block_height": facts.height,
            "block_hash": facts.block_hash,
        },
    )
    if is_new:
        audit.record(
            action="lending.deposit.seen",
            subject_type=_SUBJECT,
            subject_id=deposit.pk,
            actor=DESK,
            to_state=deposit.state,
            data=_data(deposit),
        )
    _follow(loan, deposit, facts)
    return deposit


def _address(facts: DepositFacts) -> DepositAddress | None:
    rows = DepositAddress.objects.filter(
        network=facts.network, address=facts.address, purpose=DepositAddress.Purpose.DEPOSIT
    )
    return (rows.filter(loan_id=facts.loan_id) if facts.loan_id else rows).first()


def _follow(loan: Loan, deposit: Deposit, facts: DepositFacts) -> None:
    state = Deposit.State
    _note_block(deposit, facts)
    if deposit.state == state.ORPHANED:
        _move(deposit, state.SEEN, "came_back")
    if not facts.is_confirmed and deposit.state == state.CREDITED:
        _undo(loan, deposit, reason="no longer confirmed")
        _move(deposit, state.SEEN, "came_back")
        _note_block(deposit, facts)
    elif not facts.is_confirmed and deposit.state in (state.CONFIRMED, state.SCREENED):
        _move(deposit, state.SEEN, "unconfirmed")
    elif facts.is_confirmed and deposit.state == state.SEEN:
        deposit.confirmed_at = timezone.now()
        _move(deposit, state.CONFIRMED, "confirmed", "confirmed_at")


def _note_block(deposit: Deposit, facts: DepositFacts) -> None:
    before = (deposit.block_height, deposit.block_hash, deposit.is_settled)
    after = (facts.height, facts.block_hash, facts.is_settled)
    if before == after:
        return
    moved = bool(deposit.block_hash) and deposit.block_hash != facts.block_hash
    # A counted deposit keeps its block until it is undone: the database holds the two together.
    if facts.block_hash or deposit.state != Deposit.State.CREDITED:
        deposit.block_height, deposit.block_hash, deposit.is_settled = after
        deposit.save(update_fields=["block_height", "block_hash", "is_settled"])
    if moved:
        audit.record(
            action="lending.deposit.moved_block",
            subject_type=_SUBJECT,
            subject_id=deposit.pk,
            actor=DESK,
            data={"from": [before[0], before[1]], "to": [after[0], after[1]]},
        )


@transaction.atomic
def lose_deposit(*, deposit_id: int, reason: str) -> Deposit:
    """The network no longer has it: replaced, dropped or reorganised away. A counted one is taken out of the ledger.

    Losing it again changes nothing. What was sent back already stays so: the comparison with the chain tells.
    """
    loan, deposit = _locked(deposit_id)
    if deposit.state in (Deposit.State.ORPHANED, Deposit.State.RETURNED):
        return deposit
    if deposit.state == Deposit.State.CREDITED:
        _undo(loan, deposit, reason=reason)
        return deposit
    came_back = deposit.state == Deposit.State.CAME_BACK
    _forget_block(deposit)
    _move(deposit, Deposit.State.ORPHANED, "orphaned", *_BLOCK, reason=reason)
    if came_back:
        _undone(deposit, f"{deposit.units} base units of {deposit.asset} that came back from the exchange")
    return deposit


_BLOCK: Final = ("block_height", "block_hash", "is_settled", "is_blocked", "listed_at")


def _forget_block(deposit: Deposit) -> None:
    """Nothing of it is here any more: neither its block nor what was found about it. Back again it is searched for anew."""
    deposit.block_height, deposit.block_hash, deposit.is_settled = None, "", False
    deposit.is_blocked, deposit.listed_at = False, None


def _undo(loan: Loan, deposit: Deposit, *, reason: str) -> None:
    """Take a counted deposit out of the ledger: what is left of the collateral, the rest as missing; an incident."""
    units = int(deposit.units)
    there = max(0, -_balance(loan, Account.COLLATERAL, deposit.asset))
    taken = min(there, units)
    post(
        kind=EntryKind.DEPOSIT_UNDONE,
        key=f"deposit:{deposit.pk}:{deposit.credits}:undone",
        loan_id=loan.pk,
        value_on=timezone.localdate(),
        lines=[
            Line(Account.COLLATERAL, deposit.asset, taken, loan.pk),
            Line(Account.MISSING, deposit.asset, units - taken),
            Line(Account.CUSTODY, deposit.asset, -units),
        ],
        memo={"deposit": deposit.pk, "reason": reason},
    )
    reevaluate(loan)
    _forget_block(deposit)
    _move(deposit, Deposit.State.ORPHANED, "undone", *_BLOCK, reason=reason, data={"missing": str(units - taken)})
    _undone(deposit, f"{units} base units of {deposit.asset}, {units - taken} of them had left already", reason)


def _undone(deposit: Deposit, what: str, reason: str = "") -> None:
    open_incident(
        kind="lending.deposit_undone",
        detail=f"A deposit of loan {deposit.loan.reference} in the books is no longer on its network: {what}.",
        dedupe_key=f"deposit_undone:{deposit.pk}:{deposit.credits}",
        data={"deposit": deposit.pk, "loan": deposit.loan_id, "reason": reason},
    )


# --- the check, and counting ---------------------------------------------------------------------------------------


def advance_deposits() -> int:
    """Take every confirmed deposit on: the check against the lists, then the ledger. Number of steps taken."""
    steps = 0
    for state, step in ((Deposit.State.CONFIRMED, screen_deposit), (Deposit.State.SCREENED, credit_deposit)):
        ids = Deposit.objects.filter(state=state).order_by("id").values_list("pk", flat=True)[:_BATCH]
        steps += sum(_stepped(step, pk) for pk in list(ids))
    return steps


def _stepped(step: Callable[..., Deposit], deposit_id: int) -> bool:
    before = Deposit.objects.values_list("state", flat=True).get(pk=deposit_id)
    return step(deposit_id=deposit_id).state != before


@transaction.atomic
def screen_deposit(*, deposit_id: int) -> Deposit:
    """Look for every sender on the sanctions lists. Afterwards the deposit is screened, or held with what was found.

    Without a current list it stays confirmed and an incident is opened: nothing is counted unsearched.
    """
    _loan, deposit = _locked(deposit_id)
    if deposit.state != Deposit.State.CONFIRMED:
        return deposit
    search = search_listed_wallets(deposit.senders)
    if not search.is_possible:
        open_incident(
            kind="lending.no_sanctions_list",
            detail="No sanctions list is loaded: no deposit can be checked, so none is counted.",
            dedupe_key="lending.no_sanctions_list",
        )
        return deposit
    deposit.screened_at = timezone.now()
    deposit.screened_against = [
        *search.lists,
        *({"hit": hit.entry_number, "address": hit.address, "list": hit.list_name} for hit in search.hits),
    ]
    fields = ("screened_at", "screened_against")
    if search.hits:
        return _hold(deposit, Deposit.Hold.SANCTIONED, *fields)
    if not deposit.senders:
        return _hold(deposit, Deposit.Hold.UNKNOWN_SENDER, *fields)
    _move(deposit, Deposit.State.SCREENED, "screened", *fields, data={"lists": [row["sha256"] for row in search.lists]})
    return deposit


@transaction.atomic
def credit_deposit(*, deposit_id: int) -> Deposit:
    """Count a screened deposit: into the ledger and the position, in this transaction. Or hold it, if it may not count.

    What comes back from the exchange is counted already. While it is on its way and its transaction is not recorded,
    another deposit of the asset waits: it could be the same coins, less the exchange's fee.
    """
    from lending.services import deliveries

    loan, deposit = _locked(deposit_id)
    if deposit.state != Deposit.State.SCREENED:
        return deposit
    if (delivery := deliveries.brought_by(deposit)) is not None:
        return _take_back(deposit, delivery)
    if deliveries.may_be_back(deposit):
        return deposit
    if (why := _why_not(loan, deposit)) and why not in cleared_holds(deposit):
        return _hold(deposit, why)
    units = int(deposit.units)
    deposit.credits += 1
    deposit.credited_at = timezone.now()
    # Coins that came back fill first what their loss had left missing.
    missing = min(units, _missing_for(deposit))
    post(
        kind=EntryKind.DEPOSIT,
        key=f"deposit:{deposit.pk}:{deposit.credits}",
        loan_id=loan.pk,
        value_on=timezone.localdate(),
        lines=[
            Line(Account.CUSTODY, deposit.asset, units),
            Line(Account.MISSING, deposit.asset, -missing),
            Line(Account.COLLATERAL, deposit.asset, missing - units, loan.pk),
        ],
        memo={"deposit": deposit.pk, "txid": deposit.txid},
    )
    reevaluate(loan)
    hooks.tell(hooks.improved, loan, DESK)
    _move(deposit, Deposit.State.CREDITED, "credited", "credits", "credited_at", data=_data(deposit))
    return deposit


def _take_back(deposit: Deposit, delivery: Delivery) -> Deposit:
    """Coins that were at the exchange and were not sold: they never left the books, so only their delivery ends."""
    from lending.services import deliveries

    _move(deposit, Deposit.State.CAME_BACK, "came_back", data={"delivery": delivery.pk, **_data(deposit)})
    deliveries.came_back(delivery_id=delivery.pk, txid=deposit.txid)
    return deposit


def _why_not(loan: Loan, deposit: Deposit) -> Deposit.Hold | None:
    if not deposit.asset:
        return Deposit.Hold.WRONG_ASSET
    if loan.state not in Loan.TAKES_COLLATERAL:
        return Deposit.Hold.LOAN_CLOSED
    least = loan.terms.deposit_min_sats if deposit.asset == Asset.BTC else loan.terms.deposit_min_wei
    return Deposit.Hold.BELOW_MINIMUM if deposit.units < least else None


def cleared_holds(deposit: Deposit) -> set[str]:
    """What two people have looked at and let pass for this deposit."""
    return set(
        deposit.dispositions.filter(state=Disposition.State.CONFIRMED, verdict=Disposition.Verdict.COUNT).values_list(
            "hold", flat=True
        )
    )


def _hold(deposit: Deposit, why: Deposit.Hold, *fields: str) -> Deposit:
    deposit.hold = why
    _move(deposit, Deposit.State.HELD, "held", "hold", *fields, reason=why, data=_data(deposit))
    if why == Deposit.Hold.SANCTIONED:
        open_incident(
            kind="lending.sanctioned_deposit",
            detail=f"A deposit to loan {deposit.loan.reference} came from an address on a sanctions list.",
            dedupe_key=f"sanctioned_deposit:{deposit.pk}",
            data={"deposit": deposit.pk, "loan": deposit.loan_id},
        )
    return deposit


# --- shared ----------------------------------------------------------------------------------------------------------


def reevaluate(loan: Loan) -> None:
    """After collateral changed: which step comes next. Without an accepted price the next tick decides that."""
    position = positions.open_position(loan=loan)
    prices = prices_of(loan.currency)
    try:
        worth = coverage.value(btc_sats=position.btc_sats, eth_wei=int(position.eth_wei), prices=prices)
    except ValueError:
        return
    positions.rearm(loan=loan, worth=worth)


def _locked(deposit_id: int) -> tuple[Loan, Deposit]:
    """Loan first, then deposit: the order of locks everywhere."""
    loan = locked_loan(Deposit.objects.values_list("loan_id", flat=True).get(pk=deposit_id))
    deposit = Deposit.objects.select_for_update(of=("self",)).get(pk=deposit_id)
    deposit.loan = loan
    return loan, deposit


locked_deposit = _locked


def _balance(loan: Loan, account: Account, unit: str) -> int:
    total = Posting.objects.filter(loan=loan, account=account, unit=unit).aggregate(total=Sum("amount"))["total"]
    return int(total or 0)


def _missing_for(deposit: Deposit) -> int:
    total = Posting.objects.filter(
        account=Account.MISSING, unit=deposit.asset, entry__key__startswith=f"deposit:{deposit.pk}:"
    ).aggregate(total=Sum("amount"))["total"]
    return int(total or 0)


def _move(
    deposit: Deposit,
    target: Deposit.State,
    step: str,
    *fields: str,
    reason: str = "",
    data: dict[str, object] | None = None,
) -> None:
    move(
        deposit,
        target,
        actor=DESK,
        action=f"lending.deposit.{step}",
        subject=_SUBJECT,
        reason=reason,
        also=list(fields),
        data=data,
    )


def _data(deposit: Deposit) -> dict[str, object]:
    return {
        "loan": deposit.loan_id,
        "asset": deposit.asset or deposit.label,
        "units": str(deposit.units),
        "txid": deposit.txid,
        "position": deposit.position,
    }
