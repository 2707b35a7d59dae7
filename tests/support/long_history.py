"""A store with a long history, and a counter of what its queries do.

A query's cost is counted in steps of SQLite's virtual machine, so it is the same on a busy machine.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import event

from luad.clock import Now
from luad.store import Store

ROWS = 100_000
JOBS = 50
EVERY_MS = 1_000
TICK = 100
"""Steps between two counts."""

_FILL = """
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :rows)
INSERT INTO runs (id, job_name, job_id, revision, trigger, scheduled_for, occurrence, fire_at, claimed_at,
                  state, attempt, missed_count, started_at, ended_at, end_kind, end_at, error_type, error_message,
                  error_traceback, reason)
SELECT printf('run_%026d', n), printf('job-%02d', n % :jobs), printf('job_%02d', n % :jobs), 'r1', 'schedule',
       at, at, at, at,
       CASE WHEN n % 1000 = 7 THEN 'failed' WHEN n % 1000 = 8 THEN 'skipped' ELSE 'succeeded' END,
       1, 0, at + 40, at + 40 + 100 * (1 + n % 7) + CASE WHEN n % 5000 = 1 THEN 600000 ELSE 0 END,
       CASE WHEN n % 1000 = 7 THEN 'raised' ELSE 'returned' END, at + 1000,
       CASE WHEN n % 1000 = 7 THEN 'KeyError' END, CASE WHEN n % 1000 = 7 THEN 'no needle' END,
       CASE WHEN n % 1000 = 7 THEN 'Traceback' END, CASE WHEN n % 1000 = 8 THEN 'overlap' END
FROM (SELECT n, :first + n * :every AS at FROM numbers)
"""


def fill(store: Store, first: int, rows: int = ROWS) -> None:
    """Write *rows* runs of `JOBS` jobs, one each `EVERY_MS` from *first* on, past the store's writer."""
    with closing(sqlite3.connect(store.path)) as connection, connection:
        values = {"rows": rows, "jobs": JOBS, "every": EVERY_MS, "first": first}
        connection.execute(_FILL, values)
        for number in range(JOBS):
            tags = '["even"]' if number % 2 == 0 else '["odd"]'
            definition = f'{{"name":"job-{number:02}","handler":"a:b","tags":{tags}}}'
            place = (f"job_{number:02}", "r1", f"job-{number:02}", first, first, definition)
            connection.execute(
                "INSERT INTO revisions (job_id, revision, name, first_seen_at, last_installed_at, definition_json)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                place,
            )
            connection.execute(
                "INSERT INTO jobs (job_id, revision, name, installed_at, grid_at, definition_json, handled_until,"
                " consecutive_failures) VALUES (?, ?, ?, ?, ?, ?, 0, 0)",
                place,
            )


FIRST = 1_700_000_000_000
NOW = FIRST + ROWS * EVERY_MS


@dataclass
class HandClock:
    """A clock that stands still, by default at the end of the history."""

    wall: int = NOW

    def now(self) -> Now:
        return Now(self.wall, 0)


@cache
def _filled() -> tempfile.TemporaryDirectory[str]:
    """Return a folder with a filled state, the same for all tests of this process."""
    folder = tempfile.TemporaryDirectory(prefix="luad-history-")
    with closing(Store.open(Path(folder.name, "state"), clock=HandClock())) as store:
        fill(store, FIRST)
    return folder


@contextmanager
def long_store(folder: Path, now: int = NOW) -> Iterator[Store]:
    """Open a copy of the filled store in *folder*; its clock says *now*."""
    shutil.copytree(Path(_filled().name, "state"), folder / "state")
    with closing(Store.open(folder / "state", clock=HandClock(now))) as store:
        yield store


class Steps:
    """The steps of the queries of a store, in hundreds."""

    def __init__(self) -> None:
        self.count = 0

    def note(self) -> int:
        self.count += TICK
        return 0


@contextmanager
def counted(store: Store) -> Iterator[Steps]:
    """Count the steps of all queries of *store* within the block."""
    steps = Steps()
    engine = store._backend._reading

    def begin(connection: Any) -> None:
        connection.connection.driver_connection.set_progress_handler(steps.note, TICK)

    event.listen(engine, "begin", begin)
    try:
        yield steps
    finally:
        event.remove(engine, "begin", begin)
