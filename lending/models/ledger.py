"""Double entry in yen, dollars, bitcoin and ether, in whole smallest units. Rows are only ever added.

The migration adds what models cannot say: the lines of an entry come in one statement and add up to zero in each unit,
an entry has lines, and neither table is ever updated or deleted from.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from chain.models import UnitsField
from lending.models.terms import Currency, MoneyField


class Unit(models.TextChoices):
    JPY = "JPY", _("Yen")
    USD = "USD", _("US dollar")
    BTC = "BTC", "Bitcoin"
    ETH = "ETH", "Ether"


class Account(models.TextChoices):
    """The chart of accounts. A positive balance is a debit: what we have or are owed; a negative one what we owe or earned."""

    # of one loan
    PRINCIPAL = "principal", _("Principal")
    INTEREST = "interest", _("Interest receivable")
    LATE = "late", _("Late charges receivable")
    CHARGES = "charges", _("Charges receivable")
    SHORTFALL = "shortfall", _("Shortfall receivable")
    COLLATERAL = "collateral", _("Collateral owed back")
    LEAVING = "leaving", _("Collateral on its way back")
    SURPLUS = "surplus", _("Surplus payable")
    # of the house
    CASH = "cash", _("Cash")
    CUSTODY = "custody", _("Collateral in custody")
    MISSING = "missing", _("Collateral that is owed and not there")
    SALE_CLEARING = "sale_clearing", _("Sales being settled")
    INTEREST_INCOME = "interest_income", pgettext_lazy("account", "Interest income")
    LATE_INCOME = "late_income", _("Late charges earned")
    FEE_INCOME = "fee_income", _("Fees earned")
    SALE_COST = "sale_cost", _("Cost of sales")
    LOSS = "loss", _("Losses")


OF_LOAN = (
    Account.PRINCIPAL,
    Account.INTEREST,
    Account.LATE,
    Account.CHARGES,
    Account.SHORTFALL,
    Account.COLLATERAL,
    Account.LEAVING,
    Account.SURPLUS,
)
#: Counted in base units of an asset, never in money.
OF_COINS = (Account.COLLATERAL, Account.LEAVING, Account.CUSTODY, Account.MISSING)
#: What a borrower owes is the sum of these.
DEBT = (Account.PRINCIPAL, Account.INTEREST, Account.LATE, Account.CHARGES, Account.SHORTFALL)


class EntryKind(models.TextChoices):
    DRAW = "draw", _("Draw")
    ACCRUAL = "accrual", _("Interest accrued")
    CORRECTION = "correction", _("Interest corrected")
    CHARGE = "charge", _("Charge")
    REPAYMENT = "repayment", _("Repayment")
    DEPOSIT = "deposit", _("Collateral deposited")
    DEPOSIT_UNDONE = "deposit_undone", _("Deposit undone")
    WITHDRAWAL_APPROVED = "withdrawal_out", _("Return of collateral approved")
    WITHDRAWAL_UNDONE = "withdrawal_undone", _("Return of collateral cancelled")
    WITHDRAWAL = "withdrawal", _("Collateral returned")
    SALE = "sale", _("Collateral sold")
    SHORTFALL = "shortfall", _("Shortfall booked")
    WRITE_OFF = "write_off", _("Written off")
    PAY_OUT = "pay_out", _("Surplus paid out")


class Entry(models.Model):
    """One event in the books. Written by `lending.services.ledger.post` alone."""

    kind = models.CharField(max_length=20, choices=EntryKind.choices)
    key = models.CharField(max_length=120, unique=True, help_text="the same key is the same entry")
    loan = models.ForeignKey(
        "lending.Loan", null=True, blank=True, on_delete=models.PROTECT, related_name="entries", help_text="null: many"
    )
    value_on = models.DateField(help_text="the day it counts for")
    created_at = models.DateTimeField(auto_now_add=True)
    memo = models.JSONField(default=dict, help_text="references: draw, repayment, sale, deposit, prices")

    class Meta:
        ordering = ["id"]
        verbose_name = _("entry of the ledger")
        verbose_name_plural = _("entries of the ledger")
        indexes = [models.Index(fields=["loan", "id"], name="lending_entry_loan")]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class Posting(models.Model):
    """One line of an entry: `amount` smallest units, positive to the debit."""

    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, related_name="postings")
    account = models.CharField(max_length=16, choices=Account.choices)
    loan = models.ForeignKey("lending.Loan", null=True, blank=True, on_delete=models.PROTECT, related_name="postings")
    unit = models.CharField(max_length=3, choices=Unit.choices)
    amount = UnitsField(help_text="signed")

    class Meta:
        ordering = ["id"]
        verbose_name = _("line of the ledger")
        verbose_name_plural = _("lines of the ledger")
        constraints = [
            models.CheckConstraint(condition=~Q(amount=0), name="lending_posting_not_zero"),
            models.CheckConstraint(
                condition=Q(account__in=[*OF_LOAN], loan__isnull=False)
                | (~Q(account__in=[*OF_LOAN]) & Q(loan__isnull=True)),
                name="lending_posting_account_of_loan",
            ),
            models.CheckConstraint(
                condition=(Q(account__in=[*OF_COINS]) & Q(unit__in=["BTC", "ETH"]))
                | Q(account=Account.SALE_CLEARING)
                | (~Q(account__in=[*OF_COINS]) & Q(unit__in=["JPY", "USD"])),
                name="lending_posting_unit_of_account",
            ),
        ]
        indexes = [
            models.Index(
                fields=["loan", "account", "unit"],
                include=["amount"],
                condition=Q(loan__isnull=False),
                name="lending_posting_loan",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.amount} {self.unit}"


class Accrual(models.Model):
    """The clock of one loan's interest: narrow, so that one statement moves a million of them.

    `interest_parts` and `late_parts` are what was ever earned, exact: whole numbers of 1/3,650,000 of a minor unit
    (`lending.interest`). `…_booked` is what of it stands in the ledger: always the whole minor units, the rest cut off.
    `principal` is the ledger's balance, kept here in the transaction of every entry that changes it.
    """

    loan = models.OneToOneField("lending.Loan", primary_key=True, on_delete=models.PROTECT, related_name="accrual")
    currency = models.CharField(max_length=3, choices=Currency.choices)
    principal = models.BigIntegerField(default=0, help_text="minor units")
    rate_bps = models.PositiveIntegerField()
    late_rate_bps = models.PositiveIntegerField()
    due_on = models.DateField()
    through = models.DateField(help_text="the last day that is charged already")
    interest_parts = UnitsField(default=0)
    late_parts = UnitsField(default=0)
    interest_booked = models.BigIntegerField(default=0, help_text="minor units")
    late_booked = models.BigIntegerField(default=0, help_text="minor units")
    is_running = models.BooleanField(default=True, help_text="the loan is open")

    class Meta:
        verbose_name = _("clock of interest")
        verbose_name_plural = _("clocks of interest")
        constraints = [
            models.CheckConstraint(condition=Q(principal__gte=0), name="lending_accrual_principal"),
            models.CheckConstraint(condition=Q(rate_bps__gt=0, late_rate_bps__gt=0), name="lending_accrual_rates"),
        ]
        indexes = [
            models.Index(fields=["currency", "loan"], condition=Q(is_running=True), name="lending_accrual_running")
        ]

    def __str__(self) -> str:
        return f"{self.loan_id} {self.through}"


class AccrualRun(models.Model):
    """One run over the book: which day it charged, and how much that was."""

    target = models.DateField(help_text="the day up to and with which interest was charged")
    currency = models.CharField(max_length=3, choices=Currency.choices)
    loans = models.PositiveIntegerField(default=0)
    interest = MoneyField(_("interest"), default=0)
    late = MoneyField(_("late charges"), default=0)
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("run of interest")
        verbose_name_plural = _("runs of interest")

    def __str__(self) -> str:
        return f"{self.currency} {self.target:%Y-%m-%d}"
