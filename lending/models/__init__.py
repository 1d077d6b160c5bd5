"""The loan desk: terms, credit, loans, the ledger, positions and limits."""

from .assurance import CollateralProof, ProofLeaf, ReconciliationRun
from .calls import MarginCall, Reminder
from .collateral import Deposit, DepositAddress, Disposition, HandReturn, ReturnAddress, Withdrawal
from .credit import CreditApplication, CreditDecision, CreditLine, IncomeEvidence
from .ledger import Account, Accrual, AccrualRun, Entry, EntryKind, Posting, Unit
from .loans import Draw, Loan, LoanDocument, Renewal, Repayment, WriteOff
from .monitoring import Breach, Position, Setback, Stage
from .prices import Breaker, Observation, Pair, Price, PricePolicy, PriceRound, PriceSource, PriceTick
from .risk import GroupMember, Limit, RelatedGroup
from .sales import Delivery, Sale, SaleOrder
from .stress import StressRun
from .terms import Asset, BankDay, BorrowerKind, Currency, ProductTerms

__all__ = [
    "Account",
    "Accrual",
    "AccrualRun",
    "Asset",
    "BankDay",
    "BorrowerKind",
    "Breach",
    "Breaker",
    "CollateralProof",
    "CreditApplication",
    "CreditDecision",
    "CreditLine",
    "Currency",
    "Delivery",
    "Deposit",
    "DepositAddress",
    "Disposition",
    "Draw",
    "Entry",
    "EntryKind",
    "GroupMember",
    "HandReturn",
    "IncomeEvidence",
    "Limit",
    "Loan",
    "LoanDocument",
    "MarginCall",
    "Observation",
    "Pair",
    "Position",
    "Posting",
    "Price",
    "PricePolicy",
    "PriceRound",
    "PriceSource",
    "PriceTick",
    "ProductTerms",
    "ProofLeaf",
    "ReconciliationRun",
    "RelatedGroup",
    "Reminder",
    "Renewal",
    "Repayment",
    "ReturnAddress",
    "Sale",
    "SaleOrder",
    "Setback",
    "Stage",
    "StressRun",
    "Unit",
    "Withdrawal",
    "WriteOff",
]
