"""Published proofs, and each borrower's own path in them."""

from __future__ import annotations

from typing import Any

from lending import proof
from lending.models import CollateralProof, Loan, ProofLeaf, ReconciliationRun


def newest_proof() -> CollateralProof | None:
    """The proof that the public page shows."""
    return CollateralProof.objects.defer("cut").first()


def public_part() -> dict[str, Any]:
    """For the page that everybody may read. One query."""
    return {"proof": newest_proof()}


def newest_runs() -> dict[str, ReconciliationRun | None]:
    """The last finished comparison of each asset."""
    done = ReconciliationRun.objects.exclude(state=ReconciliationRun.State.RUNNING)
    return {asset: done.filter(asset=asset).first() for asset in ("BTC", "ETH")}


def own_proof(loan: Loan, published: CollateralProof) -> dict[str, Any] | None:
    """The file that `docs/verify_collateral.py` reads, for one loan; None if it is not in that proof.

    It holds the salt: for the loan's borrower and the desk alone. Two queries and some hundred leaves, however many
    there are.
    """
    row = ProofLeaf.objects.filter(proof=published, loan=loan).first()
    if row is None:
        return None
    return {
        "version": published.version,
        "count": published.leaf_count,
        "leaf": {
            "salt": row.salt,
            "reference": loan.reference,
            "sats": int(row.btc_sats),
            "wei": str(row.eth_wei),
        },
        "path": [
            {
                "side": "left" if step.is_left else "right",
                "hash": step.node.hash.hex(),
                "sats": step.node.sats,
                "wei": str(step.node.wei),
            }
            for step in _path(published, row)
        ],
    }


def is_proven(loan: Loan, published: CollateralProof) -> bool:
    """What the borrower's page says: the path was computed and leads to the published commitment."""
    row = ProofLeaf.objects.filter(proof=published, loan=loan).select_related("loan").first()
    return row is not None and proof.verify(
        start=_node(row),
        steps=_path(published, row),
        count=published.leaf_count,
        expected=bytes.fromhex(published.commitment),
    )


def _path(published: CollateralProof, row: ProofLeaf) -> list[proof.Step]:
    kept = bytes(published.cut)
    count = published.leaf_count
    numbers = proof.leaves_beneath(count=count, number=row.number, kept=len(proof.upper_nodes(kept)))
    rows = ProofLeaf.objects.filter(proof=published, number__in=numbers).select_related("loan")
    return proof.path_from_cut(
        count=count, number=row.number, kept=kept, leaves={each.number: _node(each) for each in rows}
    )


def _node(row: ProofLeaf) -> proof.Node:
    return proof.leaf(
        salt=bytes.fromhex(row.salt), reference=row.loan.reference, sats=int(row.btc_sats), wei=int(row.eth_wei)
    )
