"""Figures about every security and every verification token, from the projections. Nothing here asks the node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, Sum

from chain.models import Cursor, Distrust, Holding, SbtRecord, TokenState
from chain.selectors import chain_time


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


@dataclass(frozen=True, slots=True)
class VerifiedWallets:
    """How many addresses hold a verification token, as of the cursor: in force, and issued but not in force yet."""

    effective: int
    pending: int


def token_figures(tokens: Iterable[str]) -> dict[str, TokenFigures]:
    """Supply, holders and pause of these securities, by address. Two queries, however many."""
    wanted = set(tokens)
    states = {row.token: row for row in TokenState.objects.filter(chain_id=settings.CHAIN_ID, token__in=wanted)}
    sums = {
        row["token"]: row
        for row in Holding.objects.filter(chain_id=settings.CHAIN_ID, token__in=wanted)
        .values("token")
        .annotate(final=Sum("final_units"), held=Sum("units"), final_holders=Count("pk", filter=Q(final_units__gt=0)))
    }
    return {token: _figures(token, states.get(token), sums.get(token, {})) for token in wanted}


def _figures(token: str, state: TokenState | None, sums: Mapping[str, object]) -> TokenFigures:
    known = state or TokenState(token=token)
    return TokenFigures(
        token=token,
        supply_units=_whole(sums.get("final")),
        holders=_whole(sums.get("final_holders")),
        head_supply_units=known.supply_units,
        head_holders=known.holders,
        held_units=_whole(sums.get("held")),
        authorised_units=known.authorised_units,
        paused=known.paused,
    )


def _whole(value: object) -> int:
    return int(str(value or 0))


def verified_wallets() -> VerifiedWallets:
    """Counted by the rule of `InvestorSBT.standingOf`, as `chain.selectors.standing_of` writes it down. Two queries."""
    cursor = Cursor.objects.filter(chain_id=settings.CHAIN_ID).first() or Cursor(chain_id=settings.CHAIN_ID)
    now = chain_time(cursor)

    def distrusted(key: str) -> Exists:
        since = Distrust.objects.filter(chain_id=settings.CHAIN_ID, key=OuterRef(key), since__lte=OuterRef("issued_at"))
        return Exists(since)

    sound = SbtRecord.objects.filter(
        ~distrusted("issuer"),
        ~distrusted("attestor"),
        chain_id=settings.CHAIN_ID,
        revoked=False,
        suspended=False,
        expires_at__gt=now,
    )
    counted = sound.aggregate(
        effective=Count("pk", filter=Q(effective_from__lte=now)), pending=Count("pk", filter=Q(effective_from__gt=now))
    )
    return VerifiedWallets(effective=counted["effective"], pending=counted["pending"])
