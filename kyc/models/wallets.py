"""How a person shows that a wallet is theirs, and how it gets a verification token of its own."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from chain.models import AddressField


class WalletChallenge(models.Model):
    """A nonce somebody was asked to sign (EIP-4361). It is good for ten minutes, for one purpose, once."""

    class Purpose(models.TextChoices):
        LINK = "link", _("Add a wallet")
        SIGN_IN = "sign_in", _("Sign in")

    nonce = models.CharField(max_length=64, unique=True)
    purpose = models.CharField(max_length=8, choices=Purpose.choices)
    user = models.ForeignKey(
        "portal.User", null=True, blank=True, on_delete=models.CASCADE, related_name="+", help_text="of a link"
    )
    address = AddressField()
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(purpose="link", user__isnull=False) | Q(purpose="sign_in", user__isnull=True),
                name="kyc_challenge_user_matches_purpose",
            ),
        ]
        verbose_name = _("wallet challenge")
        verbose_name_plural = _("wallet challenges")

    def __str__(self) -> str:
        return f"{self.purpose} {self.address}"


class WalletRequest(models.Model):
    """A verified person's further wallet on its way to a verification token of its own, and its renewals.

    The token carries the same subject as the person's first one; an officer attests it as any other.
    """

    class State(models.TextChoices):
        REQUESTED = "requested", _("Waiting for an officer's signature")
        ISSUING = "issuing", _("Token being issued")
        IN_BLOCK = "in_block", _("In a block, not final yet")
        FINAL = "final", _("Token issued")
        FAILED = "failed", _("Could not be issued")
        DECLINED = "declined", _("Declined")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.REQUESTED: {State.ISSUING, State.DECLINED},
        State.ISSUING: {State.IN_BLOCK, State.FINAL, State.FAILED},
        # Back to ISSUING by a reorganisation.
        State.IN_BLOCK: {State.ISSUING, State.FINAL, State.FAILED},
        State.FAILED: {State.ISSUING, State.IN_BLOCK, State.FINAL, State.DECLINED},
        # The person was verified anew: the token needs a fresh attestation.
        State.FINAL: {State.REQUESTED},
        State.DECLINED: {State.REQUESTED},
    }
    #: An officer has to do something.
    OPEN = (State.REQUESTED, State.FAILED)

    wallet = models.OneToOneField("kyc.Wallet", on_delete=models.PROTECT, related_name="request")
    state = models.CharField(max_length=10, choices=State.choices, default=State.REQUESTED)
    attempt = models.PositiveIntegerField(default=0)
    attestation = models.ForeignKey(
        "kyc.AttestationRecord", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    transaction = models.OneToOneField(
        "chain.ChainTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(_("reason"), blank=True, help_text="of a refusal")
    failure = models.CharField(max_length=200, blank=True, help_text="decoded reason")
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=["requested", "failed"]), name="kyc_wallet_request_open"),
        ]
        verbose_name = _("request for a wallet's token")
        verbose_name_plural = _("requests for wallets' tokens")

    def __str__(self) -> str:
        return f"{self.wallet_id} {self.state}"
