"""The checker on the database of a real store."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from simulation.checker import violations
from simulation.history import Booted, Removed, Stopped
from simulation.stored import history_of, settled_in

from luad.config.jobs.job_file import job_from_definition
from luad.core.engine import Engine
from luad.core.events import AttemptEnded, AttemptStarted, ConfigLoaded, StartAttempt, Ticked
from luad.core.model import MINUTE, Ending, EndKind, Now, Origin, ProcessIdentity, Wanted
from luad.daemon.loop import split
from luad.store import Store

T0 = 1_800_000_000_000 // MINUTE * MINUTE


class Clock:
    def __init__(self) -> None:
        self.wall = T0

    def now(self) -> Now:
        return Now(self.wall, self.wall - T0)


def wanted(name: str, **changes: Any) -> Wanted:
    schedule = {"type": "cron", "expression": "* * * * *"}
    definition = {"name": name, "handler": "m:f", "schedule": schedule, **changes}
    return Wanted(job_from_definition(definition), Origin(f"jobs.d/{name}.yaml"))


async def _live(store: Store, clock: Clock) -> None:
    """Ten minutes with a job that fails now and then, one that is edited, and one that goes."""
    engine = Engine(9, clock.now())
    retry = {"max_attempts": 2, "backoff_seconds": 5}
    flaky, calm, gone = wanted("flaky", retry=retry), wanted("calm"), wanted("gone")
    edited = wanted("calm", timeout="30s")
    loads = {
        0: {"flaky": flaky, "calm": calm, "gone": gone},
        3: {"flaky": flaky, "calm": edited, "gone": gone},
        6: {"flaky": flaky, "calm": calm},
    }
    running: list[StartAttempt] = []
    for second in range(0, 600, 5):
        clock.wall = T0 + 1_000 * second
        events: list[Any] = [Ticked()]
        for action in running:
            kind = EndKind.RAISED if action.run.attempt == 1 else EndKind.RETURNED
            named = action.run.id, action.run.attempt
            at = clock.wall - 4_000
            events.append(AttemptStarted(*named, at - 1_000, ProcessIdentity(1, 2, "b")))
            events.append(AttemptEnded(*named, Ending(kind, at)))
        if second % 60 == 10 and second // 60 in loads:
            events.append(ConfigLoaded(loads[second // 60]))
        records, actions = split(engine.handle(events, clock.now()))
        running = [action for action in actions if isinstance(action, StartAttempt)]
        assert await store.apply(records) == ()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    clock = Clock()
    store = Store.open(tmp_path, clock=clock)
    asyncio.run(_live(store, clock))
    store.close()
    return store.path


def spoil(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount > 0


def broken(path: Path, *facts: Any) -> set[str]:
    return {text.partition(":")[0] for text in violations(history_of(path, facts))}


def test_what_a_real_store_holds_keeps_the_promises(database: Path) -> None:
    history = history_of(database)
    assert len(history.rows) > 20
    assert violations(history) == []


@pytest.mark.parametrize(
    ("statement", "promise"),
    [
        ("UPDATE runs SET claimed_at = fire_at - 1 WHERE {flaky}", "I1"),
        (
            "UPDATE runs SET scheduled_for = {last} - 60000 WHERE {flaky} AND occurrence = {last}",
            "I3",
        ),
        ("DELETE FROM runs WHERE {flaky} AND occurrence = {last} - 60000", "I4"),
        ("UPDATE runs SET scheduled_for = scheduled_for + 7 WHERE {flaky}", "I6"),
        ("UPDATE runs SET revision = 'another' WHERE {flaky}", "I6"),
        ("UPDATE attempts SET ended_at = ended_at + 120000 WHERE attempt = 1", "I8"),
        ("UPDATE attempts SET end_kind = 'returned' WHERE attempt = 1", "I9"),
        ("UPDATE attempts SET ended_at = ended_at + 900000 WHERE attempt = 2", "I10"),
    ],
)
def test_a_database_that_was_spoiled_breaks_them(
    database: Path, statement: str, promise: str
) -> None:
    last = "(SELECT max(occurrence) FROM runs)"
    spoil(database, statement.format(flaky="job_name = 'flaky'", last=last))
    assert promise in broken(database)


def test_facts_of_somebody_who_watched_let_the_checker_decide_more(database: Path) -> None:
    up = Booted(T0, T0)
    assert broken(database, up) == set()
    spoil(database, "UPDATE runs SET claimed_at = claimed_at + 20000 WHERE job_name = 'flaky'")
    assert broken(database) == set()
    assert broken(database, up) == {"I2"}
    asleep = [up, Stopped(T0 + 1, T0 + 1), Booted(T0 + 10 * MINUTE, T0 + 10 * MINUTE)]
    assert broken(database, *asleep) == set()


def test_a_removal_that_was_acknowledged_lets_it_look_at_jobs_that_are_gone(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        (job_id,) = connection.execute(
            "SELECT job_id FROM revisions WHERE name = 'gone'"
        ).fetchone()
    at = T0 + 370_000
    assert broken(database, Removed(at, at, job_id)) == set()
    assert "I5" in broken(database, Removed(at - MINUTE, at - MINUTE, job_id))
    assert "I4" in broken(database, Removed(at + MINUTE, at + MINUTE, job_id))


def test_two_looks_at_a_database_see_a_row_that_changes_after_its_end(database: Path) -> None:
    before = settled_in(database)
    assert broken(database, *before) == set()
    spoil(database, "UPDATE runs SET state = 'failed' WHERE job_name = 'flaky'")
    assert broken(database, *before) == {"I13"}
