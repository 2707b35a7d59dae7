"""Searches in the history and statistics about it, each within a budget."""

from __future__ import annotations

from collections.abc import Collection

from luad.core.model import Instant
from luad.store import run_pages, run_stats
from luad.store.columns import cleaned, to_text
from luad.store.query_budget import QueryBudget
from luad.store.query_types import RunFilter, RunPage
from luad.store.run_stats import Group, HistoryStats, JobStats
from luad.store.transactions import Transactions


class History:
    """The history of a `Store`; raises `StoreUnavailableError` as it does.

    No question takes longer than about `query_budget.BUDGET_MS`. Its answer says whether it is complete.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

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
                connection, since, now, group, QueryBudget.begin()
            )
        )
