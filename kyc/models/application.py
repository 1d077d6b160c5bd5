"""An application, its answers, and what officers decided about it."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from kyc.validators import (
    validate_adult,
    validate_birth_date,
    validate_company_latin,
    validate_corporate_number,
    validate_country,
    validate_katakana,
    validate_latin,
    validate_phone,
)


class PartyKind(models.TextChoices):
    INDIVIDUAL = "individual", _("Individual")
    CORPORATE = "corporate", _("Company")


class Purpose(models.TextChoices):
    """Purpose of the transaction (Act on Prevention of Transfer of Criminal Proceeds, art. 4)."""

    LONG_TERM = "long_term", _("Long-term investment")
    SHORT_TERM = "short_term", _("Short-term investment")
    INCOME = "income", _("Interest income")
    SURPLUS = "surplus", _("Use of surplus funds")
    OTHER = "other", _("Other")


class Occupation(models.TextChoices):
    EMPLOYEE = "employee", _("Company employee")
    OFFICER = "officer", _("Company officer")
    PUBLIC_SERVANT = "public_servant", _("Public servant")
    SELF_EMPLOYED = "self_employed", _("Self-employed")
    PROFESSIONAL = "professional", _("Licensed professional")
    STUDENT = "student", _("Student")
    HOMEMAKER = "homemaker", _("Homemaker")
    RETIRED = "retired", _("Retired or not employed")
    OTHER = "other", _("Other")


class RiskRating(models.TextChoices):
    """How often the person is verified again (`DatedRule` review_period)."""

    LOW = "low", _("Low risk")
    MEDIUM = "medium", _("Medium risk")
    HIGH = "high", _("High risk")


class Application(models.Model):
    """One person's or company's way to a soulbound token, and the life of that token afterwards.

    Moved only by the services of `kyc.services`, one per arrow of `TRANSITIONS`, on the locked row.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        SUBMITTED = "submitted", _("Waiting for an officer")
        IN_REVIEW = "in_review", _("In review")
        SENT_BACK = "sent_back", _("Sent back")
        APPROVED_FIRST = "approved_first", _("Waiting for the second officer")
        APPROVED = "approved", _("Waiting for the signature")
        ATTESTED = "attested", _("Signed, not submitted")
        ISSUING = "issuing", _("Token being issued")
        PENDING = "pending", _("Issued, not yet effective")
        ACTIVE = "active", _("Verified")
        REJECTED = "rejected", _("Rejected")
        SUSPENDING = "suspending", _("Being suspended")
        SUSPENDED = "suspended", _("Suspended")
        REINSTATING = "reinstating", _("Being reinstated")
        REVOKING = "revoking", _("Being revoked")
        REVOKED = "revoked", _("Revoked")
        RENEWING = "renewing", _("Being renewed")
        EXPIRED = "expired", _("Expired")

    #: ISSUING and the …ING states wait for the chain; a refusal or a reorganisation leads back.
    TRANSITIONS = {
        State.DRAFT: {State.SUBMITTED},
        State.SUBMITTED: {State.IN_REVIEW},
        State.IN_REVIEW: {State.SUBMITTED, State.SENT_BACK, State.APPROVED_FIRST, State.REJECTED},
        State.SENT_BACK: {State.SUBMITTED},
        State.APPROVED_FIRST: {State.APPROVED, State.IN_REVIEW},
        State.APPROVED: {State.ATTESTED, State.IN_REVIEW},
        State.ATTESTED: {State.ISSUING, State.APPROVED, State.PENDING},
        State.ISSUING: {State.PENDING, State.ATTESTED},
        State.PENDING: {State.ACTIVE, State.ISSUING, State.ATTESTED, State.SUSPENDING},
        State.ACTIVE: {State.SUSPENDING, State.RENEWING, State.EXPIRED},
        State.SUSPENDING: {State.SUSPENDED, State.ACTIVE, State.PENDING, State.EXPIRED},
        State.SUSPENDED: {State.REINSTATING, State.REVOKING, State.SUSPENDING},
        State.REINSTATING: {State.PENDING, State.ACTIVE, State.EXPIRED, State.SUSPENDED},
        State.REVOKING: {State.REVOKED, State.SUSPENDED},
        State.REVOKED: {State.REVOKING},
        State.RENEWING: {State.ACTIVE, State.EXPIRED, State.PENDING},
        State.EXPIRED: {State.RENEWING, State.SUSPENDING},
        State.REJECTED: set(),
    }
    #: The applicant may change answers and evidence.
    EDITABLE = (State.DRAFT, State.SENT_BACK)
    #: Somebody at our side has to do something.
    WITH_OFFICERS = (State.SUBMITTED, State.IN_REVIEW, State.APPROVED_FIRST, State.APPROVED, State.ATTESTED)
    #: There is (or may be) a token on chain.
    ON_CHAIN = (
        State.ISSUING,
        State.PENDING,
        State.ACTIVE,
        State.SUSPENDING,
        State.SUSPENDED,
        State.REINSTATING,
        State.REVOKING,
        State.RENEWING,
        State.EXPIRED,
    )
    #: The relationship has ended; the years of retention count from here.
    CLOSED = (State.REJECTED, State.REVOKED)

    user = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="applications")
    kind = models.CharField(_("kind"), max_length=12, choices=PartyKind.choices)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.DRAFT)
    name = models.CharField(_("name"), max_length=200, blank=True, help_text="shown in lists; from the answers")
    qii_claim = models.BooleanField(_("qualified institutional investor"), null=True, blank=True)
    consents_at = models.DateTimeField(null=True, blank=True, help_text="declarations of the applicant were made")
    risk_rating = models.CharField(max_length=8, choices=RiskRating.choices, blank=True)
    assigned_to = models.ForeignKey(
        "portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="claimed_applications"
    )
    open_hits = models.IntegerField(default=0, help_text="screening hits nobody has finally decided")
    screening_ready = models.BooleanField(default=False, help_text="every current list was searched for these answers")
    round = models.IntegerField(default=1, help_text="grows with every submission; decisions belong to a round")
    next_review_on = models.DateField(null=True, blank=True, help_text="the token's expiry")
    effective_from = models.DateTimeField(null=True, blank=True, help_text="of the token, as indexed")
    verified_on = models.DateField(null=True, blank=True, help_text="the second officer's confirmation")
    verification_rule = models.ForeignKey(
        "kyc.DatedRule", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    problem = models.TextField(blank=True, help_text="why the last step on chain failed, for officers")
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=~Q(state__in=["rejected", "revoked"]), name="kyc_application_one_open"
            ),
            models.CheckConstraint(condition=Q(open_hits__gte=0), name="kyc_application_hits_not_negative"),
            models.CheckConstraint(
                condition=Q(assigned_to__isnull=True) | ~Q(assigned_to=F("user")),
                name="kyc_application_not_own_officer",
            ),
            # Nobody is let through with a hit open, whatever the code above says.
            models.CheckConstraint(
                condition=Q(open_hits=0, screening_ready=True)
                | ~Q(state__in=["approved_first", "approved", "attested"]),
                name="kyc_application_screened_before_approval",
            ),
            models.CheckConstraint(
                condition=Q(submitted_at__isnull=False) | Q(state="draft"), name="kyc_application_submitted_at"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "submitted_at", "id"], name="kyc_application_queue"),
            models.Index(fields=["submitted_at", "id"], name="kyc_application_age"),
            models.Index(fields=["assigned_to", "state", "submitted_at"], name="kyc_application_owner"),
            models.Index(fields=["submitted_at", "id"], condition=Q(open_hits__gt=0), name="kyc_application_hits"),
            models.Index(fields=["next_review_on"], condition=Q(state="active"), name="kyc_application_review_due"),
        ]
        verbose_name = _("application")
        verbose_name_plural = _("applications")

    def __str__(self) -> str:
        return f"{self.reference} {self.name}".strip()

    @property
    def reference(self) -> str:
        """What people call it on the telephone."""
        return f"K-{self.pk or 0:06d}"

    @property
    def kind_label(self) -> str:
        """The kind in words; see `state_label`."""
        return str(PartyKind(self.kind).label)

    @property
    def state_label(self) -> str:
        """The state in words. Long lists use it: `get_state_display` translates every state there is, for each row."""
        return str(self.State(self.state).label)

    @property
    def is_editable(self) -> bool:
        return self.state in self.EDITABLE

    @property
    def is_corporate(self) -> bool:
        return self.kind == PartyKind.CORPORATE


class SearchTerm(models.Model):
    """One writing of a name by which officers find an application, by its beginning."""

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="search_terms")
    text = models.CharField(max_length=200, db_index=True, help_text="lower case, tidied; kana read out too")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["application", "text"], name="kyc_search_term_once")]
        verbose_name = _("search term")
        verbose_name_plural = _("search terms")

    def __str__(self) -> str:
        return self.text


class IndividualDetails(models.Model):
    """Answers of a natural person. Normalised by `kyc.names` before they are stored; personal data: never logged."""

    application = models.OneToOneField(Application, on_delete=models.CASCADE, related_name="individual")
    family_name = models.CharField(_("family name"), max_length=80, blank=True)
    given_name = models.CharField(_("given name"), max_length=80, blank=True)
    family_kana = models.CharField(
        _("family name in katakana"), max_length=80, blank=True, validators=[validate_katakana]
    )
    given_kana = models.CharField(
        _("given name in katakana"), max_length=80, blank=True, validators=[validate_katakana]
    )
    family_romaji = models.CharField(
        _("family name in Latin letters"), max_length=80, blank=True, validators=[validate_latin]
    )
    given_romaji = models.CharField(
        _("given name in Latin letters"), max_length=80, blank=True, validators=[validate_latin]
    )
    birth_date = models.DateField(_("date of birth"), null=True, blank=True, validators=[validate_adult])
    nationality = models.CharField(_("nationality"), max_length=2, blank=True, validators=[validate_country])
    residence = models.CharField(_("country of residence"), max_length=2, blank=True, validators=[validate_country])
    postal_code = models.CharField(_("postal code"), max_length=10, blank=True)
    address = models.CharField(_("address"), max_length=300, blank=True)
    phone = models.CharField(_("telephone"), max_length=20, blank=True, validators=[validate_phone])
    purpose = models.CharField(_("purpose of the transactions"), max_length=12, choices=Purpose.choices, blank=True)
    purpose_other = models.CharField(_("purpose in your words"), max_length=200, blank=True)
    occupation = models.CharField(_("occupation"), max_length=16, choices=Occupation.choices, blank=True)
    employer = models.CharField(_("employer or trade name"), max_length=120, blank=True)
    source_of_funds = models.CharField(_("source of the funds"), max_length=200, blank=True)
    is_pep = models.BooleanField(_("politically exposed person"), null=True, blank=True)
    pep_detail = models.CharField(_("position and country"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("details of an individual")
        verbose_name_plural = _("details of individuals")

    def __str__(self) -> str:
        return f"{self.family_name} {self.given_name}".strip()


class CorporateDetails(models.Model):
    """Answers of a company. Same rules as `IndividualDetails`."""

    application = models.OneToOneField(Application, on_delete=models.CASCADE, related_name="corporate")
    name = models.CharField(_("registered name"), max_length=160, blank=True)
    name_kana = models.CharField(_("name in katakana"), max_length=160, blank=True, validators=[validate_katakana])
    name_romaji = models.CharField(
        _("name in Latin letters"), max_length=160, blank=True, validators=[validate_company_latin]
    )
    corporate_number = models.CharField(
        _("corporate number"), max_length=13, blank=True, validators=[validate_corporate_number]
    )
    country = models.CharField(_("country of registration"), max_length=2, blank=True, validators=[validate_country])
    postal_code = models.CharField(_("postal code"), max_length=10, blank=True)
    head_office = models.CharField(_("head office"), max_length=300, blank=True)
    phone = models.CharField(_("telephone"), max_length=20, blank=True, validators=[validate_phone])
    business = models.CharField(_("business"), max_length=300, blank=True)
    purpose = models.CharField(_("purpose of the transactions"), max_length=12, choices=Purpose.choices, blank=True)
    purpose_other = models.CharField(_("purpose in your words"), max_length=200, blank=True)
    source_of_funds = models.CharField(_("source of the funds"), max_length=200, blank=True)
    representative_name = models.CharField(_("representative"), max_length=160, blank=True)
    representative_kana = models.CharField(
        _("representative in katakana"), max_length=160, blank=True, validators=[validate_katakana]
    )
    representative_romaji = models.CharField(
        _("representative in Latin letters"), max_length=160, blank=True, validators=[validate_latin]
    )
    representative_title = models.CharField(_("title"), max_length=80, blank=True)
    representative_birth_date = models.DateField(
        _("representative's date of birth"), null=True, blank=True, validators=[validate_adult]
    )
    is_pep = models.BooleanField(_("politically exposed person among them"), null=True, blank=True)
    pep_detail = models.CharField(_("who, position and country"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("details of a company")
        verbose_name_plural = _("details of companies")

    def __str__(self) -> str:
        return self.name


class BeneficialOwner(models.Model):
    """A natural person who in the end owns or controls the company (DOMAIN §2). Screened like the company itself."""

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="owners")
    name = models.CharField(_("name"), max_length=160)
    name_kana = models.CharField(_("name in katakana"), max_length=160, blank=True, validators=[validate_katakana])
    name_romaji = models.CharField(_("name in Latin letters"), max_length=160, validators=[validate_latin])
    birth_date = models.DateField(_("date of birth"), validators=[validate_birth_date])
    nationality = models.CharField(_("nationality"), max_length=2, validators=[validate_country])
    address = models.CharField(_("address"), max_length=300)
    share_bps = models.IntegerField(_("share of votes"), help_text="hundredths of a percent; 0: controls otherwise")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(share_bps__gte=0, share_bps__lte=10000), name="kyc_owner_share_range"),
        ]
        verbose_name = _("beneficial owner")
        verbose_name_plural = _("beneficial owners")

    def __str__(self) -> str:
        return self.name


class Decision(models.Model):
    """What one officer decided in one round, and why. Rows are only added; `is_standing` alone may be taken away."""

    class Verdict(models.TextChoices):
        APPROVE = "approve", _("Approve")
        CONFIRM = "confirm", _("Approval confirmed")
        RETURN = "return", _("Return to the first officer")
        REJECT = "reject", _("Reject")
        SEND_BACK = "send_back", _("Send back")

    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="decisions")
    officer = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    round = models.IntegerField()
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    reason = models.TextField()
    evidence = models.ForeignKey("kyc.Evidence", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    is_standing = models.BooleanField(default=True, help_text="false: taken back, the round is decided anew")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            # Four eyes: one officer gives at most one of the two approvals of a round.
            models.UniqueConstraint(
                fields=["application", "round", "officer"],
                condition=Q(verdict__in=["approve", "confirm"], is_standing=True),
                name="kyc_decision_two_people",
            ),
        ]
        verbose_name = _("decision on an application")
        verbose_name_plural = _("decisions on applications")

    def __str__(self) -> str:
        return f"{self.verdict} {self.application_id}"
