"""The mark of a store that was moved to another database; such a store does not serve.

Rule: the mark is durable before the other store may be used.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Final

from luad.errors import StoreMovedError

_KEY: Final = "moved_to"


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a store was moved to. *is_done*: False while it is not known whether the copy was committed."""

    where: str
    is_done: bool


def mark_of(connection: sqlite3.Connection) -> Mark | None:
    """Return the mark of the store, or None."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_KEY,)).fetchone()
    if row is None:
        return None
    where, is_done = json.loads(row[0])
    return Mark(str(where), bool(is_done))


def set_mark(connection: sqlite3.Connection, mark: Mark | None) -> None:
    """Write the mark durably, or take it back."""
    connection.execute("PRAGMA synchronous = FULL")
    if mark is None:
        connection.execute("DELETE FROM meta WHERE key = ?", (_KEY,))
        return
    value = json.dumps([mark.where, mark.is_done])
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_KEY, value))


def refuse_moved(connection: sqlite3.Connection, path: object) -> None:
    """Raise StoreMovedError if the store at *path* was moved."""
    mark = mark_of(connection)
    if mark is None:
        return
    if mark.is_done:
        raise StoreMovedError(
            f"{path} was moved to {mark.where}",
            hint=f"set `store: {mark.where}` in luad.yaml; luad store reopen --yes goes back",
        )
    raise StoreMovedError(
        f"a copy of {path} to {mark.where} was interrupted",
        hint="run luad store copy again, or luad store reopen --yes to go back",
    )
