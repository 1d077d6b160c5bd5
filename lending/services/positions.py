"""Positions: moved with every entry of the ledger, and made again from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from math import isclose
from typing import Any

from django.db import transaction
from django.db.models import Sum

from lending import coverage
from lending.models import Account, Accrual, Loan, Position, Posting, ProductTerms, Stage
from lending.models.ledger import DEBT


@dataclass(frozen=True, slots=True)
class Change:
    """What an entry does to one loan, in smallest units."""

    debt: int = 0
    principal: int = 0
    btc_sats: int = 0
    eth_wei: int = 0

    def plus(self, account: str, unit: str, amount: int) -> Change:
        """This change with one more line. What is owed back to the borrower is a credit, so collateral turns its sign."""
        if account == Account.COLLATERAL and unit == "BTC":
            return replace(self, btc_sats=self.btc_sats - amount)
        if account == Account.COLLATERAL:
            return replace(self, eth_wei=self.eth_wei - amount)
        if account == Account.PRINCIPAL:
            return replace(self, principal=self.principal + amount, debt=self.debt + amount)
        return replace(self, debt=self.debt + amount) if account in DEBT else self


def threshold(terms: ProductTerms, stage: int) -> int:
    """Coverage, in basis points, at which `stage` comes under `terms`; 0 for no stage."""
    return {
        Stage.NONE: 0,
        Stage.REMINDER_FIRST: terms.reminder_first_bps,
        Stage.REMINDER_SECOND: terms.reminder_second_bps,
        Stage.CALL: terms.call_bps,
        Stage.SALE: terms.sale_bps,
    }[Stage(stage)]


def open_position(*, loan: Loan) -> Position:
    """The loan's row, made empty when the contract is accepted. Asking twice changes nothing."""
    empty = coverage.share_bucket(btc_sats=0, eth_wei=0)
    return Position.objects.get_or_create(loan=loan, defaults={"currency": loan.currency, "share_bucket": empty})[0]


def apply(changes: Mapping[int, Change]) -> None:
    """Move the positions, and the principal of the clocks of interest, by what an entry changed. In its transaction.

    A loan's first entry makes its row.
    """
    for loan_id, change in sorted(changes.items()):
        if change == Change():
            continue
        if change.principal:
            clock = Accrual.objects.select_for_update().get(loan_id=loan_id)
            clock.principal += change.principal
            clock.save(update_fields=["principal"])
        position = Position.objects.select_for_update().filter(loan_id=loan_id).first()
        if position is None:
            position = open_position(loan=Loan.objects.get(pk=loan_id))
        position.debt += change.debt
        position.btc_sats += change.btc_sats
        position.eth_wei += change.eth_wei
        reindex(position)
        position.save(update_fields=["debt", "btc_sats", "eth_wei", "share_bucket", "reach", "cure_reach"])


def reindex(position: Position) -> None:
    """Work out the index columns from the others. Saves nothing."""
    sats, wei = int(position.btc_sats), int(position.eth_wei)
    position.share_bucket = coverage.share_bucket(btc_sats=sats, eth_wei=wei)
    position.reach = position.cure_reach = None
    if position.stage:
        position.reach = coverage.reach(
            btc_sats=sats, eth_wei=wei, debt=position.debt, currency=position.currency, bps=position.threshold_bps
        )
    if position.cure_bps:
        position.cure_reach = coverage.cure_reach(
            btc_sats=sats, eth_wei=wei, debt=position.debt, currency=position.currency, bps=position.cure_bps
        )


def set_stage(*, loan: Loan, stage: Stage, new_episode: bool = False, cure_bps: int | None = None) -> Position:
    """Say which step comes next for the locked `loan`, and at which coverage an open call is cured.

    `new_episode`: the loan has recovered, so steps that were taken may come again. Called in the transaction of what
    brought it about.
    """
    position = Position.objects.select_for_update().get(loan=loan)
    position.stage = stage
    position.threshold_bps = threshold(loan.terms, stage)
    position.cure_bps = cure_bps
    position.episode += int(new_episode)
    reindex(position)
    position.save(
        update_fields=["stage", "threshold_bps", "cure_bps", "episode", "reach", "cure_reach", "share_bucket"]
    )
    return position


def rearm(*, loan: Loan, worth: Decimal) -> Position:
    """After a draw, a repayment or more collateral: the next step is the highest one below the coverage now.

    Only for a running loan without an open call; a loan that is called or sold keeps its stage until that is decided.
    A step that was taken comes again only after such a change lifted the loan above it: then a new episode begins.
    """
    position = Position.objects.select_for_update().get(loan=loan)
    if loan.state != Loan.State.ACTIVE:
        return position
    steps = (Stage.REMINDER_FIRST, Stage.REMINDER_SECOND, Stage.CALL, Stage.SALE)
    above = next(
        (
            step
            for step in steps
            if coverage.reaches(
                worth=worth, debt=position.debt, currency=loan.currency, bps=threshold(loan.terms, step)
            )
        ),
        Stage.SALE,
    )
    if position.stage and above >= position.stage:
        # Never deeper: a step that is reached is found by the sweep, which gives its notice or call. Skipped here, it never would.
        return position
    return set_stage(loan=loan, stage=above, new_episode=bool(position.stage))


def rebuild_positions() -> int:
    """Make every position's amounts again from the sums of the ledger; number of rows that were wrong.

    Stage, episode and cure stand in no ledger and are kept. Run by an operator; while it runs, entries wait.
    """
    wrong = 0
    with transaction.atomic():
        rows = {row.loan_id: row for row in Position.objects.select_for_update().order_by("loan_id")}
        sums = sums_by_loan()
        for loan_id in sorted(sums.keys() | rows.keys()):
            change = sums.get(loan_id, Change())
            position = rows.get(loan_id) or open_position(loan=Loan.objects.get(pk=loan_id))
            before = _compared(position)
            position.debt, position.btc_sats, position.eth_wei = change.debt, change.btc_sats, change.eth_wei
            reindex(position)
            if not _same(before, _compared(position)):
                wrong += 1
                position.save()
            Accrual.objects.filter(loan_id=loan_id).exclude(principal=change.principal).update(
                principal=change.principal
            )
    return wrong


def _compared(position: Position) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """What `rebuild_positions` compares: whole numbers, and the floats of the index."""
    whole = (position.debt, position.btc_sats, int(position.eth_wei), position.share_bucket)
    return whole, (position.reach, position.cure_reach)


def _same(one: tuple[Any, tuple[float | None, ...]], other: tuple[Any, tuple[float | None, ...]]) -> bool:
    """Equal amounts; reaches within a part of their widening, as daily interest multiplies them on."""
    return one[0] == other[0] and all(
        (a is None and b is None) or (a is not None and b is not None and isclose(a, b, rel_tol=coverage.WIDENING / 10))
        for a, b in zip(one[1], other[1], strict=True)
    )


def sums_by_loan() -> dict[int, Change]:
    """What the ledger says of every loan (one query)."""
    found: dict[int, Change] = {}
    rows = (
        Posting.objects.filter(loan__isnull=False, account__in=[*DEBT, Account.COLLATERAL])
        .order_by()
        .values_list("loan_id", "account", "unit")
        .annotate(total=Sum("amount"))
    )
    for loan_id, account, unit, total in rows:
        found[loan_id] = found.get(loan_id, Change()).plus(account, unit, int(total))
    return found
