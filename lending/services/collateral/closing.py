"""What a repaid loan leaves behind: its collateral is asked back for the borrower, two officers look at it as at every return."""

from __future__ import annotations

from django.db import transaction

from lending.exceptions import LoanRefused
from lending.models import Asset, Loan, Position, Withdrawal
from lending.selectors.collateral import away_units, promised_units
from lending.services.collateral.withdrawals import request_withdrawal
from lending.services.notices import tell
from portal import audit
from portal.models import User


def return_what_is_left(loan: Loan, actor: User | str) -> list[Withdrawal]:
    """The locked loan is repaid (`lending.hooks.repaid`): everything that is not on its way already is asked back.

    What still stands at the exchange is not ours to send: it is asked back when it has come back (`lending.services.deliveries`).
    Asked in the borrower's name, so that whoever booked the last repayment may still be one of the two officers.
    Nothing is sent by it. What cannot be asked for (no return address yet) never undoes the repayment: the borrower is told.
    """
    return [row for asset in Asset.values if (row := _ask(loan, asset, actor)) is not None]


def _ask(loan: Loan, asset: str, actor: User | str) -> Withdrawal | None:
    units = _left(loan, asset)
    if units <= 0:
        return None
    earlier = Withdrawal.objects.filter(form_key__startswith=f"closing:{loan.pk}:{asset}:").count()
    try:
        with transaction.atomic():
            row = request_withdrawal(
                loan_id=loan.pk,
                actor=loan.borrower,
                asset=asset,
                units=units,
                form_key=f"closing:{loan.pk}:{asset}:{earlier}",
            )
    except LoanRefused as refusal:
        tell(
            user=loan.borrower,
            kind="lending.collateral_waits",
            key=f"{loan.pk}:{asset}",
            params={"loan": loan.reference, "asset": asset},
        )
        audit.record(
            action="lending.withdrawal.not_asked_at_closing",
            subject_type="lending.loan",
            subject_id=loan.pk,
            actor=actor,
            data={"asset": asset, "units": str(units), "code": refusal.code},
        )
        return None
    audit.record(
        action="lending.withdrawal.asked_at_closing",
        subject_type="lending.withdrawal",
        subject_id=row.pk,
        actor=actor,
        data={"loan": loan.pk, "asset": asset, "units": str(units)},
    )
    return row


def _left(loan: Loan, asset: str) -> int:
    position = Position.objects.filter(loan=loan).first()
    if position is None:
        return 0
    held = position.btc_sats if asset == Asset.BTC else int(position.eth_wei)
    return held - promised_units(loan, asset) - away_units(loan, asset)
