"""The public figures count as the contract judges."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from chain.models import Distrust, SbtRecord
from chain.public.figures import VerifiedWallets, verified_wallets
from chain.selectors import sbts_for
from chain.types import Standing

pytestmark = pytest.mark.django_db
ISSUER, ATTESTOR, THIEF = ("0x" + digit * 40 for digit in "789")


def sbt(number: int, **changes: object) -> str:
    """An SBT in force since yesterday, but for `changes`."""
    now = timezone.now()
    address = f"0x{number:040x}"
    facts = {
        "token_id": number,
        "subject": f"0x{number:064x}",
        "categories": 1,
        "issued_at": now - timedelta(days=2),
        "effective_from": now - timedelta(days=1),
        "expires_at": now + timedelta(days=300),
        "issuer": ISSUER,
        "attestor": ATTESTOR,
        "block_number": 1,
        "transaction_hash": "",
    }
    SbtRecord.objects.create(chain_id=settings.CHAIN_ID, address=address, **facts | changes)
    return address


def since(moment: datetime) -> dict[str, object]:
    return {"chain_id": settings.CHAIN_ID, "since": moment, "block_number": 1}


def test_tokens_in_force_are_counted_as_the_contract_judges_each() -> None:
    now = timezone.now()
    addresses = [
        sbt(1),
        sbt(2),
        sbt(3, effective_from=now + timedelta(hours=1)),
        sbt(4, expires_at=now - timedelta(minutes=1)),
        sbt(5, suspended=True),
        sbt(6, revoked=True),
        sbt(7, issuer=THIEF),
        sbt(8, attestor=THIEF),
        sbt(9, attestor=THIEF, issued_at=now - timedelta(days=9)),
    ]
    Distrust.objects.create(key=THIEF, **since(now - timedelta(days=3)))
    judged = Counter(view.standing for view in sbts_for(addresses).values())
    assert judged == {
        Standing.EFFECTIVE: 3,
        Standing.PENDING: 1,
        Standing.EXPIRED: 1,
        Standing.SUSPENDED: 1,
        Standing.ISSUER_DISTRUSTED: 1,
        Standing.ATTESTOR_DISTRUSTED: 1,
    }
    assert verified_wallets() == VerifiedWallets(effective=3, pending=1)


def test_before_anything_was_issued_nothing_is_counted() -> None:
    assert verified_wallets() == VerifiedWallets(effective=0, pending=0)
