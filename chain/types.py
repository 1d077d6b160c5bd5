"""What crosses the border of `chain`: plain values the other apps hand in and get back. No web3 here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum


class Standing(IntEnum):
    """What `InvestorSBT.standingOf` answers for an address. The numbers are the contract's."""

    EFFECTIVE = 0
    NONE = 1
    PENDING = 2
    EXPIRED = 3
    SUSPENDED = 4
    ISSUER_DISTRUSTED = 5
    ATTESTOR_DISTRUSTED = 6


class Restriction(IntEnum):
    """What `SecurityToken.detectTransferRestriction` answers (ERC-1404). 0 means the transfer would succeed.

    Sender's SBT: 10 + Standing. Receiver's SBT: 20 + Standing.
    """

    NONE = 0
    PAUSED = 1
    SENDER_INVALID = 2
    RECEIVER_INVALID = 3
    SENDER_NO_SBT = 11
    SENDER_PENDING = 12
    SENDER_EXPIRED = 13
    SENDER_SUSPENDED = 14
    SENDER_ISSUER_DISTRUSTED = 15
    SENDER_ATTESTOR_DISTRUSTED = 16
    RECEIVER_NO_SBT = 21
    RECEIVER_PENDING = 22
    RECEIVER_EXPIRED = 23
    RECEIVER_SUSPENDED = 24
    RECEIVER_ISSUER_DISTRUSTED = 25
    RECEIVER_ATTESTOR_DISTRUSTED = 26
    RECEIVER_NOT_ADMITTED = 30
    ABOVE_BALANCE = 31
    ABOVE_UNFROZEN = 32
    SENDER_IN_RECOVERY = 33
    LOCK_UP = 40
    RECORD_DATE_FREEZE = 41
    QII_ONLY = 42
    HOLDER_CAP = 43
    MINIMUM_LOT = 44
    WHOLE_BALANCE_ONLY = 45


class Category(IntEnum):
    """Bits of an SBT's category flags."""

    INDIVIDUAL = 1
    CORPORATE = 2
    QUALIFIED_INSTITUTIONAL = 4


class ChainRole(IntEnum):
    """Numbers of the roles in the AccessManager (contracts/src/Roles.sol)."""

    ADMIN = 0
    SBT_ISSUER = 1
    ATTESTOR = 2
    SBT_GUARDIAN = 3
    TOKEN_AGENT = 4
    TOKEN_CONTROLLER = 5
    TOKEN_GUARDIAN = 6
    COUNCIL = 7
    #: The manager's own functions. Nobody is in it; its guardian, the council, may cancel what an admin scheduled.
    MANAGEMENT = 8
    #: Proposes and makes releases of collateral, carries out recorded sales.
    COLLATERAL_AGENT = 9
    #: Records what collateral may be sold; moves nothing.
    SALE_RECORDER = 10


class SignerRole:
    """Names of the platform's own signers; a custody signer's role is `custody`."""

    DEPLOYER = "deployer"
    ADMIN = "admin"  # no key: a timelock behind a Safe; asked through `services.request`
    SBT_ISSUER = "sbt_issuer"
    SBT_GUARDIAN = "sbt_guardian"
    TOKEN_AGENT = "token_agent"  # noqa: S105 (a name)
    TOKEN_CONTROLLER = "token_controller"  # noqa: S105 (a name)
    TOKEN_GUARDIAN = "token_guardian"  # noqa: S105 (a name)
    COUNCIL = "council"  # no key: a Safe; asked through `services.request`
    ADMIN_OWNER = "admin_owner"  # development only; a real officer signs in their own wallet
    COUNCIL_OWNER = "council_owner"  # development only
    RELAYER = "relayer"  # brings to the chain what officers signed; decides nothing
    GAS_FUNDER = "gas_funder"
    COLLATERAL_AGENT = "collateral_agent"
    SALE_RECORDER = "sale_recorder"
    SALE_WALLET = (
        "sale_wallet"  # development only: where sold collateral goes; in production an address of the exchange
    )
    PRICE_SIMULATOR = "price_simulator"  # development only: tells the simulated price feeds what to say
    ATTESTOR = "attestor"  # demo officers only; a real officer signs in their own wallet
    CUSTODY = "custody"
    #: Roles that no key ever holds.
    KEYLESS = frozenset({ADMIN, COUNCIL})
    #: Roles of which there are several keys; of every other one there is one per chain.
    MANY = frozenset({ATTESTOR, CUSTODY, ADMIN_OWNER, COUNCIL_OWNER})


@dataclass(frozen=True, slots=True)
class Call:
    """One call (or deployment, when `to` is None) ready to be put in the outbox.

    `function` is `Contract.function` for people and for the signer's policy; `data` is the ABI-encoded calldata.
    """

    to: str | None
    data: bytes
    function: str
    value_wei: int = 0


@dataclass(frozen=True, slots=True)
class Attestation:
    """What a KYC officer signs (EIP-712 `Attestation` of InvestorSBT). Times are Unix seconds."""

    holder: str
    subject: bytes  # 32 bytes, opaque reference of the person
    categories: int
    expires_at: int
    evidence_hash: bytes  # 32 bytes
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class TokenTerms:
    """Everything a SecurityToken is deployed with; the terms a holder bought under cannot change."""

    name: str
    symbol: str
    decimals: int
    isin: str
    currency: str
    face_value_minor: int  # per token unit, in the currency's minor units
    rate_bps: int
    issue_at: int  # Unix seconds
    maturity_at: int
    authorised_units: int
    qii_only: bool
    holder_cap: int  # 0: none
    minimum_lot_units: int  # 1: none
    whole_balance_only: bool
    lock_up_until: int  # Unix seconds; 0: none
    documents: tuple[tuple[str, str, bytes], ...] = ()  # (name, uri, SHA-256)


@dataclass(frozen=True, slots=True)
class SbtView:
    """An address's SBT as the indexer last saw it (not the node's live answer)."""

    address: str
    token_id: int
    categories: int
    issued_at: datetime
    effective_from: datetime
    expires_at: datetime
    suspended: bool
    standing: Standing
    is_final: bool
    transaction_hash: str


@dataclass(frozen=True, slots=True)
class BalanceView:
    """What an address holds of one token. `final_units` counts finalised blocks only."""

    token: str
    holder: str
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


@dataclass(frozen=True, slots=True)
class MovementView:
    """One indexed Transfer event. A zero address on either side is a mint or a burn."""

    token: str
    sender: str
    recipient: str
    units: int
    block_number: int
    at: datetime
    transaction_hash: str
    is_final: bool


@dataclass(frozen=True, slots=True)
class DailyChange:
    """By how much one day changed what some addresses hold of a token together; less than nothing when units left."""

    token: str
    day: date
    units: int


@dataclass(frozen=True, slots=True)
class CollateralDeposit:
    """ETH that came into one account of the vault. Amounts in wei."""

    log_id: int
    account: str
    amount_wei: int
    sender: str  # zero address: it arrived unseen, nobody can say who paid
    origin: str  # who signed the transaction
    is_final: bool
    block_number: int
    at: datetime
    transaction_hash: str

    @property
    def is_sender_known(self) -> bool:
        return int(self.sender, 16) != 0

    @property
    def senders(self) -> tuple[str, ...]:
        """Every address to screen; empty where the payer is not known, which is a person's business."""
        return tuple(dict.fromkeys((self.sender, self.origin))) if self.is_sender_known else ()


@dataclass(frozen=True, slots=True)
class CollateralBalance:
    """What one account of the vault holds as indexed, in wei. `final_wei` counts finalised blocks only."""

    account: str
    wei: int = 0
    final_wei: int = 0

    @property
    def is_final(self) -> bool:
        return self.wei == self.final_wei


@dataclass(frozen=True, slots=True)
class PriceFeedAnswer:
    """The newest round of a price feed, as it answered: whether it is sound, fresh and plausible is the reader's business."""

    answer: int
    decimals: int
    updated_at: datetime
    round_id: int


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """How current what we show is. `head` is None while the node cannot be reached."""

    head: int | None
    finalized: int | None
    indexed: int
    indexed_at: datetime | None

    @property
    def node_is_up(self) -> bool:
        return self.head is not None


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """asked → submitted → in block → final (or refused, reverted, cancelled); `at` is None for what is still to come."""

    key: str  # asked | submitted | in_block | final | refused | reverted | cancelled | expired
    at: datetime | None
    transaction_hash: str = ""
    block_number: int | None = None
    detail: str = ""
