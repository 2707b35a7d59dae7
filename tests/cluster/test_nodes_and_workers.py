"""Nodes and workers together, with real processes: nodes, fetchers and connections are killed, and the books are right."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.importorskip("procrastinate")


from cluster.real_nodes import Cluster
from cluster.worker_bench import Bench
from postgres import database_url
from sqlalchemy import create_engine

pytestmark = pytest.mark.slow

HANDLER = """
import os


def f(job):
    line = f"{job.run_id} {job.attempt}\\n".encode()
    handle = os.open(job_file(), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, line)


def job_file():
    return os.path.join(os.path.dirname(__file__), "starts.txt")
"""


class Site:
    """Two nodes and a worker on one database."""

    def __init__(self, folder: Path) -> None:
        self.url = database_url(f"nodes_and_workers_{os.getpid()}")
        self.cluster = Cluster(self.url, folder / "nodes")
        (folder / "nodes").mkdir()
        engine = create_engine(self.url.replace("postgresql://", "postgresql+psycopg://"))
        self.bench = Bench(folder, self.url, engine)
        (self.bench.handlers / "m.py").write_text(HANDLER)

    def start_node(self, name: str) -> None:
        self.cluster.start(name, LUAD_TEST_WORKERS="1")

    def ended(self) -> int:
        return int(self.cluster.one("SELECT count(*) FROM runs WHERE state = 'succeeded'"))

    async def goes_on(self, more: int = 30) -> None:
        before = await asyncio.to_thread(self.ended)
        await self.bench.until(lambda: self.ended() >= before + more)

    def started(self) -> Counter[str]:
        """How often each attempt was started, by what its handler has written."""
        return Counter((self.bench.handlers / "starts.txt").read_text().splitlines())


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    try:
        site.start_node("ann")
        await site.bench.until(lambda: bool(site.cluster.nodes["ann"].events("connected")))
        site.start_node("bob")
        await site.bench.start()
        yield site
    finally:
        site.cluster.end()
        await site.bench.worker.stop()


async def test_faults_of_nodes_fetchers_and_connections_lose_and_repeat_nothing(site: Site) -> None:
    bench, cluster = site.bench, site.cluster
    await site.goes_on()
    cluster.nodes["ann"].signal(signal.SIGKILL)
    await site.goes_on()
    await bench.signal_fetcher(signal.SIGKILL)
    await site.goes_on()
    cluster.do(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    site.start_node("ann")
    await site.goes_on()
    until = int(cluster.one("SELECT max(scheduled_for) FROM runs"))
    is_open = "SELECT count(*) FROM runs WHERE scheduled_for <= %s AND state <> 'succeeded'"
    await bench.until(lambda: cluster.one(is_open, until) == 0)
    twice = "SELECT job_id, scheduled_for FROM runs GROUP BY 1, 2 HAVING count(*) > 1"
    assert cluster.ask(twice) == []
    gaps = (
        "SELECT job_name FROM runs WHERE scheduled_for <= %s GROUP BY 1"
        " HAVING max(scheduled_for) - min(scheduled_for) <> 1000 * (count(*) - 1)"
    )
    assert cluster.ask(gaps, until) == [], "an occurrence is missing"
    started = site.started()
    assert set(started.values()) == {1}, "an attempt was started twice"
    done = cluster.ask(
        "SELECT id FROM runs WHERE state = 'succeeded' AND scheduled_for <= %s", until
    )
    assert {f"{run_id} 1" for (run_id,) in done} <= started.keys()
    assert cluster.ask("SELECT 1 FROM inbox WHERE failed_at IS NOT NULL") == []
