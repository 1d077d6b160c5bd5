"""Coins that go back: asked for, looked at by one officer, approved by another, sent, and out of custody when final.

With the approval they no longer count: in the same transaction the ledger moves them from the loan's collateral to what is
leaving, so no draw can rely on them meanwhile. Nothing here can name a destination: it is the borrower's return address.
"""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from chain.services import open_incident
from lending.exceptions import LoanRefused, NotFound, NotYourRole
from lending.models import (
    Account,
    Asset,
    Deposit,
    DepositAddress,
    Disposition,
    EntryKind,
    Loan,
    Position,
    ReturnAddress,
    Withdrawal,
)
from lending.selectors.collateral import away_units, current_return_address, promised_units
from lending.selectors.valuation import value_loan
from lending.services import positions
from lending.services.collateral.addresses import bitcoin_network, ether_network
from lending.services.collateral.deposits import DESK, reevaluate
from lending.services.collateral.rescreening import require_not_frozen
from lending.services.collateral.return_addresses import require_not_listed
from lending.services.guards import locked_loan, move, require_officer, require_other
from lending.services.ledger import Line, post
from portal import audit
from portal.models import Role, User

_SUBJECT: Final = "lending.withdrawal"
_KIND = Withdrawal.Kind


@transaction.atomic
def request_withdrawal(
    *, loan_id: int, actor: User, asset: str, units: int, form_key: str, deposit_id: int | None = None
) -> Withdrawal:
    """Ask that `units` go back to the borrower: what is above the coverage to keep, all of a repaid loan, or a deposit.

    By the borrower; an officer may ask for a deposit that two people decided to send back, and for a repaid loan's.
    The same form is the same withdrawal. Raises LoanRefused if it could not be approved as things stand.
    """
    loan = locked_loan(loan_id)
    if loan.borrower_id != actor.pk and not actor.has_role(Role.LOAN_OFFICER):
        raise NotFound(_("There is no such loan."), code="lending.loan.not_found")
    if earlier := Withdrawal.objects.filter(form_key=form_key).first():
        if (earlier.loan_id, earlier.asset, int(earlier.units)) != (loan.pk, asset, units):
            raise LoanRefused(_("This form was used already. Open it again."), code="lending.withdrawal.form_reused")
        return earlier
    require_not_frozen(loan)
    if units <= 0 or asset not in Asset.values:
        raise LoanRefused(_("Enter an amount above zero. Nothing was changed."), code="lending.withdrawal.amount")
    deposit = _returnable(loan, deposit_id, units) if deposit_id is not None else None
    kind = _kind(loan, deposit)
    if kind == _KIND.EXCESS and loan.borrower_id != actor.pk:
        raise NotYourRole(_("Only the borrower may ask for this."), code="lending.withdrawal.borrower_only")
    row = Withdrawal(
        loan=loan,
        kind=kind,
        asset=asset,
        units=units,
        deposit=deposit,
        destination=_destination(loan, asset),
        form_key=form_key,
        requested_by=actor,
        network=bitcoin_network() if asset == Asset.BTC else ether_network(),
    )
    if deposit is None:
        _require_room(row, promised=promised_units(loan, asset))
    row.save()
    audit.record(
        action="lending.withdrawal.requested",
        subject_type=_SUBJECT,
        subject_id=row.pk,
        actor=actor,
        to_state=row.state,
        data=_data(row),
    )
    return row


@transaction.atomic
def check_withdrawal(*, withdrawal_id: int, actor: User) -> Withdrawal:
    """The first officer's yes."""
    row = _locked(withdrawal_id)
    require_officer(actor)
    require_other(actor, row.requested_by_id, row.loan.borrower_id)
    row.checked_by = actor
    _move(row, Withdrawal.State.CHECKED, actor, "checked", "checked_by")
    return row


@transaction.atomic
def approve_withdrawal(*, withdrawal_id: int, actor: User) -> Withdrawal:
    """The second officer's yes. From here on the coins do not count; Ether is asked of the vault at once.

    Judged anew: coverage at the accepted prices of this moment, destination still good and on no sanctions list.
    """
    row = _locked(withdrawal_id)
    require_officer(actor)
    require_other(actor, row.requested_by_id, row.checked_by_id, row.loan.borrower_id)
    if row.state != Withdrawal.State.CHECKED:
        _move(row, Withdrawal.State.APPROVED, actor, "approved")  # raises WrongState with the usual words
    if row.destination_id != _destination(row.loan, row.asset).pk:
        raise LoanRefused(
            _("The borrower's return address has changed since. Refuse this and let them ask again."),
            code="lending.withdrawal.destination_changed",
        )
    require_not_listed(row.destination.address)
    require_not_frozen(row.loan)
    if row.deposit_id is None:
        _require_room(row, promised=0)
        _book(row, EntryKind.WITHDRAWAL_APPROVED, "approved", Account.COLLATERAL, Account.LEAVING)
        reevaluate(row.loan)
    elif Deposit.objects.select_for_update().get(pk=row.deposit_id).state != Deposit.State.HELD:
        raise LoanRefused(_("The deposit is not held any more."), code="lending.withdrawal.deposit_moved")
    row.approved_by, row.approved_at = actor, timezone.now()
    _move(row, Withdrawal.State.APPROVED, actor, "approved", "approved_by", "approved_at", "valuation")
    if row.asset == Asset.ETH:
        from lending.services.collateral.ether import propose_release

        propose_release(row)
    return row


@transaction.atomic
def refuse_withdrawal(*, withdrawal_id: int, actor: User, reason: str) -> Withdrawal:
    """An officer's no, before the approval. Nothing has moved."""
    row = _locked(withdrawal_id)
    require_officer(actor)
    row.reason, row.finished_at = reason.strip()[:300], timezone.now()
    _move(row, Withdrawal.State.REFUSED, actor, "refused", "reason", "finished_at", reason=row.reason)
    return row


@transaction.atomic
def cancel_withdrawal(*, withdrawal_id: int, actor: User, reason: str = "") -> Withdrawal:
    """Call it off while nothing can be on a network: the borrower before the approval, an officer before the signing."""
    row = _locked(withdrawal_id)
    if row.state == Withdrawal.State.APPROVED:
        require_officer(actor)
        if row.transaction_id is not None:
            raise LoanRefused(
                _("The vault has been asked already. Have the guardian stop the release first."),
                code="lending.withdrawal.asked_of_vault",
            )
        _put_back(row)
    elif row.loan.borrower_id != actor.pk:
        require_officer(actor)
    row.reason, row.finished_at = reason.strip()[:300], timezone.now()
    _move(row, Withdrawal.State.CANCELLED, actor, "cancelled", "reason", "finished_at", reason=row.reason)
    return row


@transaction.atomic
def note_sent(*, withdrawal_id: int, txid: str) -> Withdrawal:
    """The network has the transaction. Said again it changes nothing."""
    row = _locked(withdrawal_id)
    if row.state not in (Withdrawal.State.APPROVED, Withdrawal.State.PREPARED):
        return row
    row.txid = txid
    _move(row, Withdrawal.State.SENT, DESK, "sent", "txid", data={"txid": txid})
    return row


@transaction.atomic
def note_lost(*, withdrawal_id: int) -> Withdrawal:
    """The network no longer has the transaction that it had: it may be sent again. An incident is opened."""
    row = _locked(withdrawal_id)
    if row.state != Withdrawal.State.SENT:
        return row
    row.block_height = None
    target = Withdrawal.State.PREPARED if row.psbt else Withdrawal.State.APPROVED
    _move(row, target, DESK, "lost", "block_height")
    open_incident(
        kind="lending.withdrawal_lost",
        detail=f"The network has lost transaction {row.txid} of withdrawal {row.pk}. Send it again, never another one.",
        dedupe_key=f"withdrawal_lost:{row.pk}",
        data={"withdrawal": row.pk},
    )
    return row


@transaction.atomic
def note_final(*, withdrawal_id: int, height: int | None = None) -> Withdrawal:
    """The network will not undo it: out of custody, in this transaction. Said again it changes nothing."""
    row = _locked(withdrawal_id)
    if row.state != Withdrawal.State.SENT:
        return row
    if row.deposit_id is None:
        post(
            kind=EntryKind.WITHDRAWAL,
            key=f"withdrawal:{row.pk}:final",
            loan_id=row.loan_id,
            value_on=timezone.localdate(),
            lines=[
                Line(Account.LEAVING, row.asset, int(row.units), row.loan_id),
                Line(Account.CUSTODY, row.asset, -int(row.units)),
            ],
            memo={"withdrawal": row.pk, "txid": row.txid},
        )
    else:
        deposit = Deposit.objects.select_for_update(of=("self",)).get(pk=row.deposit_id)
        if deposit.state == Deposit.State.HELD:
            move(
                deposit,
                Deposit.State.RETURNED,
                actor=DESK,
                action="lending.deposit.returned",
                subject="lending.deposit",
                data={"withdrawal": row.pk, "txid": row.txid},
            )
    row.finished_at, row.block_height = timezone.now(), height
    _move(row, Withdrawal.State.FINAL, DESK, "final", "finished_at", "block_height")
    return row


# --- rules ---------------------------------------------------------------------------------------------------------


def _kind(loan: Loan, deposit: Deposit | None) -> Withdrawal.Kind:
    if deposit is not None:
        return _KIND.RETURN
    if loan.state in (Loan.State.REPAID, Loan.State.CANCELLED, Loan.State.COLLATERAL_PENDING):
        return _KIND.RELEASE
    if loan.state == Loan.State.ACTIVE:
        return _KIND.EXCESS
    raise LoanRefused(
        _("Collateral cannot leave while the loan is “%(state)s”. Nothing was changed.")
        % {"state": loan.get_state_display()},
        code="lending.withdrawal.state",
    )


def _require_room(row: Withdrawal, *, promised: int) -> None:
    """Pass if the coins are there and coverage stays where the terms want it without them. Notes the prices used."""
    position = positions.open_position(loan=row.loan)
    position = Position.objects.select_for_update().get(pk=position.pk)
    held = position.btc_sats if row.asset == Asset.BTC else int(position.eth_wei)
    taken = int(row.units) + promised
    if _kind(row.loan, None) != row.kind or taken > held - away_units(row.loan, row.asset):
        raise LoanRefused(
            _("So much is not there, or is asked for already. Nothing was changed."), code="lending.withdrawal.too_much"
        )
    if row.kind == _KIND.RELEASE and position.debt == 0 and not row.loan.draws.filter(state="requested").exists():
        return
    from lending import coverage

    found = value_loan(row.loan)
    sats = found.btc_sats - (taken if row.asset == Asset.BTC else 0)
    wei = found.eth_wei - (taken if row.asset == Asset.ETH else 0)
    worth = coverage.value(btc_sats=sats, eth_wei=wei, prices=found.prices)
    debt = found.debt + _requested_draws(row.loan)
    floor = row.loan.terms.withdrawal_floor_bps
    if not coverage.reaches(worth=worth, debt=debt, currency=row.loan.currency, bps=floor):
        raise LoanRefused(
            _("Coverage would fall below %(floor)s %%. Nothing was changed. Ask for less.") % {"floor": floor // 100},
            code="lending.withdrawal.coverage",
        )
    row.valuation = found.names


def _requested_draws(loan: Loan) -> int:
    """Minor units that were asked for and may be paid out any moment."""
    from lending.money import to_minor

    return sum(
        to_minor(amount, loan.currency)
        for amount in loan.draws.filter(state="requested").values_list("amount", flat=True)
    )


def _returnable(loan: Loan, deposit_id: int, units: int) -> Deposit:
    deposit = Deposit.objects.filter(pk=deposit_id, loan=loan).first()
    decided = deposit is not None and deposit.dispositions.filter(
        state=Disposition.State.CONFIRMED, verdict=Disposition.Verdict.RETURN, hold=deposit.hold
    )
    if deposit is None or not decided or deposit.state != Deposit.State.HELD or deposit.is_blocked:
        raise LoanRefused(
            _("Two people have not decided to send this deposit back. Nothing was changed."),
            code="lending.withdrawal.not_decided",
        )
    if not deposit.asset or int(deposit.units) != units:
        raise LoanRefused(
            _("A deposit goes back whole. What is no Bitcoin or Ether is sent back by hand and recorded."),
            code="lending.withdrawal.whole",
        )
    return deposit


def _destination(loan: Loan, asset: str) -> ReturnAddress:
    """The address in effect today. Of ether it has to be the one that the vault pays, which the vault alone changes.

    After the borrower changed theirs nothing goes to the old one any more, which may be lost or stolen, and the vault
    sends to no other: the return waits until the vault's own change has taken effect (docs/runbooks/collateral-vault.md).
    """
    found = current_return_address(loan.borrower, asset)
    if asset == Asset.ETH and found is not None and found != _bound_to_vault(loan):
        raise LoanRefused(
            _(
                "The vault still pays an earlier address than the one registered now. The loan desk has to announce the change to the vault, where it waits again. Nothing was changed."
            ),
            code="lending.withdrawal.vault_address",
        )
    if found is None:
        raise LoanRefused(
            _("There is no return address in effect yet. Register one first. Nothing was changed."),
            code="lending.withdrawal.no_return_address",
        )
    return found


def _bound_to_vault(loan: Loan) -> ReturnAddress | None:
    """The borrower's own row of the address that the vault pays for this loan; None if it is none of theirs."""
    from chain.selectors import collateral_payee

    address = DepositAddress.objects.filter(loan=loan, asset=Asset.ETH).order_by("-id").first()
    payee = collateral_payee(address.account) if address else None
    if payee is None:
        return None
    rows = ReturnAddress.objects.filter(
        borrower=loan.borrower, asset=Asset.ETH, address=payee, state=ReturnAddress.State.APPROVED
    )
    return rows.filter(effective_at__lte=timezone.now()).order_by("-effective_at", "-id").first()


def _put_back(row: Withdrawal) -> None:
    if row.deposit_id is None:
        _book(row, EntryKind.WITHDRAWAL_UNDONE, "cancelled", Account.LEAVING, Account.COLLATERAL)
        reevaluate(row.loan)


def _book(row: Withdrawal, kind: EntryKind, step: str, debit: Account, credit: Account) -> None:
    units = int(row.units)
    post(
        kind=kind,
        key=f"withdrawal:{row.pk}:{step}",
        loan_id=row.loan_id,
        value_on=timezone.localdate(),
        lines=[Line(debit, row.asset, units, row.loan_id), Line(credit, row.asset, -units, row.loan_id)],
        memo={"withdrawal": row.pk},
    )


def locked_withdrawal(withdrawal_id: int) -> Withdrawal:
    """Loan first, then the withdrawal."""
    loan_id = Withdrawal.objects.filter(pk=withdrawal_id).values_list("loan_id", flat=True).first()
    if loan_id is None:
        raise NotFound(_("There is no such withdrawal."), code="lending.withdrawal.not_found")
    loan = locked_loan(loan_id)
    row = Withdrawal.objects.select_for_update(of=("self",)).select_related("destination").get(pk=withdrawal_id)
    row.loan = loan
    return row


_locked = locked_withdrawal


def _move(
    row: Withdrawal,
    target: Withdrawal.State,
    actor: User | str,
    step: str,
    *fields: str,
    reason: str = "",
    data: dict[str, object] | None = None,
) -> None:
    move(
        row,
        target,
        actor=actor,
        action=f"lending.withdrawal.{step}",
        subject=_SUBJECT,
        reason=reason,
        also=list(fields),
        data=data or _data(row),
    )


def _data(row: Withdrawal) -> dict[str, object]:
    return {"loan": row.loan_id, "kind": row.kind, "asset": row.asset, "units": str(row.units)}


move_withdrawal = _move
