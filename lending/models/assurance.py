"""Does what we say stand on the chains? Runs of the daily comparison, and the published proofs of collateral."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from chain.models import UnitsField
from lending.models.terms import Asset


class ReconciliationRun(models.Model):
    """One comparison of one asset's ledger with its network. Kept for ever; a difference opens an incident."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        AGREED = "agreed", _("Agrees")
        DIFFERED = "differed", _("Differs")
        UNANSWERED = "unanswered", _("Could not be compared")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.RUNNING: {State.AGREED, State.DIFFERED, State.UNANSWERED},
        State.AGREED: set(),
        State.DIFFERED: set(),
        State.UNANSWERED: set(),
    }

    asset = models.CharField(_("asset"), max_length=3, choices=Asset.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    block_height = models.PositiveBigIntegerField(null=True, blank=True)
    block_hash = models.CharField(max_length=66, blank=True)
    loans = models.PositiveIntegerField(default=0, help_text="loans compared")
    ledger_units = UnitsField(default=0, help_text="in custody by the ledger")
    held_units = UnitsField(default=0, help_text="there, but not counted: deposits that are held or still open")
    moving_units = UnitsField(default=0, help_text="left already, not yet final")
    chain_units = UnitsField(default=0, help_text="found")
    differences = models.JSONField(default=list, help_text="loan, expected, found; the first 200")
    detail = models.CharField(max_length=300, blank=True)
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("comparison with the chain")
        verbose_name_plural = _("comparisons with the chain")
        indexes = [models.Index(fields=["asset", "-id"], name="lending_reconciliation_newest")]

    def __str__(self) -> str:
        return f"{self.asset} {self.started_at:%Y-%m-%d} {self.state}"


class CollateralProof(models.Model):
    """A published Merkle-sum tree over the collateral of every loan (docs/decisions/032-collateral.md). Never changed.

    `cut` holds the tree's upper nodes, so that a path is made from some hundred leaves and not from all of them.
    """

    version = models.PositiveSmallIntegerField(default=1, help_text="of the tree's format")
    leaf_count = models.PositiveIntegerField()
    root = models.CharField(max_length=64, help_text="hash of the topmost node")
    commitment = models.CharField(max_length=64, unique=True, help_text="hash of count, root and totals")
    btc_sats = models.BigIntegerField(help_text="total owed back")
    eth_wei = UnitsField(help_text="total owed back")
    cut = models.BinaryField()
    btc_height = models.PositiveBigIntegerField(null=True, blank=True)
    btc_block = models.CharField(max_length=66, blank=True)
    btc_found = models.BigIntegerField(null=True, blank=True, help_text="satoshi on the listed addresses at that block")
    btc_addresses = models.JSONField(default=list)
    eth_height = models.PositiveBigIntegerField(null=True, blank=True)
    eth_block = models.CharField(max_length=66, blank=True)
    eth_found = UnitsField(null=True, blank=True, help_text="wei in the vault at that block")
    eth_vault = models.CharField(max_length=42, blank=True)
    is_covered = models.BooleanField(help_text="at least the totals were found")
    made_at = models.DateTimeField(auto_now_add=True)
    made_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-id"]
        verbose_name = _("proof of collateral")
        verbose_name_plural = _("proofs of collateral")
        constraints = [
            models.CheckConstraint(
                condition=Q(btc_sats__gte=0, eth_wei__gte=0, leaf_count__gt=0), name="lending_proof_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.made_at:%Y-%m-%d %H:%M} {self.commitment[:12]}"


class ProofLeaf(models.Model):
    """One loan in a proof. The salt is told to its borrower alone: without it nobody can guess a leaf."""

    proof = models.ForeignKey(CollateralProof, on_delete=models.PROTECT, related_name="leaves")
    number = models.PositiveIntegerField(help_text="from 0, in random order")
    loan = models.ForeignKey("lending.Loan", on_delete=models.PROTECT, related_name="proof_leaves")
    salt = models.CharField(max_length=64)
    btc_sats = models.BigIntegerField()
    eth_wei = UnitsField()

    class Meta:
        ordering = ["proof", "number"]
        verbose_name = _("leaf of a proof")
        verbose_name_plural = _("leaves of a proof")
        constraints = [
            models.UniqueConstraint(fields=["proof", "number"], name="lending_leaf_number"),
            models.UniqueConstraint(fields=["loan", "proof"], name="lending_leaf_loan"),
            models.CheckConstraint(condition=Q(btc_sats__gte=0, eth_wei__gte=0), name="lending_leaf_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.proof_id} {self.number}"
