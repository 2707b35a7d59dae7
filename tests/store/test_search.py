"""Searches in a history of 100,000 rows: what is found, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.long_history import EVERY_MS, NOW, counted, long_store

from luad.core.model import Reason, RunState
from luad.store import Store, query_budget
from luad.store.query_types import RunFilter

PAGE_STEPS = 20_000
"""More than a page of 50 rows takes, and far less than a walk through the history (a million)."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: Any) -> Iterator[Store]:
    with long_store(tmp_path_factory.mktemp("long")) as store:
        yield store


async def found(store: Store, wanted: RunFilter, limit: int = 50) -> list[Any]:
    rows, cursor = [], None
    while True:
        page = await store.history.search(wanted, limit=limit, cursor=cursor)
        rows += page.rows
        cursor = page.cursor
        if cursor is None:
            assert page.is_complete
            return rows


@pytest.mark.parametrize(
    "wanted",
    [
        RunFilter(),
        RunFilter(job="job-07"),
        RunFilter(job_id="job_07", statuses=frozenset({RunState.FAILED})),
        RunFilter(statuses=frozenset({RunState.FAILED, RunState.SKIPPED})),
        RunFilter(since=NOW - 3_600_000, until=NOW - 60_000),
        RunFilter(not_jobs=frozenset({"job-01", "job-02"})),
        RunFilter(tags=frozenset({"odd"})),
        RunFilter(not_tags=frozenset({"odd"})),
    ],
)
async def test_a_page_costs_what_it_returns(store: Store, wanted: RunFilter) -> None:
    with counted(store) as steps:
        page = await store.history.search(wanted, limit=20)
    assert (len(page.rows), page.is_complete) == (20, True)
    assert steps.count < PAGE_STEPS


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (RunFilter(q="needle"), 100),
        (RunFilter(q="needle", not_jobs=frozenset({"job-07"})), 0),
        (RunFilter(reasons=frozenset({Reason.OVERLAP})), 100),
        (RunFilter(min_duration_ms=600_000), 20),
        (RunFilter(min_duration_ms=600_000, tags=frozenset({"even"})), 0),
        (RunFilter(min_duration_ms=600_000, tags=frozenset({"odd"})), 20),
        (RunFilter(statuses=frozenset({RunState.FAILED}), not_tags=frozenset({"odd"})), 0),
        (RunFilter(job="job-07", q="needle"), 100),
        (RunFilter(q="needle", since=NOW - 10_000 * EVERY_MS), 10),
    ],
)
async def test_a_search_by_portions_finds_each_row_once(
    store: Store, wanted: RunFilter, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_budget, "BUDGET_MS", 0)  # every portion is a page of its own
    rows = await found(store, wanted, limit=7)
    ids = [row.run.id for row in rows]
    assert len(ids) == count
    assert ids == sorted(set(ids), reverse=True)


async def test_a_search_that_finds_nothing_ends_with_its_budget(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_budget, "BUDGET_MS", 0)
    with counted(store) as steps:
        page = await store.history.search(RunFilter(q="nothing has this text"))
    assert (page.rows, page.is_complete) == ([], False)
    assert page.cursor is not None
    assert steps.count < PAGE_STEPS
    count, is_all = await store.history.count(RunFilter(q="needle"), 1_000)
    assert (count, is_all) == (0, False)


async def test_a_count_is_exact_up_to_its_limit(store: Store) -> None:
    assert await store.history.count(RunFilter(statuses=frozenset({RunState.FAILED})), 1_000) == (
        100,
        True,
    )
    assert await store.history.count(RunFilter(), 10_000) == (10_000, False)


async def test_a_name_that_many_jobs_had_is_searched_by_portions(store: Store) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(store.path)) as connection, connection:
        for number in range(40):
            connection.execute(
                "INSERT INTO revisions (job_id, revision, name, first_seen_at, last_installed_at, definition_json)"
                " VALUES (?, 'r9', 'common', 0, 0, '{}')",
                (f"job_{number:02}",),
            )
    with counted(store) as steps:
        page = await store.history.search(RunFilter(job="common"), limit=20)
    assert (len(page.rows), page.is_complete) == (20, True)
    assert steps.count < PAGE_STEPS
