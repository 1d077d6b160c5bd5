"""Wrap every data key with the newest key of EVIDENCE_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from kyc.services import rotate_evidence_keys


class Command(BaseCommand):
    help = "Re-wrap evidence keys with the newest of EVIDENCE_KEYS. Afterwards older keys may be removed."

    def handle(self, *args: Any, **options: Any) -> None:
        total = 0
        while changed := rotate_evidence_keys():
            total += changed
        self.stdout.write(f"{total} keys wrapped anew")
