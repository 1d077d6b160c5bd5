"""The loan desk: terms, credit, loans, the ledger, positions and limits."""

from .credit import CreditApplication, CreditDecision, CreditLine, IncomeEvidence
from .ledger import Account, Accrual, AccrualRun, Entry, EntryKind, Posting, Unit
from .loans import Draw, Loan, LoanDocument, Renewal, Repayment, WriteOff
from .monitoring import Position, Stage
from .risk import GroupMember, Limit, RelatedGroup
from .terms import Asset, BankDay, BorrowerKind, Currency, ProductTerms

__all__ = [
    "Account",
    "Accrual",
    "AccrualRun",
    "Asset",
    "BankDay",
    "BorrowerKind",
    "CreditApplication",
    "CreditDecision",
    "CreditLine",
    "Currency",
    "Draw",
    "Entry",
    "EntryKind",
    "GroupMember",
    "IncomeEvidence",
    "Limit",
    "Loan",
    "LoanDocument",
    "Position",
    "Posting",
    "ProductTerms",
    "RelatedGroup",
    "Renewal",
    "Repayment",
    "Stage",
    "Unit",
    "WriteOff",
]
