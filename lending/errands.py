"""What this app asked of the vault: accounts, returns to borrowers, sales of collateral."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Final

from chain import operations
from chain.errands import Errand, asked_by, earlier, keyed
from chain.types import Call, SignerRole
from lending.models import Asset, Delivery, DepositAddress, ReturnAddress, Withdrawal
from lending.services.collateral.addresses import ether_network
from lending.services.collateral.ether import release_id
from lending.services.deliveries import LIFE, SUBJECT, sale_id

#: Between asking for a sale and writing down until when it may be carried out.
_SLACK: Final = timedelta(minutes=1)


def _accounts(loans: Iterable[int]) -> dict[int, str]:
    """The account of each loan in the vault."""
    rows = DepositAddress.objects.filter(loan_id__in=set(loans), asset=Asset.ETH, network=ether_network())
    return dict(rows.exclude(account="").values_list("loan_id", "account"))


def _is_agents(errand: Errand, call: Call) -> bool:
    return errand.role == SignerRole.COLLATERAL_AGENT and errand.is_for(call)


@asked_by("lending.account")
def accounts_were_given(errands: Sequence[Errand]) -> Collection[int]:
    """The account of a loan, opened for an address its borrower registered. The account's name binds both."""
    named = {errand.key.removeprefix("lending.account:"): errand for errand in errands}
    given = DepositAddress.objects.filter(account__in=named, asset=Asset.ETH, network=ether_network())
    borrowers = {address.account: address for address in given.select_related("loan")}
    homes = ReturnAddress.objects.filter(
        asset=Asset.ETH,
        effective_at__isnull=False,
        borrower__in=[address.loan.borrower_id for address in borrowers.values()],
    )
    registered = set(homes.values_list("borrower_id", "address"))
    return {
        errand.row
        for account, errand in named.items()
        if (address := borrowers.get(account)) is not None
        and errand.subject == f"lending.loan:{address.loan_id}"
        and (opened := operations.account_opened(errand.call)) is not None
        and opened.account == account
        and (address.loan.borrower_id, opened.borrower) in registered
        and _is_agents(errand, operations.register_collateral_account(opened.loan, opened.borrower))
    }


# --- returns -------------------------------------------------------------------------------------------------------------


def _approved(found: Sequence[tuple[Errand, tuple[int, ...]]]) -> dict[int, Withdrawal]:
    """The withdrawals that the keys name and two officers approved."""
    rows = Withdrawal.objects.filter(asset=Asset.ETH, network=ether_network(), approved_at__isnull=False)
    return rows.in_bulk([numbers[0] for _errand, numbers in found])


@asked_by("lending.release_proposed")
def returns_were_approved(errands: Sequence[Errand]) -> Collection[int]:
    """The amount two officers approved, from the account of that loan."""
    found = keyed(errands, "lending.release:#:propose", subject="lending.withdrawal:#")
    rows = _approved(found)
    accounts = _accounts(row.loan_id for row in rows.values())
    return {
        errand.row
        for errand, (pk,) in found
        if (row := rows.get(pk)) is not None
        and row.loan_id in accounts
        and _is_agents(
            errand, operations.propose_collateral_release(accounts[row.loan_id], release_id(row), int(row.units))
        )
    }


@asked_by("lending.release_executed")
def returns_were_announced(errands: Sequence[Errand]) -> Collection[int]:
    """The same return, again only once the attempts before are over: a withdrawal keeps its last one only."""
    found = keyed(errands, "lending.release:#:execute:#", subject="lending.withdrawal:#")
    rows = _approved(found)
    accounts = _accounts(row.loan_id for row in rows.values())
    before = earlier([errand for errand, _numbers in found])
    return {
        errand.row
        for errand, (pk, number) in found
        if (row := rows.get(pk)) is not None
        and row.loan_id in accounts
        and number == before[errand.transaction.pk].count
        and before[errand.transaction.pk].none_happened
        and _is_agents(errand, operations.execute_collateral_release(accounts[row.loan_id], release_id(row)))
    }


# --- sales ---------------------------------------------------------------------------------------------------------------


def _deliveries(found: Sequence[tuple[Errand, tuple[int, ...]]]) -> dict[int, Delivery]:
    rows = Delivery.objects.filter(asset=Asset.ETH, direction=Delivery.Direction.OUT).exclude(transaction=None)
    return rows.select_related("sale").in_bulk([numbers[0] for _errand, numbers in found])


@asked_by("lending.sale_recorded")
def sales_were_ordered(errands: Sequence[Errand]) -> Collection[int]:
    """The amount a sale needs, from the account of its loan, for no longer than a sale lasts."""
    found = keyed(errands, f"{SUBJECT}:#:record", subject=f"{SUBJECT}:#")
    rows = _deliveries(found)
    accounts = _accounts(row.sale.loan_id for row in rows.values())
    return {
        errand.row
        for errand, (pk,) in found
        if (row := rows.get(pk)) is not None
        and row.sale.loan_id in accounts
        and errand.role == SignerRole.SALE_RECORDER
        and _records(errand, row, accounts[row.sale.loan_id])
    }


def _records(errand: Errand, row: Delivery, account: str) -> bool:
    ends = errand.transaction.valid_until
    if ends is None or ends > row.requested_at + LIFE + _SLACK:
        return False
    call = operations.record_collateral_sale(account, sale_id(row), int(row.units), int(ends.timestamp()))
    return errand.is_for(call)


@asked_by("lending.sale_executed")
def sales_are_carried_out(errands: Sequence[Errand]) -> Collection[int]:
    """What was recorded for the same sale, whole and once."""
    found = keyed(errands, f"{SUBJECT}:#:execute", subject=f"{SUBJECT}:#")
    rows = _deliveries(found)
    accounts = _accounts(row.sale.loan_id for row in rows.values())
    return {
        errand.row
        for errand, (pk,) in found
        if (row := rows.get(pk)) is not None
        and row.transaction_id == errand.transaction.pk
        and row.sale.loan_id in accounts
        and _is_agents(
            errand, operations.execute_collateral_sale(accounts[row.sale.loan_id], sale_id(row), int(row.units))
        )
    }
