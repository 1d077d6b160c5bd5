"""Where drills are played: a node, a keystore and a database of their own, all of which end with them."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from django.db import connection, transaction

from chain.drills.world import DAY, PURPOSE, World, build, drill_settings, was_asked
from chain.errands import asked_meanwhile
from chain.testing import anvil

BEHIND_SECONDS: Final = 400 * DAY


@contextmanager
def stage(*, plan: str = "drill") -> Iterator[World]:
    """A freshly deployed platform on a node of its own, in this process and this database, none of which is kept.

    Before: an empty database with all its tables, nobody else in it. After: the same.
    """
    keystore = Path(tempfile.mkdtemp(prefix="drill-keys-"))
    try:
        # Drills let weeks pass; the chain's clock stays behind this machine's all the same, as it always is.
        with (
            anvil(begins_at=int(time.time()) - BEHIND_SECONDS) as node,
            drill_settings(node, keystore, plan=plan),
            asked_meanwhile(PURPOSE, was_asked),
            transaction.atomic(),
        ):
            yield build(node)
            transaction.set_rollback(True)
    finally:
        shutil.rmtree(keystore, ignore_errors=True)


def drop_leftovers() -> list[str]:
    """Drop the databases of drills that were killed: those of our making that nobody is connected to."""
    with connection._nodb_cursor() as cursor:  # the way Django makes test databases
        cursor.execute(
            "SELECT datname FROM pg_database WHERE datname ~ '^drill_[0-9a-f]{12}$' "
            "AND datname NOT IN (SELECT datname FROM pg_stat_activity WHERE datname IS NOT NULL)"
        )
        names = [str(name) for (name,) in cursor.fetchall()]
        for name in names:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
    return names


@contextmanager
def scratch_database() -> Iterator[None]:
    """Put this process on a new, empty database on the same server, with all its tables; drop it afterwards.

    The role of DATABASE_URL must be allowed to create databases. Nothing of the installation's own database is read.
    """
    drop_leftovers()
    name, own = f"drill_{secrets.token_hex(6)}", connection.settings_dict["NAME"]
    tests = connection.settings_dict["TEST"]
    before, tests["NAME"] = tests.get("NAME"), name
    connection.close()
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(own, verbosity=0)
        tests["NAME"] = before
