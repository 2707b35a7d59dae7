"""The progress of a migration, for the log and for systemd, which waits.

Rule: creates log lines, which the caller writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from luad.clock import elapsed_ms
from luad.core.events import Log
from luad.store.state_folder import size_of

if TYPE_CHECKING:
    from pathlib import Path

TELL_EVERY_MS: Final = 5_000
_STEPS: Final = 100_000  # of SQLite's machine, a millisecond or so

Report: TypeAlias = Callable[[Log], None]


def say_nothing(line: Log) -> None:
    """Drop *line*: a report for callers without a log."""
    del line


class Progress:
    """The progress of one migration of *database*; *report* gets a line every five seconds."""

    def __init__(self, database: Path, old: str, new: str, report: Report) -> None:
        self._report = report
        self._fields: dict[str, Any] = {"from": old, "to": new}
        self._size = size_of(database)
        self._begun_at = self._told_at = elapsed_ms()

    def begin(self) -> None:
        """Report the beginning."""
        fields = {**self._fields, "size_bytes": self._size}
        self._report(Log("store.migrating", fields))

    def copied(self, done: int, total: int) -> None:
        """Report that *done* pages of *total* are copied."""
        self._go_on("copying", {"done_percent": 100 * done // max(1, total)})

    @contextmanager
    def of(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Report progress while *connection* works; a context manager."""
        connection.set_progress_handler(lambda: self._go_on("migrating", {}), _STEPS)
        try:
            yield
        finally:
            connection.set_progress_handler(None, 0)

    def end(self, copy: Path) -> None:
        """Report the end, and the path of the *copy* of the old database."""
        took_ms = elapsed_ms() - self._begun_at
        self._report(Log("store.migrated", {**self._fields, "copy": str(copy), "took_ms": took_ms}))

    def _go_on(self, step: str, more: dict[str, object]) -> None:
        now = elapsed_ms()
        if now - self._told_at < TELL_EVERY_MS:
            return
        self._told_at = now
        fields = {"step": step, "took_ms": now - self._begun_at, **more}
        self._report(Log("store.migration_progress", fields))
