"""The faults of a PostgreSQL store.

Rule: no list of error codes decides anything. Each error of the database means that nothing was written as far as
luad knows: the connection is closed, and what matters is read again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from luad.errors import StoreUnavailableError


class SharedBackendError(StoreUnavailableError):
    """A pooler gives one connection to several sessions; luad writes nothing through it."""

    code = "store_pooler"


@contextmanager
def database_failures(where: str) -> Iterator[None]:
    """Turn each error of the database into `StoreUnavailableError`; *where* names the database."""
    try:
        yield
    except (SQLAlchemyError, psycopg.Error, OSError) as error:
        raise StoreUnavailableError(f"{where}: {_words(error)}") from error


def _words(error: BaseException) -> str:
    """Return the words of the database itself, in one line and without parameters."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    primary = getattr(getattr(origin, "diag", None), "message_primary", None)
    return " ".join(str(primary or origin or error).split())
