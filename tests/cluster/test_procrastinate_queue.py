"""Handing over through Procrastinate, on a real server: what is committed, what is taken back, what is over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("procrastinate")

from postgres import empty
from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from procrastinate.jobs import Status
from sqlalchemy import Connection, Engine, create_engine, text

from luad.cluster.inbox import InboxRow, body_of, event_of
from luad.cluster.procrastinate_queue import TASK, ProcrastinateHandOver
from luad.cluster.reaping import HandOverState
from luad.core.events import AttemptEnded, ClaimRun, StartAttempt, StopAttempt
from luad.core.model import Cron, Ending, EndKind, Job, Run, RunState, Trigger
from luad.core.shards import shard_of
from luad.core.values import replace
from luad.store import queries, record_writes
from luad.store.tables import metadata

AT = 1_790_035_200_000
HAND_OVER = ProcrastinateHandOver()


@pytest.fixture(scope="module")
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        metadata.create_all(connection)
        HAND_OVER.migrate(connection)
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def rows(engine: Engine, postgres_url: str) -> None:
    engine.dispose()
    empty(postgres_url)


def start(number: int = 1, *, queue: str = "default", attempt: int = 1) -> StartAttempt:
    job = Job(f"job-{number}", "h:f", Cron("* * * * *"), "rev", queue=queue)
    run = Run(
        f"run_{number}", job.name, f"job_{number}", "rev", Trigger.SCHEDULE, AT + number, AT, AT
    )
    return StartAttempt(replace(run, state=RunState.RUNNING, attempt=attempt), job)


def claim(connection: Connection, *starts: StartAttempt) -> None:
    """What an owner's turn writes: the claims, and the hand-over, in one transaction."""
    record_writes.write(connection, [ClaimRun(each.run) for each in starts], AT)
    for each in starts:
        connection.execute(
            text("UPDATE runs SET shard = :shard WHERE id = :id"),
            {"id": each.run.id, "shard": shard_of(each.run.job_name)},
        )
    HAND_OVER.offer(connection, starts)


def jobs(connection: Connection) -> list[tuple[Any, ...]]:
    query = (
        "SELECT queue_name, status, args, lock, queueing_lock FROM procrastinate_jobs ORDER BY id"
    )
    return [tuple(row) for row in connection.execute(text(query))]


def states(connection: Connection) -> dict[str, tuple[HandOverState, str | None, bool]]:
    found = HAND_OVER.running(connection, range(64))
    return {each.run_id: (each.hand_over, each.worker, each.has_report) for each in found}


def fetch(url: str, *queues: str) -> list[dict[str, Any]]:
    """Let a worker of Procrastinate take what waits; return the arguments, in order."""
    taken: list[dict[str, Any]] = []
    app = App(connector=PsycopgConnector(conninfo=url))

    @app.task(name=TASK)
    async def attempt(**arguments: Any) -> None:
        taken.append(arguments)

    async def work() -> None:
        async with app.open_async():
            options: Any = {"wait": False, "install_signal_handlers": False}
            await app.run_worker_async(queues=list(queues) or None, **options)

    asyncio.run(work())
    return taken


def test_what_is_rolled_back_is_not_handed_over(engine: Engine, postgres_url: str) -> None:
    with engine.connect() as connection:
        claim(connection, start(1))
        assert len(jobs(connection)) == 1
        connection.rollback()
        assert jobs(connection) == []
        assert connection.execute(text("SELECT count(*) FROM runs")).scalar_one() == 0
    assert fetch(postgres_url) == []


def test_what_is_committed_is_fetched_once_from_its_queue(
    engine: Engine, postgres_url: str
) -> None:
    with engine.begin() as connection:
        claim(connection, start(1), start(2, queue="gpu"), start(3), start(4, attempt=2))
        first = ("default", "todo", {"run": "run_1", "n": 1}, None, None)
        assert jobs(connection)[0] == first, "no lock, no queueing lock"
        query = "SELECT id, queue, hand_over IS NOT NULL FROM runs ORDER BY id"
        noted = [tuple(row) for row in connection.execute(text(query))]
        assert noted[1] == ("run_2", "gpu", True)
        assert all(has_row for _, _, has_row in noted)
    assert fetch(postgres_url, "gpu") == [{"run": "run_2", "n": 1}]
    found = fetch(postgres_url)
    assert found == [{"run": f"run_{number}", "n": n} for number, n in ((1, 1), (3, 1), (4, 2))]
    assert fetch(postgres_url) == []


def test_a_waiting_row_is_cancelled_and_reported_a_fetched_one_is_told_to_stop(
    engine: Engine, postgres_url: str
) -> None:
    with engine.begin() as connection:
        claim(connection, start(1), start(2))
    sync = App(connector=SyncPsycopgConnector(conninfo=postgres_url))
    with sync.open(), engine.begin() as connection:
        connection.execute(
            text("SELECT procrastinate_fetch_job_v2(NULL, procrastinate_register_worker_v1())")
        )
        HAND_OVER.stop(connection, [StopAttempt(f"run_{n}", 1) for n in (1, 2)], AT + 5)
        stops = connection.execute(text("SELECT id, stop FROM runs ORDER BY id")).all()
        assert [tuple(row) for row in stops] == [("run_1", "grace"), ("run_2", "grace")]
        HAND_OVER.stop(connection, [StopAttempt("run_1", 1, kill=True)], AT + 6)
        HAND_OVER.stop(connection, [StopAttempt("run_1", 1)], AT + 7)
        query = "SELECT stop FROM runs WHERE id = 'run_1'"
        assert connection.execute(text(query)).scalar_one() == "kill", "kill stays"
        reports = connection.execute(text("SELECT seq, shard, kind, body_json FROM inbox")).all()
        (report,) = [event_of(InboxRow(*row)) for row in reports]
        assert report == AttemptEnded("run_2", 1, Ending(EndKind.CANCELLED, AT + 5))
        assert [shard for _, shard, *_ in reports] == [shard_of("job-2")]
        assert states(connection) == {
            "run_1": (HandOverState.DOING, None, False),
            "run_2": (HandOverState.OVER, None, True),
        }
    assert fetch(postgres_url) == []


def test_a_stop_of_an_attempt_that_is_over_changes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        claim(connection, start(1, attempt=2))
        HAND_OVER.stop(connection, [StopAttempt("run_1", 1), StopAttempt("none", 1)], AT)
        assert jobs(connection)[0][1] == "todo"
        assert connection.execute(text("SELECT stop FROM runs")).scalar_one() is None


def test_the_state_of_a_hand_over_is_told(engine: Engine, postgres_url: str) -> None:
    with engine.begin() as connection:
        claim(connection, *map(start, (1, 2, 3)))
        connection.execute(text("DELETE FROM procrastinate_jobs WHERE args->>'run' = 'run_3'"))
        connection.execute(
            text("INSERT INTO attempts (run_id, attempt, worker) VALUES ('run_2', 1, 'life')")
        )
        beat = "INSERT INTO workers VALUES ('life', 'w', NULL, '[]', NULL, '0', 1, 77)"
        connection.execute(text(beat))
    with engine.connect() as connection:
        assert states(connection) == {
            "run_1": (HandOverState.WAITING, None, False),
            "run_2": (HandOverState.WAITING, "life", False),
            "run_3": (HandOverState.OVER, None, False),
        }
    fetch(postgres_url)
    report = body_of(AttemptEnded("run_1", 1, Ending(EndKind.RETURNED, AT)))
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO inbox (shard, kind, body_json, at) VALUES (:s, 'report', :b, 1)"),
            [{"s": shard_of("job-1"), "b": report}, {"s": 0, "b": "not JSON"}],
        )
        found = {each.run_id: each for each in HAND_OVER.running(connection, range(64))}
        assert found["run_1"].has_report
        assert found["run_2"].seen_at == 77
        assert {each.hand_over for each in found.values()} == {HandOverState.OVER}


def test_only_what_no_worker_has_taken_is_offered_again(engine: Engine, postgres_url: str) -> None:
    with engine.begin() as connection:
        claim(connection, *map(start, (1, 2)), start(3, attempt=2))
        connection.execute(
            text("INSERT INTO attempts (run_id, attempt, worker) VALUES ('run_2', 1, 'life')")
        )
    assert len(fetch(postgres_url)) == 3
    with engine.begin() as connection:
        HAND_OVER.offer_again(connection, [("run_1", 1), ("run_2", 1), ("run_3", 1)])
        assert [job[2] for job in jobs(connection) if job[1] == "todo"] == [
            {"run": "run_1", "n": 1}
        ]
        assert states(connection)["run_1"][0] is HandOverState.WAITING, "the run knows its new row"


def test_what_is_offered_again_is_still_to_be_stopped(engine: Engine, postgres_url: str) -> None:
    """Else a worker that drains would make a cancelled run start on another worker."""
    with engine.begin() as connection:
        claim(connection, start(1))
    assert len(fetch(postgres_url)) == 1
    with engine.begin() as connection:
        HAND_OVER.stop(connection, [StopAttempt("run_1", 1)], AT)
        HAND_OVER.offer_again(connection, [("run_1", 1)])
        assert connection.execute(text("SELECT stop FROM runs")).scalar_one() == "grace"


def test_the_row_that_names_a_worker_does_not_hide_the_only_attempt(engine: Engine) -> None:
    with engine.begin() as connection:
        claim(connection, start(1))
        take = "INSERT INTO attempts (run_id, attempt, worker, started_at) VALUES ('run_1', 1, 'life', 3)"
        connection.execute(text(take))
        begun = "UPDATE runs SET started_at = 5, pid = 7, start_ticks = 1, boot_id = 'b'"
        connection.execute(text(begun))
        (attempt,) = queries.attempts_of(connection, queries.find_run(connection, "run_1", None))
        assert (attempt.started_at, attempt.pid) == (5, 7)


def test_the_migration_is_repeated_without_harm(engine: Engine) -> None:
    with engine.begin() as connection:
        HAND_OVER.migrate(connection)
        connection.execute(text("UPDATE meta SET value = '3.4.0' WHERE key = 'procrastinate'"))
        HAND_OVER.migrate(connection)
        query = "SELECT value FROM meta WHERE key = 'procrastinate'"
        assert connection.execute(text(query)).scalar_one() != "3.4.0"
        claim(connection, start(1))
        assert [job[1] for job in jobs(connection)] == [Status.TODO.value]
