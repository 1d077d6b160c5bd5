"""Terms, limits, bank days and related groups: entered by one officer, approved by another, never changed after."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from lending.exceptions import TermsNotAllowed
from lending.models import BankDay, GroupMember, Limit, ProductTerms, RelatedGroup
from lending.services.guards import move, require_officer, require_other, validated
from portal import audit
from portal.models import User


def enter_terms(*, actor: User, terms: Mapping[str, Any]) -> ProductTerms:
    """A new version, ENTERED. Raises `TermsNotAllowed` for what the constraints refuse: a rate of zero or less, steps out
    of order, a start in the past (loans were already made by other terms)."""
    require_officer(actor)
    row = ProductTerms(**terms, entered_by=actor)
    if row.effective_from < timezone.localdate():
        raise TermsNotAllowed(
            _("Terms begin today or later: loans of past days were made by the terms of those days."),
            code="lending.terms.past",
        )
    with transaction.atomic():
        validated(row, TermsNotAllowed, code="lending.terms.not_allowed")
        row.save(force_insert=True)
        audit.record(
            action="lending.terms.entered",
            subject_type="lending.terms",
            subject_id=row.pk,
            actor=actor,
            to_state=row.state,
            data={"terms": str(row)},
        )
    return row


def decide_terms(
    *, terms_id: int, actor: User, approve: bool, reason: str = "", is_verified: bool = False
) -> ProductTerms:
    """ENTERED → APPROVED or REFUSED by somebody else. Raises `TermsNotAllowed` if the day has its terms already."""
    require_officer(actor)
    try:
        with transaction.atomic():
            row = ProductTerms.objects.select_for_update().get(pk=terms_id)
            require_other(actor, row.entered_by_id)
            row.approved_by, row.decided_at, row.is_verified = actor, timezone.now(), approve and is_verified
            move(
                row,
                ProductTerms.State.APPROVED if approve else ProductTerms.State.REFUSED,
                actor=actor,
                action="lending.terms.decided",
                subject="lending.terms",
                reason=reason,
                also=["approved_by", "decided_at", "is_verified"],
            )
    except IntegrityError as error:
        raise TermsNotAllowed(
            _("There are approved terms for this day already. Choose another day."), code="lending.terms.same_day"
        ) from error
    return row


def enter_limit(*, actor: User, scope: str, currency: str, amount: Decimal, asset: str = "", reason: str = "") -> Limit:
    """A new limit, ENTERED; it binds once somebody else approved it. Zero closes the scope, less is refused."""
    require_officer(actor)
    row = Limit(scope=scope, currency=currency, asset=asset, amount=amount, reason=reason, entered_by=actor)
    with transaction.atomic():
        validated(row, TermsNotAllowed, code="lending.limit.not_allowed")
        row.save(force_insert=True)
        audit.record(
            action="lending.limit.entered",
            subject_type="lending.limit",
            subject_id=row.pk,
            actor=actor,
            to_state=row.state,
            reason=reason,
            data={"limit": str(row)},
        )
    return row


@transaction.atomic
def decide_limit(*, limit_id: int, actor: User, approve: bool, reason: str = "", is_verified: bool = False) -> Limit:
    """ENTERED → APPROVED or REFUSED by somebody else. What is lent already stays; new draws meet the new limit."""
    require_officer(actor)
    row = Limit.objects.select_for_update().get(pk=limit_id)
    require_other(actor, row.entered_by_id)
    row.approved_by, row.decided_at, row.is_verified = actor, timezone.now(), approve and is_verified
    move(
        row,
        Limit.State.APPROVED if approve else Limit.State.REFUSED,
        actor=actor,
        action="lending.limit.decided",
        subject="lending.limit",
        reason=reason,
        also=["approved_by", "decided_at", "is_verified"],
    )
    return row


@transaction.atomic
def enter_bank_day(*, actor: User, day: date, is_open: bool, reason: str) -> BankDay:
    """An exception of the bank calendar; counts once somebody else reviewed it. The same again changes nothing."""
    require_officer(actor)
    row, is_new = BankDay.objects.get_or_create(
        day=day, defaults={"is_open": is_open, "reason": reason, "entered_by": actor}
    )
    if row.is_open != is_open:
        raise TermsNotAllowed(
            _("This day is entered the other way round already. Nothing was changed."), code="lending.bank_day.taken"
        )
    if is_new:
        _record_bank_day(row, actor, "lending.bank_day.entered")
    return row


@transaction.atomic
def review_bank_day(*, bank_day_id: int, actor: User) -> BankDay:
    """The second person's look. Loans that were given a due day before keep it: their contracts name it."""
    require_officer(actor)
    row = BankDay.objects.select_for_update().get(pk=bank_day_id)
    require_other(actor, row.entered_by_id)
    if row.reviewed_by_id is None:
        row.reviewed_by = actor
        row.save(update_fields=["reviewed_by"])
        _record_bank_day(row, actor, "lending.bank_day.reviewed")
    return row


def _record_bank_day(row: BankDay, actor: User, action: str) -> None:
    audit.record(
        action=action,
        subject_type="lending.bank_day",
        subject_id=row.pk,
        actor=actor,
        reason=row.reason,
        data={"day": row.day.isoformat(), "is_open": row.is_open},
    )


@transaction.atomic
def add_to_group(*, actor: User, group_name: str, subject: str, reason: str) -> GroupMember:
    """Put a legal person into a related group, made if it is new. Raises `TermsNotAllowed` if they are in another."""
    require_officer(actor)
    group, _is_new = RelatedGroup.objects.get_or_create(
        name=group_name.strip(), defaults={"reason": reason, "created_by": actor}
    )
    member, is_new = GroupMember.objects.get_or_create(subject=subject, defaults={"group": group, "added_by": actor})
    if member.group_id != group.pk:
        raise TermsNotAllowed(
            _("This person belongs to the group “%(group)s” already. Nothing was changed.") % {"group": member.group},
            code="lending.group.other",
        )
    if is_new:
        audit.record(
            action="lending.group.member_added",
            subject_type="lending.group",
            subject_id=group.pk,
            actor=actor,
            reason=reason,
            data={"subject": subject},
        )
    return member
