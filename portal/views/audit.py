"""The audit trail: for administrators and auditors."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from portal.access import role_required
from portal.audit import first_break
from portal.exports import safe_cell
from portal.forms import AuditFilterForm
from portal.models import AuditEntry, Role
from portal.selectors import audit_entries

readers = role_required(Role.ADMINISTRATOR, Role.AUDITOR)


def _filtered(form: AuditFilterForm) -> QuerySet[AuditEntry]:
    if not form.is_valid():
        return audit_entries()
    data = form.cleaned_data
    until = data["until"] and data["until"] + timedelta(days=1)
    return audit_entries(
        search=data["search"],
        action=data["action"],
        actor=data["actor"],
        since=_start(data["since"]),
        until=_start(until),
    )


def _start(day: date | None) -> datetime | None:
    return timezone.make_aware(datetime.combine(day, time.min)) if day else None


@require_safe
@readers
def audit_list(request: HttpRequest) -> HttpResponse:
    form = AuditFilterForm(request.GET or None)
    page = Paginator(_filtered(form), 50).get_page(request.GET.get("page"))
    return render(request, "portal/audit.html", {"form": form, "page": page})


@require_safe
@readers
def check_chain(request: HttpRequest) -> HttpResponse:
    """Recompute every hash of the trail and say whether, and from where, it does not hold."""
    latest = AuditEntry.objects.order_by("-sequence").first()
    context = {"break": first_break(), "latest": latest, "checked_at": timezone.now()}
    return render(request, "portal/audit_check.html", context)


@require_safe
@readers
def export_audit(request: HttpRequest) -> StreamingHttpResponse:
    """The filtered trail as CSV, oldest first, with every hash so that it can be checked elsewhere."""
    entries = _filtered(AuditFilterForm(request.GET or None)).order_by("sequence")
    response = StreamingHttpResponse(_csv_lines(entries), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="audit-{timezone.localdate():%Y%m%d}.csv"'
    return response


class _Echo:
    def write(self, value: str) -> str:
        return value


COLUMNS = (
    "sequence", "at", "actor_label", "action", "subject_type", "subject_id", "from_state", "to_state", "reason", "data",
    "previous_digest", "digest",
)  # fmt: skip


def _csv_lines(entries: QuerySet[AuditEntry]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield f"\ufeff{writer.writerow(COLUMNS)}"
    for entry in entries.iterator(chunk_size=2000):
        yield str(writer.writerow([safe_cell(getattr(entry, column)) for column in COLUMNS]))
