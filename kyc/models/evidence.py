"""Documents that prove who somebody is: the row says what and where, the bytes lie encrypted outside the database."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class Evidence(models.Model):
    """One uploaded document. `kyc.evidence` alone reads and writes the bytes behind it."""

    class Kind(models.TextChoices):
        LICENCE = "licence", _("Driving licence")
        PASSPORT = "passport", _("Passport")
        MY_NUMBER_CARD = "my_number_card", _("My Number card (front)")
        RESIDENCE_CARD = "residence_card", _("Residence card")
        PORTRAIT = "portrait", _("Photograph of your face")
        ADDRESS_PROOF = "address_proof", _("Proof of address")
        IC_CHIP = "ic_chip", _("IC chip reading record")
        JPKI = "jpki", _("Public key certificate (JPKI) verification record")
        REGISTRY = "registry", _("Certificate of registered matters")
        SEAL = "seal", _("Seal certificate")
        OWNERS = "owners", _("Declaration of beneficial owners")
        QII_NOTICE = "qii_notice", _("Notice of qualified institutional investor status")
        AUTHORITY = "authority", _("Proof of the representative's authority")
        OTHER = "other", _("Other document")

    class Method(models.TextChoices):
        """How the identity is verified by it; what counts when is a `DatedRule`."""

        IMAGE = "image", _("Image of a document")
        IC_CHIP = "ic_chip", _("IC chip")
        JPKI = "jpki", _("Public key certificate")
        REGISTRY = "registry", _("Public registry")
        SUPPORTING = "supporting", _("Supporting document")

    class State(models.TextChoices):
        STORED = "stored", _("Received")
        SENT_BACK = "sent_back", _("Sent back")
        REPLACED = "replaced", pgettext_lazy("document", "Replaced")
        DELETED = "deleted", _("Deleted after the retention period")

    METHOD_OF = {
        Kind.LICENCE: Method.IMAGE,
        Kind.PASSPORT: Method.IMAGE,
        Kind.MY_NUMBER_CARD: Method.IMAGE,
        Kind.RESIDENCE_CARD: Method.IMAGE,
        Kind.PORTRAIT: Method.SUPPORTING,
        Kind.ADDRESS_PROOF: Method.SUPPORTING,
        Kind.IC_CHIP: Method.IC_CHIP,
        Kind.JPKI: Method.JPKI,
        Kind.REGISTRY: Method.REGISTRY,
        Kind.SEAL: Method.SUPPORTING,
        Kind.OWNERS: Method.SUPPORTING,
        Kind.QII_NOTICE: Method.SUPPORTING,
        Kind.AUTHORITY: Method.SUPPORTING,
        Kind.OTHER: Method.SUPPORTING,
    }
    TRANSITIONS = {
        State.STORED: {State.SENT_BACK, State.REPLACED, State.DELETED},
        State.SENT_BACK: {State.REPLACED, State.STORED, State.DELETED},
        State.REPLACED: {State.DELETED},
        State.DELETED: set(),
    }

    application = models.ForeignKey("kyc.Application", on_delete=models.PROTECT, related_name="evidence")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    method = models.CharField(max_length=12, choices=Method.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.STORED)
    file_name = models.CharField(max_length=160, help_text="as the applicant called it; never used as a path")
    content_type = models.CharField(max_length=40, help_text="by content, not by name")
    size_bytes = models.IntegerField()
    sha256 = models.CharField(max_length=64)
    storage_name = models.CharField(max_length=64, unique=True, help_text="random; under PRIVATE_ROOT")
    wrapped_key = models.BinaryField(help_text="the file's data key, wrapped by a key of EVIDENCE_KEYS")
    key_id = models.CharField(max_length=16, help_text="which key wrapped it", db_index=True)
    rule_version = models.CharField(max_length=40, help_text="of the verification rule when it was received")
    rule_effective_from = models.DateField()
    sent_back_reason = models.TextField(blank=True)
    replaced_by = models.OneToOneField("self", null=True, blank=True, on_delete=models.PROTECT, related_name="replaces")
    uploaded_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            # The same file sent twice (double click, replayed form) is one row.
            models.UniqueConstraint(
                fields=["application", "kind", "sha256"],
                condition=Q(state="stored"),
                name="kyc_evidence_once",
            ),
            models.CheckConstraint(condition=Q(size_bytes__gt=0), name="kyc_evidence_not_empty"),
        ]
        verbose_name = _("evidence")
        verbose_name_plural = _("evidence")

    def __str__(self) -> str:
        return f"{self.kind} {self.application_id}"
