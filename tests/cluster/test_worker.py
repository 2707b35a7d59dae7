"""A worker with real processes, on a real server: it takes, stops, reports, and comes back from outages."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from postgres import empty
from sqlalchemy import Engine, create_engine, text

from luad.clock import SystemClock
from luad.cluster.inbox import InboxRow, event_of
from luad.cluster.procrastinate_queue import ProcrastinateHandOver
from luad.cluster.store_clock import StoreClock
from luad.cluster.worker import Worker, WorkerParts, new_life
from luad.cluster.worker_rows import Identity
from luad.config.jobs.api_bodies import job_from_body
from luad.config.settings.store_target import Target
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    ClaimRun,
    InstallJob,
    StartAttempt,
    StopAttempt,
)
from luad.core.model import EndKind, Origin, Run, RunState, Trigger
from luad.daemon.masking import SecretMask
from luad.logs.redact import Redactor
from luad.runner.runners import Runners
from luad.runner.spec import RunnerConfig
from luad.store import record_writes
from luad.store.postgresql.connect import CHORES, Link
from luad.store.postgresql.opening import prepare_store

AT = 1_790_035_200_000
HAND_OVER = ProcrastinateHandOver()
WORK = """
import signal


def say(job):
    print("hello", job.metadata.get("name"), flush=True)
    return {"attempt": job.attempt}


def hang(job):
    print("hanging", flush=True)
    signal.pause()
"""


@pytest.fixture(scope="module")
def engine(postgres_url: str) -> Iterator[Engine]:
    prepare_store(Target.parse(postgres_url), "test", lambda _: None)
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        HAND_OVER.migrate(connection)
    yield engine
    engine.dispose()


class Bench:
    """A worker, and what an owner would see of it."""

    def __init__(self, folder: Path, url: str, engine: Engine) -> None:
        self.folder, self.url, self.engine = folder, url, engine
        self.lines: list[tuple[str, Mapping[str, object]]] = []
        self.handlers = folder / "handlers"
        self.handlers.mkdir()
        (self.handlers / "work.py").write_text(WORK)

    async def start(self) -> None:
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        target = Target.parse(self.url)
        self.life = new_life()
        parts = WorkerParts(
            Identity(self.life, "w1", ("default",), "0"),
            (Link(target, "luad w1", CHORES), Link(target, "luad w1 logs", CHORES)),
            {
                "conninfo": self.url, "words": {}, "queues": ["default"], "concurrency": 4,
                "name": "w1", "poll_s": 0.5,
            },
            lambda _stored, start: start,
            StoreClock(SystemClock()),
            lambda _, event, fields: self.lines.append((event, fields)),
            SecretMask(Redactor(()), {}),
            state,
            lost_after_ms=6_000,
            drain_ms=0,
        )  # fmt: skip
        self.worker = Worker(parts)
        config = RunnerConfig(handlers_path=(self.handlers,), state_dir=state, kill_grace_ms=500)
        self.runner = Runners(
            config,
            shared_processes=1,
            emit=self.worker.take_event,
            on_lines=self.worker.take_lines,
            log=lambda *_: None,
        )
        await self.worker.start(self.runner)

    async def signal_fetcher(self, number: int) -> None:
        """Send a signal to the fetcher once it fetches."""
        await self.until(lambda: self.worker.fetching.ready_for_s() > 0)
        pid = self.worker.fetching.pid
        assert pid is not None
        os.kill(pid, number)

    def claim(self, number: int, function: str = "say") -> None:
        """What an owner's turn writes."""
        body = {
            "name": f"job-{number}", "handler": f"work:{function}",
            "schedule": {"type": "cron", "expression": "* * * * *"}, "metadata": {"name": number},
        }  # fmt: skip
        job = job_from_body(body, timezone="UTC")
        run = Run(
            f"run_{number}", job.name, f"job_{number}", job.revision, Trigger.SCHEDULE,
            AT + number, AT, AT, RunState.RUNNING,
        )  # fmt: skip
        with self.engine.begin() as connection:
            install = InstallJob(run.job_id, job, Origin("x.yaml"), AT)
            record_writes.write(connection, [install, ClaimRun(run)], AT)
            HAND_OVER.offer(connection, [StartAttempt(run, job)])

    def stop(self, number: int) -> None:
        with self.engine.begin() as connection:
            HAND_OVER.stop(connection, [StopAttempt(f"run_{number}", 1)], AT)

    def reports(self) -> list[Any]:
        with self.engine.connect() as connection:
            rows = connection.execute(
                text("SELECT seq, shard, kind, body_json FROM inbox ORDER BY seq")
            ).all()
        return [event_of(InboxRow(*row)) for row in rows]

    def ends(self) -> list[tuple[str, str]]:
        return [
            (each.run_id, each.ending.kind.value)
            for each in self.reports()
            if isinstance(each, AttemptEnded)
        ]

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_so():  # noqa: ASYNC110 - of the server
                await asyncio.sleep(0.05)


@pytest.fixture
async def bench(tmp_path: Path, postgres_url: str, engine: Engine) -> AsyncIterator[Bench]:
    engine.dispose()
    empty(postgres_url)
    bench = Bench(tmp_path, postgres_url, engine)
    await bench.start()
    yield bench
    await bench.worker.stop()


async def test_an_attempt_is_executed_reported_and_logged(bench: Bench) -> None:
    bench.claim(1)
    await bench.until(lambda: len(bench.reports()) == 2)
    started, ended = bench.reports()
    assert isinstance(started, AttemptStarted)
    assert ended.ending.kind is EndKind.RETURNED
    assert ended.ending.result_json == '{"attempt": 1}'
    assert bench.ask("SELECT run_id, attempt, worker FROM attempts") == [("run_1", 1, bench.life)]
    await bench.until(lambda: bool(bench.ask("SELECT 1 FROM run_logs")))
    ((seq, lines),) = bench.ask("SELECT seq, lines_json FROM run_logs")
    assert (seq, '"message":"hello 1"' in lines) == (1, True)
    await bench.until(
        lambda: bench.ask("SELECT status::text FROM procrastinate_jobs") == [("succeeded",)]
    )


async def test_what_is_over_stopped_or_removed_is_not_started(bench: Bench) -> None:
    await bench.signal_fetcher(signal.SIGSTOP)  # nothing is fetched meanwhile
    for number in range(1, 5):
        bench.claim(number)
    with bench.engine.begin() as connection:
        connection.execute(text("UPDATE runs SET state = 'lost' WHERE id = 'run_1'"))
        connection.execute(text("UPDATE runs SET stop = 'grace' WHERE id = 'run_2'"))
        connection.execute(text("DELETE FROM jobs WHERE job_id = 'job_3'"))
        connection.execute(
            text("INSERT INTO attempts (run_id, attempt, worker) VALUES ('run_4', 1, 'other')")
        )
    await bench.signal_fetcher(signal.SIGCONT)
    await bench.until(
        lambda: not bench.ask("SELECT 1 FROM procrastinate_jobs WHERE status IN ('todo', 'doing')")
    )
    assert bench.ends() == [("run_2", "cancelled"), ("run_3", "cancelled")]
    assert not [each for each in bench.reports() if isinstance(each, AttemptStarted)]


async def test_a_stop_reaches_a_running_handler_also_after_its_fetcher_has_died(
    bench: Bench,
) -> None:
    bench.claim(1, "hang")
    await bench.until(lambda: len(bench.reports()) == 1)
    await bench.signal_fetcher(signal.SIGKILL)
    bench.stop(1)
    await bench.until(lambda: bench.ends() == [("run_1", "cancelled")])
    await bench.until(
        lambda: bench.ask("SELECT status::text FROM procrastinate_jobs") == [("succeeded",)]
    )


async def test_cut_connections_neither_end_runs_nor_lose_reports(bench: Bench) -> None:
    bench.claim(1, "hang")
    await bench.until(lambda: len(bench.reports()) == 1)
    bench.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    bench.claim(2)
    await bench.until(lambda: bench.ends() == [("run_2", "returned")])
    assert bench.worker.running == [("run_1", 1)]
    bench.stop(1)
    await bench.until(lambda: ("run_1", "cancelled") in bench.ends())


async def test_what_the_store_has_judged_lost_is_ended_and_said(bench: Bench) -> None:
    bench.claim(1, "hang")
    await bench.until(lambda: len(bench.reports()) == 1)
    with bench.engine.begin() as connection:
        connection.execute(text("UPDATE runs SET state = 'lost' WHERE id = 'run_1'"))
    await bench.until(lambda: bench.ends() == [("run_1", "cancelled")])
    assert "report.fenced" in [event for event, _ in bench.lines]


async def test_a_stopped_worker_ends_its_runs_and_reports_them_as_lost(
    tmp_path: Path, postgres_url: str, engine: Engine
) -> None:
    engine.dispose()
    empty(postgres_url)
    bench = Bench(tmp_path, postgres_url, engine)
    await bench.start()
    bench.claim(1, "hang")
    await bench.until(lambda: len(bench.reports()) == 1)
    await bench.worker.stop()
    assert bench.ends() == [("run_1", "lost")]
    bench.claim(2)
    await bench.start()
    await bench.until(lambda: len(bench.ends()) == 2)
    assert bench.ends()[1] == ("run_2", "returned")
    await bench.worker.stop()


async def test_the_next_life_reports_what_the_former_left(
    tmp_path: Path, postgres_url: str, engine: Engine
) -> None:
    engine.dispose()
    empty(postgres_url)
    bench = Bench(tmp_path, postgres_url, engine)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "worker.life").write_text("life_before")
    for number in (1, 2):
        bench.claim(number)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM procrastinate_jobs"))
        connection.execute(
            text(
                "INSERT INTO attempts (run_id, attempt, worker) VALUES ('run_1', 1, 'life_before')"
            )
        )
    await bench.start()
    assert bench.ends() == [("run_1", "lost")]
    assert (tmp_path / "state" / "worker.life").read_text() == bench.life
    await bench.worker.stop()
