"""Counted deposits are searched for again on the lists of today: who was on none when they paid may be on one now.

What is found stays counted and stays ours to look after: it is never dropped from the books in silence. The loan is
frozen instead. No money is paid out on it, no collateral of it leaves and none is sold until two KYC officers have
decided: the hit is false, or the deposit stays where it is for good.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from chain.services import open_incident
from kyc.selectors import ListedWallet, search_listed_wallets, spelled_alike
from lending.exceptions import LoanRefused
from lending.models import Deposit, Loan, Withdrawal
from lending.selectors.collateral import is_frozen
from lending.services.collateral.deposits import DESK, cleared_holds, locked_deposit
from portal import audit

#: Deposits whose senders are searched for in one question.
_BATCH: Final = 1_000
_State = Deposit.State


def rescreen_deposits() -> int:
    """Search for the senders of everything that is here and not found yet; number of deposits that were found.

    Run again it finds nothing more. Without a list nothing is searched: `screen_deposit` tells the desk of that.
    """
    rows = (
        Deposit.objects.filter(state__in=[_State.CREDITED, _State.HELD], listed_at=None)
        .exclude(state=_State.HELD, hold=Deposit.Hold.SANCTIONED)
        .order_by("id")
        .values_list("pk", "senders")
    )
    return sum(_search(batch) for batch in _batches(rows.iterator(chunk_size=_BATCH)))


def _batches(rows: Iterable[tuple[int, list[str]]]) -> Iterator[list[tuple[int, list[str]]]]:
    left = iter(rows)
    while batch := list(islice(left, _BATCH)):
        yield batch


def _search(batch: list[tuple[int, list[str]]]) -> int:
    by_sender: dict[str, set[int]] = defaultdict(set)
    for pk, senders in batch:
        for sender in senders:
            by_sender[spelled_alike(sender)].add(pk)
    search = search_listed_wallets(by_sender)
    found: dict[int, list[ListedWallet]] = defaultdict(list)
    for hit in search.hits:
        for pk in by_sender[hit.address]:
            found[pk].append(hit)
    return sum(_found(pk, hits) for pk, hits in sorted(found.items()))


@transaction.atomic
def _found(deposit_id: int, hits: list[ListedWallet]) -> bool:
    """Mark the deposit, freeze its loan with it and open an incident; False for hits that two people cleared before."""
    loan, deposit = locked_deposit(deposit_id)
    if deposit.listed_at is not None or deposit.state not in (_State.CREDITED, _State.HELD):
        return False
    stored = [each for each in deposit.screened_against if "hit" in each]
    known = {(each["hit"], spelled_alike(each["address"])) for each in stored} if _was_cleared(deposit) else set()
    new = [hit for hit in hits if (hit.entry_number, hit.address) not in known]
    if not new:
        return False
    deposit.listed_at = timezone.now()
    deposit.screened_against = [*deposit.screened_against, *map(_fact, new)]
    deposit.save(update_fields=["listed_at", "screened_against"])
    under_way = list(
        Withdrawal.objects.filter(loan=loan, state__in=Withdrawal.LEAVING).order_by("id").values_list("pk", flat=True)
    )
    audit.record(
        action="lending.deposit.found_on_a_list",
        subject_type="lending.deposit",
        subject_id=deposit.pk,
        actor=DESK,
        data={"loan": loan.pk, "hits": [_fact(hit) for hit in new], "under_way": under_way},
    )
    open_incident(
        kind="lending.counted_deposit_listed",
        detail=f"A deposit that counts for loan {loan.reference} came from an address that is on a sanctions list now. "
        f"The loan is frozen. Withdrawals under way that have to be stopped by hand: {under_way or 'none'}.",
        dedupe_key=f"listed_deposit:{deposit.pk}",
        data={"deposit": deposit.pk, "loan": loan.pk, "withdrawals": under_way},
    )
    return True


def _was_cleared(deposit: Deposit) -> bool:
    return Deposit.Hold.SANCTIONED in cleared_holds(deposit)


def _fact(hit: ListedWallet) -> dict[str, Any]:
    return {"hit": hit.entry_number, "address": hit.address, "list": hit.list_name}


def require_not_frozen(loan: Loan) -> None:
    """Pass unless a deposit of `loan` was found on a list. The words say nothing of a hit: its borrower must not learn it."""
    if is_frozen(loan):
        raise LoanRefused(
            _(
                "The loan desk is checking this loan’s collateral. Until that is over nothing is paid out and nothing leaves. Nothing was changed."
            ),
            code="lending.collateral.frozen",
        )
