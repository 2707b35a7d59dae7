"""Retention: removes old history, in short slices.

A pass removes old rows, rows above the limit of a job, old log chunks, and revisions without references; at the
end it gives free pages back to the disk. Each slice is a transaction of its own, limited in time
(`retention_pace`), in rows and in bytes, because claims wait for it. A reader does the searches over all rows
first (`survey`). Retention never removes open runs, the newest row of an installed job, and rows that prevent a
second claim of an occurrence.
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
from luad.store import api_access, messages, retention_pace
from luad.store.query_types import Pruned, Retention
from luad.store.tables import jobs, revisions, run_logs, runs

GUARD_MS: Final = 2 * DAY
"""The age below which an occurrence may be claimed again, after a restart or a step of the clock."""

SLICE_BYTES: Final = 1024 * 1024
"""The largest size of log text that one slice removes, give or take one run."""

SPARE_PAGES: Final = 1_000
"""The number of free pages that stay in the file for later writes."""

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
        exists().where(jobs.c.job_id == runs.c.job_id).label("is_installed"),
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
    revisions.c.job_id == bindparam("b_job_id"),
    revisions.c.revision == bindparam("b_revision"),
    revisions.c.last_installed_at < bindparam("b_cutoff"),  # or it came back since the survey
)


@dataclass(frozen=True, slots=True)
class Surplus:
    """A job with too many rows: retention removes those up to (*until*, *until_id*), inclusive."""

    job_id: str
    until: Instant
    until_id: str


@dataclass(frozen=True, slots=True)
class Survey:
    """The rows for a pass to remove that only a search over all rows finds.

    *revisions*: job id and revision of each revision without references.
    """

    surplus: Sequence[Surplus] = ()
    revisions: Sequence[tuple[str, str]] = ()


def survey(connection: Connection, now: Instant, retention: Retention) -> Survey:
    """Return the rows that exceed *retention*; it may take a second, so a reader runs it."""
    return Survey(
        _surpluses(connection, retention.runs_per_job),
        _unneeded_revisions(connection, now - retention.history_ms),
    )


def _surpluses(connection: Connection, runs_per_job: int) -> list[Surplus]:
    """Return the jobs with more than *runs_per_job* rows."""
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


def _unneeded_revisions(connection: Connection, cutoff: Instant) -> list[tuple[str, str]]:
    """Return the revisions that have no runs after the pass.

    A revision superseded before the cutoff has none left; a revision of a removed job goes with the job's last
    run.
    """
    later = revisions.alias("later")
    current = exists().where(
        jobs.c.job_id == revisions.c.job_id, jobs.c.revision == revisions.c.revision
    )
    superseded = exists().where(
        later.c.job_id == revisions.c.job_id,
        later.c.last_installed_at > revisions.c.last_installed_at,
        later.c.last_installed_at < cutoff,
    )
    unused = (
        ~exists().where(jobs.c.job_id == revisions.c.job_id)
        & ~exists().where(runs.c.job_id == revisions.c.job_id)
        & (func.coalesce(revisions.c.gone_at, 0) < cutoff)
    )
    query = select(revisions.c.job_id, revisions.c.revision).where(
        revisions.c.last_installed_at < cutoff, ~current, or_(superseded, unused)
    )
    return [(row.job_id, row.revision) for row in connection.execute(query)]


class Pass:
    """One pass of retention: `step` does a slice, and the caller calls `committed` once it is durable.

    *found* is the result of `survey` before the pass; the next pass removes later runs. *slice_size*: the largest
    number of rows that a slice reads. *elapsed* returns milliseconds.
    """

    def __init__(
        self,
        now: Instant,
        retention: Retention,
        found: Survey,
        slice_size: int,
        elapsed: Callable[[], int],
    ) -> None:
        assert slice_size > 0
        self._now = now
        self._retention = retention
        self._surplus = list(found.surplus)
        self._revisions = list(found.revisions)
        self._slice_size = slice_size
        self._elapsed = elapsed
        self._began = 0
        self._budget_ms = retention_pace.MOST_MS
        self._rows_left = 0
        self._bytes_left = 0
        self._examined: tuple[Instant, str] | None = None
        self._steps = [self._old_runs, self._surplus_runs, self._old_logs, self._old_revisions]
        self._steps += [self._old_messages, self._give_back]

    def step(self, connection: Connection) -> Pruned:
        """Do the next slice; `is_done` in the result if nothing is left."""
        begun = now = self._began = self._elapsed()
        end = now + self._budget_ms
        self._rows_left, self._bytes_left = self._slice_size, SLICE_BYTES
        done, count = Pruned(is_done=False), 0
        while self._steps:
            size = min(self._rows_left, retention_pace.next_batch(count, now - begun, end - now))
            part = self._steps[0](connection, size)
            done += part
            count += size
            now = self._elapsed()
            if part.is_done:
                self._steps.pop(0)
                begun, count = now, 0  # each kind of rows has its own pace
            if self._rows_left <= 0 or self._bytes_left <= 0 or now >= end:
                break
        return replace(done, is_done=not self._steps)

    def committed(self) -> None:
        """Adapt the time of the next slice to the time that this one held the writer."""
        self._budget_ms = retention_pace.next_budget(self._budget_ms, self._elapsed() - self._began)

    def _old_runs(self, connection: Connection, size: int) -> Pruned:
        cutoff = self._now - self._retention.history_ms
        return self._runs(connection, size, "runs_by_time", runs.c.claimed_at < cutoff)

    def _surplus_runs(self, connection: Connection, size: int) -> Pruned:
        if not self._surplus:
            return Pruned(is_done=True)
        job = self._surplus[-1]
        part = self._runs(
            connection,
            size,
            "runs_by_job",
            runs.c.job_id == job.job_id,
            runs.c.claimed_at <= job.until,
            _place <= tuple_(job.until, job.until_id),
        )
        if part.is_done:
            self._surplus.pop()
        return Pruned(not self._surplus, part.runs)

    def _runs(
        self, connection: Connection, size: int, index: str, *filters: ColumnElement[bool]
    ) -> Pruned:
        query = _candidates.where(*filters).with_hint(runs, f"INDEXED BY {index}", "sqlite")
        if self._examined is not None:
            at, row_id = self._examined
            query = query.where(runs.c.claimed_at >= at, _place > tuple_(at, row_id))
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
        may_be_last = row.has_newer or not row.is_installed
        return bool(may_be_last) and not is_guard and row.state not in _OPEN

    def _old_logs(self, connection: Connection, size: int) -> Pruned:
        cutoff = self._now - self._retention.logs_ms
        query = (
            select(run_logs.c.run_id, run_logs.c.seq, run_logs.c.byte_count)
            .where(run_logs.c.last_at < cutoff)
            .order_by(run_logs.c.last_at)
            .limit(size)
        )
        rows = connection.execute(query).all()
        doomed: list[dict[str, object]] = []
        for row in rows:
            doomed.append({"b_run_id": row.run_id, "b_seq": row.seq})
            self._rows_left -= 1
            self._bytes_left -= row.byte_count
            if self._bytes_left <= 0:
                break
        if doomed:
            connection.execute(_delete_chunk, doomed)
        return Pruned(len(doomed) < size and len(doomed) == len(rows), log_chunks=len(doomed))

    def _old_revisions(self, connection: Connection, size: int) -> Pruned:
        doomed = [self._revisions.pop() for _ in range(min(size, len(self._revisions)))]
        self._rows_left -= len(doomed)
        count = 0
        if doomed:
            rows = [{"b_job_id": job_id, "b_revision": revision} for job_id, revision in doomed]
            cutoff = {"b_cutoff": self._now - self._retention.history_ms}
            count = connection.execute(_delete_revision, [row | cutoff for row in rows]).rowcount
        return Pruned(not self._revisions, revisions=count)

    def _old_messages(self, connection: Connection, size: int) -> Pruned:
        """Remove old messages, answers, rows of the audit trail, and expired tokens."""
        history_ms = self._retention.history_ms
        count = messages.prune(connection, self._now - history_ms, size)
        count += api_access.prune(connection, self._now, history_ms, size)
        self._rows_left -= count
        return Pruned(count == 0)

    def _give_back(self, connection: Connection, size: int) -> Pruned:
        """Give free pages back to the disk, except `SPARE_PAGES`; PostgreSQL does so itself."""
        if connection.dialect.name != "sqlite":
            return Pruned(is_done=True)
        free = _free_pages(connection)
        driver = connection.connection.driver_connection
        assert driver is not None
        # A row without columns comes for every page, and Python's sqlite3 stops at the first.
        for _ in range(min(size, free - SPARE_PAGES)):
            driver.execute("PRAGMA incremental_vacuum(1)")
        left = _free_pages(connection)
        # A file without auto_vacuum gives nothing back: then the step is done too.
        return Pruned(left <= SPARE_PAGES or left >= free, pages=free - left)


def _free_pages(connection: Connection) -> int:
    count: int = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    return count
