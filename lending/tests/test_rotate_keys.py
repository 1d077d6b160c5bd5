"""The keys of loan documents and income evidence rotate with those of the evidence of identity, by the same command."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command

from kyc import storage
from kyc.exceptions import EvidenceUnreadable
from lending.models import IncomeEvidence, LoanDocument
from lending.services.credit import open_income_evidence
from lending.services.documents import open_document
from lending.tests import world

pytestmark = pytest.mark.django_db


def sealed(content: bytes) -> dict[str, Any]:
    made = storage.seal(content)
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "storage_name": made.storage_name,
        "wrapped_key": made.wrapped_key,
        "key_id": made.key_id,
    }


def test_after_the_rotation_the_old_key_may_go(settings: Any, tmp_path: Any) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.PRIVATE_ROOT, settings.EVIDENCE_KEYS = tmp_path, [old]
    loan, officer = world.make_loan(), world.officer()
    paper = LoanDocument.objects.create(loan=loan, kind="contract", language="ja", **sealed(b"a contract"))
    slip = IncomeEvidence.objects.create(
        application=loan.line.application, kind="withholding", content_type="application/pdf", **sealed(b"a slip")
    )
    settings.EVIDENCE_KEYS = [new]
    with pytest.raises(EvidenceUnreadable):
        open_document(document_id=paper.pk, reader=loan.borrower)
    settings.EVIDENCE_KEYS = [new, old]
    call_command("rotate_evidence_keys")
    settings.EVIDENCE_KEYS = [new]
    assert open_document(document_id=paper.pk, reader=loan.borrower).content == b"a contract"
    assert open_income_evidence(evidence_id=slip.pk, reader=officer).content == b"a slip"
