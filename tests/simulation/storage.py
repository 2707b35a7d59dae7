"""The store of the simulated worlds: the real statements of luad.store, over a database in memory.

A naive twin (`DictStore`) is told the same, and must say the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache

from simulation.dictstore import DictStore
from sqlalchemy import Connection, create_engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from luad.core.events import Record, Restored, StoredJob
from luad.core.model import Instant, Run
from luad.store import queries, record_writes
from luad.store.columns import read_run
from luad.store.query_types import RunRow
from luad.store.tables import metadata, runs


@cache
def _memory() -> tuple[sqlite3.Connection, Connection, bytes]:
    """One database for all worlds of this process, and what it looks like when it is fresh."""
    raw = sqlite3.connect(":memory:", isolation_level=None)
    raw.execute("PRAGMA foreign_keys = ON")
    engine = create_engine("sqlite+pysqlite://", creator=lambda: raw, poolclass=StaticPool)
    metadata.create_all(engine)
    return raw, engine.connect(), raw.serialize()


def forget() -> None:
    """Throw the database away: a world has fallen over in the middle of something."""
    raw, connection, _ = _memory()
    _memory.cache_clear()
    with suppress(SQLAlchemyError):
        connection.invalidate()
        connection.close()
    raw.close()


class Storage:
    """The store of a world. A second one takes the database away from the first."""

    _latest: Storage | None = None

    def __init__(self) -> None:
        raw, connection, fresh = _memory()
        raw.deserialize(fresh)
        Storage._latest = self
        self._raw, self._connection = raw, connection
        self._seen_at: Instant | None = None
        self.twin = DictStore()
        self.disagreements: list[str] = []

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, begun by hand: half of what a small batch costs is SQLAlchemy's beginning."""
        self._raw.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._raw.execute("ROLLBACK")
            raise
        self._raw.execute("COMMIT")

    def write(self, records: Sequence[Record], now: Instant) -> tuple[str, ...]:
        """Write one batch, as `Store.apply` does; return the ids of the refused claims."""
        with self._transaction():
            refused = record_writes.write(self._connection, records, now)
        self._seen_at = now
        return refused

    def begin(self) -> None:
        """Begin a transaction that `write_within` writes in."""
        self._raw.execute("BEGIN IMMEDIATE")

    def write_within(self, records: Sequence[Record], now: Instant) -> tuple[str, ...]:
        """Write records in the open transaction; return the ids of the refused claims."""
        return record_writes.write(self._connection, records, now)

    def rollback(self) -> None:
        """Undo the open transaction."""
        self._raw.execute("ROLLBACK")

    def commit(self, records: Sequence[Record], refused: tuple[str, ...], now: Instant) -> None:
        """Commit the open transaction, in which *records* were written and *refused*."""
        self._raw.execute("COMMIT")
        self._seen_at = now
        expected = self.twin.apply(list(records), now)
        if refused != expected:
            self.disagreements.append(f"store: {refused} was refused, and not {expected}")

    def write_both(self, records: Sequence[Record], now: Instant) -> tuple[str, ...]:
        """Write one batch for the first time."""
        refused = self.write(records, now)
        expected = self.twin.apply(list(records), now)
        if refused != expected:
            self.disagreements.append(f"store: {refused} was refused, and not {expected}")
        return refused

    def restored(self) -> Restored:
        """Return the restored state for the next daemon."""
        with self._transaction():
            if (
                self._seen_at is not None
            ):  # a store notes that with every write; once is enough here
                record_writes.see(self._connection, self._seen_at)
            found = queries.restored(self._connection)
        jobs = {each.job_id: _facts(each) for each in found.jobs}
        expected = {each.job_id: _facts(each) for each in self.twin.jobs.values()}
        self._hold("jobs", jobs, expected)
        open_runs = {run.id: run for run in found.open_runs}
        self._hold("open runs", open_runs, {run.id: run for run in self.twin.open_runs()})
        return found

    def rows(self) -> tuple[RunRow, ...]:
        """The whole history."""
        assert Storage._latest is self, "another world has the database by now"
        with self._transaction():
            rows = tuple(map(read_run, self._connection.execute(select(runs))))
        kept: dict[str, Run] = {}
        spans: dict[str, tuple[object, ...]] = {}
        for row in rows:
            if row.first_scheduled_for is None:
                kept[row.run.id] = row.run
            else:
                first, last = row.first_scheduled_for, row.run.scheduled_for
                state, reason = row.run.state, row.run.reason
                spans[row.run.id] = (state, reason, first, last, row.count, row.is_count_capped)
        self._hold("runs", kept, self.twin.runs)
        expected = {
            row_id: (
                skip.state,
                skip.reason,
                skip.first,
                skip.last,
                skip.count,
                skip.is_count_capped,
            )
            for row_id, (_, skip) in self.twin.skips.items()
        }
        self._hold("skips", spans, expected)
        return rows

    def _hold(self, what: str, found: dict[str, object], expected: dict[str, object]) -> None:
        if found != expected:
            names = sorted(
                name for name in {*found, *expected} if found.get(name) != expected.get(name)
            )
            self.disagreements += [
                f"store: {what}: {found.get(name)} is stored, and not {expected.get(name)}"
                for name in names[:2]
            ]


def _facts(row: StoredJob) -> tuple[object, ...]:
    made = row.creation
    return (
        row.name,
        row.revision,
        row.origin,
        row.installed_at,
        row.progress,
        made,
        row.standing,
    )
