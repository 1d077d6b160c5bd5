"""Addresses that belong to one loan. None is ever given out twice."""

from __future__ import annotations

import secrets
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from chain import operations
from chain.selectors import signer_for_role
from chain.services import enqueue
from chain.types import SignerRole
from lending.bitcoin.addresses import AccountKey, Branch, account_key
from lending.exceptions import LoanRefused
from lending.models import Asset, DepositAddress, Loan
from lending.selectors.collateral import current_return_address
from lending.services.guards import locked_loan, require_state
from portal import audit
from portal.models import User

#: Serialises who takes the next index of the account. Any constant of ours will do.
_INDEX_LOCK: Final = 0x42544341


def bitcoin_network() -> str:
    return f"bitcoin:{settings.BITCOIN_NETWORK}"


def ether_network() -> str:
    return f"eip155:{settings.CHAIN_ID}"


@transaction.atomic
def give_deposit_address(*, loan_id: int, asset: str, actor: User | str) -> DepositAddress:
    """The loan's address for an asset; given once, then always the same one.

    Bitcoin: the account's next index, under a lock. Raises LoanRefused if the loan takes no collateral, BitcoinNotSetUp,
    and LoanRefused if too many addresses in a row wait for a first payment: a wallet restored from the seed would not
    look behind such a gap (BIP 44).
    """
    loan = locked_loan(loan_id)
    network = bitcoin_network() if asset == Asset.BTC else ether_network()
    there = DepositAddress.objects.filter(
        loan=loan, asset=asset, network=network, purpose=DepositAddress.Purpose.DEPOSIT
    ).first()
    if there is not None:
        return there
    require_state(loan, *Loan.TAKES_COLLATERAL, code="lending.deposit.loan_closed")
    if asset == Asset.BTC:
        return _next_address(loan, DepositAddress.Purpose.DEPOSIT, actor=actor)
    return _ether_address(loan, actor=actor)


@transaction.atomic
def give_change_address(*, loan: Loan) -> DepositAddress:
    """A new change address of the loan, for one prepared transaction."""
    return _next_address(loan, DepositAddress.Purpose.CHANGE, actor="loan desk")


def _next_address(loan: Loan, purpose: DepositAddress.Purpose, *, actor: User | str) -> DepositAddress:
    key = account_key()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_INDEX_LOCK])
    used = DepositAddress.objects.filter(account=key.xpub, purpose=purpose)
    highest = used.aggregate(highest=Max("index"))["highest"]
    index = 0 if highest is None else highest + 1
    if purpose == DepositAddress.Purpose.DEPOSIT:
        _require_no_gap(key, index)
    branch = Branch.DEPOSIT if purpose == DepositAddress.Purpose.DEPOSIT else Branch.CHANGE
    return _given(
        loan, Asset.BTC, key.address(branch, index), actor=actor, account=key.xpub, index=index, purpose=purpose
    )


def _require_no_gap(key: AccountKey, index: int) -> None:
    paid = DepositAddress.objects.filter(
        account=key.xpub, purpose=DepositAddress.Purpose.DEPOSIT, deposits__isnull=False
    )
    last_paid = paid.aggregate(highest=Max("index"))["highest"]
    waiting = index - (0 if last_paid is None else last_paid + 1)
    if waiting >= settings.BITCOIN_GAP_LIMIT:
        raise LoanRefused(
            _("Too many addresses were given out that nothing has been paid to yet. The loan desk has to look at it."),
            code="lending.bitcoin.gap",
            waiting=waiting,
        )


def _given(loan: Loan, asset: Asset, address: str, *, actor: User | str, **more: object) -> DepositAddress:
    row = DepositAddress.objects.create(
        loan=loan,
        asset=asset,
        network=bitcoin_network() if asset == Asset.BTC else ether_network(),
        address=address,
        **more,
    )
    audit.record(
        action="lending.address.given",
        subject_type="lending.depositaddress",
        subject_id=row.pk,
        actor=actor,
        data={"loan": loan.pk, "asset": asset, "address": address, "purpose": row.purpose, "index": row.index},
    )
    return row


def _ether_address(loan: Loan, *, actor: User | str) -> DepositAddress:
    """The loan's account in the vault, bound for good to the borrower's return address of this day.

    The vault pays no other address, so the borrower has to have one first. Opening the account is asked of the chain at
    once; what arrives before it is open is taken in then.
    """
    home = current_return_address(loan.borrower, Asset.ETH)
    if home is None:
        raise LoanRefused(
            _("Register an Ethereum address of your own first: the collateral can only ever go back there."),
            code="lending.deposit.no_return_address",
        )
    reference = secrets.token_bytes(32)
    account = operations.collateral_account(reference, home.address)
    row = _given(loan, Asset.ETH, operations.collateral_deposit_address(account), actor=actor, account=account)
    enqueue(
        call=operations.register_collateral_account(reference, home.address),
        signer=signer_for_role(SignerRole.COLLATERAL_AGENT),
        idempotency_key=f"lending.account:{account}",
        purpose="lending.account",
        subject=f"lending.loan:{loan.pk}",
    )
    return row
