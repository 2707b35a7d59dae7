"""Copies of the database before migrations, for a return to the old luad.

SQLite's backup makes the copy; luad checks it and names it after the migration: ``luad.db.before-0005``. The last
two copies stay.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from luad.errors import StoreUnavailableError
from luad.store.sqlite.connect import connect
from luad.store.sqlite.faults import StoreFullError
from luad.store.state_folder import size_of

KEPT: Final = 2
_PAGES: Final = 1_024  # of each step of the backup
_MARGIN: Final = 16 << 20
_HEX: Final = "[0-9][0-9][0-9][0-9]"


def copy_path(database: Path, migration: str) -> Path:
    """Return the path of the copy before *migration*."""
    return Path(f"{database}.before-{migration}")


def copy_before(database: Path, migration: str, progress: Callable[[int, int], None]) -> Path:
    """Copy *database*, check the copy, delete older ones, and return its path.

    *progress* gets the numbers of copied and of all pages. Raises StoreUnavailableError, and StoreFullError if
    the disk has no space for the copy and the migration.
    """
    _check_room(database)
    target = copy_path(database, migration)
    draft = Path(f"{target}.new")
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{draft}{suffix}").unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with closing(connect(database)) as source, closing(sqlite3.connect(draft)) as copy:
            source.backup(
                copy,
                pages=_PAGES,
                progress=lambda _, left, total: progress(total - left, total),
            )
            _check(copy, database)
        _make_durable(draft)
        draft.rename(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _make_durable(target.parent)
    _drop_older(database, target)
    return target


def _check_room(database: Path) -> None:
    """Raise StoreFullError without space for the copy and the WAL of the migration."""
    needed = 2 * size_of(database) + _MARGIN
    free = shutil.disk_usage(database.parent).free
    if free < needed:
        raise StoreFullError(
            f"{database} must be migrated, which needs {_mb(needed)} of free disk space, because luad"
            f" copies it first; {_mb(free)} are free in {database.parent}",
            hint="free the space and start luad again; luad has changed nothing, and the old luad still works",
        )


def _check(copy: sqlite3.Connection, database: Path) -> None:
    findings = [str(row[0]) for row in copy.execute("PRAGMA quick_check(3)")]
    if findings != ["ok"]:
        raise StoreUnavailableError(
            f"the copy of {database} before the migration is damaged: {'; '.join(findings)}",
            hint="luad has migrated nothing; check the disk, and the database with the old luad",
        )


def _make_durable(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _drop_older(database: Path, newest: Path) -> None:
    found = sorted(database.parent.glob(f"{database.name}.before-{_HEX}"))
    for each in [path for path in found if path != newest][: max(0, len(found) - KEPT)]:
        with suppress(OSError):
            each.unlink()


def _mb(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MB"
