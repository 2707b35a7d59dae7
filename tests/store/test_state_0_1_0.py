"""A state folder of luad 0.1.0 is opened by this luad."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.old_state import unpack

from luad.clock import SystemClock
from luad.core.events import Restored
from luad.core.installed import NO_OVERLAY
from luad.store import Store

pytestmark = pytest.mark.slow  # Alembic alone takes a third of a second
TABLES = (
    *("jobs", "revisions", "runs", "attempts", "run_logs", "users", "user_data"),
    *("messages", "deliveries", "answers", "tokens", "audit"),
)


def rows_of(database: Path, table: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]  # noqa: S608 - a name of this page


@pytest.fixture
def old(tmp_path: Path) -> dict[str, Any]:
    return unpack(tmp_path)


@pytest.fixture
def before(old: dict[str, Any], tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    assert old["luad"] == "0.1.0"
    return {table: rows_of(tmp_path / ".luad" / "luad.db", table) for table in TABLES}


@pytest.fixture
def restored(before: object, tmp_path: Path) -> Iterator[Restored]:
    del before  # it is read first
    with closing(Store.open(tmp_path / ".luad", clock=SystemClock())) as store:
        assert (store.quarantined, store.problem) == (None, "")
        yield store.restore()


def test_the_state_has_what_it_is_for(before: dict[str, list[dict[str, Any]]]) -> None:
    states = {row["state"] for row in before["runs"]}
    assert states >= {"running", "queued", "retrying", "succeeded", "failed", "skipped"}
    assert len(before["runs"]) >= 1_000
    jobs = before["jobs"]
    assert sum(row["paused_at"] is not None for row in jobs) >= 4
    assert sum(row["overlay_json"] is not None for row in jobs) >= 2
    assert sum(row["created_at"] is not None for row in jobs) >= 5
    assert [row["name"] for row in before["tokens"]] == ["look", "act", "all"]
    assert all(before[table] for table in ("answers", "audit", "messages", "user_data", "run_logs"))


def test_every_row_is_what_it_was(
    before: dict[str, list[dict[str, Any]]], restored: Restored, tmp_path: Path
) -> None:
    del restored
    for table, rows in before.items():
        found = rows_of(tmp_path / ".luad" / "luad.db", table)
        assert [{key: row[key] for key in rows[0]} for row in found] == rows, table


def test_every_job_is_restored_with_its_counters(
    before: dict[str, list[dict[str, Any]]], restored: Restored
) -> None:
    found = {job.job_id: job for job in restored.jobs}
    assert len(found) == len(before["jobs"])
    for row in before["jobs"]:
        job = found[row["job_id"]]
        assert (job.name, job.revision) == (row["name"], row["revision"])
        kept = job.progress
        assert (kept.grid_at, kept.handled_until) == (row["grid_at"], row["handled_until"])
        assert kept.consecutive_failures == row["consecutive_failures"]
        assert (kept.pause.at if kept.pause else None) == row["paused_at"]
        assert (job.creation.at if job.creation else None) == row["created_at"]
        assert (kept.overlay != NO_OVERLAY) == (row["overlay_json"] is not None)


def test_every_open_run_is_restored(
    before: dict[str, list[dict[str, Any]]], restored: Restored
) -> None:
    states = {"running", "queued", "retrying"}
    open_ = {row["id"]: row["state"] for row in before["runs"] if row["state"] in states}
    assert {run.id: run.state.value for run in restored.open_runs} == open_
