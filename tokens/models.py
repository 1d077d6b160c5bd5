"""Securities, their private placement, who was solicited, and what holders pass on.

Ownership itself is never here: it is on the chain, and `chain.selectors` reads its projections.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import ClassVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from chain.models import AddressField, UnitsField
from chain.types import TokenTerms
from portal.money import MINOR_DIGITS, Money
from tokens.validators import validate_isin, validate_symbol

#: Terms name Japanese days; a day begins at midnight there.
TOKYO = ZoneInfo("Asia/Tokyo")


def start_of_day(day: date) -> int:
    """Unix seconds of midnight in Tokyo at which `day` begins."""
    return int(datetime.combine(day, time.min, tzinfo=TOKYO).timestamp())


class PlacementRule(models.Model):
    """The numbers of the small-number private placement, from a date on (DOMAIN §3).

    Versioned configuration: a change in the law is a new row, and a past placement is judged by the row of its day.
    """

    effective_from = models.DateField(_("effective from"), unique=True)
    solicited_below = models.PositiveIntegerField(
        _("fewer than"), default=50, help_text=_("The person with this number is refused.")
    )
    window_months = models.PositiveIntegerField(
        _("months added up"), default=6, help_text=_("Solicitations for the same kind of security are added up.")
    )
    notice_from_amount = models.DecimalField(
        _("notice duty from"), max_digits=20, decimal_places=0, default=Decimal(100_000_000), help_text=_("In yen.")
    )
    source = models.CharField(_("source"), max_length=200, blank=True)

    class Meta:
        ordering = ["-effective_from"]
        verbose_name = _("placement rule")
        verbose_name_plural = _("placement rules")

    def __str__(self) -> str:
        return f"{self.effective_from:%Y-%m-%d}: < {self.solicited_below}"


class Security(models.Model):
    """One bond issue and its terms. Terms are fixed once it leaves DRAFT: the contract cannot change them either."""

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        AWAITING_APPROVAL = "awaiting_approval", _("Waiting for the second person")
        DEPLOYING = "deploying", _("Being put on the chain")
        OFFERED = "offered", _("On offer")
        LIVE = "live", _("Issued")
        MATURED = "matured", _("Matured")
        FAILED = "failed", _("Could not be put on the chain")
        CANCELLED = "cancelled", _("Cancelled")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.DRAFT: {State.AWAITING_APPROVAL, State.CANCELLED},
        State.AWAITING_APPROVAL: {State.DRAFT, State.DEPLOYING},
        State.DEPLOYING: {State.OFFERED, State.FAILED},
        # A deployment that was called failed can come back: a reorganisation may put it into another block.
        State.FAILED: {State.DEPLOYING, State.CANCELLED},
        State.OFFERED: {State.LIVE},
        State.LIVE: {State.MATURED},
        State.MATURED: set(),
        State.CANCELLED: set(),
    }
    #: A contract stands on the chain and people may hold it.
    ON_CHAIN = (State.OFFERED, State.LIVE, State.MATURED)

    class PlacementType(models.TextChoices):
        SMALL_NUMBER = "small_number", _("Small number of investors")
        QII_ONLY = "qii_only", _("Qualified institutional investors only")

    class Currency(models.TextChoices):
        JPY = "JPY", _("Yen")
        USD = "USD", _("US dollar")

    name = models.CharField(_("name of the security"), max_length=120)
    symbol = models.CharField(_("short code"), max_length=12, unique=True, validators=[validate_symbol])
    isin = models.CharField(_("ISIN"), max_length=12, unique=True, validators=[validate_isin])
    issuer_name = models.CharField(_("issuer"), max_length=120)
    currency = models.CharField(_("currency"), max_length=3, choices=Currency.choices, default=Currency.JPY)
    decimals = models.PositiveSmallIntegerField(_("decimals"), default=0, editable=False)
    face_value = models.DecimalField(
        _("denomination"),
        max_digits=20,
        decimal_places=2,
        validators=[MinValueValidator(Decimal("0.01"))],
        help_text=_("Face value of one unit."),
    )
    authorised_units = UnitsField(verbose_name=_("authorised units"))
    rate_bps = models.PositiveIntegerField(_("interest rate"), help_text="basis points a year")
    issue_date = models.DateField(_("issue date"))
    record_date = models.DateField(_("record date"))
    maturity_date = models.DateField(_("maturity date"))
    placement_type = models.CharField(
        _("placement"), max_length=20, choices=PlacementType.choices, default=PlacementType.SMALL_NUMBER
    )
    minimum_lot_units = UnitsField(verbose_name=_("minimum lot"), default=1)
    whole_balance_only = models.BooleanField(_("whole holding only"), default=False)
    lock_up_until = models.DateField(_("lock-up until"), null=True, blank=True)
    holder_cap = models.PositiveIntegerField(_("most holders"), default=0, help_text=_("0 means no limit."))

    state = models.CharField(max_length=20, choices=State.choices, default=State.DRAFT)
    token = AddressField(null=True, blank=True, verbose_name=_("contract address"))
    deployment_attempt = models.PositiveIntegerField(default=0)
    deployment = models.ForeignKey(
        "chain.ChainTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    configuration = models.ForeignKey(
        "chain.ChainTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    approved_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    approved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("security")
        verbose_name_plural = _("securities")
        constraints = [
            models.UniqueConstraint(fields=["token"], name="tokens_security_token"),
            models.CheckConstraint(condition=~Q(approved_by=F("created_by")), name="tokens_security_two_people"),
            models.CheckConstraint(condition=Q(authorised_units__gt=0), name="tokens_security_authorised_positive"),
            models.CheckConstraint(condition=Q(face_value__gt=0), name="tokens_security_face_positive"),
            models.CheckConstraint(
                condition=Q(minimum_lot_units__gte=1, minimum_lot_units__lte=F("authorised_units")),
                name="tokens_security_lot_fits",
            ),
            models.CheckConstraint(
                condition=Q(maturity_date__gt=F("issue_date"), record_date__lte=F("maturity_date")),
                name="tokens_security_dates_in_order",
            ),
            models.CheckConstraint(
                condition=Q(lock_up_until__isnull=True) | Q(lock_up_until__lte=F("maturity_date")),
                name="tokens_security_lock_up_ends",
            ),
            # The contract keeps balances in 96 bits.
            models.CheckConstraint(condition=Q(authorised_units__lt=2**96 - 1), name="tokens_security_fits_contract"),
            models.CheckConstraint(
                condition=Q(token__isnull=False) | ~Q(state__in=["offered", "live", "matured"]),
                name="tokens_security_on_chain_has_address",
            ),
            models.CheckConstraint(
                condition=Q(approved_by__isnull=False) | Q(state__in=["draft", "awaiting_approval", "cancelled"]),
                name="tokens_security_issued_is_approved",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def face_value_minor(self) -> int:
        """Face value of one unit in the currency's minor unit (yen, cents)."""
        return int(self.face_value.scaleb(MINOR_DIGITS[self.currency]))

    @property
    def authorised_amount(self) -> Money:
        return self.value_of(self.authorised_units)

    @property
    def is_on_chain(self) -> bool:
        return self.state in self.ON_CHAIN

    @property
    def is_open_for_subscription(self) -> bool:
        return self.state == self.State.OFFERED

    @property
    def is_qii_only(self) -> bool:
        return self.placement_type == self.PlacementType.QII_ONLY

    @property
    def kind_key(self) -> str:
        """What counts as the same kind of security for the ledger of solicited persons.

        One issuer's bonds in one currency. Wider than the ordinance's test, so it can only refuse earlier (unverified).
        """
        return f"{self.issuer_name.strip().casefold()}|bond|{self.currency}"

    def value_of(self, units: int) -> Money:
        """What `units` base units are worth at face."""
        return Money(self.face_value * Decimal(units).scaleb(-self.decimals), self.currency)

    def units_for(self, money: Money) -> int:
        """How many whole base units `money` pays for at face, never more than it pays for."""
        if money.currency != self.currency:
            raise ValueError(f"{money.currency} does not pay for a security in {self.currency}")
        return int((money.amount.scaleb(self.decimals) / self.face_value).to_integral_value(rounding="ROUND_FLOOR"))

    def terms(self, *, documents: tuple[tuple[str, str, bytes], ...] = ()) -> TokenTerms:
        """What the contract is deployed with. Days become midnight in Tokyo."""
        return TokenTerms(
            name=self.name,
            symbol=self.symbol,
            decimals=self.decimals,
            isin=self.isin,
            currency=self.currency,
            face_value_minor=self.face_value_minor,
            rate_bps=self.rate_bps,
            issue_at=start_of_day(self.issue_date),
            maturity_at=start_of_day(self.maturity_date),
            authorised_units=self.authorised_units,
            qii_only=self.is_qii_only,
            holder_cap=self.holder_cap,
            minimum_lot_units=self.minimum_lot_units,
            whole_balance_only=self.whole_balance_only,
            lock_up_until=start_of_day(self.lock_up_until) if self.lock_up_until else 0,
            documents=documents,
        )


class SecurityDocument(models.Model):
    """A document of an issue. Its SHA-256 goes into the contract, so a changed file shows."""

    security = models.ForeignKey(Security, on_delete=models.PROTECT, related_name="documents")
    name = models.CharField(_("name of the document"), max_length=80)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveIntegerField()
    content_type = models.CharField(max_length=80)
    path = models.CharField(max_length=200, help_text="below PRIVATE_ROOT")
    uploaded_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("document")
        verbose_name_plural = _("documents")
        constraints = [
            models.UniqueConstraint(fields=["security", "name"], name="tokens_document_name"),
            models.UniqueConstraint(fields=["security", "sha256"], name="tokens_document_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Solicitation(models.Model):
    """The ledger of solicited persons: a row per person and security, never removed, whatever came of it.

    `kind_key` is the kind of security on the day, so that a later change of terms cannot lower the count.
    """

    security = models.ForeignKey(Security, on_delete=models.PROTECT, related_name="solicitations")
    investor = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="solicitations")
    person_key = models.CharField(max_length=80, help_text="the legal person; one person counts once")
    kind_key = models.CharField(max_length=200)
    number = models.PositiveIntegerField(help_text="this person's place among those counted on the day")
    solicited_at = models.DateTimeField()
    solicited_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["id"]
        verbose_name = _("solicitation")
        verbose_name_plural = _("ledger of solicited persons")
        constraints = [
            models.UniqueConstraint(fields=["security", "person_key"], name="tokens_solicitation_once"),
        ]
        indexes = [models.Index(fields=["kind_key", "solicited_at"], name="tokens_solicitation_window")]

    def __str__(self) -> str:
        return f"{self.security_id} · {self.person_key}"


class Subscription(models.Model):
    """One investor's part in a placement, from the invitation to the units in their wallet."""

    class State(models.TextChoices):
        INVITED = "invited", _("Invited")
        DECLINED = "declined", _("Declined by the investor")
        SUBSCRIBED = "subscribed", _("Subscribed, payment awaited")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        PAID = "paid", _("Paid, allocation awaited")
        NOT_ALLOCATED = "not_allocated", _("Not allocated, refund due")
        ALLOCATED = "allocated", _("Allocated")
        ISSUING = "issuing", _("Being issued")
        IN_BLOCK = "in_block", _("In a block, not final yet")
        ALLOTTED = "allotted", _("Allotted, final")
        FAILED = "failed", _("Could not be issued")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.INVITED: {State.SUBSCRIBED, State.DECLINED},
        State.SUBSCRIBED: {State.PAID, State.WITHDRAWN},
        State.PAID: {State.ALLOCATED, State.NOT_ALLOCATED},
        State.ALLOCATED: {State.ISSUING},
        State.ISSUING: {State.IN_BLOCK, State.ALLOTTED, State.FAILED},
        # Back to ISSUING by a reorganisation.
        State.IN_BLOCK: {State.ALLOTTED, State.ISSUING, State.FAILED},
        # Tried again by the issuer, or a reorganisation undid the revert.
        State.FAILED: {State.ISSUING, State.IN_BLOCK, State.ALLOTTED},
        State.ALLOTTED: set(),
        State.DECLINED: set(),
        State.WITHDRAWN: set(),
        State.NOT_ALLOCATED: set(),
    }
    #: Units of the authorised amount are spoken for.
    TAKES_UNITS = (State.ALLOCATED, State.ISSUING, State.IN_BLOCK, State.ALLOTTED, State.FAILED)

    security = models.ForeignKey(Security, on_delete=models.PROTECT, related_name="subscriptions")
    investor = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="subscriptions")
    state = models.CharField(max_length=16, choices=State.choices, default=State.INVITED)
    units = UnitsField(default=0, help_text="subscribed")
    allocated_units = UnitsField(default=0)
    wallet = AddressField(null=True, blank=True, help_text="where the units go; fixed at subscription")
    acknowledged_at = models.DateTimeField(null=True, blank=True, help_text="of the suitability statements")
    acknowledgements = models.JSONField(default=list, help_text="codes of the statements that were accepted")
    issue_attempt = models.PositiveIntegerField(default=0)
    admission = models.ForeignKey(
        "chain.ChainTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    mint = models.ForeignKey(
        "chain.ChainTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    error_code = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    subscribed_at = models.DateTimeField(null=True, blank=True)
    paid_at = models.DateTimeField(null=True, blank=True)
    allotted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        constraints = [
            models.UniqueConstraint(fields=["security", "investor"], name="tokens_subscription_once"),
            models.CheckConstraint(
                condition=Q(units__gte=0, allocated_units__gte=0, allocated_units__lte=F("units")),
                name="tokens_subscription_allocated_within",
            ),
            models.CheckConstraint(
                condition=Q(units=0, state__in=["invited", "declined"])
                | Q(units__gt=0, wallet__isnull=False) & ~Q(state__in=["invited", "declined"]),
                name="tokens_subscription_units_match_state",
            ),
            models.CheckConstraint(
                condition=Q(allocated_units__gt=0)
                | ~Q(state__in=["allocated", "issuing", "in_block", "allotted", "failed"]),
                name="tokens_subscription_allocated_has_units",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.security_id} · {self.investor_id} · {self.state}"

    @property
    def due(self) -> Money:
        """What the investor owes for the subscribed units. Reads `security`."""
        return self.security.value_of(self.units)


class Payment(models.Model):
    """Money the issuer saw arrive for a subscription. Rows are only ever added."""

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="payments")
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=2)
    currency = models.CharField(max_length=3)
    received_on = models.DateField(_("received on"))
    reference = models.CharField(_("bank reference"), max_length=80)
    recorded_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        constraints = [
            models.UniqueConstraint(fields=["subscription", "reference"], name="tokens_payment_reference"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="tokens_payment_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} · {self.reference}"

    @property
    def money(self) -> Money:
        return Money(self.amount, self.currency)


class Transfer(models.Model):
    """A holder's instruction to pass units on. It is made once per form, and happens at most once."""

    class State(models.TextChoices):
        REQUESTED = "requested", _("Asked for")
        SUBMITTED = "submitted", _("Submitted to the chain")
        IN_BLOCK = "in_block", _("In a block, not final yet")
        FINAL = "final", _("Final")
        REFUSED = "refused", _("Refused before it was submitted")
        FAILED = "failed", _("Refused by the contract")
        NOT_SENT = "not_sent", _("Not sent by the wallet")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.REQUESTED: {
            State.SUBMITTED,
            State.IN_BLOCK,
            State.FINAL,
            State.REFUSED,
            State.FAILED,
            State.NOT_SENT,
        },
        # An own wallet: back to REQUESTED when the network dropped it, NOT_SENT when the wallet sent something else instead.
        State.SUBMITTED: {State.IN_BLOCK, State.FINAL, State.FAILED, State.REQUESTED, State.NOT_SENT},
        # Back to SUBMITTED by a reorganisation; so too a revert whose block was undone.
        State.IN_BLOCK: {State.SUBMITTED, State.FINAL, State.FAILED},
        State.FAILED: {State.SUBMITTED, State.IN_BLOCK, State.FINAL},
        State.FINAL: set(),
        State.REFUSED: set(),
        # Given up here, signed in another window all the same.
        State.NOT_SENT: {State.SUBMITTED, State.IN_BLOCK, State.FINAL},
    }
    #: Nothing of it is still to come, save for a reorganisation that undoes a revert.
    ENDED = (State.FINAL, State.REFUSED, State.FAILED, State.NOT_SENT)

    security = models.ForeignKey(Security, on_delete=models.PROTECT, related_name="transfers")
    requested_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="transfers")
    sender = AddressField()
    recipient = AddressField(db_index=True)
    units = UnitsField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.REQUESTED)
    form_token = models.UUIDField(help_text="of the form it came from: the same form is the same transfer")
    transaction = models.OneToOneField(
        "chain.ChainTransaction", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    outside = models.OneToOneField(
        "chain.OutsideTransaction",
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        help_text="sent by the holder's own wallet",
    )
    error_code = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("transfer")
        verbose_name_plural = _("transfers")
        constraints = [
            models.UniqueConstraint(fields=["requested_by", "form_token"], name="tokens_transfer_once_per_form"),
            models.CheckConstraint(condition=Q(units__gt=0), name="tokens_transfer_positive"),
            models.CheckConstraint(condition=~Q(sender=F("recipient")), name="tokens_transfer_not_to_self"),
            models.CheckConstraint(
                condition=Q(transaction__isnull=True) | Q(outside__isnull=True), name="tokens_transfer_one_way"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.security_id}: {self.units} {self.sender} → {self.recipient} ({self.state})"

    @property
    def has_ended(self) -> bool:
        return self.state in self.ENDED


class AddressBookEntry(models.Model):
    """A recipient a person named for themselves."""

    user = models.ForeignKey("portal.User", on_delete=models.CASCADE, related_name="address_book")
    label = models.CharField(_("name given"), max_length=80)
    address = AddressField(verbose_name=_("wallet address"))
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["label", "id"]
        verbose_name = _("address book entry")
        verbose_name_plural = _("address book entries")
        constraints = [models.UniqueConstraint(fields=["user", "address"], name="tokens_address_book_once")]

    def __str__(self) -> str:
        return f"{self.label} {self.address}"

    @property
    def waits_until(self) -> datetime | None:
        """When the waiting time of a recipient saved lately ends; None once it is over."""
        until = self.created_at + settings.RECIPIENT_COOLING_OFF
        return until if until > timezone.now() else None


class AdmissionRequest(models.Model):
    """A verified person asks to be allowed to hold a security; the issuer decides; the chain records it."""

    class State(models.TextChoices):
        REQUESTED = "requested", _("Waiting for the issuer")
        DECLINED = "declined", _("Declined")
        ADMITTING = "admitting", _("Being admitted")
        IN_BLOCK = "in_block", _("In a block, not final yet")
        ADMITTED = "admitted", _("Admitted, final")
        FAILED = "failed", _("Could not be admitted")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.REQUESTED: {State.ADMITTING, State.DECLINED},
        State.ADMITTING: {State.IN_BLOCK, State.ADMITTED, State.FAILED},
        State.IN_BLOCK: {State.ADMITTING, State.ADMITTED, State.FAILED},
        State.FAILED: {State.ADMITTING, State.IN_BLOCK, State.ADMITTED},
        State.DECLINED: set(),
        State.ADMITTED: set(),
    }
    OPEN = (State.REQUESTED, State.ADMITTING, State.IN_BLOCK)

    security = models.ForeignKey(Security, on_delete=models.PROTECT, related_name="admission_requests")
    user = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="admission_requests")
    wallet = AddressField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.REQUESTED)
    attempt = models.PositiveIntegerField(default=0)
    transaction = models.ForeignKey(
        "chain.ChainTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(_("reason"), blank=True)
    error_code = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("admission request")
        verbose_name_plural = _("admission requests")
        constraints = [
            models.UniqueConstraint(
                fields=["security", "wallet"],
                condition=Q(state__in=["requested", "admitting", "in_block"]),
                name="tokens_admission_one_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.security_id} · {self.wallet} · {self.state}"


class ControlAction(models.Model):
    """A pause, freeze or dismissal that an administrator asked for, with the reason."""

    class Kind(models.TextChoices):
        PAUSE = "pause", _("Stop all transfers")
        UNPAUSE = "unpause", _("Allow transfers again")
        FREEZE = "freeze", _("Freeze units")
        DISMISS = "dismiss", _("Take back the admission")

    class State(models.TextChoices):
        REQUESTED = "requested", _("Being submitted")
        IN_BLOCK = "in_block", _("In a block, not final yet")
        FINAL = "final", _("Final")
        FAILED = "failed", pgettext_lazy("chain", "Refused")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.REQUESTED: {State.IN_BLOCK, State.FINAL, State.FAILED},
        State.IN_BLOCK: {State.REQUESTED, State.FINAL, State.FAILED},
        State.FAILED: {State.REQUESTED, State.IN_BLOCK, State.FINAL},
        State.FINAL: set(),
    }

    security = models.ForeignKey(Security, on_delete=models.PROTECT, related_name="control_actions")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    holder = AddressField(null=True, blank=True)
    units = UnitsField(null=True, blank=True, help_text="frozen in all after this action")
    reason = models.TextField(_("reason"))
    state = models.CharField(max_length=10, choices=State.choices, default=State.REQUESTED)
    form_token = models.UUIDField()
    requested_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    transaction = models.OneToOneField(
        "chain.ChainTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    error_code = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("control action")
        verbose_name_plural = _("control actions")
        constraints = [
            models.UniqueConstraint(fields=["requested_by", "form_token"], name="tokens_control_once_per_form"),
            models.CheckConstraint(condition=~Q(reason=""), name="tokens_control_has_reason"),
            models.CheckConstraint(
                condition=Q(kind__in=["pause", "unpause"], holder__isnull=True)
                | Q(kind__in=["freeze", "dismiss"], holder__isnull=False),
                name="tokens_control_holder_matches_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.security_id} {self.state}"


class Recovery(models.Model):
    """A lost wallet's units moved to another wallet of the same person: announced, waited for, completed."""

    class State(models.TextChoices):
        ANNOUNCING = "announcing", _("Being announced")
        WAITING = "waiting", _("Announced, waiting for objections")
        COMPLETING = "completing", _("Being moved")
        OBJECTED = "objected", _("Stopped by the holder's objection")
        COMPLETED = "completed", _("Moved, final")
        FAILED = "failed", pgettext_lazy("chain", "Refused")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.ANNOUNCING: {State.WAITING, State.FAILED},
        State.WAITING: {State.COMPLETING, State.OBJECTED, State.ANNOUNCING, State.FAILED},
        State.COMPLETING: {State.COMPLETED, State.WAITING},
        State.OBJECTED: {State.WAITING, State.FAILED},
        State.COMPLETED: set(),
        State.FAILED: {State.ANNOUNCING, State.WAITING},
    }

    security = models.ForeignKey(Security, on_delete=models.PROTECT, related_name="recoveries")
    user = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="recoveries")
    lost = AddressField()
    replacement = AddressField()
    reason = models.TextField(_("reason"))
    state = models.CharField(max_length=12, choices=State.choices, default=State.ANNOUNCING)
    attempt = models.PositiveIntegerField(default=0, help_text="of the completing transaction")
    announcement = models.ForeignKey(
        "chain.ChainTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    completion = models.ForeignKey(
        "chain.ChainTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    objection = models.ForeignKey(
        "chain.ChainTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    objection_attempt = models.PositiveIntegerField(default=0)
    own_objection = models.OneToOneField(
        "chain.OutsideTransaction",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="sent by the holder's own wallet",
    )
    requested_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    error_code = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    #: Something is still to come, or is held up.
    OPEN: ClassVar[tuple[str, ...]] = (State.ANNOUNCING, State.WAITING, State.COMPLETING, State.OBJECTED)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("recovery")
        verbose_name_plural = _("recoveries")
        constraints = [
            models.UniqueConstraint(
                fields=["security", "lost"],
                condition=Q(state__in=["announcing", "waiting", "completing", "objected"]),
                name="tokens_recovery_one_open",
            ),
            models.CheckConstraint(condition=~Q(lost=F("replacement")), name="tokens_recovery_two_wallets"),
            models.CheckConstraint(condition=~Q(reason=""), name="tokens_recovery_has_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.security_id}: {self.lost} → {self.replacement} ({self.state})"

    @property
    def is_objected(self) -> bool:
        """An objection stands, or is on its way to the chain. Select `objection` and `own_objection` with the row."""
        if self.state == self.State.OBJECTED:
            return True
        if self.own_objection is not None and self.own_objection.is_under_way:
            return True
        return self.objection is not None and self.objection.state not in self.objection.DEAD

    @property
    def may_be_objected_to(self) -> bool:
        """The contract takes an objection from the announcement's block until the units are moved."""
        return self.state in (self.State.WAITING, self.State.COMPLETING)
