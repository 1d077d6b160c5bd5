"""Sanctions lists as loaded, the runs that searched them, and what two people made of each hit."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class SanctionsList(models.Model):
    """One published version of one list. Never changed; a newer one becomes current."""

    class Kind(models.TextChoices):
        OFAC = "ofac", _("OFAC specially designated nationals")

    kind = models.CharField(max_length=12, choices=Kind.choices)
    name = models.CharField(max_length=120)
    published_on = models.DateField()
    sha256 = models.CharField(max_length=64, help_text="over all files of the set, in their order")
    is_sample = models.BooleanField(default=False, help_text="invented entries, for the demo and tests")
    is_current = models.BooleanField(default=True)
    entry_count = models.IntegerField(default=0)
    name_count = models.IntegerField(default=0)
    wallet_count = models.IntegerField(default=0)
    loaded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "sha256"], name="kyc_list_version"),
            models.UniqueConstraint(fields=["kind"], condition=Q(is_current=True), name="kyc_list_one_current"),
        ]
        verbose_name = _("sanctions list")
        verbose_name_plural = _("sanctions lists")

    def __str__(self) -> str:
        return f"{self.name} {self.published_on}"


class SanctionsEntry(models.Model):
    """One listed person, company or vessel."""

    sanctions_list = models.ForeignKey(SanctionsList, on_delete=models.PROTECT, related_name="entries")
    number = models.BigIntegerField(help_text="the list's own entity number; sdn, alt and add are joined on it")
    name = models.CharField(max_length=400)
    kind = models.CharField(max_length=20, blank=True, help_text="individual, vessel, aircraft; empty: an entity")
    program = models.CharField(max_length=200, blank=True)
    title = models.CharField(max_length=300, blank=True)
    remarks = models.TextField(blank=True)
    birth_dates = ArrayField(models.CharField(max_length=10), default=list, help_text="YYYY, YYYY-MM or YYYY-MM-DD")
    countries = ArrayField(models.CharField(max_length=60), default=list)
    addresses = ArrayField(models.TextField(), default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sanctions_list", "number"], name="kyc_entry_number")]
        verbose_name = _("sanctions list entry")
        verbose_name_plural = _("sanctions list entries")

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


class SanctionsName(models.Model):
    """A name or alias of an entry, beside the form in which it is compared."""

    entry = models.ForeignKey(SanctionsEntry, on_delete=models.CASCADE, related_name="names")
    name = models.CharField(max_length=400)
    normalised = models.CharField(max_length=400)
    kind = models.CharField(max_length=8, help_text="name, aka, fka, nka")

    class Meta:
        verbose_name = _("listed name")
        verbose_name_plural = _("listed names")

    def __str__(self) -> str:
        return self.name


class SanctionsWallet(models.Model):
    """A "Digital Currency Address" in an entry's remarks."""

    entry = models.ForeignKey(SanctionsEntry, on_delete=models.CASCADE, related_name="wallets")
    currency = models.CharField(max_length=8)
    address = models.CharField(max_length=120)
    address_key = models.CharField(max_length=120, db_index=True, help_text="lower case where case carries nothing")

    class Meta:
        verbose_name = _("listed wallet")
        verbose_name_plural = _("listed wallets")

    def __str__(self) -> str:
        return f"{self.currency} {self.address}"


class ScreeningRun(models.Model):
    """One search of one list for one application (the person, the representative, every beneficial owner)."""

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        DONE = "done", _("Finished")
        FAILED = "failed", _("Failed")

    TRANSITIONS = {
        State.PENDING: {State.DONE, State.FAILED},
        State.FAILED: {State.DONE, State.FAILED},
        State.DONE: set(),
    }

    class Cause(models.TextChoices):
        SUBMISSION = "submission", _("Application submitted")
        LIST_CHANGE = "list_change", _("List changed")
        REQUEST = "request", _("Asked for by an officer")

    application = models.ForeignKey("kyc.Application", on_delete=models.PROTECT, related_name="screening_runs")
    sanctions_list = models.ForeignKey(SanctionsList, on_delete=models.PROTECT, related_name="runs")
    list_name = models.CharField(max_length=120)
    list_published_on = models.DateField()
    list_sha256 = models.CharField(max_length=64)
    round = models.IntegerField(help_text="of the application's answers")
    cause = models.CharField(max_length=12, choices=Cause.choices)
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    threshold = models.IntegerField(null=True, blank=True, help_text="0 to 100, from the rule in force")
    rule_version = models.CharField(max_length=40, blank=True)
    names_searched = models.IntegerField(default=0)
    error = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["application", "sanctions_list", "round"], name="kyc_run_once_per_round"),
        ]
        indexes = [models.Index(fields=["id"], condition=~Q(state="done"), name="kyc_run_unfinished")]
        verbose_name = _("screening run")
        verbose_name_plural = _("screening runs")

    def __str__(self) -> str:
        return f"{self.list_name} {self.application_id} {self.state}"


class ScreeningHit(models.Model):
    """A listed name close to one of ours. Two different people decide what it is."""

    class State(models.TextChoices):
        OPEN = "open", _("Undecided")
        PROPOSED = "proposed", _("Waiting for the second officer")
        CLEARED = "cleared", _("Not the same person")
        CONFIRMED = "confirmed", _("Same person")

    TRANSITIONS = {
        State.OPEN: {State.PROPOSED},
        State.PROPOSED: {State.CLEARED, State.CONFIRMED, State.OPEN},
        State.CLEARED: set(),
        State.CONFIRMED: set(),
    }
    UNDECIDED = (State.OPEN, State.PROPOSED)

    class Who(models.TextChoices):
        APPLICANT = "applicant", _("Applicant")
        REPRESENTATIVE = "representative", _("Representative")
        OWNER = "owner", _("Beneficial owner")
        WALLET = "wallet", _("Wallet address")

    run = models.ForeignKey(ScreeningRun, on_delete=models.PROTECT, related_name="hits")
    application = models.ForeignKey("kyc.Application", on_delete=models.PROTECT, related_name="hits")
    entry = models.ForeignKey(SanctionsEntry, on_delete=models.PROTECT, related_name="+")
    who = models.CharField(max_length=16, choices=Who.choices)
    subject_name = models.CharField(max_length=200, help_text="the variant of ours that matched")
    listed_name = models.CharField(max_length=400)
    score = models.IntegerField(help_text="0 to 100")
    explanation = models.JSONField(help_text="tokens that matched and what else supported or contradicted")
    fingerprint = models.CharField(
        max_length=64, db_index=True, help_text="same person against the same entry: a cleared one is not asked again"
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    proposed = models.CharField(max_length=10, blank=True, help_text="cleared or confirmed")
    proposed_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    proposed_reason = models.TextField(blank=True)
    proposed_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    decided_reason = models.TextField(blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    carried_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-score", "id"]
        constraints = [
            models.UniqueConstraint(fields=["run", "fingerprint"], name="kyc_hit_once_per_run"),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("proposed_by")), name="kyc_hit_two_people"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["open", "proposed"])
                | Q(decided_by__isnull=False, proposed_by__isnull=False)
                | Q(carried_from__isnull=False),
                name="kyc_hit_decided_by_two",
            ),
        ]
        indexes = [
            models.Index(fields=["application", "state"], name="kyc_hit_application"),
        ]
        verbose_name = _("screening hit")
        verbose_name_plural = _("screening hits")

    def __str__(self) -> str:
        return f"{self.subject_name} ~ {self.listed_name} {self.score}"
