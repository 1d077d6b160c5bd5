"""Coins that come and go. ETH (through `chain`) and BTC (through Esplora) call the same functions with the same facts."""

from lending.services.collateral.addresses import give_deposit_address
from lending.services.collateral.deposits import (
    DepositFacts,
    advance_deposits,
    lose_deposit,
    observe_deposit,
)
from lending.services.collateral.dispositions import confirm_disposition, propose_disposition
from lending.services.collateral.hand_returns import (
    decide_hand_return,
    record_hand_return,
    record_wrong_asset,
)
from lending.services.collateral.rescreening import rescreen_deposits
from lending.services.collateral.return_addresses import (
    approve_return_address,
    cancel_return_address,
    refuse_return_address,
    request_return_address,
)
from lending.services.collateral.withdrawals import (
    approve_withdrawal,
    cancel_withdrawal,
    check_withdrawal,
    refuse_withdrawal,
    request_withdrawal,
)

__all__ = [
    "DepositFacts",
    "advance_deposits",
    "approve_return_address",
    "approve_withdrawal",
    "cancel_return_address",
    "cancel_withdrawal",
    "check_withdrawal",
    "confirm_disposition",
    "decide_hand_return",
    "give_deposit_address",
    "lose_deposit",
    "observe_deposit",
    "propose_disposition",
    "record_hand_return",
    "record_wrong_asset",
    "refuse_return_address",
    "refuse_withdrawal",
    "request_return_address",
    "request_withdrawal",
    "rescreen_deposits",
]
