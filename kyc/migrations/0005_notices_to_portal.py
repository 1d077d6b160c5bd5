"""Notices about verifications go to the one table of notices; what was sent stays sent."""

from django.db import migrations
from django.db.models import F


def move(apps, schema_editor):
    old, new = apps.get_model("kyc", "Notice"), apps.get_model("portal", "Notice")
    for row in old.objects.select_related("application").order_by("id").iterator():
        reference = f"K-{row.application_id:06d}"
        new.objects.get_or_create(
            user_id=row.user_id,
            kind=f"kyc.{row.template}",
            key=row.dedupe_key.removeprefix(f"{row.template}:"),
            defaults={
                "params": {**row.context, "reference": reference},
                "mail": "sent" if row.sent_at else "waiting",
                "sent_at": row.sent_at,
                "attempts": row.attempts,
                "read_at": row.sent_at,
            },
        )
    # `created_at` is set on insert; the true time is known only here.
    new.objects.filter(kind__startswith="kyc.", sent_at__isnull=False).update(created_at=F("sent_at"))


class Migration(migrations.Migration):
    dependencies = [
        ("kyc", "0004_own_wallets"),
        ("portal", "0004_notices"),
    ]

    operations = [
        migrations.RunPython(move, migrations.RunPython.noop),
        migrations.DeleteModel(name="Notice"),
    ]
