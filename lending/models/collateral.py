"""Coins: where they are to be sent, what arrived, and what leaves again. What counts is in the ledger."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from chain.models import UnitsField
from lending.models.terms import Asset


class DepositAddress(models.Model):
    """An address that belongs to one loan for ever: given out for deposits, or change of what was sent from it."""

    class Purpose(models.TextChoices):
        DEPOSIT = "deposit", _("For deposits")
        CHANGE = "change", pgettext_lazy("bitcoin", "Change")

    loan = models.ForeignKey("lending.Loan", on_delete=models.PROTECT, related_name="deposit_addresses")
    asset = models.CharField(_("asset"), max_length=3, choices=Asset.choices)
    network = models.CharField(max_length=40, help_text="bitcoin:mainnet, eip155:1, …")
    address = models.CharField(pgettext_lazy("network", "address"), max_length=100)
    purpose = models.CharField(max_length=8, choices=Purpose.choices, default=Purpose.DEPOSIT)
    account = models.CharField(max_length=120, blank=True, help_text="Bitcoin: the account's public key")
    index = models.PositiveBigIntegerField(null=True, blank=True, help_text="Bitcoin: below the account, in its branch")
    created_at = models.DateTimeField(auto_now_add=True)
    looked_at = models.DateTimeField(null=True, blank=True, help_text="Bitcoin: when the network was last asked")
    history = models.CharField(max_length=24, blank=True, help_text="Bitcoin: transactions then, confirmed/waiting")

    class Meta:
        ordering = ["id"]
        verbose_name = _("deposit address")
        verbose_name_plural = _("deposit addresses")
        constraints = [
            models.UniqueConstraint(
                fields=["network", "address"], condition=Q(asset="BTC"), name="lending_address_once"
            ),
            models.UniqueConstraint(
                fields=["account", "purpose", "index"], condition=Q(asset="BTC"), name="lending_address_index_once"
            ),
            models.UniqueConstraint(
                fields=["loan", "asset", "network"], condition=Q(purpose="deposit"), name="lending_address_one_a_loan"
            ),
            models.CheckConstraint(
                condition=Q(asset="BTC", index__isnull=False) & ~Q(account="") | Q(asset="ETH", purpose="deposit"),
                name="lending_address_derivation",
            ),
        ]
        indexes = [
            models.Index(fields=["looked_at"], condition=Q(asset="BTC", purpose="deposit"), name="lending_address_turn")
        ]

    def __str__(self) -> str:
        return f"{self.asset} {self.address}"


class Deposit(models.Model):
    """One output that pays an address of ours. Only `CREDITED` is in the ledger and counts.

    What was at the exchange for a sale and comes back (`CAME_BACK`) never left the books, so it is not counted again.
    `units` are base units of the asset; of something else (`label` names it) whatever its own unit is.
    """

    class State(models.TextChoices):
        SEEN = "seen", _("Seen, waiting for confirmations")
        CONFIRMED = "confirmed", _("Confirmed, waiting for the check")
        SCREENED = "screened", _("Checked")
        CREDITED = "credited", _("Counted")
        HELD = "held", _("Held")
        RETURNED = "returned", _("Sent back")
        CAME_BACK = "came_back", _("Back from the exchange, counted already")
        ORPHANED = "orphaned", _("Undone by the network")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.SEEN: {State.CONFIRMED, State.ORPHANED},
        State.CONFIRMED: {State.SCREENED, State.HELD, State.SEEN, State.ORPHANED},
        State.SCREENED: {State.CREDITED, State.CAME_BACK, State.HELD, State.SEEN, State.ORPHANED},
        State.CREDITED: {State.ORPHANED},
        State.CAME_BACK: {State.ORPHANED},
        State.HELD: {State.SCREENED, State.RETURNED, State.ORPHANED},
        State.RETURNED: set(),
        # What a reorganisation undid may come back in another block.
        State.ORPHANED: {State.SEEN},
    }
    #: Nothing about it is decided yet.
    OPEN = (State.SEEN, State.CONFIRMED, State.SCREENED)

    class Hold(models.TextChoices):
        SANCTIONED = "sanctioned", _("The sender's address is on a sanctions list")
        UNKNOWN_SENDER = "unknown_sender", _("It cannot be told who sent it")
        BELOW_MINIMUM = "below_minimum", _("Below the smallest deposit")
        LOAN_CLOSED = "loan_closed", _("The loan takes no collateral")
        WRONG_ASSET = "wrong_asset", _("Not an asset that is taken as collateral")

    loan = models.ForeignKey("lending.Loan", on_delete=models.PROTECT, related_name="deposits")
    address = models.ForeignKey(DepositAddress, on_delete=models.PROTECT, related_name="deposits")
    asset = models.CharField(
        _("asset"), max_length=3, choices=Asset.choices, blank=True, help_text="empty: another one"
    )
    label = models.CharField(max_length=60, blank=True, help_text="what it is, if not an asset of ours")
    network = models.CharField(max_length=40)
    txid = models.CharField(_("transaction"), max_length=66)
    position = models.PositiveIntegerField(help_text="of the output, or of the log entry")
    units = UnitsField(verbose_name=_("amount"), help_text="base units")
    senders = ArrayField(models.CharField(max_length=100), default=list)
    block_height = models.PositiveBigIntegerField(null=True, blank=True)
    block_hash = models.CharField(max_length=66, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.SEEN)
    hold = models.CharField(_("why it is held"), max_length=16, choices=Hold.choices, blank=True)
    is_blocked = models.BooleanField(default=False, help_text="two officers found the hit true: it stays where it is")
    listed_at = models.DateTimeField(
        null=True, blank=True, help_text="found on a sanctions list after it counted: its loan is frozen"
    )
    is_settled = models.BooleanField(default=False, help_text="so deep that no reorganisation is expected")
    credits = models.PositiveSmallIntegerField(default=0, help_text="how often it was credited: names the entries")
    screened_against = models.JSONField(default=list, help_text="lists: name, date, hash; hits: entry numbers")
    seen_at = models.DateTimeField(auto_now_add=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    screened_at = models.DateTimeField(null=True, blank=True)
    credited_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("deposit")
        verbose_name_plural = _("deposits")
        constraints = [
            models.UniqueConstraint(fields=["network", "txid", "position"], name="lending_deposit_once"),
            models.CheckConstraint(condition=Q(units__gt=0), name="lending_deposit_positive"),
            models.CheckConstraint(
                condition=Q(state="held") | Q(listed_at__isnull=False) | Q(is_blocked=False),
                name="lending_deposit_blocked",
            ),
            models.CheckConstraint(
                condition=Q(listed_at__isnull=True) | Q(state__in=["credited", "held"]), name="lending_deposit_listed"
            ),
            models.CheckConstraint(condition=~Q(state="held") | ~Q(hold=""), name="lending_deposit_held_why"),
            models.CheckConstraint(
                # Nothing is counted that was not confirmed and searched for on the lists.
                condition=~Q(state="credited")
                | Q(confirmed_at__isnull=False, screened_at__isnull=False, credited_at__isnull=False, credits__gt=0)
                & ~Q(asset="")
                & ~Q(block_hash=""),
                name="lending_deposit_credited_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["loan", "-id"], name="lending_deposit_loan"),
            models.Index(fields=["state", "id"], name="lending_deposit_state"),
            models.Index(
                fields=["block_height"],
                condition=Q(is_settled=False, state__in=["credited", "came_back", "held"]),
                name="lending_deposit_unsettled",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.asset or self.label} {self.units} {self.state}"

    @property
    def matter(self) -> str:
        """What two people have to decide about: what was found later goes before why it was held."""
        return Deposit.Hold.SANCTIONED if self.listed_at else self.hold

    def get_matter_display(self) -> str:
        return str(Deposit.Hold(self.matter).label) if self.matter else ""


class Disposition(models.Model):
    """What two people decide about a held deposit: one proposes, another confirms or declines."""

    class Verdict(models.TextChoices):
        COUNT = "count", _("Count it")
        RETURN = "return", _("Send it back")
        BLOCK = "block", _("Leave it where it is: the hit is true")

    class State(models.TextChoices):
        PROPOSED = "proposed", _("Waiting for the second person")
        CONFIRMED = "confirmed", _("Decided")
        DECLINED = "declined", _("Declined")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.PROPOSED: {State.CONFIRMED, State.DECLINED},
        State.CONFIRMED: set(),
        State.DECLINED: set(),
    }

    deposit = models.ForeignKey(Deposit, on_delete=models.PROTECT, related_name="dispositions")
    hold = models.CharField(max_length=16, choices=Deposit.Hold.choices)
    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PROPOSED)
    proposed_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(auto_now_add=True)
    reason = models.TextField(_("reason"))
    decided_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    second_reason = models.TextField(_("reason of the second person"), blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("decision about a deposit")
        verbose_name_plural = _("decisions about deposits")
        constraints = [
            models.UniqueConstraint(
                fields=["deposit"], condition=Q(state="proposed"), name="lending_disposition_one_open"
            ),
            models.CheckConstraint(condition=~Q(decided_by=F("proposed_by")), name="lending_disposition_two_people"),
            models.CheckConstraint(
                condition=Q(state="proposed") | Q(decided_by__isnull=False), name="lending_disposition_decided"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deposit_id} {self.verdict} {self.state}"


class HandReturn(models.Model):
    """A deposit of something else that was sent back by hand: one officer records the transaction, another confirms it.

    It never was in the ledger, so nothing is booked; the deposit is over when the second person has looked.
    """

    class State(models.TextChoices):
        RECORDED = "recorded", _("Waiting for the second person")
        CONFIRMED = "confirmed", _("Sent back")
        DECLINED = "declined", _("Declined")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.RECORDED: {State.CONFIRMED, State.DECLINED},
        State.CONFIRMED: set(),
        State.DECLINED: set(),
    }

    deposit = models.ForeignKey(Deposit, on_delete=models.PROTECT, related_name="hand_returns")
    txid = models.CharField(_("transaction"), max_length=66)
    destination = models.CharField(_("sent to"), max_length=100)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RECORDED)
    recorded_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField(auto_now_add=True)
    decided_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("return by hand")
        verbose_name_plural = _("returns by hand")
        constraints = [
            models.UniqueConstraint(
                fields=["deposit"], condition=~Q(state="declined"), name="lending_hand_return_once"
            ),
            models.UniqueConstraint(fields=["txid"], condition=~Q(state="declined"), name="lending_hand_return_txid"),
            models.CheckConstraint(condition=~Q(decided_by=F("recorded_by")), name="lending_hand_return_two_people"),
            models.CheckConstraint(
                condition=Q(state="recorded") | Q(decided_by__isnull=False), name="lending_hand_return_decided"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deposit_id} {self.state}"


class ReturnAddress(models.Model):
    """Where a borrower's coins go when they leave: the only addresses that are ever paid.

    A change waits for a second person and then for `effective_at`; until then the one before stays good.
    """

    class State(models.TextChoices):
        REQUESTED = "requested", _("Waiting for an officer")
        APPROVED = "approved", _("Approved")
        REFUSED = "refused", _("Refused")
        CANCELLED = "cancelled", _("Cancelled")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.REQUESTED: {State.APPROVED, State.REFUSED, State.CANCELLED},
        # Only before it takes effect.
        State.APPROVED: {State.CANCELLED},
        State.REFUSED: set(),
        State.CANCELLED: set(),
    }

    borrower = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="return_addresses")
    asset = models.CharField(_("asset"), max_length=3, choices=Asset.choices)
    address = models.CharField(pgettext_lazy("network", "address"), max_length=100)
    state = models.CharField(max_length=10, choices=State.choices, default=State.REQUESTED)
    requested_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField(auto_now_add=True)
    approved_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    effective_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("return address")
        verbose_name_plural = _("return addresses")
        constraints = [
            models.UniqueConstraint(
                fields=["borrower", "asset"], condition=Q(state="requested"), name="lending_return_one_request"
            ),
            models.CheckConstraint(
                condition=~Q(approved_by=F("requested_by")) & ~Q(approved_by=F("borrower")),
                name="lending_return_two_people",
            ),
            models.CheckConstraint(
                condition=~Q(state="approved") | Q(approved_by__isnull=False, effective_at__isnull=False),
                name="lending_return_approved",
            ),
        ]
        indexes = [
            models.Index(
                fields=["borrower", "asset", "-effective_at"],
                condition=Q(state="approved"),
                name="lending_return_effective",
            )
        ]

    def __str__(self) -> str:
        return f"{self.asset} {self.address}"


class Withdrawal(models.Model):
    """Coins on their way to the borrower's return address. Approved by two officers, they no longer count at once.

    Bitcoin: `PREPARED` holds the unsigned transaction, whose txid is known; the custodian signs it. Ether: the vault's
    own release, through the outbox. `FINAL` when the network will not undo it; only then is it out of custody.
    """

    class Kind(models.TextChoices):
        EXCESS = "excess", _("Part above the coverage that is kept")
        RELEASE = "release", _("All of it, the loan being repaid")
        RETURN = "return", _("A deposit that did not count")

    class State(models.TextChoices):
        REQUESTED = "requested", _("Waiting for approval")
        CHECKED = "checked", _("Waiting for the second officer")
        APPROVED = "approved", _("Approved")
        PREPARED = "prepared", _("Waiting for the custodian's signature")
        SENT = "sent", _("On its way")
        FINAL = "final", _("Arrived")
        REFUSED = "refused", _("Refused")
        CANCELLED = "cancelled", _("Cancelled")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.REQUESTED: {State.CHECKED, State.REFUSED, State.CANCELLED},
        State.CHECKED: {State.APPROVED, State.REFUSED, State.CANCELLED},
        # Cancelled only while nothing can be on the network: never once signatures may exist.
        State.APPROVED: {State.PREPARED, State.SENT, State.CANCELLED},
        State.PREPARED: {State.PREPARED, State.SENT},
        State.SENT: {State.FINAL, State.PREPARED, State.APPROVED},
        State.FINAL: set(),
        State.REFUSED: set(),
        State.CANCELLED: set(),
    }
    #: Asked for and not over: such coins are promised to nobody else.
    OPEN = (State.REQUESTED, State.CHECKED, State.APPROVED, State.PREPARED, State.SENT)
    #: Taken out of the collateral already.
    LEAVING = (State.APPROVED, State.PREPARED, State.SENT)

    loan = models.ForeignKey("lending.Loan", on_delete=models.PROTECT, related_name="withdrawals")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    asset = models.CharField(_("asset"), max_length=3, choices=Asset.choices)
    units = UnitsField(verbose_name=_("amount"), help_text="base units that leave, the network's fee included")
    deposit = models.ForeignKey(
        Deposit, null=True, blank=True, on_delete=models.PROTECT, related_name="returns", help_text="kind `return`"
    )
    destination = models.ForeignKey(ReturnAddress, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.REQUESTED)
    form_key = models.CharField(max_length=80, unique=True, help_text="the same form is one withdrawal")
    requested_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField(auto_now_add=True)
    checked_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    approved_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    approved_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    valuation = models.JSONField(default=dict, help_text="the accepted prices it was judged by")
    network = models.CharField(max_length=40, blank=True)
    psbt = models.TextField(blank=True)
    coins = models.JSONField(default=list, help_text="Bitcoin: [txid, vout, satoshi] that the transaction spends")
    change_address = models.ForeignKey(
        DepositAddress, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    fee_units = UnitsField(default=0)
    txid = models.CharField(_("transaction"), max_length=66, blank=True)
    transaction = models.ForeignKey(
        "chain.ChainTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    block_height = models.PositiveBigIntegerField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("withdrawal")
        verbose_name_plural = _("withdrawals")
        constraints = [
            models.CheckConstraint(condition=Q(units__gt=0), name="lending_withdrawal_positive"),
            models.CheckConstraint(
                condition=~Q(approved_by=F("checked_by"))
                & ~Q(approved_by=F("requested_by"))
                & ~Q(checked_by=F("requested_by")),
                name="lending_withdrawal_two_people",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["requested", "checked", "refused", "cancelled"])
                | Q(checked_by__isnull=False, approved_by__isnull=False, approved_at__isnull=False),
                name="lending_withdrawal_approved",
            ),
            models.CheckConstraint(
                condition=~Q(state="prepared") | ~Q(psbt="") & ~Q(txid=""), name="lending_withdrawal_prepared"
            ),
            models.CheckConstraint(
                condition=Q(kind="return", deposit__isnull=False) | ~Q(kind="return") & Q(deposit__isnull=True),
                name="lending_withdrawal_deposit",
            ),
            models.UniqueConstraint(
                fields=["deposit"],
                condition=Q(state__in=["requested", "checked", "approved", "prepared", "sent", "final"]),
                name="lending_withdrawal_returned_once",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "id"], name="lending_withdrawal_state"),
            models.Index(fields=["loan", "-id"], name="lending_withdrawal_loan"),
        ]

    def __str__(self) -> str:
        return f"{self.asset} {self.units} {self.state}"
