"""Publishing proofs of collateral: what is owed back to every borrower, as one tree, beside what stands on the chains."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from random import SystemRandom

from django.db import transaction
from django.db.models import Sum

from chain.exceptions import NodeUnavailable
from chain.gateway import gateway
from chain.models import Contract
from chain.selectors import contract_address, final_block
from lending import proof
from lending.bitcoin.esplora import esplora
from lending.bitcoin.exceptions import BitcoinNotSetUp, EsploraNonsense, EsploraUnavailable
from lending.models import Account, Asset, CollateralProof, DepositAddress, Loan, Posting, ProofLeaf, Withdrawal
from lending.services.collateral.addresses import bitcoin_network
from lending.services.guards import require_officer
from portal import audit
from portal.models import User


@dataclass(frozen=True, slots=True)
class Standing:
    """What one network showed at one block; `units` None: it could not be asked."""

    units: int | None = None
    height: int | None = None
    block: str = ""


def publish_proof(*, actor: User | None = None) -> CollateralProof | None:
    """Make and publish a tree over every loan whose collateral is owed back now; None if there is none.

    `actor` None: the nightly run; a person must be a loan officer. Afterwards each borrower has a leaf, anybody the
    totals with the vault and the addresses to look at, and the audit trail seals the commitment.
    """
    if actor is not None:
        require_officer(actor)
    bitcoin, addresses = _bitcoin()
    ether, vault = _ether()
    with transaction.atomic():
        owed = owed_by_loan()
        if not owed:
            return None
        names = dict(Loan.objects.filter(pk__in=list(owed)).values_list("pk", "reference"))
        order = list(owed)
        # Not in the order of loans: a neighbour's place tells nothing.
        SystemRandom().shuffle(order)
        rows = [
            ProofLeaf(number=n, loan_id=loan, salt=secrets.token_hex(32), btc_sats=owed[loan][0], eth_wei=owed[loan][1])
            for n, loan in enumerate(order)
        ]
        tree = proof.build([_leaf(row, names[row.loan_id]) for row in rows], proof.parent)
        made = CollateralProof.objects.create(
            leaf_count=len(rows),
            root=tree[0].hash.hex(),
            commitment=proof.commitment(count=len(rows), root=tree[0]).hex(),
            btc_sats=tree[0].sats,
            eth_wei=tree[0].wei,
            cut=proof.cut(tree),
            btc_height=bitcoin.height,
            btc_block=bitcoin.block,
            btc_found=bitcoin.units,
            btc_addresses=addresses,
            eth_height=ether.height,
            eth_found=ether.units,
            eth_vault=vault,
            is_covered=_covers(bitcoin, tree[0].sats) and _covers(ether, tree[0].wei),
            made_by=actor,
        )
        for row in rows:
            row.proof = made
        ProofLeaf.objects.bulk_create(rows, batch_size=5000)
        audit.record(
            action="lending.proof.published",
            subject_type="lending.collateralproof",
            subject_id=made.pk,
            actor=actor or "proof of collateral",
            data={
                "commitment": made.commitment,
                "leaves": made.leaf_count,
                "btc_sats": str(made.btc_sats),
                "eth_wei": str(made.eth_wei),
                "covered": made.is_covered,
            },
        )
    return made


def owed_by_loan() -> dict[int, tuple[int, int]]:
    """(satoshi, wei) owed back per loan, loans with nothing left out: counted, and leaving but not in a block yet."""
    rows = (
        Posting.objects.filter(account__in=[Account.COLLATERAL, Account.LEAVING])
        .order_by()
        .values_list("loan_id", "unit")
        .annotate(total=Sum("amount"))
    )
    sums: dict[tuple[int, str], int] = {(loan, unit): -int(total) for loan, unit, total in rows if loan is not None}
    # What a block has paid out already is the borrower's own again.
    moved = Withdrawal.objects.filter(
        state=Withdrawal.State.SENT, block_height__isnull=False, deposit__isnull=True
    ).values_list("loan_id", "asset", "units")
    for loan, asset, units in moved:
        sums[loan, asset] = sums.get((loan, asset), 0) - int(units)
    found = {loan: (sums.get((loan, "BTC"), 0), sums.get((loan, "ETH"), 0)) for loan in {loan for loan, _unit in sums}}
    return {loan: amounts for loan, amounts in found.items() if any(amounts)}


def _leaf(row: ProofLeaf, reference: str) -> proof.Node:
    return proof.leaf(salt=bytes.fromhex(row.salt), reference=reference, sats=int(row.btc_sats), wei=int(row.eth_wei))


def _covers(standing: Standing, owed: int) -> bool:
    return owed == 0 or (standing.units is not None and standing.units >= owed)


def _bitcoin() -> tuple[Standing, list[str]]:
    """The addresses that hold anything, and their sum by the blocks of one tip."""
    addresses = (
        DepositAddress.objects.filter(network=bitcoin_network()).order_by("id").values_list("address", flat=True)
    )
    if not addresses:
        return Standing(), []
    try:
        service = esplora()
        tip, height = service.tip_hash(), service.tip_height()
        balances = {address: service.confirmed_balance(address) for address in addresses}
        if service.tip_hash() != tip:
            tip, height = service.tip_hash(), service.tip_height()
            balances = {address: service.confirmed_balance(address) for address in addresses}
    except (EsploraUnavailable, EsploraNonsense, BitcoinNotSetUp):
        return Standing(), []
    return Standing(sum(balances.values()), height, tip), [a for a, sats in balances.items() if sats]


def _ether() -> tuple[Standing, str]:
    """What the vault holds at the last final block."""
    block = final_block()
    if block < 0 or not DepositAddress.objects.filter(asset=Asset.ETH).exists():
        return Standing(), ""
    try:
        vault = contract_address(Contract.Kind.COLLATERAL_VAULT)
        return Standing(gateway().collateral_total(block), block), vault
    except NodeUnavailable:
        return Standing(height=block), ""
