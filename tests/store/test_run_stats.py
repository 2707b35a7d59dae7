"""Statistics of a history of 100,000 rows: their values, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.long_history import (
    EVERY_MS,
    FIRST,
    JOBS,
    NOW,
    ROWS,
    HandClock,
    counted,
    fill,
    long_store,
)

from luad.core.model import HOUR, RunState
from luad.store import Store, query_budget
from luad.store.run_stats import Group


@pytest.fixture(scope="module")
def store(tmp_path_factory: Any) -> Iterator[Store]:
    with long_store(tmp_path_factory.mktemp("long")) as store:
        yield store


async def test_the_numbers_of_a_job_cost_its_last_runs(store: Store) -> None:
    with counted(store) as steps:
        found = await store.history.stats_of_job("job_07", 200)
    assert steps.count < 10_000
    assert found.outcomes.counts == {RunState.SUCCEEDED: 190, RunState.FAILED: 10}
    assert found.outcomes.success_rate == 0.95
    assert found.since == FIRST + (ROWS - 200 * JOBS + 7) * EVERY_MS
    assert (found.p50_ms, found.p95_ms, found.longest_ms) == (400, 700, 700)
    assert found.mean_start_delay_ms == 40


async def test_a_job_without_runs_has_no_numbers(store: Store) -> None:
    found = await store.history.stats_of_job("job_of_nobody", 200)
    assert (found.since, found.p50_ms, found.longest_ms, found.outcomes.success_rate) == (None,) * 4
    assert found.outcomes.counts.total() == 0


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a query take so long that a busy machine changes nothing."""
    monkeypatch.setattr(query_budget, "BUDGET_MS", 600_000)


@pytest.mark.usefixtures("patient")
async def test_all_rows_are_counted_once_by_hour_and_by_job(store: Store) -> None:
    since = NOW - 86_400 * EVERY_MS
    with counted(store) as steps:
        total = await store.history.stats_since(since, NOW, Group.STATUS)
    assert (total.is_complete, total.covered_since) == (True, since)
    assert total.total.counts.total() == 86_400
    assert steps.count < 1_500_000, "a dozen steps for a row, which is only read in the index"
    hours = await store.history.stats_since(since, NOW, Group.HOUR)
    assert (
        sum((each.counts for each in hours.groups.values()), start=type(total.total.counts)())
        == total.total.counts
    )
    assert {key % HOUR for key in hours.groups if isinstance(key, int)} == {0}
    jobs = await store.history.stats_since(since, NOW, Group.JOB)
    assert {each.counts.total() for each in jobs.groups.values()} == {86_400 // JOBS}
    assert jobs.groups["job-07", "job_07"].counts[RunState.FAILED] == 86


async def test_a_count_that_is_out_of_time_says_how_far_it_got(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_budget, "BUDGET_MS", 0)
    with counted(store) as steps:
        found = await store.history.stats_since(FIRST, NOW, Group.JOB)
    assert not found.is_complete
    assert found.covered_since == NOW - (query_budget.FIRST_PORTION + 1) * EVERY_MS
    assert found.total.counts.total() == query_budget.FIRST_PORTION + 1
    assert steps.count < 60_000


@pytest.mark.usefixtures("patient")
async def test_rows_of_one_instant_are_counted_together(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "state", clock=HandClock())
    import sqlite3
    from contextlib import closing

    fill(store, FIRST, 2_000)
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE runs SET claimed_at = ?", (FIRST,))
    found = await store.history.stats_since(FIRST - 1, NOW, Group.STATUS)
    assert (found.is_complete, found.total.counts.total()) == (True, 2_000)
    store.close()
