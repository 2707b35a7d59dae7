"""Creates a database, examines one, and migrates an older one.

The import of Alembic takes a third of a second, so only a migration imports it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import Enum
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, insert, select

from luad.errors import StoreTooNewError
from luad.store.migration_progress import Progress, Report, say_nothing
from luad.store.sqlite.connect import connect
from luad.store.sqlite.copies import copy_before
from luad.store.sqlite.faults import StoreCorruptError, world_failures
from luad.store.tables import HEAD, metadata, version_table

MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"
_NAMES: Final = metadata.tables.keys() | {
    index.name for table in metadata.tables.values() for index in table.indexes if index.name
}
_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100


class Age(Enum):
    """The age of a database's schema, compared with this luad."""

    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"


class Check(Enum):
    """The check of a database before luad uses it."""

    NONE = "none"
    QUICK = "quick_check"
    FULL = "integrity_check"


def examine(path: Path, check: Check) -> Age:
    """Return the age of a database, without changes except the rollback of an unfinished transaction.

    Raises StoreCorruptError if it is damaged or not a database of luad, and StoreTooNewError if a newer luad has
    written it.
    """
    with world_failures(path):
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
        if not header:
            return Age.EMPTY
        if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
            raise StoreCorruptError(f"{path} is not an SQLite database")
        # A journal is a transaction that was cut off before the database was in WAL mode (luad was
        # killed at its first start): SQLite must roll it back before it can read.
        is_undone = not Path(f"{path}-journal").exists()
        connection = connect(path, "ro" if is_undone else "rw")
        try:
            age = _age(path, connection)
            _look_through(path, connection, check)
        finally:
            connection.close()
    return age


def _age(path: Path, connection: sqlite3.Connection) -> Age:
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not names:
        return Age.EMPTY
    if version_table.name not in names:
        raise StoreCorruptError(f"{path} is not a database of luad")
    versions = [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]
    if len(versions) != 1 or not str(versions[0]).isdecimal():
        raise StoreCorruptError(f"{path} does not say which luad has written it")
    number = int(versions[0])
    if number > int(HEAD):
        raise StoreTooNewError(
            f"{path} was written by a newer luad (schema {number}, this one knows {int(HEAD)})",
            hint="install that luad again, or give this one another state folder (--state)",
        )
    if number < int(HEAD):
        return Age.OLDER
    if lacking := _NAMES - names:
        raise StoreCorruptError(f"{path} lacks {', '.join(sorted(lacking))}")
    return Age.CURRENT


def _look_through(path: Path, connection: sqlite3.Connection, check: Check) -> None:
    if check is Check.NONE:
        return
    findings = [row[0] for row in connection.execute(f"PRAGMA {check.value}(3)")]
    if findings != ["ok"]:
        raise StoreCorruptError(f"{path} is damaged: {'; '.join(map(str, findings))}")


def try_tables(connection: Connection) -> None:
    """Select every column of every table, so that a damaged schema is found at the start."""
    for table in metadata.tables.values():
        connection.execute(select(table).limit(0))


def prepare(engine: Engine, path: Path, age: Age, report: Report = say_nothing) -> None:
    """Bring the database to today's schema, in one transaction with the note that it is there.

    An older one is copied first. *report* is told how that goes on.
    """
    with world_failures(path):
        if age is Age.CURRENT:
            return
        if age is Age.EMPTY:
            _create(engine)
        else:
            _migrate(engine, path, report)


def _migrate(engine: Engine, path: Path, report: Report) -> None:
    progress = Progress(path, version_of(path), HEAD, report)
    progress.begin()
    copy = copy_before(path, HEAD, progress.copied)
    upgrade(engine, progress=progress)
    progress.end(copy)


def version_of(path: Path) -> str:
    """Return the schema that a database says it has."""
    with closing(connect(path)) as connection:
        ((version,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(version)


def _create(engine: Engine) -> None:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        # Both must be said before the first table is there, and outside a transaction.
        driver.execute("PRAGMA auto_vacuum = INCREMENTAL")
        driver.execute("PRAGMA journal_mode = WAL")
        with connection.begin():
            metadata.create_all(connection, checkfirst=False)
            version_table.create(connection)
            connection.execute(insert(version_table).values(version_num=HEAD))


def upgrade(engine: Engine, target: str = HEAD, progress: Progress | None = None) -> None:
    """Run the migrations up to *target*, all in one transaction. *progress* watches it."""
    from luad.store.alembic_upgrade import run_migrations  # noqa: PLC0415 - imports Alembic

    with engine.connect() as connection, _watched(connection, progress), connection.begin():
        run_migrations(connection, MIGRATIONS, target)


@contextmanager
def _watched(connection: Connection, progress: Progress | None) -> Iterator[None]:
    driver = connection.connection.driver_connection
    if progress is None or not isinstance(driver, sqlite3.Connection):
        yield
        return
    with progress.of(driver):
        yield
