"""Queries that every page asks: Django writes their SQL once per process, and each call only fills in whom it is for.

Building a query takes Django about as long as the database needs to answer it, and the frame of a page asks several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

from django.db import connection
from django.db.models import Manager, Model, QuerySet

#: Stands for a key while the SQL is written. No row has it.
KEY: Final = -(2**62)

Row = TypeVar("Row")
Kept = TypeVar("Kept", bound=Model)
Written = tuple[str, tuple[Any, ...]]


def written(rows: QuerySet[Any, Any]) -> Written:
    """The SQL of `rows` and its values, among them `KEY` wherever a key will stand."""
    sql, values = rows.query.sql_with_params()
    return sql, tuple(values)


def filled(values: Sequence[Any], key: int) -> list[Any]:
    """`values` with `key` in place of `KEY`, whatever kind of integer the database's driver makes of it."""
    return [type(value)(key) if isinstance(value, int) and value == KEY else value for value in values]


class Rows(Generic[Row]):
    """Some columns of some rows, each row made into a `Row`. `query` is called once, with `KEY` where a key belongs.

    It names its columns by `values_list`, in the order in which `make` takes them, and only such as the database's driver
    reads by itself: what a field converts stays as it is stored. What it reads beside the key (settings, the clock) is read
    once as well: a query that depends on the hour is not for this.
    """

    def __init__(self, query: Callable[[int], QuerySet[Any, Any]], make: Callable[..., Row]) -> None:
        self._query = query
        self._make = make

    @cached_property
    def _written(self) -> Written:
        return written(self._query(KEY))

    def __call__(self, key: int = KEY) -> list[Row]:
        """One query. `key`: whom it is for, where that matters."""
        sql, values = self._written
        with connection.cursor() as cursor:
            cursor.execute(sql, filled(values, key))
            return [self._make(*row) for row in cursor.fetchall()]


def pair(first: Any, second: Any) -> tuple[Any, Any]:
    """For `Rows` of two columns that become a dictionary."""
    return first, second


class Instances(Generic[Kept]):
    """Whole rows of one table as its model's instances, without any joined; see `Rows`."""

    def __init__(self, query: Callable[[int], QuerySet[Kept]]) -> None:
        self._query = query

    @cached_property
    def _written(self) -> tuple[Manager[Kept], Written]:
        rows = self._query(KEY)
        return rows.model._default_manager, written(rows)

    def __call__(self, key: int) -> list[Kept]:
        """One query. `key`: whom it is for, or whatever else the rows are kept by."""
        manager, (sql, values) = self._written
        return list(manager.raw(sql, filled(values, key)))


class RowCount:
    """How many rows there are, at most `at_most`. `rows` is called once, with `KEY` where a key belongs; see `Rows`."""

    def __init__(self, rows: Callable[[int], QuerySet[Any]], *, at_most: int | None = None) -> None:
        self._rows = rows
        self._at_most = at_most

    @cached_property
    def _written(self) -> Written:
        sql, values = written(self._rows(KEY).order_by().values("pk")[: self._at_most])
        return f"SELECT count(*) FROM ({sql}) AS counted", values  # noqa: S608 (Django's own SQL)

    def __call__(self, key: int = KEY) -> int:
        """One query. `key`: whom it is for, where that matters."""
        sql, values = self._written
        with connection.cursor() as cursor:
            cursor.execute(sql, filled(values, key))
            (count,) = cursor.fetchone()
        return int(count)
