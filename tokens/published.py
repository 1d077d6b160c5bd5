"""What anybody may see of the securities without signing in.

A security whose placement is open is shown by what identifies it on the chain, and not by what would advertise it: a
private placement is not offered to the public (docs/decisions/038).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from chain.public.figures import TokenFigures, token_figures
from chain.registry import PublicName
from tokens.models import Security


@dataclass(frozen=True, slots=True)
class PublicSecurity:
    """One security on the chain, with its figures."""

    security: Security
    figures: TokenFigures

    @property
    def shows_terms(self) -> bool:
        """Interest, denomination and the like: only once nobody can subscribe any more."""
        return not self.security.is_open_for_subscription


def published_securities() -> list[PublicSecurity]:
    """Every security that stands on the chain, newest first; drafts never. A query of its own, however many."""
    rows = list(Security.objects.filter(state__in=Security.ON_CHAIN, token__isnull=False))
    figures = token_figures(row.token for row in rows if row.token)
    return [PublicSecurity(row, figures[row.token]) for row in rows if row.token]


def published_security(token: str) -> PublicSecurity | None:
    """The security whose contract stands at `token`; None for a draft, and for what is not ours. A query of its own."""
    row = Security.objects.filter(state__in=Security.ON_CHAIN, token=token).first()
    if row is None or row.token is None:
        return None
    return PublicSecurity(row, token_figures([row.token])[row.token])


def public_names() -> dict[str, PublicName]:
    """The same securities by the address of their contract, for the pages of `chain`. One query."""
    rows = Security.objects.filter(state__in=Security.ON_CHAIN, token__isnull=False)
    return {
        row.token: PublicName(
            row.name, row.symbol, row.decimals, reverse("public_securities:security", args=[row.token])
        )
        for row in rows
        if row.token
    }


def public_part() -> dict[str, Any]:
    """For the page that everybody may read."""
    return {"published": published_securities()}
