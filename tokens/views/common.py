"""What every view of this app needs."""

from __future__ import annotations

from django.http import Http404

from portal.acting import act, csv_file, person
from tokens.models import Security

__all__ = ["act", "csv_file", "person", "security_or_404"]


def security_or_404(security_id: int) -> Security:
    security = Security.objects.filter(pk=security_id).first()
    if security is None:
        raise Http404
    return security
