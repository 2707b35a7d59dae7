"""Answers of the store about the past that are kept: they cost little, and are those of a fresh store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from support.long_history import EVERY_MS, JOBS, NOW, HandClock, counted, long_store

from luad.core.model import HOUR, RunState
from luad.store import Store, kept_hours, queries, query_budget
from luad.store.history import History
from luad.store.kept_rows import KeptRows
from luad.store.run_stats import Group, HistoryStats

DAY: Final = 24 * HOUR
IDS: Final = [f"job_{number:02}" for number in range(JOBS)]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(query_budget, "BUDGET_MS", 600_000)
    with long_store(tmp_path) as store:
        yield store


def change(store: Store, statement: str, *values: int | str) -> int:
    """Run a statement as another process would; return how many rows it changed."""
    with closing(sqlite3.connect(store.path)) as connection, connection:
        return connection.execute(statement, values).rowcount


class ThreePortions(query_budget.QueryBudget):
    """A budget that is over after three portions."""

    def __init__(self) -> None:
        super().__init__(0, 8_000)
        self._looks = 0

    def is_over(self) -> bool:
        self._looks += 1
        return self._looks > 2


async def by_hour(store: Store, now: int = NOW) -> HistoryStats:
    return await store.history.stats_since(now - DAY, now, Group.HOUR)


async def fresh(store: Store, now: int = NOW) -> HistoryStats:
    """Return the answer of a store that has kept nothing."""
    return await History(store._transactions).stats_since(now - DAY, now, Group.HOUR)


async def test_a_second_look_at_a_day_counts_two_hours_of_it(store: Store) -> None:
    with counted(store) as first:
        before = await by_hour(store)
    with counted(store) as second:
        after = await by_hour(store)
    assert second.count * 6 < first.count, "the current hour, and one of the past"
    assert after == before == await fresh(store)


async def test_a_first_look_at_a_day_costs_few_steps_a_row(store: Store) -> None:
    with counted(store) as steps:
        found = await by_hour(store)
    rows = found.total.counts.total()
    assert rows > 80_000
    assert steps.count < 7 * rows, "3 to find the portions, and 3 to count them"


async def test_a_day_with_few_rows_costs_no_more_by_its_empty_hours(store: Store) -> None:
    change(store, "DELETE FROM runs WHERE claimed_at % 7200000 > 60000")
    quarter = 90 * DAY
    with counted(store) as steps:
        found = await store.history.stats_since(NOW - quarter, NOW, Group.HOUR)
    assert found.is_complete
    assert 0 < found.total.counts.total() < 3_000
    assert steps.count < 30 * found.total.counts.total()


async def test_the_states_in_all_are_taken_from_kept_hours(store: Store) -> None:
    found = await by_hour(store)
    with counted(store) as steps:
        total = await store.history.stats_since(NOW - DAY, NOW, Group.STATUS)
    assert (total.total, total.groups) == (found.total, {})
    assert steps.count < 60_000


async def test_a_part_of_an_hour_is_not_the_whole_one(store: Store) -> None:
    await by_hour(store)
    half = NOW // HOUR * HOUR - 5 * HOUR // 2
    found = await store.history.stats_since(half, NOW, Group.HOUR)
    assert (found.is_complete, found.total.counts.total()) == (True, (NOW - half) // EVERY_MS)
    assert await by_hour(store) == await fresh(store)


async def test_the_next_hour_is_added_and_an_old_one_leaves(store: Store) -> None:
    await by_hour(store)
    for later in (NOW + 3 * HOUR // 2, NOW + 30 * HOUR):
        assert await by_hour(store, later) == await fresh(store, later)


async def test_an_open_run_of_a_past_hour_is_seen_to_end(store: Store) -> None:
    start = NOW - 3 * HOUR
    near = (start, start + EVERY_MS)
    assert change(
        store, "UPDATE runs SET state = 'running' WHERE claimed_at BETWEEN ? AND ?", *near
    )
    before = await by_hour(store)
    assert before.total.counts[RunState.RUNNING] > 0
    change(store, "UPDATE runs SET state = 'succeeded' WHERE state = 'running'")
    after = await by_hour(store)
    assert (after.total.counts[RunState.RUNNING], after) == (0, await fresh(store))


async def test_a_removed_row_is_left_out_after_a_day_of_looks(store: Store) -> None:
    before = await by_hour(store)
    gone = change(store, "DELETE FROM runs WHERE claimed_at < ?", NOW - 6 * HOUR)
    assert gone > 0
    looks = 0
    while (found := await by_hour(store)) != await fresh(store):
        looks += 1
        assert looks <= 24, "each look counts one more of the kept hours again"
    assert found.total.counts.total() < before.total.counts.total()


async def test_a_clock_that_was_set_back_keeps_no_later_hour(store: Store) -> None:
    await by_hour(store)
    earlier = NOW - 10 * HOUR
    found = await by_hour(store, earlier)
    assert found == await fresh(store, earlier)
    change(store, "DELETE FROM runs WHERE claimed_at >= ?", NOW - 8 * HOUR)
    for looked in (earlier, NOW):
        later = await by_hour(store, looked)
        assert {hour for hour in later.groups if isinstance(hour, int) and hour > earlier} == {
            hour for hour in (await fresh(store, looked)).groups if isinstance(hour, int) and hour > earlier
        }  # fmt: skip


async def test_hours_are_kept_up_to_a_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_hours, "MOST", 7)
    assert await by_hour(store) == await by_hour(store) == await fresh(store)
    assert len(store.history._hours._known) == 7


async def test_an_answer_that_ran_out_of_time_goes_on_from_the_kept_hours(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_budget.QueryBudget, "begin", ThreePortions)
    covered = []
    for _ in range(30):
        found = await by_hour(store)
        assert found.total.counts.total() == (NOW - found.covered_since) // EVERY_MS
        covered.append(found.covered_since)
    assert covered[0] > NOW - 7 * HOUR
    assert covered[-1] < NOW - 20 * HOUR


# --- strips ---


async def test_a_second_look_at_strips_reads_the_index_alone(store: Store) -> None:
    with counted(store) as first:
        before = await store.recent_runs(IDS, 40)
    with counted(store) as second:
        after = await store.recent_runs(IDS, 40)
    assert after == before
    assert {len(strip) for strip in after.values()} == {40}
    assert second.count < first.count


async def test_a_first_look_at_strips_costs_the_rows_and_nothing_beside_them(store: Store) -> None:
    with counted(store) as alone:
        rows = await store._transactions.read(lambda held: queries.recent_runs(held, IDS, 40))
    with counted(store) as first:
        assert await store.recent_runs(IDS, 40) == rows
    assert first.count < 1.05 * alone.count


async def test_a_look_that_finds_only_other_rows_costs_little_more_than_a_first_one(
    store: Store,
) -> None:
    with counted(store) as first:
        before = await store.recent_runs(IDS, 40)
    change(store, "DELETE FROM runs WHERE claimed_at >= ?", NOW - 40 * JOBS * EVERY_MS)
    with counted(store) as other:
        after = await store.recent_runs(IDS, 40)
    assert not {row for strip in before.values() for row in strip} & {
        row for strip in after.values() for row in strip
    }
    assert other.count < 1.3 * first.count
    store._rows = KeptRows()
    assert after == await store.recent_runs(IDS, 40)


async def test_a_look_at_known_and_other_jobs_is_that_of_a_fresh_store(store: Store) -> None:
    await store.recent_runs(IDS[:30], 40)
    change(store, "DELETE FROM runs WHERE job_id = 'job_03'")
    found = await store.recent_runs(IDS[20:] + IDS[:5], 40)
    store._rows = KeptRows()
    assert found == await store.recent_runs(IDS[20:] + IDS[:5], 40)
    assert "job_03" not in found


NEWEST: Final = f"run_{99_953:026}"
"""The newest row of job_03."""


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runs SET state = 'failed', ended_at = 7 WHERE id = ?",
        "DELETE FROM runs WHERE id = ?",
        "UPDATE runs SET job_id = 'job_04' WHERE id = ?",
    ],
)
async def test_strips_follow_ended_removed_and_new_rows(store: Store, statement: str) -> None:
    change(store, "UPDATE runs SET state = 'running', ended_at = NULL WHERE id = ?", NEWEST)
    before = await store.recent_runs(IDS, 40)
    assert before["job_03"][-1].state is RunState.RUNNING
    change(store, statement, NEWEST)
    found = await store.recent_runs(IDS, 40)
    assert found != before
    store._rows = KeptRows()
    assert found == await store.recent_runs(IDS, 40)


async def test_rows_are_kept_up_to_a_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luad.store.kept_rows.MOST", 100)
    for _ in range(2):
        for job_id in IDS[:5]:
            strip = (await store.recent_runs([job_id, "job_of_nobody"], 40))[job_id]
            assert len(strip) == 40
    kept = store._rows._known
    assert (list(kept), sum(map(len, kept.values()))) == (["job_04", "job_03"], 80)
    assert len(await store.recent_runs(IDS, 40)) == JOBS, "too many to keep"


async def test_a_store_without_rows_has_no_strips(tmp_path: Path) -> None:
    store: Any = Store.open(tmp_path / "state", clock=HandClock())
    for _ in range(2):
        assert await store.recent_runs(["job_of_nobody"], 40) == {}
    store.close()
