"""Searches in the history and statistics about it, each within a budget."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects.sqlite import insert

from luad.core.installed import Acknowledgement
from luad.core.model import Instant
from luad.errors import StoreUnavailableError
from luad.store import log_chunks, run_pages, run_stats, trouble
from luad.store.access_tables import acknowledgements, software
from luad.store.columns import cleaned, read_run, to_int, to_int_or_none, to_text
from luad.store.kept_hours import KeptHours
from luad.store.log_chunks import LogSearch
from luad.store.query_budget import QueryBudget
from luad.store.query_types import FileJob, LogPage, RunFilter, RunPage, RunRow, Software
from luad.store.run_stats import Group, HistoryStats, JobStats
from luad.store.tables import jobs, runs
from luad.store.transactions import Transactions

MOST_OF_A_FILE: Final = 1_000


class History:
    """The history of a `Store`; raises `StoreUnavailableError` as it does.

    No question takes longer than about `query_budget.BUDGET_MS`. Its answer says whether it is complete.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._hours = KeptHours()

    async def search(
        self,
        wanted: RunFilter,
        *,
        limit: int = 50,
        cursor: str | None = None,
        offset: int = 0,
        without: Collection[str] = (),
    ) -> RunPage:
        """Return a page of the rows that match *wanted*, newest first, as far as it was found in time.

        *without*: of `metadata`, `result`, `error`, `traceback`, those that are not read. Raises UsageError
        for a text that is not a cursor.
        """
        return await self._transactions.read(
            lambda connection: run_pages.search(
                connection, cleaned(wanted), limit, cursor, offset, without, QueryBudget.begin()
            )
        )

    async def count(self, wanted: RunFilter, most: int) -> tuple[int, bool]:
        """Return the number of rows that match *wanted*, at most *most*, and whether it is all of them."""
        return await self._transactions.read(
            lambda connection: run_pages.count_rows(
                connection, cleaned(wanted), most, QueryBudget.begin()
            )
        )

    async def stats_of_job(self, job_id: str, count: int) -> JobStats:
        """Return the numbers about the last *count* rows of a job."""
        return await self._transactions.read(
            lambda connection: run_stats.of_job(connection, to_text(job_id), count)
        )

    async def stats_since(self, since: Instant, now: Instant, group: Group) -> HistoryStats:
        """Return the numbers about all rows from *since* on, as far as they were counted in time."""
        return await self._transactions.read(
            lambda connection: run_stats.of_history(
                connection, since, now, group, QueryBudget.begin(), self._hours
            )
        )

    # --- what needs a look ---

    async def trouble(self, now: Instant) -> trouble.Found:
        """Return the jobs, runs and messages that need a look, as far as they were found in time."""
        return await self._transactions.read(
            lambda connection: trouble.find(connection, now, QueryBudget.begin())
        )

    async def acknowledged(self, now: Instant) -> dict[str, Acknowledgement]:
        """Return the acknowledgements of trouble that is not of a job, by its id."""
        return await self._transactions.read(
            lambda connection: trouble.acknowledged(connection, now)
        )

    async def acknowledge(self, trouble_id: str, known: Acknowledgement) -> None:
        """Store that a client knows of trouble that is not of a job, durably."""
        row = {
            "at": to_int(known.at),
            "author": to_text(known.author),
            "note": to_text(known.note),
            "until": to_int_or_none(known.until),
        }
        change = insert(acknowledgements).values(id=to_text(trouble_id), **row)
        change = change.on_conflict_do_update(index_elements=["id"], set_=row)
        await self._transactions.write(lambda connection: connection.execute(change))

    async def of_occurrence(self, job_id: str, at: Instant) -> RunRow | None:
        """Return the row of an occurrence of a job; None without one."""
        query = select(runs).where(
            runs.c.occurrence == to_int(at), runs.c.job_id == to_text(job_id)
        )

        def read(connection: Connection) -> RunRow | None:
            row = connection.execute(query).one_or_none()
            return None if row is None else read_run(row)

        return await self._transactions.read(read)

    async def log_page(self, run_id: str, wanted: LogSearch, limit: int) -> LogPage:
        """Return the last *limit* lines of a run that match *wanted*, as far as found in time."""
        return await self._transactions.read(
            lambda connection: log_chunks.read_before(
                connection, to_text(run_id), wanted, limit, QueryBudget.begin()
            )
        )

    async def jobs_of_file(self, path: str) -> list[FileJob]:
        """Return the jobs in force that the file at *path* declares, in order of lines."""
        query = (
            select(jobs)
            .where(jobs.c.origin_path == to_text(path))
            .order_by(jobs.c.origin_line, jobs.c.job_id)
            .limit(MOST_OF_A_FILE)
        )
        return await self._transactions.read(
            lambda connection: [_read_file_job(row) for row in connection.execute(query)]
        )

    # --- what ran it ---

    def note_software(self, versions: Software, now: Instant) -> None:
        """Queue a write of the versions that run from *now* on, unless they ran before; return at once."""

        def write(connection: Connection) -> None:
            if _software_at(connection, now) != versions:
                row = {"at": to_int(now), "luad": versions.luad, "python": versions.python}
                connection.execute(insert(software).values(row).on_conflict_do_nothing())

        with suppress(StoreUnavailableError):
            self._transactions.write_later(write)

    async def software_at(self, at: Instant) -> Software | None:
        """Return the versions that ran at an instant; None if that is not known."""
        return await self._transactions.read(lambda connection: _software_at(connection, at))


def _software_at(connection: Connection, at: Instant) -> Software | None:
    query = select(software).where(software.c.at <= to_int(at)).order_by(software.c.at.desc())
    row = connection.execute(query.limit(1)).first()
    return None if row is None else Software(row.luad, row.python)


def _read_file_job(row: Row[Any]) -> FileJob:
    definition = json.loads(row.definition_json)
    return FileJob(row.job_id, row.name, row.revision, row.origin_line, definition)
