"""What must follow our transactions; run by the chain engine in the database transaction of the change."""

from __future__ import annotations

from chain.followups import followup, on_event
from chain.models import ChainTransaction
from kyc.models import LifecycleStep
from kyc.services.lifecycle import apply_outcome, purpose_of
from kyc.services.outside import EVENTS, follow_event
from kyc.services.own_wallets import ISSUE, apply_wallet_outcome, following_went_on


def _follow(transaction: ChainTransaction, state: str) -> None:
    apply_outcome(transaction_row=transaction, state=state)


for _kind in LifecycleStep.Kind.values:
    followup(purpose_of(_kind))(_follow)


@followup(ISSUE)
def wallet_token_went_on(transaction: ChainTransaction, state: str) -> None:
    apply_wallet_outcome(transaction_row=transaction, state=state)


def _followed(transaction: ChainTransaction, state: str) -> None:
    following_went_on(transaction_row=transaction, state=state)


for _kind in ("suspend", "reinstate", "revoke"):
    followup(f"kyc.follow_{_kind}")(_followed)

for _event in EVENTS:
    on_event(_event)(follow_event)
