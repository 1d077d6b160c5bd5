"""Fiat money: Decimal that never travels without its currency."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Final

MINOR_DIGITS: Final = {"JPY": 0, "USD": 2}


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency. Arithmetic between currencies raises `ValueError`."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if self.currency not in MINOR_DIGITS:
            raise ValueError(f"unknown currency {self.currency!r}")
        if not isinstance(self.amount, Decimal) or not self.amount.is_finite():
            raise ValueError("a finite Decimal is required")

    def _same(self, other: Money) -> None:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not mix")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount - other.amount, self.currency)

    def __mul__(self, factor: int | Decimal) -> Money:
        return Money(self.amount * factor, self.currency)

    def truncated(self) -> Money:
        """Cut to the currency's minor unit, never up (DOMAIN §3: a holder's payment is truncated below JPY 1)."""
        step = Decimal(1).scaleb(-MINOR_DIGITS[self.currency])
        return Money(self.amount.quantize(step, rounding=ROUND_DOWN), self.currency)
