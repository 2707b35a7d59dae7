"""Connections to SQLite, the way luad needs them.

Transactions are begun by hand: pysqlite's own habit of beginning late would let two writers read
first and then fail. A writer begins at once (``BEGIN IMMEDIATE``), a reader keeps one snapshot.
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
"""How long somebody else's lock is waited for."""

READERS: Final = 2

MOST_CHECKPOINTS: Final = 8
"""One after the other, while somebody goes on writing."""

_WRITER: Final = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",
    "PRAGMA journal_size_limit = 16777216",
    # Usually a reader's thread has done it before it comes to this (`Store`).
    "PRAGMA wal_autocheckpoint = 4096",  # pages
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -8000",  # KiB
)
_READER: Final = (
    "PRAGMA query_only = ON",
    "PRAGMA temp_store = MEMORY",
)


def connect(path: Path, mode: Literal["ro", "rw"] = "rw") -> sqlite3.Connection:
    """Open *path*, which must exist: a database that was deleted is not made anew by accident."""
    # A reader's connection is handed from thread to thread by its pool, never shared.
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def checkpoint(path: Path, mode: Literal["PASSIVE", "TRUNCATE"]) -> None:
    """Move the log of writes into the database, and with TRUNCATE cut it off.

    Does what can be done without waiting for anybody, and never fails: the log only stays longer.
    """
    with suppress(sqlite3.Error), closing(connect(path)) as connection:
        connection.execute("PRAGMA busy_timeout = 0")
        _checkpoint(connection)
        if mode == "TRUNCATE":
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _checkpoint(connection: sqlite3.Connection) -> None:
    """Checkpoint until all is moved and nothing was written meanwhile.

    Only a checkpoint that catches up makes the database durable and lets the log begin anew; as
    long as none does, the work piles up for the writer, and the claims wait for it. One that met
    somebody who was still reading, or about to write, has left a rest.
    """
    before = -1
    for _ in range(MOST_CHECKPOINTS):
        ((_, length, moved),) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        if moved == length == before:
            return
        before = length


def writer_engine(path: Path) -> Engine:
    """An engine whose transactions write, and are durable once committed."""
    return _engine(path, _WRITER, "BEGIN IMMEDIATE", NullPool)


def reader_engine(path: Path) -> Engine:
    """An engine whose transactions see one moment of the database and cannot write."""
    return _engine(path, _READER, "BEGIN", QueuePool)


def _legible(text: bytes) -> str:
    """A damaged byte in an error message is no reason to show nobody the whole page of history."""
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
        connection.exec_driver_sql(begin)

    sizes = {"pool_size": READERS, "max_overflow": 0} if pool is QueuePool else {}
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=open_connection,
        poolclass=pool,
        hide_parameters=True,  # they hold users' metadata, which belongs in no log
        **sizes,
    )
    event.listen(engine, "begin", begin_now)
    return engine
