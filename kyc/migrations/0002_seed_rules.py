"""The rules in force today. Marked unverified where DOMAIN.md marks them so; change them by adding a later row."""

from datetime import date

from django.db import migrations

RULES = [
    (
        "verification",
        "2020-04",
        date(2020, 4, 1),
        {
            "individual": [["image"], ["ic_chip"], ["jpki"]],
            "corporate": [["registry"]],
        },
        "Ordinance under the Act on Prevention of Transfer of Criminal Proceeds, before 2027-04-01.",
    ),
    (
        "verification",
        "2027-04",
        date(2027, 4, 1),
        {"individual": [["ic_chip"], ["jpki"]], "corporate": [["registry"]]},
        "From 2027-04-01 verification by image upload alone is abolished for remote onboarding.",
    ),
    ("screening", "1", date(2020, 1, 1), {"threshold": 86}, "Working choice (unverified)."),
    (
        "review_period",
        "1",
        date(2020, 1, 1),
        {"high": 1, "medium": 2, "low": 3},
        "Periodic re-verification by risk rating, in years (unverified).",
    ),
    (
        "retention",
        "1",
        date(2008, 3, 1),
        {"years": 7},
        "Act on Prevention of Transfer of Criminal Proceeds: 7 years after the relationship ends.",
    ),
]


def add_rules(apps, schema_editor):
    rule = apps.get_model("kyc", "DatedRule")
    for subject, version, effective_from, value, source in RULES:
        rule.objects.get_or_create(
            subject=subject,
            version=version,
            defaults={"effective_from": effective_from, "value": value, "source": source},
        )


def remove_rules(apps, schema_editor):
    rule = apps.get_model("kyc", "DatedRule")
    for subject, version, *_ in RULES:
        rule.objects.filter(subject=subject, version=version).delete()


class Migration(migrations.Migration):
    dependencies = [("kyc", "0001_initial")]
    operations = [migrations.RunPython(add_rules, remove_rules)]
