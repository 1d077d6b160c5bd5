"""What `bench/pages.py` asks of the demo's own database: 100,000 applications, 100,000 loans, and queries per page.

Run by it in the environment of its demo: `pages_data.py fill` or `pages_data.py queries`. Not for any other database.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings.local")

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

from bench.collateral import LOANS, POSITIONS, START, make_line, make_terms, run  # noqa: E402
from lending import coverage  # noqa: E402
from lending.models import Price, PricePolicy, PriceRound  # noqa: E402
from portal.models import User  # noqa: E402
from portal.testing import sign_in  # noqa: E402
from tokens.models import Security  # noqa: E402

COUNT = 100_000

APPLICANTS = """
INSERT INTO portal_user (password, is_superuser, email, display_name, language, theme, is_active, is_staff, date_joined)
SELECT '', false, 'queue' || n || '@bench.example', 'Bench ' || n, 'ja', '', true, false, now() FROM generate_series(1, %(count)s) n
"""


def fill() -> None:
    """Applications that wait and loans that run, made by the database; prices that hold for the run."""
    run("SET statement_timeout = 0")
    run(APPLICANTS, count=COUNT)
    _applications()
    _loans()
    moment = timezone.now()
    for pair, value in START.items():
        PricePolicy.objects.update_or_create(pair=pair, defaults={"valid_seconds": 86_400})
        made = PriceRound.objects.create(started_at=moment, finished_at=moment)
        Price.objects.create(pair=pair, value=value, at=moment, price_round=made, sources=3, is_cross_checked=True)
    for table in ("portal_user", "kyc_application", "lending_loan", "lending_position"):
        run(f"VACUUM ANALYZE {table}")
    print(json.dumps({"applications": COUNT, "loans": COUNT}))


def _applications() -> None:
    """Copies of a waiting application, one an applicant, with every column as it stands there but the people and times."""
    columns = [row[0] for row in run(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'kyc_application' AND column_name <> 'id'"
    )]  # fmt: skip
    changed = {
        "user_id": "u.id",
        "name": "'申込 ' || u.id",
        "assigned_to_id": "NULL",
        "submitted_at": "now() - (u.id % 90) * interval '1 day'",
    }
    names = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(changed.get(name, f'a."{name}"') for name in columns)
    sql = f"INSERT INTO kyc_application ({names}) SELECT {values} FROM portal_user u, "  # noqa: S608 (our own columns)
    source = "(SELECT * FROM kyc_application WHERE state = 'submitted' ORDER BY id LIMIT 1) a WHERE u.email LIKE 'queue%@bench.example'"
    with connection.cursor() as cursor:
        cursor.execute(sql + source)
        if cursor.rowcount != COUNT:
            raise SystemExit(f"{cursor.rowcount} applications instead of {COUNT}")


def _loans() -> None:
    first, second = (
        User.objects.filter(email__endswith="@loans.example").order_by("id").values_list("pk", flat=True)[:2]
    )
    borrower = User.objects.get(email="aoki@investor.example").pk
    line = make_line(borrower, first, second)
    yen, dollar = make_terms()
    people = {"borrower": borrower, "first": first, "second": second}
    run(LOANS, **people, line=line, yen=yen, dollar=dollar, count=COUNT)
    own = POSITIONS.replace("FROM lending_loan\n", "FROM lending_loan WHERE reference LIKE 'B%%'\n")
    run(own, last=coverage.BUCKETS - 1, ratio=coverage.REFERENCE_RATIO, widening=coverage.WIDENING)


def queries(pages: dict[str, tuple[str, str]]) -> None:
    """How many queries each page asks, second visit."""
    settings.ALLOWED_HOSTS = ["*"]
    found: dict[str, int] = {}
    for name, (email, path) in pages.items():
        client = sign_in(User.objects.get(email=email))
        client.get(path)
        with CaptureQueriesContext(connection) as asked:
            answer: Any = client.get(path)
        if answer.status_code != 200:
            raise SystemExit(f"{path} answered {answer.status_code}")
        found[name] = len(asked)
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill()
    elif sys.argv[1] == "token":
        print(json.dumps({"token": Security.objects.get(pk=sys.argv[2]).token}))
    else:
        queries(json.loads(sys.argv[2]))
