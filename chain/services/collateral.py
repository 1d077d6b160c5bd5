"""What the incident desk does about the vault: the guardian stops, the council calls changes off and lets things go on.

As `chain/services/response.py`, whose rules hold: one step, one outbox row, one audit row, and never the same thing twice.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Final

from django.conf import settings
from django.db.models import QuerySet

from chain import operations
from chain.desk.models import Alarm, ResponseStep
from chain.models import Contract, EventLog
from chain.services.response import _Plan, _take, require_duty_officer, require_restorer
from chain.types import SignerRole
from portal.models import User

Kind = ResponseStep.Kind
#: What ends a proposed release or a recorded sale, by which argument it is known.
_ENDS: Final = {
    "ReleaseProposed": ("releaseId", ("ReleaseCancelled", "Released")),
    "SaleRecorded": ("saleId", ("SaleCancelled",)),
}


def pause_collateral(*, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Stop every return and sale of collateral. Deposits go on."""
    require_duty_officer(actor)
    plan = _Plan(Kind.PAUSE_COLLATERAL, operations.pause_collateral(), SignerRole.TOKEN_GUARDIAN)
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=collateral_is_paused)


def stop_release(
    *, account: str, release_id: str, actor: User, reason: str, alarm: Alarm | None = None
) -> ResponseStep:
    """Stop a proposed return of collateral."""
    require_duty_officer(actor)
    call = operations.cancel_collateral_release(account, bytes.fromhex(release_id[2:]))
    plan = _Plan(Kind.STOP_RELEASE, call, SignerRole.TOKEN_GUARDIAN, data={"account": account, "id": release_id})
    is_over = partial(ended, "ReleaseProposed", [release_id])
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=lambda: bool(is_over()))


def stop_sale(*, account: str, sale_id: str, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Stop what is left of a recorded sale of collateral."""
    require_duty_officer(actor)
    call = operations.cancel_collateral_sale(account, bytes.fromhex(sale_id[2:]))
    plan = _Plan(Kind.STOP_SALE, call, SignerRole.TOKEN_GUARDIAN, data={"account": account, "id": sale_id})
    is_over = partial(ended, "SaleRecorded", [sale_id])
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=lambda: bool(is_over()))


def cancel_borrower_change(*, account: str, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Ask the council to call the announced change of a borrower's address off."""
    require_duty_officer(actor)
    plan = _Plan(Kind.CANCEL_BORROWER, operations.cancel_borrower_change(account), None, data={"account": account})
    return _take(plan, actor=actor, reason=reason, alarm=alarm)


def cancel_sale_address(*, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Ask the council to call the announced change of the address for sold collateral off."""
    require_duty_officer(actor)
    return _take(
        _Plan(Kind.CANCEL_SALE_ADDRESS, operations.cancel_sale_address(), None), actor=actor, reason=reason, alarm=alarm
    )


def lift_collateral_pause(*, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Ask the council to let returns and sales of collateral go on."""
    require_restorer(actor)
    plan = _Plan(Kind.UNPAUSE_COLLATERAL, operations.unpause_collateral(), None)
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=lambda: not collateral_is_paused())


def collateral_is_paused() -> bool:
    """Whether returns and sales are stopped, as indexed."""
    newest = _events("Paused", "Unpaused").order_by("-block_number", "-log_index")
    return newest.values_list("event", flat=True).first() == "Paused"


def ended(event: str, ids: Collection[str]) -> set[str]:
    """Which of these proposed releases (`ReleaseProposed`) or recorded sales (`SaleRecorded`) are over, as indexed."""
    argument, endings = _ENDS[event]
    return set(_events(*endings).filter(**{f"args__{argument}__in": ids}).values_list(f"args__{argument}", flat=True))


def _events(*names: str) -> QuerySet[EventLog]:
    vaults = Contract.objects.filter(chain_id=settings.CHAIN_ID, kind=Contract.Kind.COLLATERAL_VAULT)
    return EventLog.objects.filter(address__in=vaults.values("address"), event__in=names, canonical=True)
