"""Telling what a migration does, while it does it: systemd waits, and people look at the log.

Rule: values for the log; the caller hands them on.
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
    """Report to no one."""
    del line


class Progress:
    """One migration of *database*: begin, steps, end. *report* gets a line at least every five seconds."""

    def __init__(self, database: Path, old: str, new: str, report: Report) -> None:
        self._report = report
        self._fields: dict[str, Any] = {"from": old, "to": new}
        self._size = size_of(database)
        self._begun_at = self._told_at = elapsed_ms()

    def begin(self) -> None:
        """Say that it begins."""
        fields = {**self._fields, "size_bytes": self._size}
        self._report(Log("store.migrating", fields))

    def copied(self, done: int, total: int) -> None:
        """Note that *done* pages of *total* are copied."""
        self._go_on("copying", {"done_percent": 100 * done // max(1, total)})

    @contextmanager
    def of(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Watch what *connection* does meanwhile."""
        connection.set_progress_handler(lambda: self._go_on("migrating", {}), _STEPS)
        try:
            yield
        finally:
            connection.set_progress_handler(None, 0)

    def end(self, copy: Path) -> None:
        """Say that it is done, and where the *copy* of what was before lies."""
        took_ms = elapsed_ms() - self._begun_at
        self._report(Log("store.migrated", {**self._fields, "copy": str(copy), "took_ms": took_ms}))

    def _go_on(self, step: str, more: dict[str, Any]) -> None:
        now = elapsed_ms()
        if now - self._told_at < TELL_EVERY_MS:
            return
        self._told_at = now
        fields = {"step": step, "took_ms": now - self._begun_at, **more}
        self._report(Log("store.migration_progress", fields))
