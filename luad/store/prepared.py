"""Statements that are compiled once, and executed for many rows on the driver's connection.

SQLAlchemy Core says each statement, so it holds for every backend; its work for each execution and each value would
cost more than the database itself. A row names only the columns that have a value. The statement says NULL for the
others, because drivers bind a None slowly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Final, TypeAlias

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

Value: TypeAlias = str | int
Values: TypeAlias = Mapping[str, Value]
"""The values of a row by column or parameter; a column without a value is left out."""

Names: TypeAlias = tuple[str, ...]

_MANY: Final = 4
"""From so many rows on, a database that takes them as one parameter gets them so."""

_PARAMETER: Final = re.compile(r"%\((\w+)\)s")


class Prepared:
    """One statement in the variants that its rows need, each of them compiled once for each dialect.

    *make* returns the statement for rows with exactly the given names, each of them a `bindparam`. *suffix* is text
    that follows it, for what Core says in words of one backend only.
    """

    def __init__(self, make: Callable[[Names], ClauseElement], suffix: str = "") -> None:
        self._make: Final = make
        self._suffix: Final = suffix
        self._texts: Final[dict[tuple[str, Names], _Text]] = {}

    def execute(self, connection: Connection, rows: Iterable[Values]) -> int:
        """Execute the statement for each of *rows*, in order; return the number of changed rows."""
        return self._execute(connection, groupby(rows, tuple))

    def execute_unordered(self, connection: Connection, rows: Iterable[Values]) -> int:
        """Do the same for rows that do not depend on each other, so fewer statements are enough."""
        groups: dict[Names, list[Values]] = {}
        for row in rows:
            groups.setdefault(tuple(row), []).append(row)
        return self._execute(connection, groups.items())

    def _execute(
        self, connection: Connection, groups: Iterable[tuple[Names, Iterable[Values]]]
    ) -> int:
        count, dialect = 0, connection.dialect
        cursor = connection.connection.cursor()
        try:
            for names, each in groups:
                text = self._texts.get((dialect.name, names)) or self._compile(dialect, names)
                rows = list(each)
                if text.bulk_sql and len(rows) >= _MANY:
                    cursor.execute(text.bulk_sql, (json.dumps(rows),))
                else:
                    cursor.executemany(text.sql, text.parameters(rows))
                count += cursor.rowcount
        finally:
            cursor.close()
        return count

    def _compile(self, dialect: Dialect, names: Names) -> _Text:
        text = _Text(self._make(names), self._suffix, dialect, names)
        self._texts[dialect.name, names] = text
        return text


def _for_many(compiled: SQLCompiler, suffix: str, names: Names) -> str:
    """Return the text of an INSERT or UPDATE for many rows, which are one parameter: a JSON array of objects.

    The server does the work of one statement, and the driver dumps one value.
    """
    types = ((name, compiled.binds[name].type.compile(compiled.dialect)) for name in names)
    columns = ", ".join(f'"{name}" {type_}' for name, type_ in types)
    given = f"json_to_recordset(CAST(%s AS json)) AS given ({columns})"
    text = _PARAMETER.sub(r'given."\1"', str(compiled))
    if text.startswith("INSERT"):
        head, _, values = text.partition(" VALUES (")
        return " ".join((head, "SELECT", values.removesuffix(")"), "FROM", given, suffix)).strip()
    head, where, rest = text.partition("WHERE ")
    return f"{head} FROM {given} {where}{rest} {suffix}".strip()


class _Text:
    """The text of a statement for one dialect, and the order of its parameters."""

    def __init__(
        self, statement: ClauseElement, suffix: str, dialect: Dialect, names: Names
    ) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        self.sql: Final = f"{compiled} {suffix}".strip()
        # The rows of an INSERT from a SELECT may depend on each other, as do those that update.
        is_plain = self.sql.startswith("UPDATE") or " VALUES (" in self.sql
        has_recordsets = dialect.name == "postgresql" and is_plain and "DO UPDATE" not in suffix
        self.bulk_sql: Final = _for_many(compiled, suffix, names) if has_recordsets else ""
        order = compiled.positiontup
        self._is_by_name: Final = order is None
        places = [names.index(name) for name in order or names]
        is_same = places == list(range(len(names)))
        self._arrange: Final = None if is_same else itemgetter(*places)

    def parameters(self, rows: Iterable[Values]) -> list[Values] | list[tuple[Value, ...]]:
        """Return the parameters of *rows* as the driver wants them."""
        if self._is_by_name:
            return list(rows)
        if self._arrange is None:
            return [tuple(row.values()) for row in rows]
        return [self._arrange(tuple(row.values())) for row in rows]
