"""Notices about securities go to the one table of notices; what was sent stays sent."""

from django.db import migrations
from django.db.models import F


def move(apps, schema_editor):
    old, new = apps.get_model("tokens", "Notice"), apps.get_model("portal", "Notice")
    for row in old.objects.order_by("id").iterator():
        params = dict(row.context)
        path = params.pop("path", "/tokens/holdings/")
        new.objects.get_or_create(
            user_id=row.user_id,
            kind=f"tokens.{row.template}",
            key=row.dedupe_key.split(":")[1],
            defaults={
                "params": params,
                "path": path,
                "mail": "sent" if row.sent_at else "waiting",
                "sent_at": row.sent_at,
                "attempts": row.attempts,
                "read_at": row.sent_at,
            },
        )
    new.objects.filter(kind__startswith="tokens.", sent_at__isnull=False).update(created_at=F("sent_at"))


class Migration(migrations.Migration):
    dependencies = [
        ("tokens", "0004_own_wallet_transfers"),
        ("portal", "0004_notices"),
    ]

    operations = [
        migrations.RunPython(move, migrations.RunPython.noop),
        migrations.DeleteModel(name="Notice"),
    ]
