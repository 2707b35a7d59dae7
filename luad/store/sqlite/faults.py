"""What can go wrong with a database, told apart.

The world's failures become `StoreUnavailableError` and its kinds; a statement that could never have
worked is our own mistake and passes as it is.
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
    sqlite3.SQLITE_BUSY: "somebody else holds the database locked",
    sqlite3.SQLITE_LOCKED: "somebody else holds the database locked",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_READONLY: "the database is read-only",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened",
    sqlite3.SQLITE_PERM: "the database may not be opened",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
    sqlite3.SQLITE_PROTOCOL: "the lock of the database is disturbed",
    sqlite3.SQLITE_NOLFS: "the file system takes no file of this size",
    sqlite3.SQLITE_INTERRUPT: "the statement was interrupted",
}


class StoreCorruptError(StoreUnavailableError):
    """The database is damaged. It is set aside when the store is next opened."""

    code = "store_corrupt"


class StoreFullError(StoreUnavailableError):
    """The disk has no room for what is to be written."""


class StoreReplacedError(StoreUnavailableError):
    """The database's file was deleted or replaced while it was open; nothing is written any more."""

    code = "store_replaced"


def primary_code(error: BaseException) -> int | None:
    """The primary SQLite result code of *error*, None when it has none."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(origin, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def translate(error: BaseException, path: Path) -> StoreUnavailableError | None:
    """Return the world's failure behind *error*, None when the mistake is ours."""
    code = primary_code(error)
    origin = error.orig if isinstance(error, DBAPIError) else error
    if code in _CORRUPT or "Could not decode to UTF-8" in str(origin):
        return StoreCorruptError(
            f"{path} is damaged: {origin}",
            hint="restart luad: it sets the file aside and goes on with a fresh one",
        )
    if code in _OPERATIONAL:
        kind = StoreFullError if code == sqlite3.SQLITE_FULL else StoreUnavailableError
        return kind(f"{path}: {_OPERATIONAL[code]} ({origin})")
    return None


@contextmanager
def world_failures(path: Path) -> Iterator[None]:
    """Turn the database's operational errors into `StoreUnavailableError`, let all others pass."""
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
        raise StoreUnavailableError(f"{path}: there is no memory left") from error


@contextmanager
def nonsense(path: Path) -> Iterator[None]:
    """Turn the ValueError of a row that none of ours can be into `StoreCorruptError`."""
    try:
        yield
    except ValueError as error:
        raise StoreCorruptError(f"{path} holds a row that makes no sense: {error}") from error


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Take everything that is not the world's failure for damage.

    For the questions that are asked of a database at the opening: they are known to be right, so an
    answer that makes no sense, or none at all, is the database's fault.
    """
    try:
        with world_failures(path), nonsense(path):
            yield
    except (DBAPIError, sqlite3.Error) as error:
        raise StoreCorruptError(f"{path} is damaged: {error}") from error
