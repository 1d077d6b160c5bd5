"""When a price is accepted. Pure arithmetic, no database: what counts, the median, the jump, and yen against dollars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Final

#: Eight decimals and at most sixteen digits before them: what `RateField` keeps.
STEP: Final = Decimal("0.00000001")
LARGEST: Final = Decimal(10) ** 16 - STEP
_BPS: Final = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a source said: a value as it stands in the answer, and the source's own clock if it gives one."""

    value: Decimal
    observed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The median of the answers that count, and which those are."""

    value: Decimal
    counted: tuple[int, ...]


def fault(quote: Quote, *, now: datetime, max_age: int, skew: int) -> str:
    """Why a single answer does not count, as an `Observation.Problem`; empty if it may."""
    if not quote.value.is_finite():
        return "nonsense"
    if quote.value <= 0:
        return "not_positive"
    if quote.value < STEP or quote.value > LARGEST:
        return "nonsense"
    if quote.observed_at is None:
        return ""
    if quote.observed_at > now + timedelta(seconds=skew):
        return "future"
    return "stale" if quote.observed_at < now - timedelta(seconds=max_age + skew) else ""


def median(values: Sequence[Decimal]) -> Decimal:
    """The middle one; of an even number the mean of the middle two, to eight decimals."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return rounded(ordered[middle])
    return rounded((ordered[middle - 1] + ordered[middle]) / 2)


def rounded(value: Decimal) -> Decimal:
    with localcontext(prec=60):
        return value.quantize(STEP)


def is_apart(value: Decimal, other: Decimal, *, bps: int) -> bool:
    """Whether `value` is more than `bps` of `other` away from it."""
    return abs(value - other) * _BPS > other * bps


def agreement(values: Mapping[int, Decimal], *, spread_bps: int, quorum: int) -> Agreement | None:
    """The median of those within `spread_bps` of the median of all; None if fewer than `quorum` are.

    A minority that is far off is left out. Two camps of one size have no median near either, so nothing is accepted.
    """
    if len(values) < quorum:
        return None
    middle = median(list(values.values()))
    counted = {key: value for key, value in values.items() if not is_apart(value, middle, bps=spread_bps)}
    if len(counted) < quorum or not counted:
        return None
    return Agreement(value=median(list(counted.values())), counted=tuple(sorted(counted)))


def contradicts(*, in_yen: Decimal, in_dollars: Decimal, usd_jpy: Decimal, bps: int) -> bool:
    """Whether a coin's price in yen over its price in dollars is farther than `bps` from USD/JPY."""
    return abs(in_yen - in_dollars * usd_jpy) * _BPS > in_dollars * usd_jpy * bps


def is_jump(value: Decimal, last: Decimal, *, bps: int) -> bool:
    """Whether `value` is a larger step from `last` than `bps`, measured on the larger of both: up and down alike."""
    return abs(value - last) * _BPS > max(value, last) * bps
