"""A loan, its draws and repayments, and the documents that were made of it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from lending.models.terms import Asset, BorrowerKind, Currency, MoneyField


class Loan(models.Model):
    """One loan under a credit line. Moved only by services, on the locked row. What is owed is in the ledger."""

    class State(models.TextChoices):
        APPLIED = "applied", _("Applied for")
        APPROVED = "approved", _("Approved, contract to be accepted")
        COLLATERAL_PENDING = "collateral_pending", _("Waiting for collateral and the first draw")
        ACTIVE = "active", _("Running")
        MARGIN_CALLED = "margin_called", _("More collateral is called")
        IN_SALE = "in_sale", _("Collateral is being sold")
        REPAID = "repaid", _("Repaid")
        SOLD_OUT = "sold_out", _("Collateral sold, shortfall owed")
        WRITTEN_OFF = "written_off", _("Written off")
        DECLINED = "declined", pgettext_lazy("credit", "Declined")
        CANCELLED = "cancelled", _("Cancelled")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.APPLIED: {State.APPROVED, State.DECLINED, State.CANCELLED},
        State.APPROVED: {State.COLLATERAL_PENDING, State.CANCELLED},
        State.COLLATERAL_PENDING: {State.ACTIVE, State.CANCELLED},
        State.ACTIVE: {State.MARGIN_CALLED, State.IN_SALE, State.REPAID},
        State.MARGIN_CALLED: {State.ACTIVE, State.IN_SALE, State.REPAID},
        # Back to a call only if one stayed open: its borrower asked to repay with collateral meanwhile.
        State.IN_SALE: {State.ACTIVE, State.MARGIN_CALLED, State.REPAID, State.SOLD_OUT},
        # A shortfall is owed until it is paid or, with two people, given up.
        State.SOLD_OUT: {State.REPAID, State.WRITTEN_OFF},
        State.REPAID: set(),
        State.WRITTEN_OFF: set(),
        State.DECLINED: set(),
        State.CANCELLED: set(),
    }
    #: Money is lent and collateral stands for it; the book.
    OPEN = (State.ACTIVE, State.MARGIN_CALLED, State.IN_SALE)
    #: Deposits are expected and count.
    TAKES_COLLATERAL = (State.COLLATERAL_PENDING, *OPEN)
    ENDED = (State.REPAID, State.WRITTEN_OFF, State.DECLINED, State.CANCELLED)

    reference = models.CharField(
        _("loan number"), max_length=16, unique=True, help_text="for people and bank transfers"
    )
    borrower = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="loans")
    borrower_kind = models.CharField(max_length=12, choices=BorrowerKind.choices)
    line = models.ForeignKey("lending.CreditLine", on_delete=models.PROTECT, related_name="loans")
    terms = models.ForeignKey("lending.ProductTerms", on_delete=models.PROTECT, related_name="loans")
    currency = models.CharField(_("currency"), max_length=3, choices=Currency.choices)
    amount = MoneyField(_("amount of the contract"), help_text="the most that may be drawn at once")
    rate_bps = models.PositiveIntegerField(pgettext_lazy("loan", "interest rate"), help_text="basis points a year")
    collateral_plan = models.CharField(_("collateral"), max_length=3, choices=Asset.choices, blank=True)
    state = models.CharField(_("state"), max_length=20, choices=State.choices, default=State.APPLIED)

    first_approval_by = models.ForeignKey(
        "portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    approved_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    approved_at = models.DateTimeField(null=True, blank=True)
    accepted_at = models.DateTimeField(null=True, blank=True, help_text="the borrower accepted the contract")
    accepted_sha256 = models.CharField(max_length=64, blank=True, help_text="of the contract that was accepted")
    started_on = models.DateField(null=True, blank=True, help_text="day of the first draw")
    matures_on = models.DateField(null=True, blank=True, help_text="term after the first draw, whatever day that is")
    due_on = models.DateField(null=True, blank=True, help_text="matures_on, or the next day on which banks are open")
    closed_on = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("loan")
        verbose_name_plural = _("loans")
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0, rate_bps__gt=0), name="lending_loan_positive"),
            models.CheckConstraint(condition=~Q(approved_by=F("first_approval_by")), name="lending_loan_two_people"),
            models.CheckConstraint(
                condition=~Q(approved_by=F("borrower")) & ~Q(first_approval_by=F("borrower")),
                name="lending_loan_not_own_officer",
            ),
            models.CheckConstraint(
                condition=Q(approved_by__isnull=False, first_approval_by__isnull=False)
                | Q(state__in=["applied", "declined", "cancelled"]),
                name="lending_loan_approved",
            ),
            models.CheckConstraint(
                condition=Q(accepted_at__isnull=False) | Q(state__in=["applied", "approved", "declined", "cancelled"]),
                name="lending_loan_accepted",
            ),
            models.CheckConstraint(
                condition=Q(started_on__isnull=False, matures_on__isnull=False, due_on__isnull=False)
                | Q(state__in=["applied", "approved", "collateral_pending", "declined", "cancelled"]),
                name="lending_loan_started",
            ),
            models.CheckConstraint(
                condition=Q(due_on__isnull=True) | Q(due_on__gte=F("matures_on"), matures_on__gt=F("started_on")),
                name="lending_loan_dates",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "due_on"], name="lending_loan_due"),
            models.Index(fields=["borrower", "-id"], name="lending_loan_borrower"),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def state_label(self) -> str:
        """The state in words. Long lists use it: `get_state_display` translates every state there is, for each row."""
        return str(self.State(self.state).label)


class Draw(models.Model):
    """Money asked for under a loan, and sent. Asked for, it already counts against both caps."""

    class State(models.TextChoices):
        REQUESTED = "requested", _("Requested")
        RELEASED = "released", _("Paid out")
        CANCELLED = "cancelled", _("Cancelled")
        REFUSED = "refused", _("Refused")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.REQUESTED: {State.RELEASED, State.CANCELLED, State.REFUSED},
        State.RELEASED: set(),
        State.CANCELLED: set(),
        State.REFUSED: set(),
    }

    loan = models.ForeignKey(Loan, on_delete=models.PROTECT, related_name="draws")
    amount = MoneyField(_("amount"))
    state = models.CharField(max_length=10, choices=State.choices, default=State.REQUESTED)
    form_key = models.CharField(max_length=80, unique=True, help_text="the same form is one draw")
    requested_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField(auto_now_add=True)
    released_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    value_on = models.DateField(null=True, blank=True)
    bank_reference = models.CharField(_("bank reference"), max_length=80, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    valuation = models.JSONField(default=dict, help_text="the accepted prices it was judged by")

    class Meta:
        ordering = ["id"]
        verbose_name = _("draw")
        verbose_name_plural = _("draws")
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="lending_draw_positive"),
            models.CheckConstraint(
                condition=~Q(released_by=F("requested_by")), name="lending_draw_not_released_by_borrower"
            ),
            models.CheckConstraint(
                condition=~Q(state="released")
                | Q(released_by__isnull=False, value_on__isnull=False) & ~Q(bank_reference=""),
                name="lending_draw_released_whole",
            ),
            models.UniqueConstraint(
                fields=["bank_reference"], condition=~Q(bank_reference=""), name="lending_draw_reference"
            ),
        ]
        indexes = [
            models.Index(fields=["loan"], condition=Q(state="requested"), name="lending_draw_requested"),
        ]

    def __str__(self) -> str:
        return f"{self.loan_id} {self.amount} {self.state}"


class Repayment(models.Model):
    """Money that arrived for a loan: recorded by one person, confirmed by another, then booked in a fixed order."""

    class State(models.TextChoices):
        RECORDED = "recorded", _("Waiting for the second person")
        BOOKED = "booked", _("Booked")
        REJECTED = "rejected", _("Rejected")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.RECORDED: {State.BOOKED, State.REJECTED},
        State.BOOKED: set(),
        State.REJECTED: set(),
    }

    class Source(models.TextChoices):
        BANK = "bank", _("Bank transfer")
        SALE = "sale", _("Sale of collateral")

    loan = models.ForeignKey(Loan, on_delete=models.PROTECT, related_name="repayments")
    source = models.CharField(max_length=4, choices=Source.choices)
    amount = MoneyField(_("amount"))
    received_on = models.DateField(_("received on"))
    reference = models.CharField(_("bank reference"), max_length=80, unique=True, help_text="one transfer is one row")
    state = models.CharField(max_length=10, choices=State.choices, default=State.RECORDED)
    recorded_by = models.ForeignKey(
        "portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="null: a sale"
    )
    confirmed_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    to_charges = MoneyField(_("to charges"), default=0)
    to_late = MoneyField(_("to late charges"), default=0)
    to_interest = MoneyField(_("to interest"), default=0)
    to_principal = MoneyField(_("to principal"), default=0)
    to_shortfall = MoneyField(_("to the shortfall"), default=0)
    surplus = MoneyField(_("surplus"), default=0)
    reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    booked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("repayment")
        verbose_name_plural = _("repayments")
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="lending_repayment_positive"),
            models.CheckConstraint(condition=~Q(confirmed_by=F("recorded_by")), name="lending_repayment_two_people"),
            models.CheckConstraint(
                condition=~Q(state="booked")
                | Q(
                    amount=F("to_charges")
                    + F("to_late")
                    + F("to_interest")
                    + F("to_principal")
                    + F("to_shortfall")
                    + F("surplus")
                ),
                name="lending_repayment_adds_up",
            ),
            models.CheckConstraint(
                condition=Q(source="sale") | Q(recorded_by__isnull=False), name="lending_repayment_recorded"
            ),
            models.CheckConstraint(
                condition=~Q(state="booked", source="bank") | Q(confirmed_by__isnull=False),
                name="lending_repayment_confirmed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.loan_id} {self.amount} {self.state}"


class Renewal(models.Model):
    """A term more for a loan at its maturity: asked for by the borrower, given by an officer if everything holds."""

    class State(models.TextChoices):
        REQUESTED = "requested", _("Requested")
        GRANTED = "granted", _("Granted")
        REFUSED = "refused", _("Refused")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.REQUESTED: {State.GRANTED, State.REFUSED},
        State.GRANTED: set(),
        State.REFUSED: set(),
    }

    loan = models.ForeignKey(Loan, on_delete=models.PROTECT, related_name="renewals")
    state = models.CharField(max_length=10, choices=State.choices, default=State.REQUESTED)
    from_matures_on = models.DateField()
    to_matures_on = models.DateField(null=True, blank=True)
    to_due_on = models.DateField(null=True, blank=True)
    terms = models.ForeignKey("lending.ProductTerms", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    rate_bps = models.PositiveIntegerField(null=True, blank=True)
    requested_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    decided_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=300, blank=True)
    valuation = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("renewal")
        verbose_name_plural = _("renewals")
        constraints = [
            models.UniqueConstraint(
                fields=["loan", "from_matures_on"], condition=~Q(state="refused"), name="lending_renewal_once"
            ),
            models.CheckConstraint(condition=~Q(decided_by=F("requested_by")), name="lending_renewal_two_people"),
        ]

    def __str__(self) -> str:
        return f"{self.loan_id} {self.state}"


class WriteOff(models.Model):
    """A shortfall given up: proposed by one person, approved by another."""

    class State(models.TextChoices):
        PROPOSED = "proposed", _("Waiting for the second person")
        APPROVED = "approved", _("Written off")
        REFUSED = "refused", _("Refused")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.PROPOSED: {State.APPROVED, State.REFUSED},
        State.APPROVED: set(),
        State.REFUSED: set(),
    }

    loan = models.ForeignKey(Loan, on_delete=models.PROTECT, related_name="write_offs")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PROPOSED)
    amount = MoneyField(_("amount"), null=True, blank=True, help_text="what was owed when it was approved")
    reason = models.TextField(_("reason"))
    proposed_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    decided_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("write-off")
        verbose_name_plural = _("write-offs")
        constraints = [
            models.UniqueConstraint(fields=["loan"], condition=~Q(state="refused"), name="lending_write_off_once"),
            models.CheckConstraint(condition=~Q(decided_by=F("proposed_by")), name="lending_write_off_two_people"),
        ]

    def __str__(self) -> str:
        return f"{self.loan_id} {self.state}"


class LoanDocument(models.Model):
    """A PDF made of a loan. Never made again: the file that was hashed is the file that is kept, encrypted."""

    class Kind(models.TextChoices):
        CONTRACT = "contract", _("Loan contract")
        RENEWAL = "renewal", _("Renewal agreement")
        STATEMENT = "statement", _("Statement")
        CLOSING = "closing", _("Closing statement")

    loan = models.ForeignKey(Loan, on_delete=models.PROTECT, related_name="documents")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    period = models.CharField(max_length=24, blank=True, help_text="2026, 2026-11, or the maturity it renews to")
    language = models.CharField(max_length=5)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveIntegerField()
    storage_name = models.CharField(max_length=80, unique=True)
    wrapped_key = models.BinaryField()
    key_id = models.CharField(max_length=16)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("document of a loan")
        verbose_name_plural = _("documents of loans")
        constraints = [
            models.UniqueConstraint(fields=["loan", "kind", "period", "language"], name="lending_document_once"),
        ]

    def __str__(self) -> str:
        return f"{self.loan_id} {self.kind} {self.period} {self.language}"
