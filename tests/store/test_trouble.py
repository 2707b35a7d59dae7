"""Troubles in a history of 100,000 rows: the findings, and their cost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.long_history import EVERY_MS, FIRST, JOBS, ROWS, counted, long_store

from luad.core.model import DAY, HOUR, MINUTE
from luad.store import Store, query_budget
from luad.store.trouble import Found, Kind, Trouble

NOW = FIRST + ROWS * EVERY_MS + HOUR


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(query_budget, "BUDGET_MS", 600_000)
    with long_store(tmp_path, NOW) as store:
        yield store


def change(store: Store, *statements: str) -> None:
    with closing(sqlite3.connect(store.path)) as connection, connection:
        for each in statements:
            connection.execute(each, {"now": NOW})


def run(number: int, job: int, state: str, ago: int, **more: Any) -> str:
    """Return the statement that adds a run."""
    at = NOW - ago
    values = {
        "id": f"run_z{number:025d}",
        "job_name": f"job-{job:02}",
        "job_id": f"job_{job:02}",
        "revision": "r1",
        "trigger": "schedule",
        "scheduled_for": at,
        "fire_at": at,
        "claimed_at": at,
        "state": state,
        "attempt": 1,
        "missed_count": 0,
        **more,
    }
    texts = ", ".join("NULL" if each is None else repr(each) for each in values.values())
    return f"INSERT INTO runs ({', '.join(values)}) VALUES ({texts})"  # noqa: S608 - own values


async def of_kind(store: Store, kind: Kind) -> list[Trouble]:
    return [each for each in (await store.history.trouble(NOW)).troubles if each.kind is kind]


async def test_nothing_is_found_where_nothing_is_wrong_and_that_costs_nothing(store: Store) -> None:
    with counted(store) as steps:
        assert await store.history.trouble(NOW) == Found([], is_complete=True)
    assert steps.count < 2_000


async def test_a_failing_job_says_since_when_and_why(store: Store) -> None:
    change(
        store,
        run(1, 3, "failed", 3 * MINUTE, error_type="KeyError", error_message="old"),
        run(2, 3, "skipped", 2 * MINUTE),
        run(3, 3, "timed_out", MINUTE, error_type="TimedOut", error_message="x" * 1_000),
        "UPDATE jobs SET consecutive_failures = 2 WHERE job_id IN ('job_03', 'job_05')",
        "UPDATE jobs SET paused_at = :now, pause_author = 'luad', pause_reason = '2 failures' WHERE job_id = 'job_05'",
        "UPDATE jobs SET paused_at = :now, pause_author = 'ann' WHERE job_id = 'job_06'",
        "UPDATE jobs SET consecutive_failures = 1, over_at = :now - 86400000 WHERE job_id = 'job_07'",
    )
    with counted(store) as steps:
        (failing,) = await of_kind(store, Kind.FAILING)
    assert steps.count < 20_000
    assert (failing.job, failing.count, failing.since) == ("job-03", 2, NOW - 3 * MINUTE)
    assert failing.text == "TimedOut: " + "x" * 300
    assert failing.run_id is not None
    assert failing.run_id.endswith("3")
    (paused,) = await of_kind(store, Kind.PAUSED_BY_FAILURES)
    assert (paused.job, paused.text) == ("job-05", "2 failures")


async def test_missed_occurrences_need_a_look_until_the_job_succeeds(store: Store) -> None:
    change(
        store,
        run(1, 3, "missed", 9_000, reason="downtime", skip_first=NOW - 90_000, skip_count=7),
        run(2, 4, "missed", 9_000, reason="downtime"),
        run(3, 4, "succeeded", 8_000),
        run(4, 5, "missed", 2 * DAY, reason="downtime"),
    )
    (missed,) = await of_kind(store, Kind.MISSED)
    assert (missed.job, missed.count, missed.since) == ("job-03", 7, NOW - 90_000)
    assert missed.text == "downtime"


async def test_a_run_that_waits_is_late_and_one_that_takes_long_is_slow(store: Store) -> None:
    change(
        store,
        run(1, 3, "queued", 2 * MINUTE),
        run(2, 3, "queued", 90_000),
        run(3, 4, "queued", 1_000),
        run(4, 3, "running", 10 * MINUTE, started_at=NOW - 10 * MINUTE),
        run(5, 4, "running", 30_000, started_at=NOW - 30_000),
        run(6, 60, "running", 10 * MINUTE, started_at=NOW - 10 * MINUTE),
    )
    with counted(store) as steps:
        (late,) = await of_kind(store, Kind.LATE)
    assert (late.job, late.count, late.since) == ("job-03", 2, NOW - 2 * MINUTE)
    (slow,) = await of_kind(store, Kind.SLOW)
    assert (slow.job, slow.since, slow.usual_ms) == ("job-03", NOW - 10 * MINUTE, (400, 700))
    assert steps.count < 20_000


async def test_a_message_that_did_not_arrive_names_its_channels(store: Store) -> None:
    message = (
        "INSERT INTO messages (id, user_id, at, kind, title, parts_json, priority, job_name)"
        " VALUES ('{0}', 'ann', {1}, 'send', '', '[]', 'normal', 'job-03')"
    )
    delivery = (
        "INSERT INTO deliveries (message_id, channel, state, started_at, error, answer, is_degraded)"
        " VALUES ('{0}', '{1}', '{2}', {3}, 'timed out', '', 0)"
    )
    change(
        store,
        message.format("msg_1", NOW - 5_000),
        delivery.format("msg_1", "tgram", "failed", NOW - 5_000),
        delivery.format("msg_1", "mail", "delivered", NOW - 5_000),
        message.format("msg_2", NOW - 2 * DAY),
        delivery.format("msg_2", "tgram", "failed", NOW - 2 * DAY),
    )
    (lost,) = await of_kind(store, Kind.DELIVERY)
    assert (lost.key, lost.count, lost.total, lost.text) == ("msg_1", 1, 2, "tgram: timed out")
    assert (lost.user, lost.job) == ("ann", "job-03")


async def test_many_failing_jobs_are_found_as_far_as_the_time_permits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(store, "UPDATE jobs SET consecutive_failures = 1")
    found = await store.history.trouble(NOW)
    assert (len(found.troubles), found.is_complete) == (JOBS, True)
    monkeypatch.setattr(query_budget, "BUDGET_MS", 0)
    found = await store.history.trouble(NOW)
    assert (len(found.troubles), found.is_complete) == (1, False)
