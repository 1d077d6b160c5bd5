"""The verified person, their wallets, and what officers signed and asked of the chain about them."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chain.models import AddressField, UnitsField
from kyc.models.application import PartyKind, RiskRating


def new_subject() -> str:
    """A random 32-byte reference, 0x-hex. It says nothing about the person (CONTRACTS: no personal data on chain)."""
    return "0x" + secrets.token_bytes(32).hex()


class Party(models.Model):
    """The person or company behind an account, as last verified by two officers."""

    user = models.OneToOneField("portal.User", on_delete=models.PROTECT, related_name="party")
    kind = models.CharField(_("kind"), max_length=12, choices=PartyKind.choices)
    name = models.CharField(_("name"), max_length=200)
    name_kana = models.CharField(_("name in katakana"), max_length=200, blank=True)
    name_romaji = models.CharField(_("name in Latin letters"), max_length=200, blank=True)
    postal_code = models.CharField(_("postal code"), max_length=10, blank=True)
    address = models.CharField(_("address"), max_length=300, help_text="for the register (Companies Act art. 681)")
    subject = models.CharField(max_length=66, unique=True, default=new_subject, editable=False)
    is_qii = models.BooleanField(_("qualified institutional investor"), default=False)
    is_verified = models.BooleanField(default=False, help_text="its soulbound token is effective")
    verified_on = models.DateField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("verified person")
        verbose_name_plural = _("verified persons")

    def __str__(self) -> str:
        return self.name

    @property
    def subject_bytes(self) -> bytes:
        return bytes.fromhex(self.subject[2:])


class Wallet(models.Model):
    """An address of a person. `signer` is set when we keep the key for them."""

    class Kind(models.TextChoices):
        CUSTODY = "custody", _("Kept for you")
        OWN = "own", _("Your own wallet")

    user = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="wallets")
    address = AddressField(unique=True)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    signer = models.OneToOneField(
        "chain.Signer", null=True, blank=True, on_delete=models.PROTECT, related_name="wallet"
    )
    is_primary = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-is_primary", "id"]
        constraints = [
            models.UniqueConstraint(fields=["user"], condition=Q(is_primary=True), name="kyc_wallet_one_primary"),
            models.CheckConstraint(
                condition=Q(kind="custody", signer__isnull=False) | Q(kind="own", signer__isnull=True),
                name="kyc_wallet_signer_matches_kind",
            ),
        ]
        verbose_name = _("wallet")
        verbose_name_plural = _("wallets")

    def __str__(self) -> str:
        return str(self.address)


class OfficerKey(models.Model):
    """The ATTESTOR address of an officer: their own wallet, or (demo only) a key this server holds for them."""

    user = models.OneToOneField("portal.User", on_delete=models.PROTECT, related_name="officer_key")
    address = AddressField(unique=True)
    signer = models.OneToOneField("chain.Signer", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("officer key")
        verbose_name_plural = _("officer keys")

    def __str__(self) -> str:
        return f"{self.user} {self.address}"


class AttestationRecord(models.Model):
    """What an officer was shown to sign (EIP-712), and the signature once it is there. Signed rows never change."""

    class Purpose(models.TextChoices):
        ISSUE = "issue", _("Issue")
        RENEW = "renew", _("Renewal")
        WALLET = "wallet", _("Further wallet")

    application = models.ForeignKey("kyc.Application", on_delete=models.PROTECT, related_name="attestations")
    purpose = models.CharField(max_length=8, choices=Purpose.choices)
    officer = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    holder = AddressField()
    subject = models.CharField(max_length=66)
    categories = models.IntegerField()
    expires_at = models.BigIntegerField(help_text="Unix seconds")
    evidence_hash = models.CharField(max_length=66)
    nonce = UnitsField(unique=True)
    deadline = models.BigIntegerField(help_text="Unix seconds")
    attestor = AddressField(null=True, blank=True)
    signature = models.BinaryField(null=True, blank=True)
    reason = models.TextField(blank=True, help_text="of a renewal")
    risk_rating = models.CharField(max_length=8, choices=RiskRating.choices, blank=True, help_text="of a renewal")
    created_at = models.DateTimeField(auto_now_add=True)
    signed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(signature__isnull=True, attestor__isnull=True, signed_at__isnull=True)
                | Q(signature__isnull=False, attestor__isnull=False, signed_at__isnull=False),
                name="kyc_attestation_signed_whole",
            ),
        ]
        verbose_name = _("attestation")
        verbose_name_plural = _("attestations")

    def __str__(self) -> str:
        return f"{self.purpose} {self.application_id}"

    @property
    def expires_on(self) -> datetime:
        """When the token ends that rests on this."""
        return datetime.fromtimestamp(self.expires_at, UTC)

    @property
    def deadline_at(self) -> datetime:
        return datetime.fromtimestamp(self.deadline, UTC)


class LifecycleStep(models.Model):
    """One thing asked of the chain about a person's token, with who asked, why, and the transaction that carries it."""

    class Kind(models.TextChoices):
        ISSUE = "issue", _("Issue")
        RENEW = "renew", _("Renew")
        SUSPEND = "suspend", _("Suspend")
        REINSTATE = "reinstate", _("Reinstate")
        REVOKE = "revoke", _("Revoke")

    class Outcome(models.TextChoices):
        OPEN = "open", _("In progress")
        DONE = "done", _("In a block")
        FINAL = "final", _("Final")
        FAILED = "failed", _("Failed")

    application = models.ForeignKey("kyc.Application", on_delete=models.PROTECT, related_name="steps")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    outcome = models.CharField(max_length=6, choices=Outcome.choices, default=Outcome.OPEN)
    from_state = models.CharField(max_length=16, help_text="of the application; where a failure leads back to")
    reason = models.TextField(blank=True)
    requested_by = models.ForeignKey(
        "portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="null: a task"
    )
    attestation = models.ForeignKey(
        AttestationRecord, null=True, blank=True, on_delete=models.PROTECT, related_name="steps"
    )
    transaction = models.OneToOneField(
        "chain.ChainTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    failure = models.CharField(max_length=200, blank=True, help_text="decoded reason")
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["application"], condition=Q(outcome="open"), name="kyc_step_one_open"),
        ]
        verbose_name = _("step of a verification token")
        verbose_name_plural = _("steps of verification tokens")

    def __str__(self) -> str:
        return f"{self.kind} {self.application_id} {self.outcome}"

    @property
    def cause(self) -> str:
        """The reason for officers; what the portal itself wrote, in the reader's language."""
        return gettext(self.reason) if self.reason and self.requested_by_id is None else self.reason
