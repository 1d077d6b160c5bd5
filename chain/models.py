"""The outbox, the signers' nonces, the index of our contracts' events, and projections of who holds what."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from django.core.validators import DecimalValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _


class AddressField(models.CharField):  # type: ignore[type-arg]  # generic in the stubs only
    """An EIP-55 checksummed address, 42 characters."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs["max_length"] = 42
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]


class UnitsField(models.DecimalField):  # type: ignore[type-arg]  # generic in the stubs only
    """A 256-bit integer of base units: NUMERIC(78, 0)."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs["max_digits"] = 78
        kwargs["decimal_places"] = 0
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    @cached_property
    def validators(self) -> list[Any]:
        # Django's own check of digits wants a Decimal; ours are whole numbers, bounded by their 256 bits.
        bounds = [MinValueValidator(0), MaxValueValidator(2**256 - 1)]
        return [*(each for each in super().validators if not isinstance(each, DecimalValidator)), *bounds]

    def from_db_value(self, value: object, *_: object) -> int | None:
        return None if value is None else int(value)  # type: ignore[call-overload]

    def to_python(self, value: object) -> int | None:
        return None if value is None else int(value)  # type: ignore[call-overload]


class Contract(models.Model):
    """A contract of ours that stands on the chain. The indexer follows every row here."""

    class Kind(models.TextChoices):
        ACCESS_MANAGER = "AccessManager"
        INVESTOR_SBT = "InvestorSBT"
        SECURITY_TOKEN = "SecurityToken"  # noqa: S105 (a name)
        SAFE = "Safe"
        SAFE_PROXY_FACTORY = "SafeProxyFactory"
        ADMIN_SAFE = "AdminSafe"
        COUNCIL_SAFE = "CouncilSafe"
        TIMELOCK = "TimelockController"
        COLLATERAL_VAULT = "CollateralVault"
        PRICE_FEED = "DemoPriceFeed"

    chain_id = models.BigIntegerField()
    kind = models.CharField(max_length=40, choices=Kind.choices)
    address = AddressField()
    deployed_block = models.BigIntegerField()
    bytecode_hash = models.CharField(max_length=66, help_text="keccak-256 of the creation code it was deployed from")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("contract")
        verbose_name_plural = _("contracts")
        constraints = [
            models.UniqueConstraint(fields=["chain_id", "address"], name="chain_contract_address"),
            # One of each per chain; securities and simulated price feeds are many.
            models.UniqueConstraint(
                fields=["chain_id", "kind"],
                condition=~models.Q(kind__in=["SecurityToken", "DemoPriceFeed"]),
                name="chain_contract_singletons",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.address}"


class Signer(models.Model):
    """An address whose key we can ask to sign. The key itself is never here."""

    class Backend(models.TextChoices):
        KEYSTORE = "keystore", _("Encrypted keystore")

    class State(models.TextChoices):
        STANDBY = "standby", _("Waits for its role")
        ACTIVE = "active", _("In use")
        RETIRED = "retired", _("Replaced")

    TRANSITIONS: ClassVar[Mapping[str, Collection[str]]] = {
        State.STANDBY: {State.ACTIVE, State.RETIRED},
        State.ACTIVE: {State.RETIRED},
        State.RETIRED: set(),
    }

    chain_id = models.BigIntegerField()
    address = AddressField()
    role = models.CharField(max_length=40, help_text="chain.types.SignerRole")
    backend = models.CharField(max_length=20, choices=Backend.choices, default=Backend.KEYSTORE)
    label = models.CharField(max_length=120, blank=True)
    next_nonce = models.BigIntegerField(default=0, help_text="never lowered from the chain")
    halted_reason = models.CharField(
        max_length=200, blank=True, help_text="set: nothing is signed until an operator clears it"
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    replaces = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="replacements")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("signing key")
        verbose_name_plural = _("signing keys")
        constraints = [
            models.UniqueConstraint(fields=["chain_id", "address"], name="chain_signer_address"),
            models.CheckConstraint(condition=models.Q(next_nonce__gte=0), name="chain_signer_nonce_positive"),
            models.UniqueConstraint(
                fields=["chain_id", "role"],
                condition=~models.Q(role__in=["custody", "attestor", "admin_owner", "council_owner"])
                & models.Q(state="active"),
                name="chain_signer_one_per_role",
            ),
            models.UniqueConstraint(
                fields=["replaces"],
                condition=models.Q(state__in=["standby", "active"]),
                name="chain_signer_one_replacement",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label or self.role} {self.address}"


class ChainTransaction(models.Model):
    """One thing asked of the chain. It happens once, and its follow-up is told what became of it.

    Rows are made by `chain.services.enqueue` in the transaction of the business row they serve.
    """

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting to be submitted")
        SIGNED = "signed", _("Signed")
        BROADCAST = "broadcast", _("Submitted")
        MINED = "mined", _("In a block, not final yet")
        FINAL = "final", _("Final")
        REVERTED = "reverted", _("Refused by the contract")
        CANCELLING = "cancelling", _("Being cancelled")
        CANCELLED = "cancelled", _("Cancelled")
        EXPIRED = "expired", _("Ran out of time before it was submitted")
        REFUSED = "refused", _("Refused before it was submitted")

    #: REVERTED and CANCELLED are provisional until their block is final: a reorganisation sends them back to BROADCAST,
    #: where the cancelling attempt, once there is one, may be the one that is mined.
    TRANSITIONS: ClassVar[Mapping[str, Collection[str]]] = {
        State.QUEUED: {State.SIGNED, State.EXPIRED, State.REFUSED},
        State.SIGNED: {State.BROADCAST, State.MINED, State.REVERTED, State.CANCELLING},
        State.BROADCAST: {State.MINED, State.REVERTED, State.CANCELLING, State.CANCELLED},
        State.CANCELLING: {State.CANCELLED, State.MINED, State.REVERTED},
        State.MINED: {State.FINAL, State.BROADCAST, State.REVERTED},
        State.REVERTED: {State.BROADCAST, State.MINED},
        State.CANCELLED: {State.BROADCAST, State.MINED, State.REVERTED},
        State.FINAL: set(),
        State.EXPIRED: set(),
        State.REFUSED: set(),
    }
    #: Nothing of it can happen on chain any more (REVERTED and CANCELLED only once `is_settled`).
    DEAD = (State.REVERTED, State.CANCELLED, State.EXPIRED, State.REFUSED)

    class Verdict(models.TextChoices):
        UNJUDGED = "", _("Not judged yet")
        ASKED = "asked", _("Asked for")
        UNASKED = "unasked", _("Nobody asked for it")

    signer = models.ForeignKey(Signer, on_delete=models.PROTECT, related_name="transactions")
    idempotency_key = models.CharField(max_length=120, unique=True)
    purpose = models.CharField(max_length=60, db_index=True, help_text="names the follow-up, e.g. kyc.issue_sbt")
    subject = models.CharField(max_length=80, blank=True, help_text="what it serves, e.g. kyc.application:12")
    function = models.CharField(max_length=80, help_text="Contract.function")
    to = AddressField(null=True, blank=True, help_text="null deploys")
    data = models.BinaryField()
    value_wei = UnitsField(default=0)
    depends_on = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="dependants")
    not_before = models.DateTimeField(null=True, blank=True)
    valid_until = models.DateTimeField(null=True, blank=True)
    is_held = models.BooleanField(default=False, help_text="a proposal has to pass first; not submitted until then")
    verdict = models.CharField(
        max_length=8,
        choices=Verdict.choices,
        blank=True,
        default=Verdict.UNJUDGED,
        help_text="what the app behind the purpose last said; kept for people, never believed (chain.errands)",
    )
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    nonce = models.BigIntegerField(null=True, blank=True)
    gas_limit = models.BigIntegerField(null=True, blank=True)
    block_number = models.BigIntegerField(null=True, blank=True)
    block_hash = models.CharField(max_length=66, blank=True)
    mined_hash = models.CharField(max_length=66, blank=True, help_text="hash of the attempt that was mined")
    contract_address = AddressField(null=True, blank=True, help_text="of a deployment, once mined")
    gas_used = models.BigIntegerField(null=True, blank=True)
    is_settled = models.BooleanField(
        default=False, help_text="its block is final, or it never got a nonce: no reorg can change it"
    )
    error_code = models.CharField(
        max_length=120, blank=True, help_text="decoded custom error, e.g. SecurityToken_Restricted(30)"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    mined_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("transaction")
        verbose_name_plural = _("transactions")
        constraints = [
            models.UniqueConstraint(fields=["signer", "nonce"], name="chain_tx_signer_nonce"),
            models.CheckConstraint(
                condition=models.Q(nonce__isnull=True, state__in=["queued", "expired", "refused"])
                | models.Q(nonce__isnull=False) & ~models.Q(state__in=["queued", "expired", "refused"]),
                name="chain_tx_nonce_matches_state",
            ),
            models.CheckConstraint(
                condition=models.Q(block_hash="")
                | ~models.Q(state__in=["queued", "signed", "broadcast", "expired", "refused"]),
                name="chain_tx_block_matches_state",
            ),
        ]
        indexes = [
            models.Index(fields=["signer", "id"], condition=models.Q(state="queued"), name="chain_tx_queue"),
            models.Index(fields=["signer", "nonce"], condition=models.Q(is_settled=False), name="chain_tx_unsettled"),
            models.Index(fields=["subject"], name="chain_tx_subject"),
            models.Index(fields=["id"], condition=models.Q(verdict="", is_settled=False), name="chain_tx_unjudged"),
        ]

    def __str__(self) -> str:
        return f"{self.function} {self.state} [{self.idempotency_key}]"


class SafeProposal(models.Model):
    """Something that only several officers together may have done: by the council, or by the admin through its delay.

    `transaction` is what the asking app sees and follows. It is held until the officers have signed; for the admin it
    is the timelock's `execute`, and `relay` the Safe's call that announces it. For the council both are one.
    """

    class State(models.TextChoices):
        COLLECTING = "collecting", _("Waiting for signatures")
        SENT = "sent", _("Signed by enough, submitted")
        SCHEDULED = "scheduled", _("Announced, waiting time runs")
        RELEASED = "released", _("Waiting time over, being carried out")
        DONE = "done", _("Carried out")
        FAILED = "failed", _("Did not go through")
        CANCELLED = "cancelled", _("Cancelled")

    TRANSITIONS: ClassVar[Mapping[str, Collection[str]]] = {
        State.COLLECTING: {State.SENT, State.CANCELLED, State.FAILED},
        State.SENT: {State.SCHEDULED, State.DONE, State.FAILED},
        # Back to SENT: a reorganisation took the announcement out of its block.
        State.SCHEDULED: {State.RELEASED, State.CANCELLED, State.SENT, State.FAILED},
        State.RELEASED: {State.DONE, State.FAILED},
        State.DONE: set(),
        State.FAILED: set(),
        State.CANCELLED: set(),
    }
    ENDED = (State.DONE, State.FAILED, State.CANCELLED)

    safe = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="proposals")
    relay = models.OneToOneField(ChainTransaction, on_delete=models.PROTECT, related_name="relayed_proposal")
    transaction = models.OneToOneField(ChainTransaction, on_delete=models.PROTECT, related_name="proposal")
    to = AddressField(help_text="what the Safe calls")
    data = models.BinaryField()
    nonce = models.BigIntegerField(null=True, blank=True, help_text="the Safe's; null until it was looked up")
    operation_id = models.CharField(max_length=66, blank=True, help_text="of the timelock; empty for the council")
    purpose_call = models.CharField(max_length=80, help_text="Contract.function that is done in the end")
    target = AddressField(help_text="the contract it is done to")
    requested_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=12, choices=State.choices, default=State.COLLECTING)
    effective_at = models.DateTimeField(null=True, blank=True, help_text="when the waiting time ends")
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("proposal")
        verbose_name_plural = _("proposals")
        indexes = [
            models.Index(
                fields=["safe", "id"],
                condition=models.Q(state__in=["collecting", "sent", "scheduled", "released"]),
                name="chain_proposal_open",
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["safe", "nonce"],
                condition=models.Q(nonce__isnull=False, state__in=["collecting", "sent"]),
                name="chain_proposal_nonce",
            ),
            models.CheckConstraint(
                condition=models.Q(nonce__isnull=False) | models.Q(state__in=["collecting", "cancelled", "failed"]),
                name="chain_proposal_numbered_before_sent",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose_call} {self.state}"

    @property
    def can_be_withdrawn(self) -> bool:
        """Not submitted yet: whoever may ask may take it back."""
        return self.state == self.State.COLLECTING

    @property
    def can_be_cancelled(self) -> bool:
        """Announced, or about to be: the council can still stop it."""
        return bool(self.operation_id) and self.state in (self.State.SENT, self.State.SCHEDULED)


class SafeSignature(models.Model):
    """One officer's signature over one proposal under one nonce. Never changed; another nonce needs another one."""

    proposal = models.ForeignKey(SafeProposal, on_delete=models.PROTECT, related_name="signatures")
    owner = AddressField()
    digest = models.CharField(max_length=66, help_text="what was signed; counts only while it is the proposal's")
    signature = models.BinaryField()
    posted_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("signature")
        verbose_name_plural = _("signatures")
        constraints = [
            models.UniqueConstraint(fields=["proposal", "digest", "owner"], name="chain_safe_signature_once"),
        ]

    def __str__(self) -> str:
        return f"{self.owner} for proposal {self.proposal_id}"


class Attempt(models.Model):
    """Signed bytes for a transaction. Never deleted or changed: an older one may be the one that is mined."""

    transaction = models.ForeignKey(ChainTransaction, on_delete=models.PROTECT, related_name="attempts")
    hash = models.CharField(max_length=66, unique=True)
    raw = models.BinaryField()
    max_fee_per_gas = UnitsField()
    max_priority_fee_per_gas = UnitsField()
    is_cancellation = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    first_sent_at = models.DateTimeField(null=True, blank=True)
    last_sent_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["id"]

    def __str__(self) -> str:
        return self.hash


class Block(models.Model):
    """A block the indexer has read. Non-canonical ones are kept: they explain what was rolled back."""

    chain_id = models.BigIntegerField()
    number = models.BigIntegerField()
    hash = models.CharField(max_length=66)
    parent_hash = models.CharField(max_length=66)
    at = models.DateTimeField()
    canonical = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chain_id", "hash"], name="chain_block_hash"),
            models.UniqueConstraint(
                fields=["chain_id", "number"], condition=models.Q(canonical=True), name="chain_block_one_canonical"
            ),
        ]
        verbose_name = _("block")
        verbose_name_plural = _("blocks")

    def __str__(self) -> str:
        return f"block {self.number} {self.hash[:10]}"


class EventLog(models.Model):
    """One decoded log of one of our contracts."""

    chain_id = models.BigIntegerField()
    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="logs")
    block_number = models.BigIntegerField()
    block_hash = models.CharField(max_length=66)
    log_index = models.IntegerField()
    transaction_hash = models.CharField(max_length=66, db_index=True)
    address = AddressField()
    event = models.CharField(max_length=60)
    args = models.JSONField(help_text="integers as decimal strings, bytes as 0x-hex, addresses checksummed")
    canonical = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chain_id", "block_hash", "log_index"], name="chain_log_identity"),
        ]
        indexes = [
            models.Index(fields=["address", "event", "block_number", "log_index"], name="chain_log_lookup"),
            models.Index(fields=["chain_id", "block_number"], name="chain_log_block"),
        ]
        verbose_name = _("event log")
        verbose_name_plural = _("event logs")

    def __str__(self) -> str:
        return f"{self.event} {self.block_number}/{self.log_index}"


class Cursor(models.Model):
    """How far the chain has been read. One row per chain.

    Blocks up to `number` have been read, and `hash` is the hash of that block. What happened up to `final_number`
    can no longer be undone. `final_number` is never lowered.
    """

    chain_id = models.BigIntegerField(unique=True)
    number = models.BigIntegerField(default=-1)
    hash = models.CharField(max_length=66, blank=True)
    block_at = models.DateTimeField(null=True, blank=True, help_text="time of that block")
    final_number = models.BigIntegerField(default=-1)
    range_size = models.IntegerField(default=50)
    moved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("reading position")
        verbose_name_plural = _("reading positions")

    def __str__(self) -> str:
        return f"chain {self.chain_id} at {self.number}, final to {self.final_number}"


class FollowedContract(models.Model):
    """How far one contract has been read.

    A contract that was deployed behind the cursor is read on its own up to `number` until it has caught up; from then
    on (`joined`) it is read with all the others and `Cursor.number` speaks for it.
    """

    contract = models.OneToOneField(Contract, on_delete=models.CASCADE, related_name="followed")
    number = models.BigIntegerField(help_text="every log of it up to this block is stored")
    joined = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("followed contract")
        verbose_name_plural = _("followed contracts")

    def __str__(self) -> str:
        return f"{self.contract} {'with the cursor' if self.joined else f'behind, at {self.number}'}"


class SbtRecord(models.Model):
    """Projection: the SBT of one address, as of the cursor."""

    chain_id = models.BigIntegerField()
    address = AddressField()
    token_id = UnitsField()
    subject = models.CharField(max_length=66, db_index=True)
    categories = models.IntegerField()
    issued_at = models.DateTimeField()
    effective_from = models.DateTimeField()
    expires_at = models.DateTimeField()
    issuer = AddressField()
    attestor = AddressField()
    suspended = models.BooleanField(default=False)
    revoked = models.BooleanField(default=False)
    block_number = models.BigIntegerField(help_text="of the event that last changed it")
    transaction_hash = models.CharField(max_length=66)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chain_id", "address"], name="chain_sbt_address")]
        verbose_name = _("SBT record")
        verbose_name_plural = _("SBT records")

    def __str__(self) -> str:
        return f"SBT {self.token_id} of {self.address}"


class Distrust(models.Model):
    """Projection: a key whose issues or attestations from `since` on no longer count."""

    chain_id = models.BigIntegerField()
    key = AddressField()
    since = models.DateTimeField()
    block_number = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chain_id", "key"], name="chain_distrust_key")]
        verbose_name = _("distrusted key")
        verbose_name_plural = _("distrusted keys")

    def __str__(self) -> str:
        return f"{self.key} not trusted since {self.since:%Y-%m-%d %H:%M:%S}"


class Holding(models.Model):
    """Projection: what one address has of one token, to the head (`units`) and to the finalised block (`final_units`)."""

    chain_id = models.BigIntegerField()
    token = AddressField()
    holder = AddressField(db_index=True)
    units = UnitsField(default=0)
    final_units = UnitsField(default=0)
    frozen_units = UnitsField(default=0)
    admitted_sbt = UnitsField(default=0, help_text="the SBT id admitted on this token; 0: none")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chain_id", "token", "holder"], name="chain_holding_identity"),
            models.CheckConstraint(
                condition=models.Q(units__gte=0, final_units__gte=0), name="chain_holding_not_negative"
            ),
        ]
        verbose_name = _("indexed holding")
        verbose_name_plural = _("indexed holdings")

    def __str__(self) -> str:
        return f"{self.holder} holds {self.units} of {self.token}"


class Movement(models.Model):
    """Projection: one Transfer event of one token, for histories."""

    log = models.OneToOneField(EventLog, on_delete=models.CASCADE, related_name="movement")
    chain_id = models.BigIntegerField()
    token = AddressField()
    sender = AddressField()
    recipient = AddressField()
    units = UnitsField()
    block_number = models.BigIntegerField()
    at = models.DateTimeField()
    transaction_hash = models.CharField(max_length=66)

    class Meta:
        indexes = [
            models.Index(fields=["sender", "-block_number"], name="chain_movement_sender"),
            models.Index(fields=["recipient", "-block_number"], name="chain_movement_recipient"),
            models.Index(fields=["token", "-block_number"], name="chain_movement_token"),
            models.Index(fields=["chain_id", "block_number"], name="chain_movement_block"),
        ]
        verbose_name = _("token movement")
        verbose_name_plural = _("token movements")

    def __str__(self) -> str:
        return f"{self.units} of {self.token} from {self.sender} to {self.recipient}"


class CollateralAccount(models.Model):
    """Projection: an account of the vault whose deposit address exists, as of the cursor."""

    log = models.OneToOneField(EventLog, on_delete=models.CASCADE, related_name="collateral_account")
    chain_id = models.BigIntegerField()
    account = models.CharField(max_length=66)
    loan = models.CharField(max_length=66, help_text="the lender's opaque reference")
    borrower = AddressField(help_text="as opened; another address may be in force since")
    deposit_address = AddressField(db_index=True)
    block_number = models.BigIntegerField()

    class Meta:
        verbose_name = _("collateral account")
        verbose_name_plural = _("collateral accounts")
        constraints = [models.UniqueConstraint(fields=["chain_id", "account"], name="chain_collateral_account")]

    def __str__(self) -> str:
        return f"collateral account {self.account[:10]}"


class CollateralMovement(models.Model):
    """Projection: ETH that came into, or left, one account of the vault."""

    class Kind(models.TextChoices):
        DEPOSITED = "Deposited", _("Paid in")
        RELEASED = "Released", _("Returned to the borrower")
        SOLD = "Sold", _("Sent to be sold")

    log = models.OneToOneField(EventLog, on_delete=models.CASCADE, related_name="collateral_movement")
    chain_id = models.BigIntegerField()
    account = models.CharField(max_length=66)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    amount_wei = UnitsField()
    party = AddressField(help_text="who paid (zero: not known), or who was paid")
    origin = models.CharField(max_length=42, blank=True, help_text="of a deposit: who signed the transaction")
    reference = models.CharField(max_length=66, blank=True, help_text="the release's or the sale's id")
    block_number = models.BigIntegerField()
    at = models.DateTimeField()
    transaction_hash = models.CharField(max_length=66)

    class Meta:
        verbose_name = _("movement of collateral")
        verbose_name_plural = _("movements of collateral")
        indexes = [
            models.Index(fields=["account", "block_number"], name="chain_collateral_of_account"),
            models.Index(fields=["chain_id", "block_number"], name="chain_collateral_block"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount_wei} wei of {self.account[:10]}"


class TokenState(models.Model):
    """Projection: what a security's contract says about itself, as of the cursor."""

    chain_id = models.BigIntegerField()
    token = AddressField()
    supply_units = UnitsField(default=0)
    authorised_units = UnitsField(default=0)
    holders = models.IntegerField(default=0)
    paused = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chain_id", "token"], name="chain_token_state")]
        verbose_name = _("token state")
        verbose_name_plural = _("token states")

    def __str__(self) -> str:
        return f"{self.token} supply {self.supply_units}"


class Incident(models.Model):
    """Something that should not have happened and that a person must look at."""

    kind = models.CharField(max_length=60)
    detail = models.TextField()
    data = models.JSONField(default=dict)
    opened_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    dedupe_key = models.CharField(max_length=120, unique=True)

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail[:60]}"


from chain.desk.models import Alarm, AlarmEvidence, AlarmRule, ResponseStep, Watch  # noqa: E402, F401 (of this app)
from chain.outside.models import OutsideTransaction  # noqa: E402, F401 (of this app)
from chain.public.models import PublicReading  # noqa: E402, F401 (of this app)
