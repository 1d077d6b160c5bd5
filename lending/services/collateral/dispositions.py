"""What becomes of a held deposit: one person proposes, another confirms. Hits are for KYC officers, the rest for the desk."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from chain.services.incidents import close_if_open
from lending.exceptions import LoanRefused, NotYourRole
from lending.models import Deposit, Disposition
from lending.services.collateral.deposits import locked_deposit
from lending.services.guards import move, require_officer, require_other, validated
from portal import audit
from portal.models import Role, User

_SUBJECT = "lending.disposition"
_VERDICT = Disposition.Verdict
#: What can be decided about each kind of hold. What is on a list is counted (the hit is false) or stays for good.
VERDICTS = {
    Deposit.Hold.SANCTIONED: {_VERDICT.COUNT, _VERDICT.BLOCK},
    Deposit.Hold.UNKNOWN_SENDER: {_VERDICT.COUNT, _VERDICT.RETURN},
    Deposit.Hold.BELOW_MINIMUM: {_VERDICT.COUNT, _VERDICT.RETURN},
    Deposit.Hold.LOAN_CLOSED: {_VERDICT.RETURN},
    Deposit.Hold.WRONG_ASSET: {_VERDICT.RETURN},
}


@transaction.atomic
def propose_disposition(*, deposit_id: int, actor: User, verdict: str, reason: str) -> Disposition:
    """One officer's view of a deposit that is held or was found on a list, for a second one to confirm. Nothing moves yet."""
    loan, deposit = locked_deposit(deposit_id)
    _require_decider(deposit, actor)
    require_other(actor, loan.borrower_id)
    if not _is_open(deposit) or verdict not in VERDICTS[Deposit.Hold(deposit.matter)]:
        raise LoanRefused(
            _("This cannot be decided about this deposit. Nothing was changed."),
            code="lending.disposition.not_possible",
        )
    if not reason.strip():
        raise LoanRefused(_("Say why. Nothing was changed."), code="lending.disposition.no_reason")
    if deposit.dispositions.filter(state=Disposition.State.PROPOSED).exists():
        raise LoanRefused(
            _("A decision about this deposit waits for its second person already. Nothing was changed."),
            code="lending.disposition.waiting",
        )
    row = Disposition(deposit=deposit, hold=deposit.matter, verdict=verdict, proposed_by=actor, reason=reason.strip())
    validated(row, LoanRefused, code="lending.disposition.invalid")
    row.save()
    audit.record(
        action="lending.disposition.proposed",
        subject_type=_SUBJECT,
        subject_id=row.pk,
        actor=actor,
        reason=row.reason,
        data={"deposit": deposit.pk, "hold": deposit.matter, "verdict": verdict},
    )
    return row


@transaction.atomic
def confirm_disposition(*, disposition_id: int, actor: User, agrees: bool, reason: str) -> Disposition:
    """The second person's word. Agreed: the deposit goes on, may be sent back (see withdrawals), or stays blocked.

    Of a deposit that counted and was found on a list later: the hit is false and its loan is free again, or it stays
    where it is, counted and frozen, for good.
    """
    deposit_id = Disposition.objects.values_list("deposit_id", flat=True).get(pk=disposition_id)
    loan, deposit = locked_deposit(deposit_id)
    row = Disposition.objects.select_for_update(of=("self",)).get(pk=disposition_id)
    _require_decider(deposit, actor)
    require_other(actor, row.proposed_by_id, loan.borrower_id)
    if agrees and (not _is_open(deposit) or deposit.matter != row.hold):
        raise LoanRefused(
            _("The deposit is no longer held for this reason. Decline the proposal."), code="lending.disposition.stale"
        )
    row.decided_by, row.decided_at, row.second_reason = actor, timezone.now(), reason.strip()
    if agrees and row.verdict == _VERDICT.BLOCK:
        deposit.is_blocked = True
        deposit.save(update_fields=["is_blocked"])
    target = Disposition.State.CONFIRMED if agrees else Disposition.State.DECLINED
    move(
        row,
        target,
        actor=actor,
        action=f"lending.disposition.{target}",
        subject=_SUBJECT,
        reason=row.second_reason,
        also=["decided_by", "decided_at", "second_reason"],
        data={"deposit": deposit.pk, "verdict": row.verdict},
    )
    if agrees and row.verdict == _VERDICT.COUNT and deposit.listed_at is not None:
        _free(deposit, row)
    elif agrees and row.verdict == _VERDICT.COUNT:
        deposit.is_blocked = False
        move(
            deposit,
            Deposit.State.SCREENED,
            actor=actor,
            action="lending.deposit.cleared",
            subject="lending.deposit",
            reason=row.reason,
            also=["is_blocked"],
        )
    return row


def _is_open(deposit: Deposit) -> bool:
    return deposit.state == Deposit.State.HELD or deposit.listed_at is not None


def _free(deposit: Deposit, row: Disposition) -> None:
    """The hit that was found later is false: what stood before stands again, and these hits are not told anew."""
    deposit.listed_at, deposit.is_blocked = None, False
    deposit.save(update_fields=["listed_at", "is_blocked"])
    close_if_open(dedupe_key=f"listed_deposit:{deposit.pk}", reason="two officers found the hit false")
    audit.record(
        action="lending.deposit.freed",
        subject_type="lending.deposit",
        subject_id=deposit.pk,
        actor=row.decided_by or "loan desk",
        reason=row.reason,
        data={"loan": deposit.loan_id, "disposition": row.pk},
    )


def _require_decider(deposit: Deposit, actor: User) -> None:
    if deposit.matter != Deposit.Hold.SANCTIONED:
        require_officer(actor)
    elif not actor.has_role(Role.KYC_OFFICER):
        raise NotYourRole(
            _("Only KYC officers decide about hits on a sanctions list. Nothing was changed."),
            code="lending.kyc_officer_required",
        )
