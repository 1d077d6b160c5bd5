"""What the app's selectors answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from chain.types import Restriction
from portal.money import Money
from tokens.models import Payment, Security, Solicitation, Subscription, Transfer


@dataclass(frozen=True, slots=True)
class HoldingView:
    """What one wallet holds of one security. Units are base units; values are at face."""

    security: Security
    wallet: str
    wallet_kind: str  # custody | own
    units: int
    final_units: int
    frozen_units: int
    is_admitted: bool

    @property
    def free_units(self) -> int:
        return max(self.units - self.frozen_units, 0)

    @property
    def is_final(self) -> bool:
        return self.units == self.final_units

    @property
    def value(self) -> Money:
        return self.security.value_of(self.units)

    @property
    def is_own_wallet(self) -> bool:
        """The holder's own wallet sends; the platform only follows."""
        return self.wallet_kind == "own"

    @property
    def can_be_sent_here(self) -> bool:
        """The platform holds this wallet's key, so it can submit for the holder."""
        return self.wallet_kind == "custody"


@dataclass(frozen=True, slots=True)
class OpenOffer:
    """An invitation to subscribe that its person has not answered."""

    pk: int
    security_name: str


@dataclass(frozen=True, slots=True)
class OpenRecovery:
    """A recovery of a wallet that is not over; `state` is one of `Recovery.OPEN`."""

    pk: int
    state: str
    security_name: str


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One indexed movement, seen from one person's wallets."""

    security: Security
    direction: str  # in | out | issued | redeemed | own
    counterparty: str  # "" for issues and redemptions
    label: str  # from the person's address book
    units: int
    at: datetime
    block_number: int
    transaction_hash: str
    is_final: bool
    transfer_id: int | None

    @property
    def value(self) -> Money:
        return self.security.value_of(self.units)


@dataclass(frozen=True, slots=True)
class HolderLine:
    """One holder of a security, for the issuer."""

    address: str
    name: str
    units: int
    final_units: int
    frozen_units: int
    is_admitted: bool

    @property
    def is_final(self) -> bool:
        return self.units == self.final_units


@dataclass(frozen=True, slots=True)
class HoldersReport:
    """All holders of a security beside its supply. A difference is shown, not hidden."""

    holders: list[HolderLine]
    total_units: int
    supply_units: int
    authorised_units: int

    @property
    def difference_units(self) -> int:
        return self.supply_units - self.total_units

    @property
    def reconciles(self) -> bool:
        return self.difference_units == 0


@dataclass(frozen=True, slots=True)
class BoardLine:
    """One investor's place on the placement board."""

    subscription: Subscription
    name: str
    due: Money
    paid: Money
    missing: Money
    refund: Money
    payments: list[Payment]


@dataclass(frozen=True, slots=True)
class Board:
    """A placement: who was solicited, what they did, and how much is taken."""

    lines: list[BoardLine]
    solicitations: list[Solicitation]
    solicited_count: int  # persons counted by the rule today, over all securities of the kind
    solicited_limit: int | None  # the number that is refused; None where the rule does not count
    subscribed_units: int
    allocated_units: int
    issued_units: int
    available_units: int
    notice_duty: bool


@dataclass(frozen=True, slots=True)
class PrecheckLine:
    """One question of the pre-check. `ok` is None when it cannot be answered now."""

    key: str  # address | sender | recipient | admitted | balance | lot | lock_up | holders | pause
    ok: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Precheck:
    """Whether a transfer would go through, in words. `restriction` is the contract's own answer, None while unknown."""

    lines: list[PrecheckLine]
    restriction: Restriction | None
    refusal: str = ""  # one sentence; empty when nothing stands in the way
    code: str = ""  # stable code of the refusal
    recipient: str = ""  # checksummed, once it could be read
    units: int = 0
    lookalike: str = ""  # the known address it resembles, in full
    is_new_recipient: bool = False
    wait_until: datetime | None = None  # a recipient saved lately can be sent to from then on
    recipient_label: str = ""
    node_down: bool = False
    incomplete: bool = False  # a field is still empty: no verdict, no refusal

    @property
    def can_send(self) -> bool:
        """Every question is answered, and the contract itself said 0."""
        return self.restriction is Restriction.NONE and not self.refusal and not self.incomplete

    @property
    def shows_code(self) -> bool:
        return self.restriction is not None and self.restriction is not Restriction.NONE


@dataclass(frozen=True, slots=True)
class WalletCall:
    """What the holder's own wallet is asked to send."""

    sender: str
    to: str
    data: bytes


@dataclass(frozen=True, slots=True)
class TransferView:
    """A transfer as one of its two sides sees it."""

    transfer: Transfer
    is_incoming: bool
    counterparty: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Everything on the Holdings page, at one block."""

    holdings: list[HoldingView] = field(default_factory=list)
    totals: list[Money] = field(default_factory=list)
