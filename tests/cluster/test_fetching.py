"""The fetcher dies, hangs, and is cut off, at each point of an attempt; the worker gets every row, and each once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest

pytest.importorskip("procrastinate")

from postgres import empty
from procrastinate import App, SyncPsycopgConnector
from sqlalchemy import create_engine

from luad.cluster import fetching
from luad.cluster.fetching import Fetched, Fetching
from luad.cluster.procrastinate_queue import TASK, ProcrastinateHandOver
from luad.runner.processes import read_stat
from luad.store.tables import metadata

Row = tuple[int, str]


@pytest.fixture(scope="module")
def url(postgres_url: str) -> str:
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        metadata.create_all(connection)
        ProcrastinateHandOver().migrate(connection)
    engine.dispose()
    return postgres_url


class Bench:
    """A fetcher that is kept running, and what it handed up."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fetched: list[Fetched] = []
        self.lines: list[str] = []
        self.changed = asyncio.Condition()
        self.ended = asyncio.Event()
        settings = {
            "conninfo": url, "words": {}, "queues": ["default"], "concurrency": 2, "name": "test",
            "poll_s": 0.2,
        }  # fmt: skip
        self.fetching = Fetching(settings, self._note, lambda _level, event, _: self.say(event))

    def _note(self, fetched: Fetched) -> None:
        self.fetched.append(fetched)
        self.say("")

    def say(self, event: str) -> None:
        self.lines += [event] if event else []
        asyncio.get_running_loop().create_task(self._wake())

    async def _wake(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(is_so), 60)

    async def until_rows(self, *states: str) -> None:
        while (await asyncio.to_thread(self.states)) != list(states):  # noqa: ASYNC110 - of the server
            await asyncio.sleep(0.05)

    def signal(self, number: int) -> None:
        pid = self.fetching.pid
        assert pid is not None, "a fetcher runs"
        os.kill(pid, number)

    def defer(self, *numbers: int, queue: str = "default") -> None:
        app = App(connector=SyncPsycopgConnector(conninfo=self.url))
        with app.open():
            for number in numbers:
                app.configure_task(TASK, queue=queue).defer(run=f"run_{number}", n=1)

    def states(self) -> list[str]:
        with psycopg.connect(self.url) as connection:
            query = "SELECT status::text FROM procrastinate_jobs ORDER BY id"
            return [state for (state,) in connection.execute(query)]


@pytest.fixture
async def bench(url: str) -> AsyncIterator[Bench]:
    empty(url)
    bench = Bench(url)
    task = asyncio.create_task(bench.fetching.run())
    task.add_done_callback(lambda _: bench.ended.set())
    yield bench
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def runs(bench: Bench) -> list[str]:
    return [each.run_id for each in bench.fetched]


async def test_what_is_fetched_is_over_once_its_attempt_is(bench: Bench) -> None:
    bench.defer(1, 2, 3)
    await bench.until(lambda: len(bench.fetched) == 2)
    assert runs(bench) == ["run_1", "run_2"], "as many as may run at once"
    bench.fetching.finish(bench.fetched[0])
    await bench.until(lambda: len(bench.fetched) == 3)
    await bench.until_rows("succeeded", "doing", "doing")
    bench.fetching.finish(bench.fetched[2])
    await bench.until_rows("succeeded", "doing", "succeeded")


async def test_a_killed_fetcher_is_replaced_and_its_rows_end_with_their_runs(bench: Bench) -> None:
    bench.defer(1)
    await bench.until(lambda: len(bench.fetched) == 1)
    (first,) = bench.fetched
    bench.signal(signal.SIGKILL)
    await bench.until(lambda: "worker.refetched" in bench.lines)
    bench.fetching.finish(first)  # its run ends while no fetcher is there
    bench.defer(2)
    await bench.until(lambda: len(bench.fetched) == 2)
    assert bench.fetched[1].fetcher == 2
    await bench.until_rows("succeeded", "doing")
    bench.signal(signal.SIGKILL)
    await bench.until(lambda: bench.lines.count("worker.refetched") == 2)
    bench.defer(3)
    await bench.until(lambda: len(bench.fetched) == 3)
    bench.fetching.finish(bench.fetched[1])  # its run ends when the next fetcher is there
    await bench.until_rows("succeeded", "succeeded", "doing")
    assert runs(bench) == ["run_1", "run_2", "run_3"], "each once"


async def test_a_fetcher_that_hangs_is_replaced(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "PING_S", 0.2)
    monkeypatch.setattr(fetching, "SILENT_S", 2.0)
    bench.defer(1)
    await bench.until(lambda: len(bench.fetched) == 1)
    bench.signal(signal.SIGSTOP)
    await bench.until(lambda: "worker.refetched" in bench.lines)
    bench.defer(2)
    await bench.until(lambda: len(bench.fetched) == 2)


async def test_a_fetcher_whose_connections_are_cut_fetches_again(bench: Bench) -> None:
    bench.defer(1)
    await bench.until(lambda: len(bench.fetched) == 1)
    with psycopg.connect(bench.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    bench.fetching.replace()  # as the worker does when it is in touch again
    bench.defer(2)
    await bench.until(lambda: len(bench.fetched) == 2)


async def test_a_fetcher_that_is_told_to_stop_takes_no_more(bench: Bench) -> None:
    bench.defer(1)
    await bench.until(lambda: len(bench.fetched) == 1)
    bench.fetching.stop()
    bench.fetching.finish(bench.fetched[0])
    await bench.until_rows("succeeded")
    bench.defer(2)
    await asyncio.wait_for(bench.ended.wait(), 60)
    assert bench.states() == ["succeeded", "todo"]


async def test_a_fetcher_ends_with_its_worker(url: str) -> None:
    empty(url)
    bench = Bench(url)
    task = asyncio.create_task(bench.fetching.run())
    bench.defer(1)
    await bench.until(lambda: len(bench.fetched) == 1)
    pid = bench.fetching.pid
    assert pid is not None
    assert bench.fetching._writer is not None
    bench.fetching._is_stopping = True
    bench.fetching._writer.transport.abort()  # what the kernel does for a killed worker
    await asyncio.wait_for(task, 30)
    assert read_stat(pid) is None
