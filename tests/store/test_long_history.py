"""Questions to the history cost the same however long it is: SQLite's steps are counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from luad.store import log_chunks, queries, run_pages
from luad.store.query_types import RunFilter
from luad.store.tables import jobs, metadata, run_logs, runs

JOBS = 20
Question = Callable[[Connection], object]

QUESTIONS: dict[str, Question] = {
    "history": lambda c: run_pages.page(c, RunFilter(), 20, None),
    "history of a job": lambda c: run_pages.page(c, RunFilter(job_id="job_8"), 20, None),
    "the last lines": lambda c: log_chunks.read_runs(c, RunFilter(), tail=20, level=None),
    "the last lines of a job": lambda c: log_chunks.read_runs(
        c, RunFilter(job_id="job_8"), tail=20, level=None
    ),
    "the strips of a list": lambda c: queries.recent_runs(c, [f"job_{n}" for n in range(JOBS)], 20),
    "the last run": lambda c: queries.find_run(c, "@last", None),
}


def fill(driver: sqlite3.Connection, connection: Connection, count: int) -> None:
    """*count* runs of some jobs in turn; each fourth one has said something."""
    metadata.create_all(connection)
    zeros = dict.fromkeys(("installed_at", "grid_at", "handled_until", "consecutive_failures"), 0)
    for number in range(JOBS):
        names = {"job_id": f"job_{number}", "name": f"job-{number}", "revision": "r"}
        connection.execute(jobs.insert(), names | zeros | {"definition_json": "{}"})
    names = (
        "id, job_name, job_id, revision, trigger, scheduled_for, occurrence, fire_at, claimed_at, state, "
        "attempt, missed_count"
    )
    rows = (
        (f"run_{n:026d}", f"job-{n % JOBS}", f"job_{n % JOBS}", "r", "schedule", n, n, n, n,
         "succeeded", 1, 0)
        for n in range(count)
    )  # fmt: skip
    driver.executemany(f"INSERT INTO {runs} ({names}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows)  # noqa: S608
    lines = ((f"run_{n:026d}", 1, 1, n, n, 9, '{"ts":1}') for n in range(0, count, 4))
    driver.executemany(f"INSERT INTO {run_logs} VALUES (?,?,?,?,?,?,?)", lines)  # noqa: S608


@contextmanager
def history(count: int) -> Iterator[tuple[sqlite3.Connection, Connection]]:
    driver = sqlite3.connect(":memory:", isolation_level=None)
    engine = create_engine("sqlite+pysqlite://", creator=lambda: driver, poolclass=StaticPool)
    with engine.connect() as connection:
        fill(driver, connection, count)
        yield driver, connection
    driver.close()


def steps_of(question: Question, count: int) -> int:
    with history(count) as (driver, connection):
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1

        driver.set_progress_handler(step, 10)
        assert question(connection)
        return steps


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_costs_the_same_in_a_history_that_is_twenty_times_as_long(name: str) -> None:
    question = QUESTIONS[name]
    short, long = steps_of(question, 1_000), steps_of(question, 20_000)
    assert long <= short + short // 10 + 5, f"{short} and {long} times ten steps"
