"""The loan desk: terms, credit, loans, the ledger, positions and limits."""

from .assurance import CollateralProof, ProofLeaf, ReconciliationRun
from .collateral import Deposit, DepositAddress, Disposition, ReturnAddress, Withdrawal
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
    "CollateralProof",
    "CreditApplication",
    "CreditDecision",
    "CreditLine",
    "Currency",
    "Deposit",
    "DepositAddress",
    "Disposition",
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
    "ProofLeaf",
    "ReconciliationRun",
    "RelatedGroup",
    "Renewal",
    "Repayment",
    "ReturnAddress",
    "Stage",
    "Unit",
    "Withdrawal",
    "WriteOff",
]
