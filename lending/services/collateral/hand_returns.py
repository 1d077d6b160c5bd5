"""Something else than ether or bitcoin at one of our addresses: recorded, and sent back by hand with two people.

Nothing here moves anything. A token at the address of an ether account goes back by `returnToken`, which anybody may call
and which pays the borrower's registered address (docs/runbooks/collateral-vault.md); anything else by whoever holds the
key. What was done is recorded by one officer and confirmed by another who looked. It never counted, so the ledger, which
has only our own assets, has no line of it.
"""

from __future__ import annotations

import re
from typing import Final

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from lending.exceptions import FormReused, LoanRefused
from lending.models import Asset, Deposit, DepositAddress, Disposition, HandReturn
from lending.services.collateral.deposits import DepositFacts, advance_deposits, locked_deposit, observe_deposit
from lending.services.collateral.rescreening import require_not_frozen
from lending.services.guards import locked_loan, move, require_officer, require_other
from portal import audit
from portal.models import User

_SUBJECT: Final = "lending.hand_return"
_TXID: Final = re.compile(r"(0x)?[0-9a-f]{64}")
State = HandReturn.State


@transaction.atomic
def record_wrong_asset(
    *, loan_id: int, actor: User, label: str, units: int, txid: str, sender: str, asset_address: str = Asset.ETH
) -> Deposit:
    """An officer saw another asset at the loan's address: it is searched for on the lists and held. The same again is the same.

    `label` names the asset, `units` counts it in its own smallest unit, `asset_address` says at which of the loan's two
    addresses it lies.
    """
    require_officer(actor)
    loan = locked_loan(loan_id)
    require_other(actor, loan.borrower_id)
    address = DepositAddress.objects.filter(
        loan=loan, asset=asset_address, purpose=DepositAddress.Purpose.DEPOSIT
    ).first()
    if address is None or not label.strip() or label.strip() in Asset.values or units <= 0:
        raise LoanRefused(
            _("Name the asset, which is neither Bitcoin nor Ether, its amount and an address of this loan."),
            code="lending.wrong_asset.incomplete",
        )
    deposit = observe_deposit(
        facts=DepositFacts(
            network=address.network,
            address=address.address,
            asset=label.strip(),
            txid=_transaction(txid),
            position=0,
            units=units,
            senders=(sender.strip(),) if sender.strip() else (),
            height=None,
            block_hash="",
            is_confirmed=True,
            # No sweep can ask about it: what it is only a person has seen.
            is_settled=True,
            loan_id=loan.pk,
        )
    )
    if deposit is None or deposit.asset:
        raise FormReused(
            _("This transaction is recorded already, with other contents. Nothing was changed."),
            code="lending.wrong_asset.txid_taken",
        )
    advance_deposits()
    deposit.refresh_from_db()
    audit.record(
        action="lending.deposit.recorded_by_hand",
        subject_type="lending.deposit",
        subject_id=deposit.pk,
        actor=actor,
        data={"loan": loan.pk, "asset": deposit.label, "units": str(units), "txid": deposit.txid},
    )
    return deposit


def record_hand_return(*, deposit_id: int, actor: User, txid: str, destination: str) -> HandReturn:
    """RECORDED by the officer who sent it back: the transaction and where it went. The same again is the same row.

    Only after two people decided to send the deposit back, and only for what is no asset of ours: Bitcoin and Ether go
    back as a withdrawal. Raises `FormReused` for a transaction that stands for another return.
    """
    require_officer(actor)
    try:
        with transaction.atomic():
            loan, deposit = locked_deposit(deposit_id)
            require_other(actor, loan.borrower_id)
            sent, where = _transaction(txid), destination.strip()
            there = deposit.hand_returns.exclude(state=State.DECLINED).first()
            if there is not None and (there.txid, there.destination) == (sent, where):
                return there
            _require_returnable(deposit)
            if there is not None or not where:
                raise LoanRefused(
                    _("Say where it went. A return that waits for its second person cannot be changed."),
                    code="lending.hand_return.waiting",
                )
            row = HandReturn.objects.create(deposit=deposit, txid=sent, destination=where, recorded_by=actor)
            audit.record(
                action="lending.hand_return.recorded",
                subject_type=_SUBJECT,
                subject_id=row.pk,
                actor=actor,
                to_state=row.state,
                data={"deposit": deposit.pk, "txid": sent, "destination": where},
            )
    except IntegrityError as error:
        raise FormReused(
            _("This transaction stands for another return already. Nothing was changed."),
            code="lending.hand_return.txid_taken",
        ) from error
    return row


def _require_returnable(deposit: Deposit) -> None:
    decided = deposit.dispositions.filter(
        state=Disposition.State.CONFIRMED, verdict=Disposition.Verdict.RETURN, hold=Deposit.Hold.WRONG_ASSET
    )
    is_wrong = deposit.state == Deposit.State.HELD and deposit.hold == Deposit.Hold.WRONG_ASSET
    if not is_wrong or deposit.is_blocked or not decided.exists():
        raise LoanRefused(
            _("Two people have not decided to send this deposit back. Nothing was changed."),
            code="lending.hand_return.not_decided",
        )
    require_not_frozen(deposit.loan)


@transaction.atomic
def decide_hand_return(*, return_id: int, actor: User, agrees: bool) -> HandReturn:
    """The second person looked at the transaction. Agreed: CONFIRMED, and the deposit RETURNED. Twice is once."""
    require_officer(actor)
    deposit_id = HandReturn.objects.values_list("deposit_id", flat=True).get(pk=return_id)
    loan, deposit = locked_deposit(deposit_id)
    row = HandReturn.objects.select_for_update(of=("self",)).get(pk=return_id)
    target = State.CONFIRMED if agrees else State.DECLINED
    if row.state == target:
        return row
    require_other(actor, row.recorded_by_id, loan.borrower_id)
    if agrees:
        _require_returnable(deposit)
    row.decided_by, row.decided_at = actor, timezone.now()
    move(
        row,
        target,
        actor=actor,
        action=f"lending.hand_return.{target}",
        subject=_SUBJECT,
        also=["decided_by", "decided_at"],
        data={"deposit": deposit.pk, "txid": row.txid},
    )
    if agrees:
        move(
            deposit,
            Deposit.State.RETURNED,
            actor=actor,
            action="lending.deposit.returned",
            subject="lending.deposit",
            data={"hand_return": row.pk, "txid": row.txid, "destination": row.destination},
        )
    return row


def _transaction(txid: str) -> str:
    found = txid.strip().lower()
    if not _TXID.fullmatch(found):
        raise LoanRefused(
            _("This is not the id of a transaction. Nothing was changed."), code="lending.hand_return.txid"
        )
    return found
