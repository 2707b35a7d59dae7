"""A worker with real processes, on a real server: it takes, stops, reports, and comes back from outages."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

pytest.importorskip("procrastinate")

from cluster.worker_bench import HAND_OVER, Bench
from postgres import empty, own_server
from sqlalchemy import Engine, create_engine, text

from luad.config.settings.store_target import Target
from luad.core.events import (
    AttemptStarted,
)
from luad.core.model import EndKind
from luad.store.postgresql.opening import prepare_store


@pytest.fixture(scope="module")
def engine(postgres_url: str) -> Iterator[Engine]:
    prepare_store(Target.parse(postgres_url), "test", lambda _: None)
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        HAND_OVER.migrate(connection)
    yield engine
    engine.dispose()


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
    try:
        bench.claim(1, "hang")
        await bench.until(lambda: len(bench.reports()) == 1)
    finally:
        await bench.worker.stop()
    assert bench.ends() == [("run_1", "lost")]
    bench.claim(2)
    await bench.start()
    try:
        await bench.until(lambda: len(bench.ends()) == 2)
    finally:
        await bench.worker.stop()
    assert bench.ends()[1] == ("run_2", "returned")


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
    noted = (tmp_path / "state" / "worker.life").read_text()
    await bench.worker.stop()
    assert bench.ends()[0] == ("run_1", "lost")
    assert noted == bench.life
    assert not (tmp_path / "state" / "worker.life").exists(), "an orderly stop leaves nothing"


async def test_a_report_of_an_outage_is_written_after_it_and_a_stop_is_obeyed(
    tmp_path: Path,
) -> None:
    with own_server() as server:
        prepare_store(Target.parse(server.url), "test", lambda _: None)
        engine = create_engine(server.url.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            HAND_OVER.migrate(connection)
        bench = Bench(tmp_path, server.url, engine)
        await bench.start()
        try:
            bench.claim(1, "wait_for_file")
            bench.claim(2, "hang")
            await bench.until(lambda: len(bench.reports()) == 2)
            engine.dispose()
            await asyncio.to_thread(server.stop, "immediate")
            (bench.handlers / "go").touch()
            await bench.until(lambda: bench.worker.running == [("run_2", 1)])
            await asyncio.to_thread(server.start)
            await bench.until(lambda: bench.ends() == [("run_1", "returned")])
            bench.stop(2)
            await bench.until(lambda: ("run_2", "cancelled") in bench.ends())
            bench.claim(3)
            await bench.until(lambda: ("run_3", "returned") in bench.ends())
        finally:
            await bench.worker.stop()
            engine.dispose()


async def test_a_stopping_worker_hands_back_what_it_has_not_launched(bench: Bench) -> None:
    bench.worker.is_draining = True  # a stop has begun
    for number in (1, 2):
        bench.claim(number)
    fetched = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'"
    await bench.until(lambda: bench.ask(fetched) == [(2,)])
    await bench.worker.stop()
    rows = bench.ask("SELECT args->>'run', status::text FROM procrastinate_jobs ORDER BY id")
    assert sorted(rows) == [
        ("run_1", "succeeded"), ("run_1", "todo"), ("run_2", "succeeded"), ("run_2", "todo"),
    ]  # fmt: skip
    assert bench.reports() == []
    assert bench.ask("SELECT 1 FROM attempts") == []


async def test_a_run_whose_keeper_is_killed_is_reported_as_lost(bench: Bench) -> None:
    bench.claim(1, "hang")
    await bench.until(lambda: any(isinstance(each, AttemptStarted) for each in bench.reports()))
    keeper = bench.runner._runner._attempts["run_1", 1].keeper
    assert keeper is not None
    assert keeper.process is not None
    os.kill(keeper.process.pid, signal.SIGKILL)
    await bench.until(lambda: bench.ends() == [("run_1", "lost")])


async def test_a_worker_whose_spawner_is_killed_starts_further_runs(bench: Bench) -> None:
    bench.claim(1, "wait_for_file")
    await bench.until(lambda: any(isinstance(each, AttemptStarted) for each in bench.reports()))
    spawner = bench.runner.spawner_pid
    assert spawner is not None
    os.kill(spawner, signal.SIGKILL)
    await bench.until(lambda: bench.runner.spawner_pid not in {None, spawner})
    (bench.handlers / "go").touch()
    bench.claim(2)
    await bench.until(lambda: len(bench.ends()) == 2)
    assert dict(bench.ends()) == {"run_1": "returned", "run_2": "returned"}
