"""Who the investor is: applications, evidence, screening, standing on chain, wallets, dated rules."""

from .application import Application, BeneficialOwner, CorporateDetails, Decision, IndividualDetails, SearchTerm
from .evidence import Evidence
from .rules import DatedRule
from .screening import (
    SanctionsEntry,
    SanctionsList,
    SanctionsName,
    SanctionsWallet,
    ScreeningHit,
    ScreeningRun,
)
from .standing import AttestationRecord, LifecycleStep, OfficerKey, Party, Wallet
from .wallets import WalletChallenge, WalletRequest

__all__ = [
    "Application",
    "AttestationRecord",
    "BeneficialOwner",
    "CorporateDetails",
    "DatedRule",
    "Decision",
    "Evidence",
    "IndividualDetails",
    "LifecycleStep",
    "OfficerKey",
    "Party",
    "SanctionsEntry",
    "SanctionsList",
    "SanctionsName",
    "SanctionsWallet",
    "ScreeningHit",
    "ScreeningRun",
    "SearchTerm",
    "Wallet",
    "WalletChallenge",
    "WalletRequest",
]
