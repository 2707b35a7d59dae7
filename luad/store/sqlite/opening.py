"""Opens a database: checks it, migrates it, and reads the state that start-up needs.

A damaged database neither stops the daemon nor is lost: luad sets it aside, and creates a new one.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Column, Engine, select

from luad.clock import Clock
from luad.core.events import Restored
from luad.store import queries
from luad.store.columns import read_run
from luad.store.migration_progress import Report, say_nothing
from luad.store.sqlite.connect import connect, reader_engine, writer_engine
from luad.store.sqlite.faults import StoreCorruptError, damage
from luad.store.sqlite.migrate import Age, Check, examine, prepare, try_tables
from luad.store.sqlite.moved import refuse_moved
from luad.store.state_folder import StateLock, set_aside, touch_database
from luad.store.tables import metadata, runs

CHECKED_BYTES: Final = 8 * 1024 * 1024
"""The largest database that every start checks (some 10 ms)."""

CHECKED_AFTER_CRASH_BYTES: Final = 128 * 1024 * 1024
"""The largest database that the start after a crash checks (some 100 ms)."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An open database. *quarantined*: the new path of a damaged one; *problem*: its damage."""

    engine: Engine
    restored: Restored
    quarantined: Path | None = None
    problem: str = ""


def open_database(
    path: Path, lock: StateLock, clock: Clock, report: Report = say_nothing
) -> Opened:
    """Open the database at *path*, which *lock* protects; set a damaged one aside first.

    *report* gets the log lines of a migration.
    """
    try:
        engine, restored = _open(path, _check_for(path, lock), report)
    except StoreCorruptError as error:
        quarantined = set_aside(path, clock.now().wall)
        engine, restored = _open(path, Check.NONE, report)
        return Opened(engine, restored, quarantined, error.message)
    return Opened(engine, restored)


def _check_for(path: Path, lock: StateLock) -> Check:
    if lock.was_corrupt:
        return Check.FULL
    size = path.stat().st_size if path.exists() else 0
    limit = CHECKED_BYTES if lock.was_clean else CHECKED_AFTER_CRASH_BYTES
    return Check.QUICK if size <= limit else Check.NONE


def _open(path: Path, check: Check, report: Report) -> tuple[Engine, Restored]:
    if touch_database(path):
        age = Age.EMPTY
    else:
        with damage(path):
            age = examine(path, check)
    engine = writer_engine(path)
    try:
        prepare(engine, path, age, report)
        if age is Age.EMPTY:
            return engine, Restored()
        with closing(connect(path, "ro")) as connection:
            refuse_moved(connection, path)
        # Reading all that start-up needs is part of the check.
        with damage(path), engine.connect() as connection:
            try_tables(connection)
            restored = queries.restored(connection)
        if check is Check.FULL:
            _read_through(path)
    except BaseException:
        engine.dispose()
        raise
    return engine, restored


def _read_through(path: Path) -> None:
    """Read every row as queries do. Raises StoreCorruptError for an invalid row.

    SQLite's own check reads pages and indexes, but not the values of rows. Without this check, a damaged value
    would cause an error again after every start.
    """
    engine = reader_engine(path)
    try:
        with damage(path), engine.connect() as connection:
            for row in connection.execute(select(runs)).yield_per(1_000):
                read_run(row)
            for column in _values():
                there = select(column).where(column.is_not(None))
                for text in connection.execute(there).yield_per(1_000).scalars():
                    json.loads(text)
    finally:
        engine.dispose()


def _values() -> list[Column[str]]:
    """Return the columns with JSON, except log lines and results, which may be cut off."""
    return [
        column
        for table in metadata.tables.values()
        for column in table.c
        if column.name.endswith("_json") and column.name not in {"lines_json", "result_json"}
    ]
