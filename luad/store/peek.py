"""A look at the store of a daemon that does not run: read only, and nothing is made or mended.

Room rule: whatever keeps the database from being read is the same as an empty one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

_PLACES = "SELECT name, origin_path FROM jobs WHERE origin_path IS NOT NULL"


def installed_places(database: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the file of each job of *names* that was in force last."""
    wanted = set(names)
    if not database.is_file():
        return {}
    try:
        uri = f"{database.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=1)) as connection:
            rows = connection.execute(_PLACES).fetchall()
    except sqlite3.Error:
        return {}
    return {_text(name): _text(path) for name, path in rows if _text(name) in wanted}


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
