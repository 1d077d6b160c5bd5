"""What `manage.py check` says about the settings of this app."""

from __future__ import annotations

from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register


@register(Tags.security, deploy=True)
def evidence_keys(**_options: Any) -> list[CheckMessage]:
    """Evidence needs at least one good key; every key in the list must be one."""
    if not settings.EVIDENCE_KEYS:
        return [Error("EVIDENCE_KEYS is empty; identity documents could not be stored.", id="kyc.E001")]
    try:
        for key in settings.EVIDENCE_KEYS:
            Fernet(key)
    except ValueError:
        return [Error("EVIDENCE_KEYS holds something that is not a Fernet key.", id="kyc.E002")]
    return []
