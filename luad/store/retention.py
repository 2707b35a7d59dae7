"""Forgetting, in slices that nobody notices.

A pass goes over the history once: rows too old, rows too many, log chunks too old, revisions that
nothing refers to any more; at the end it gives free pages back to the disk. Each slice is a short
transaction of its own, bounded in time, in rows and in bytes: claims wait for the one in hand. Never
removed are open runs, the newest row of a job, and rows that still keep an occurrence from being
claimed a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    tuple_,
)

from luad.core.model import DAY, OPEN_STATES, Instant
from luad.store import access, mail
from luad.store.schema import jobs, revisions, run_logs, runs
from luad.store.shapes import Pruned, Retention

GUARD_MS: Final = 2 * DAY
"""An occurrence younger than this may still be claimed, after a restart or a step of the clock."""

SLICE_MS: Final = 10
"""A slice goes on for as long as this; rows of jobs that run rarely lie far apart, and removing one
of them may cost a hundred times as much as removing one of their neighbours."""

SLICE_BYTES: Final = 1024 * 1024
"""Log text that one slice removes at most, give or take one run."""

BATCH: Final = 20
"""Rows, or free pages, between two looks at the clock."""

SPARE_PAGES: Final = 1_000
"""Free pages that are left in the file for what comes next."""

_OPEN: Final = frozenset(state.value for state in OPEN_STATES)
_newer = runs.alias("newer")
_place = tuple_(runs.c.claimed_at, runs.c.id)

_candidates = (
    select(
        runs.c.id,
        runs.c.claimed_at,
        runs.c.state,
        runs.c.occurrence,
        exists()
        .where(
            _newer.c.job_id == runs.c.job_id,
            tuple_(_newer.c.claimed_at, _newer.c.id) > _place,
        )
        .label("has_newer"),
        select(func.coalesce(func.sum(run_logs.c.byte_count), 0))
        .where(run_logs.c.run_id == runs.c.id)
        .scalar_subquery()
        .label("log_bytes"),
    )
    .order_by(runs.c.claimed_at, runs.c.id)
    .limit(bindparam("b_limit"))
)
_delete_run = delete(runs).where(runs.c.id == bindparam("b_id"))
_delete_chunk = delete(run_logs).where(
    run_logs.c.run_id == bindparam("b_run_id"), run_logs.c.seq == bindparam("b_seq")
)
_delete_revision = delete(revisions).where(
    revisions.c.job_id == bindparam("b_job_id"), revisions.c.revision == bindparam("b_revision")
)


@dataclass(frozen=True, slots=True)
class Surplus:
    """A job with too many rows: those up to and including (*until*, *until_id*) are too many."""

    job_id: str
    until: Instant
    until_id: str


def surpluses(connection: Connection, runs_per_job: int) -> list[Surplus]:
    """Return the jobs with more than *runs_per_job* rows (a walk over all of them: for a reader)."""
    crowded = select(runs.c.job_id).group_by(runs.c.job_id).having(func.count() > runs_per_job)
    found: list[Surplus] = []
    for job_id in connection.execute(crowded).scalars().all():
        border = (
            select(runs.c.claimed_at, runs.c.id)
            .where(runs.c.job_id == job_id)
            .order_by(runs.c.claimed_at.desc(), runs.c.id.desc())
            .limit(1)
            .offset(runs_per_job)
        )
        row = connection.execute(border).one_or_none()
        if row is not None:
            found.append(Surplus(job_id, row.claimed_at, row.id))
    return found


class Pass:
    """One pass of retention; `step` does a slice of it.

    *surplus* is what `surpluses` found at the beginning; runs that come during the pass are for
    the next one. *slice_size*: rows that a slice looks at, at most. *elapsed* tells milliseconds.
    """

    def __init__(
        self,
        now: Instant,
        retention: Retention,
        surplus: Sequence[Surplus],
        slice_size: int,
        elapsed: Callable[[], int],
    ) -> None:
        assert slice_size > 0
        self._now = now
        self._retention = retention
        self._surplus = list(surplus)
        self._slice_size = slice_size
        self._elapsed = elapsed
        self._rows_left = 0
        self._bytes_left = 0
        self._examined: tuple[Instant, str] | None = None
        self._steps = [self._old_runs, self._surplus_runs, self._old_logs, self._old_revisions]
        self._steps += [self._old_messages, self._give_back]

    def step(self, connection: Connection) -> Pruned:
        """Do the next slice; `is_done` when nothing is left."""
        end = self._elapsed() + SLICE_MS
        self._rows_left, self._bytes_left = self._slice_size, SLICE_BYTES
        done = Pruned(is_done=False)
        while self._steps:
            part = self._steps[0](connection)
            done += part
            if part.is_done:
                self._steps.pop(0)
            if self._rows_left <= 0 or self._bytes_left <= 0 or self._elapsed() >= end:
                break
        return replace(done, is_done=not self._steps)

    def _batch(self) -> int:
        return min(BATCH, self._rows_left)

    def _old_runs(self, connection: Connection) -> Pruned:
        cutoff = self._now - self._retention.history_ms
        return self._runs(connection, "runs_by_time", runs.c.claimed_at < cutoff)

    def _surplus_runs(self, connection: Connection) -> Pruned:
        if not self._surplus:
            return Pruned(is_done=True)
        job = self._surplus[-1]
        part = self._runs(
            connection,
            "runs_by_job",
            runs.c.job_id == job.job_id,
            runs.c.claimed_at <= job.until,
            _place <= tuple_(job.until, job.until_id),
        )
        if part.is_done:
            self._surplus.pop()
        return Pruned(not self._surplus, part.runs)

    def _runs(self, connection: Connection, index: str, *filters: ColumnElement[bool]) -> Pruned:
        query = _candidates.where(*filters).with_hint(runs, f"INDEXED BY {index}", "sqlite")
        if self._examined is not None:
            at, row_id = self._examined
            query = query.where(runs.c.claimed_at >= at, _place > tuple_(at, row_id))
        size = self._batch()
        rows = connection.execute(query, {"b_limit": size}).all()
        doomed: list[dict[str, str]] = []
        for row in rows:
            self._examined = (row.claimed_at, row.id)
            self._rows_left -= 1
            if self._may_go(row):
                doomed.append({"b_id": row.id})
                self._bytes_left -= row.log_bytes
            if self._bytes_left <= 0:
                break
        else:
            if len(rows) < size:
                self._examined = None
        if doomed:
            connection.execute(_delete_run, doomed)
        return Pruned(self._examined is None, runs=len(doomed))

    def _may_go(self, row: Any) -> bool:
        is_guard = row.occurrence is not None and row.occurrence > self._now - GUARD_MS
        return bool(row.has_newer) and not is_guard and row.state not in _OPEN

    def _old_logs(self, connection: Connection) -> Pruned:
        cutoff = self._now - self._retention.logs_ms
        size = self._batch()
        query = (
            select(run_logs.c.run_id, run_logs.c.seq, run_logs.c.byte_count)
            .where(run_logs.c.last_at < cutoff)
            .order_by(run_logs.c.last_at)
            .limit(size)
        )
        rows = connection.execute(query).all()
        doomed: list[dict[str, Any]] = []
        for row in rows:
            doomed.append({"b_run_id": row.run_id, "b_seq": row.seq})
            self._rows_left -= 1
            self._bytes_left -= row.byte_count
            if self._bytes_left <= 0:
                break
        if doomed:
            connection.execute(_delete_chunk, doomed)
        return Pruned(len(doomed) < size and len(doomed) == len(rows), log_chunks=len(doomed))

    def _old_revisions(self, connection: Connection) -> Pruned:
        # A revision that was superseded before the cutoff has no runs left; one of a job that is
        # gone goes with the job's last run.
        cutoff = self._now - self._retention.history_ms
        size = self._rows_left  # finding them costs more than removing them
        later = revisions.alias("later")
        current = exists().where(
            jobs.c.job_id == revisions.c.job_id, jobs.c.revision == revisions.c.revision
        )
        superseded = exists().where(
            later.c.job_id == revisions.c.job_id,
            later.c.last_installed_at > revisions.c.last_installed_at,
            later.c.last_installed_at < cutoff,
        )
        unused = ~exists().where(jobs.c.job_id == revisions.c.job_id) & ~exists().where(
            runs.c.job_id == revisions.c.job_id
        )
        query = (
            select(revisions.c.job_id, revisions.c.revision)
            .where(revisions.c.last_installed_at < cutoff, ~current, or_(superseded, unused))
            .limit(size)
        )
        rows = connection.execute(query).all()
        self._rows_left -= len(rows)
        if rows:
            connection.execute(
                _delete_revision,
                [{"b_job_id": row.job_id, "b_revision": row.revision} for row in rows],
            )
        return Pruned(len(rows) < size, revisions=len(rows))

    def _old_messages(self, connection: Connection) -> Pruned:
        """Messages, answers to requests with a key, the audit trail, expired tokens."""
        size = self._batch()
        history_ms = self._retention.history_ms
        count = mail.prune(connection, self._now - history_ms, size)
        count += access.prune(connection, self._now, history_ms, size)
        self._rows_left -= count
        return Pruned(count == 0)

    def _give_back(self, connection: Connection) -> Pruned:
        """Give free pages back to the disk, all but some."""
        free = _free_pages(connection)
        driver = connection.connection.driver_connection
        assert driver is not None
        # A row without columns comes for every page, and Python's sqlite3 stops at the first.
        for _ in range(min(BATCH, free - SPARE_PAGES)):
            driver.execute("PRAGMA incremental_vacuum(1)")
        left = _free_pages(connection)
        # A file made without auto_vacuum gives nothing back; that is no reason to try for ever.
        return Pruned(left <= SPARE_PAGES or left >= free, pages=free - left)


def _free_pages(connection: Connection) -> int:
    count: int = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    return count
