"""What anybody may see of the loan desk."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from lending.selectors.proofs import newest_proof


@require_safe
def proof_of_collateral(request: HttpRequest) -> HttpResponse:
    """The newest proof: totals owed back, what was found on the chains, and how to check both."""
    return render(request, "lending/public_proof.html", {"proof": newest_proof()})
