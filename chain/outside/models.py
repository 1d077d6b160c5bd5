"""What is expected from a wallet whose key we do not hold, and what became of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from chain.models import AddressField


class OutsideTransaction(models.Model):
    """One call that one address is to make by itself. It counts once, whatever hash it comes under in the end.

    Recognised by sender, target and calldata, and by a nonce that was not used when it was asked for.
    """

    class State(models.TextChoices):
        AWAITED = "awaited", _("Waiting for your wallet")
        CLAIMED = "claimed", _("Reported, not seen yet")
        BROADCAST = "broadcast", _("Submitted")
        MINED = "mined", _("In a block, not final yet")
        FINAL = "final", _("Final")
        REVERTED = "reverted", _("Refused by the contract")
        REPLACED = "replaced", _("Replaced by another transaction of the wallet")
        WITHDRAWN = "withdrawn", _("Given up before it was sent")

    TRANSITIONS: ClassVar[Mapping[str, Collection[str]]] = {
        State.AWAITED: {State.CLAIMED, State.BROADCAST, State.WITHDRAWN},
        # Back to AWAITED: it was another transaction, or no node ever saw it.
        State.CLAIMED: {State.BROADCAST, State.AWAITED},
        # Back to AWAITED: the network dropped it; the wallet may send it again.
        State.BROADCAST: {State.MINED, State.REVERTED, State.REPLACED, State.AWAITED},
        State.MINED: {State.FINAL, State.BROADCAST, State.REVERTED},
        State.REVERTED: {State.BROADCAST, State.MINED},
        State.FINAL: set(),
        State.REPLACED: set(),
        # Signed after all, in another window.
        State.WITHDRAWN: {State.CLAIMED, State.BROADCAST},
    }
    IN_BLOCK = (State.MINED, State.REVERTED)
    UNSENT = (State.AWAITED, State.WITHDRAWN)

    chain_id = models.BigIntegerField()
    sender = AddressField()
    to = AddressField()
    data = models.BinaryField()
    first_nonce = models.BigIntegerField(
        help_text="of the sender when it was asked for; what is older is something else"
    )
    purpose = models.CharField(max_length=60, help_text="names the follow-up, e.g. tokens.own_transfer")
    subject = models.CharField(max_length=80, help_text="what it serves, e.g. tokens.transfer:12")
    state = models.CharField(max_length=10, choices=State.choices, default=State.AWAITED)
    hash = models.CharField(max_length=66, blank=True)
    nonce = models.BigIntegerField(null=True, blank=True)
    block_number = models.BigIntegerField(null=True, blank=True)
    block_hash = models.CharField(max_length=66, blank=True)
    is_settled = models.BooleanField(default=False, help_text="no reorganisation can change it")
    error_code = models.CharField(max_length=120, blank=True)
    missing_since = models.DateTimeField(null=True, blank=True, help_text="the node does not know the hash")
    created_at = models.DateTimeField(auto_now_add=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    mined_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "chain"
        verbose_name = _("transaction of a person's own wallet")
        verbose_name_plural = _("transactions of people's own wallets")
        constraints = [
            models.UniqueConstraint(fields=["chain_id", "hash"], condition=~Q(hash=""), name="chain_outside_hash"),
            models.CheckConstraint(
                condition=Q(state__in=["awaited", "withdrawn"], hash="")
                | ~Q(state__in=["awaited", "withdrawn"]) & ~Q(hash=""),
                name="chain_outside_hash_matches_state",
            ),
            models.CheckConstraint(
                condition=Q(nonce__isnull=False) | Q(state__in=["awaited", "withdrawn", "claimed"]),
                name="chain_outside_nonce_matches_state",
            ),
        ]
        indexes = [
            models.Index(fields=["sender", "id"], condition=Q(is_settled=False), name="chain_outside_unsettled"),
            models.Index(fields=["subject"], name="chain_outside_subject"),
        ]

    @property
    def is_under_way(self) -> bool:
        """The node has shown it: it is being sent, or in a block and not refused."""
        return self.state in (self.State.BROADCAST, self.State.MINED, self.State.FINAL)

    def __str__(self) -> str:
        return f"{self.subject} {self.state}"
