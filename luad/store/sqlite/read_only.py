"""Reads the store of a daemon that does not run, without any change.

Rule: a database that cannot be read counts as an empty one.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

_DYNAMIC = (
    "SELECT name, definition_json, revision FROM jobs WHERE created_at IS NOT NULL ORDER BY name"
)
_TOKENS = "SELECT name, role FROM tokens ORDER BY name"
_PLACES = "SELECT name, origin_path FROM jobs WHERE origin_path IS NOT NULL"


def installed_places(database: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the file of each job of *names* that was installed last."""
    wanted = set(names)
    if not database.is_file():
        return {}
    try:
        with _reading(database) as connection:
            rows = connection.execute(_PLACES).fetchall()
    except (sqlite3.Error, OSError):
        return {}
    return {_text(name): _text(path) for name, path in rows if _text(name) in wanted}


@dataclass(frozen=True, slots=True)
class StoredThing:
    """A dynamic job (*text*: its document), or a token (*text*: its role)."""

    name: str
    text: str
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """The dynamic jobs and tokens of a database of any version. *version*: of its schema."""

    version: str
    jobs: tuple[StoredThing, ...]
    tokens: tuple[StoredThing, ...]


def read_kept(database: Path) -> Kept | None:
    """Return the dynamic jobs and the tokens of *database*; None if it cannot be read."""
    try:
        with _reading(database) as connection:
            ((version,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            jobs, tokens = connection.execute(_DYNAMIC), connection.execute(_TOKENS)
            return Kept(
                _text(version),
                tuple(StoredThing(*map(_text, row)) for row in jobs),
                tuple(StoredThing(*map(_text, row)) for row in tokens),
            )
    except (sqlite3.Error, OSError, ValueError):
        return None


@contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    """Connect to *database* to read it; a context manager.

    SQLite may create files beside it. Root does so as the owner of the database, or the daemon could not open
    these files.
    """
    owner = database.stat()
    is_root = os.geteuid() == 0
    before = os.getegid()
    try:
        if is_root:
            os.setegid(owner.st_gid)
            os.seteuid(owner.st_uid)
        uri = f"{database.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=1)) as connection:
            yield connection
    finally:
        if is_root:
            os.seteuid(0)
            os.setegid(before)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
