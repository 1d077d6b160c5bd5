"""Who may borrow how much: the application, what officers decided about it, and the line it became."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from lending.models.terms import BorrowerKind, Currency, MoneyField


class CreditApplication(models.Model):
    """One verified person's or company's request for a credit line. Two officers decide; nobody decides their own."""

    class State(models.TextChoices):
        SUBMITTED = "submitted", _("Waiting for an officer")
        IN_REVIEW = "in_review", _("In review")
        SENT_BACK = "sent_back", _("Sent back")
        APPROVED_FIRST = "approved_first", _("Waiting for the second officer")
        APPROVED = "approved", _("Approved")
        DECLINED = "declined", pgettext_lazy("credit", "Declined")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.SUBMITTED: {State.IN_REVIEW, State.WITHDRAWN},
        State.IN_REVIEW: {State.SUBMITTED, State.SENT_BACK, State.APPROVED_FIRST, State.DECLINED, State.WITHDRAWN},
        State.SENT_BACK: {State.SUBMITTED, State.WITHDRAWN},
        State.APPROVED_FIRST: {State.APPROVED, State.IN_REVIEW, State.WITHDRAWN},
        State.APPROVED: set(),
        State.DECLINED: set(),
        State.WITHDRAWN: set(),
    }
    OPEN = (State.SUBMITTED, State.IN_REVIEW, State.SENT_BACK, State.APPROVED_FIRST)
    WITH_OFFICERS = (State.SUBMITTED, State.IN_REVIEW, State.APPROVED_FIRST)

    class Purpose(models.TextChoices):
        REAL_ESTATE = "real_estate", _("Buying or building real estate")
        BUSINESS = "business", _("Business")
        INVESTMENT = "investment", _("Investment")
        TAX = "tax", _("Tax payment")
        LIVING = "living", _("Living and education")
        OTHER = "other", _("Other")

    applicant = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="credit_applications")
    subject = models.CharField(max_length=66, help_text="the legal person (kyc party) behind the account")
    borrower_kind = models.CharField(_("kind of borrower"), max_length=12, choices=BorrowerKind.choices)
    currency = models.CharField(_("currency"), max_length=3, choices=Currency.choices)
    amount = MoneyField(_("credit line asked for"))
    purpose = models.CharField(_("purpose"), max_length=12, choices=Purpose.choices)
    purpose_detail = models.CharField(_("details of the purpose"), max_length=300, blank=True)
    annual_income = MoneyField(_("yearly income"), null=True, blank=True, help_text=_("In the currency of the line."))
    income_year = models.PositiveSmallIntegerField(_("year of the income"), null=True, blank=True)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.SUBMITTED)
    round = models.PositiveIntegerField(default=1, help_text="grows when it is sent in again; decisions belong to one")
    assigned_to = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    message = models.TextField(blank=True, help_text="what the applicant has to add")
    created_at = models.DateTimeField(auto_now_add=True)
    submitted_at = models.DateTimeField()
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("credit application")
        verbose_name_plural = _("credit applications")
        constraints = [
            models.UniqueConstraint(
                fields=["applicant", "currency"],
                condition=Q(state__in=["submitted", "in_review", "sent_back", "approved_first"]),
                name="lending_application_one_open",
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="lending_application_amount_positive"),
            models.CheckConstraint(
                condition=Q(annual_income__isnull=True) | Q(annual_income__gte=0),
                name="lending_application_income_not_negative",
            ),
            models.CheckConstraint(
                condition=~Q(assigned_to=F("applicant")), name="lending_application_not_own_reviewer"
            ),
        ]
        indexes = [models.Index(fields=["state", "submitted_at"], name="lending_application_queue")]

    def __str__(self) -> str:
        return f"#{self.pk} {self.amount} {self.currency}"


class IncomeEvidence(models.Model):
    """A document that shows income or purpose, checked by content and kept encrypted (kyc.storage)."""

    class Kind(models.TextChoices):
        WITHHOLDING = "withholding", _("Withholding slip")
        TAX_RETURN = "tax_return", _("Tax return")
        TAX_CERTIFICATE = "tax_certificate", _("Tax certificate")
        STATEMENTS = "statements", _("Financial statements")
        REAL_ESTATE = "real_estate", _("Real-estate contract")
        OTHER = "other", _("Other document")

    application = models.ForeignKey(CreditApplication, on_delete=models.PROTECT, related_name="evidence")
    kind = models.CharField(_("kind of document"), max_length=16, choices=Kind.choices)
    sha256 = models.CharField(max_length=64)
    content_type = models.CharField(max_length=40)
    size = models.PositiveIntegerField()
    storage_name = models.CharField(max_length=80, unique=True)
    wrapped_key = models.BinaryField()
    key_id = models.CharField(max_length=16)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("document of a credit application")
        verbose_name_plural = _("documents of credit applications")
        constraints = [
            models.UniqueConstraint(fields=["application", "sha256"], name="lending_evidence_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.application_id}"


class CreditDecision(models.Model):
    """What one officer decided in one round. Rows are only added."""

    class Verdict(models.TextChoices):
        APPROVE = "approve", _("Approve")
        DECLINE = "decline", pgettext_lazy("credit", "Decline")
        SEND_BACK = "send_back", _("Send back")

    application = models.ForeignKey(CreditApplication, on_delete=models.PROTECT, related_name="decisions")
    round = models.PositiveIntegerField()
    position = models.PositiveSmallIntegerField(help_text="1: proposes, 2: confirms")
    officer = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    amount = MoneyField(_("credit line"), null=True, blank=True)
    rate_bps = models.PositiveIntegerField(pgettext_lazy("loan", "interest rate"), null=True, blank=True)
    income_verified = MoneyField(_("income as verified"), null=True, blank=True)
    real_estate_exception = models.TextField(_("why the income cap does not bind"), blank=True)
    reason = models.TextField(_("reason"))
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("credit decision")
        verbose_name_plural = _("credit decisions")
        constraints = [
            # One person cannot be both of the two.
            models.UniqueConstraint(
                fields=["application", "round", "officer"],
                condition=Q(verdict="approve"),
                name="lending_decision_two_people",
            ),
            models.CheckConstraint(
                condition=~Q(verdict="approve") | Q(amount__gt=0, rate_bps__gt=0), name="lending_decision_complete"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.application_id}/{self.round}.{self.position} {self.verdict}"


class CreditLine(models.Model):
    """What two officers let one borrower owe at once in one currency, at which rate."""

    class State(models.TextChoices):
        ACTIVE = "active", pgettext_lazy("credit line", "Open")
        SUSPENDED = "suspended", _("Suspended")
        CLOSED = "closed", _("Closed")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.ACTIVE: {State.SUSPENDED, State.CLOSED},
        State.SUSPENDED: {State.ACTIVE, State.CLOSED},
        State.CLOSED: set(),
    }

    borrower = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="credit_lines")
    subject = models.CharField(max_length=66)
    borrower_kind = models.CharField(max_length=12, choices=BorrowerKind.choices)
    currency = models.CharField(_("currency"), max_length=3, choices=Currency.choices)
    amount = MoneyField(_("credit line"))
    rate_bps = models.PositiveIntegerField(pgettext_lazy("loan", "interest rate"), help_text="basis points a year")
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    application = models.OneToOneField(CreditApplication, on_delete=models.PROTECT, related_name="line")
    real_estate_exception = models.TextField(blank=True)
    first_officer = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    second_officer = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("credit line")
        verbose_name_plural = _("credit lines")
        constraints = [
            # By the legal person: a second account does not bring a second line.
            models.UniqueConstraint(
                fields=["subject", "currency"], condition=~Q(state="closed"), name="lending_line_one_open"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0, rate_bps__gt=0), name="lending_line_positive"),
            models.CheckConstraint(
                condition=~Q(first_officer=F("second_officer"))
                & ~Q(first_officer=F("borrower"))
                & ~Q(second_officer=F("borrower")),
                name="lending_line_two_people",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.amount} {self.currency}"
