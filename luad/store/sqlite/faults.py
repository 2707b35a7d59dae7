"""The faults of a database: damaged, full, replaced, unavailable.

Faults of the environment become `StoreUnavailableError` or a subclass. The error of a wrong statement is a fault
of luad, and passes unchanged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError

from luad.errors import StoreUnavailableError

_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_OPERATIONAL: Final = {
    sqlite3.SQLITE_BUSY: "another process has locked the database",
    sqlite3.SQLITE_LOCKED: "another process has locked the database",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_READONLY: "the database is read-only",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened",
    sqlite3.SQLITE_PERM: "luad may not open the database",
    sqlite3.SQLITE_NOMEM: "the machine is out of memory",
    sqlite3.SQLITE_PROTOCOL: "the lock of the database is broken",
    sqlite3.SQLITE_NOLFS: "the file system does not support a file of this size",
    sqlite3.SQLITE_INTERRUPT: "the statement was interrupted",
}


class StoreCorruptError(StoreUnavailableError):
    """The database is damaged; the next start sets it aside."""

    code = "store_corrupt"


class StoreFullError(StoreUnavailableError):
    """The disk is full."""


class StoreReplacedError(StoreUnavailableError):
    """The database's file was deleted or replaced while it was open; luad writes nothing more."""

    code = "store_replaced"


def primary_code(error: BaseException) -> int | None:
    """Return the primary SQLite result code of *error*, or None."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(origin, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def translate(error: BaseException, path: Path) -> StoreUnavailableError | None:
    """Return the fault of the environment behind *error*; None for a fault of luad."""
    code = primary_code(error)
    origin = error.orig if isinstance(error, DBAPIError) else error
    if code in _CORRUPT or "Could not decode to UTF-8" in str(origin):
        return StoreCorruptError(
            f"{path} is damaged: {origin}",
            hint="restart luad: it sets the file aside and continues with a new one",
        )
    if code in _OPERATIONAL:
        kind = StoreFullError if code == sqlite3.SQLITE_FULL else StoreUnavailableError
        return kind(f"{path}: {_OPERATIONAL[code]} ({origin})")
    return None


@contextmanager
def world_failures(path: Path) -> Iterator[None]:
    """Turn operational errors of the database into `StoreUnavailableError`; others pass."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        failure = translate(error, path)
        if failure is None:
            raise
        raise failure from error
    except OSError as error:
        raise StoreUnavailableError(f"{path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise StoreUnavailableError(f"{path}: the machine is out of memory") from error


@contextmanager
def nonsense(path: Path) -> Iterator[None]:
    """Turn the ValueError of an invalid row into `StoreCorruptError`."""
    try:
        yield
    except ValueError as error:
        raise StoreCorruptError(f"{path} has an invalid row: {error}") from error


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn each error that is not a fault of the environment into `StoreCorruptError`.

    It is for the queries at the opening, which are known to be right: an invalid answer, or an error, means that
    the database is damaged.
    """
    try:
        with world_failures(path), nonsense(path):
            yield
    except (DBAPIError, sqlite3.Error) as error:
        raise StoreCorruptError(f"{path} is damaged: {error}") from error
