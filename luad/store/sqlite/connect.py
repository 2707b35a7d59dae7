"""Connections to SQLite, with luad's settings.

luad begins transactions itself: pysqlite begins them late, so that two writers would read first and then fail. A
writer begins at once (``BEGIN IMMEDIATE``), and a reader keeps one snapshot.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool, Pool, QueuePool

BUSY_SECONDS: Final = 2.0
"""The time that a connection waits for the lock of another process."""

READERS: Final = 2

MOST_CHECKPOINTS: Final = 8
"""The largest number of checkpoints in a row while the writer goes on."""

_WRITER: Final = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",
    "PRAGMA journal_size_limit = 16777216",
    # Usually a reader's thread checkpoints before the WAL is this long (`Checkpoints`).
    "PRAGMA wal_autocheckpoint = 4096",  # pages
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -8000",  # KiB
)
_READER: Final = (
    "PRAGMA query_only = ON",
    "PRAGMA temp_store = MEMORY",
)


def connect(path: Path, mode: Literal["ro", "rw"] = "rw") -> sqlite3.Connection:
    """Open *path*, which must exist, so that a deleted database is not created by accident."""
    # The pool passes a reader's connection from thread to thread, but never shares it.
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def checkpoint(path: Path, mode: Literal["PASSIVE", "TRUNCATE"]) -> None:
    """Checkpoint the database, and with TRUNCATE truncate its WAL.

    It does what is possible without waiting, and never fails: the WAL only stays longer.
    """
    with suppress(sqlite3.Error), closing(connect(path)) as connection:
        connection.execute("PRAGMA busy_timeout = 0")
        _checkpoint(connection)
        if mode == "TRUNCATE":
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _checkpoint(connection: sqlite3.Connection) -> None:
    """Checkpoint until the whole WAL is in the database.

    Only a complete checkpoint makes the database durable and lets the WAL start from its beginning. Without one,
    the writer must checkpoint more and more, and claims wait for it. A checkpoint during a read or a write is
    not complete.
    """
    before = -1
    for _ in range(MOST_CHECKPOINTS):
        ((_, length, moved),) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        if moved == length == before:
            return
        before = length


def writer_engine(path: Path) -> Engine:
    """Return an engine whose transactions write, and are durable once committed."""
    return _engine(path, _WRITER, "BEGIN IMMEDIATE", NullPool)


def reader_engine(path: Path) -> Engine:
    """Return an engine whose transactions read one snapshot and cannot write."""
    return _engine(path, _READER, "BEGIN", QueuePool)


def _legible(text: bytes) -> str:
    """Return *text* with damaged bytes replaced, so that one of them does not hide a page of history."""
    return text.decode("utf-8", "replace")


def _engine(path: Path, pragmas: tuple[str, ...], begin: str, pool: type[Pool]) -> Engine:
    def open_connection() -> sqlite3.Connection:
        connection = connect(path)
        if pragmas is _READER:
            connection.text_factory = _legible
        try:
            for pragma in pragmas:
                connection.execute(pragma)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def begin_now(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        if not driver.in_transaction:  # `Writer` begins by itself
            connection.exec_driver_sql(begin)

    sizes = {"pool_size": READERS, "max_overflow": 0} if pool is QueuePool else {}
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=open_connection,
        poolclass=pool,
        hide_parameters=True,  # they contain metadata of users, which must not be logged
        **sizes,
    )
    event.listen(engine, "begin", begin_now)
    return engine
