"""Figures about every security and every verification token, from the projections. Nothing here asks the node.

Each sum visits every holding or token there is, and anybody may ask: a process reads them once in `SECONDS` at most,
less than a block of a public chain takes. What stands beside a page's figures as its block may be newer by that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db.models import Count, Q, Sum

from chain.models import Cursor, Distrust, Holding, SbtRecord, TokenState
from chain.selectors import chain_time
from portal.memo import Remembered

SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class TokenFigures:
    """One security in figures. `supply_units` and `holders` count final blocks; `head_…` also what may still be undone."""

    token: str
    supply_units: int
    holders: int
    head_supply_units: int
    head_holders: int
    held_units: int  # what all holders have at the head, added up
    authorised_units: int
    paused: bool

    @property
    def is_final(self) -> bool:
        return (self.supply_units, self.holders) == (self.head_supply_units, self.head_holders)

    @property
    def agrees(self) -> bool:
        """Whether what the holders have adds up to what the contract says is out."""
        return self.held_units == self.head_supply_units


class State(NamedTuple):
    """What a security's contract says of itself at the head."""

    supply_units: int
    holders: int
    authorised_units: int
    paused: bool


@dataclass(frozen=True, slots=True)
class VerifiedWallets:
    """How many addresses hold a verification token, as of the cursor: in force, and issued but not in force yet."""

    effective: int
    pending: int


def token_figures(tokens: Iterable[str]) -> dict[str, TokenFigures]:
    """Supply, holders and pause of these securities, by address, as they stood at most `SECONDS` ago. No query of its
    own, or two."""
    known = _all_figures()
    return {token: known.get(token) or _figures(token, None, {}) for token in set(tokens)}


def _figures_of_all() -> dict[str, TokenFigures]:
    """States and sums that belong together, since whether they agree is shown: an issue between the two reads is read
    again."""
    states, sums = _states(), _sums()
    for _try in range(3):
        if (again := _states()) == states:
            break
        states, sums = again, _sums()
    return {token: _figures(token, states.get(token), sums.get(token, {})) for token in states.keys() | sums.keys()}


def _states() -> dict[str, State]:
    rows = TokenState.objects.filter(chain_id=settings.CHAIN_ID)
    fields = ("supply_units", "holders", "authorised_units", "paused")
    return {token: State(*row) for token, *row in rows.values_list("token", *fields)}


def _sums() -> dict[str, Mapping[str, Any]]:
    rows = Holding.objects.filter(chain_id=settings.CHAIN_ID).values("token")
    counted = rows.annotate(
        final=Sum("final_units"), held=Sum("units"), final_holders=Count("pk", filter=Q(final_units__gt=0))
    )
    return {row["token"]: row for row in counted}


_all_figures: Final = Remembered(_figures_of_all, seconds=SECONDS)


def _figures(token: str, state: State | None, sums: Mapping[str, object]) -> TokenFigures:
    known = state or State(0, 0, 0, False)
    return TokenFigures(
        token=token,
        supply_units=_whole(sums.get("final")),
        holders=_whole(sums.get("final_holders")),
        head_supply_units=int(known.supply_units),
        head_holders=known.holders,
        held_units=_whole(sums.get("held")),
        authorised_units=int(known.authorised_units),
        paused=known.paused,
    )


def _whole(value: object) -> int:
    return int(str(value or 0))


def _count_wallets() -> VerifiedWallets:
    """Counted by the rule of `InvestorSBT.standingOf`, as `chain.selectors.standing_of` writes it down. Three queries."""
    cursor = Cursor.objects.filter(chain_id=settings.CHAIN_ID).first() or Cursor(chain_id=settings.CHAIN_ID)
    now = chain_time(cursor)
    sound = SbtRecord.objects.filter(chain_id=settings.CHAIN_ID, revoked=False, suspended=False, expires_at__gt=now)
    # A handful of keys at most, as conditions: a join would ask for them once a token.
    for key, since in Distrust.objects.filter(chain_id=settings.CHAIN_ID).values_list("key", "since"):
        sound = sound.exclude(Q(issuer=key) | Q(attestor=key), issued_at__gte=since)
    counted = sound.aggregate(
        effective=Count("pk", filter=Q(effective_from__lte=now)), pending=Count("pk", filter=Q(effective_from__gt=now))
    )
    return VerifiedWallets(effective=counted["effective"], pending=counted["pending"])


#: How many wallets hold a token in force, or one that is not in force yet, as they stood at most `SECONDS` ago.
verified_wallets: Final = Remembered(_count_wallets, seconds=SECONDS)
