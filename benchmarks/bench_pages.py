"""What the pages of the dashboard cost: processor time of the daemon, bytes, and the database's part.

    python -m benchmarks.bench_pages [--jobs 1000] [--rows 1000000] [--samples 20] [--big 100000]

A daemon with many jobs and a long history; one signed-in client asks for each page in turn. Counted is the
processor time of the daemon, which is the same on a busy machine. The database's part is the
processor time of the questions of the overview, asked to the same file from here.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from benchmarks.common import Bench, arguments, benchmark, work_folder
from benchmarks.live import LUAD, Daemon, cpu_ns
from benchmarks.loads import HANDLER_MODULE, write_handlers
from luad.clock import SystemClock
from luad.core.model import DAY, RunState
from luad.store import Store
from luad.store.query_types import RunFilter
from luad.store.run_stats import Group

PAGES: Final = (
    "/",
    "/jobs",
    "/jobs/job-00007",
    "/runs",
    "/runs?status=failed",
    "/schedule",
    "/system",
)
SERVER_MS, DATABASE_MS, BIG_MS, FIRST_KB = 50, 15, 100, 60
BIG: Final = 100_000
FILE: Final = 1_000
SHOWN: Final = 50
"""The jobs of an overview on which none fails."""
COLUMNS: Final = (
    "id", "job_name", "job_id", "revision", "trigger", "scheduled_for", "occurrence", "fire_at",
    "claimed_at", "state", "attempt", "missed_count", "started_at", "ended_at", "end_kind", "end_at",
)  # fmt: skip


def write_jobs(folder: Path, count: int) -> None:
    """Write *count* jobs that are due once a year."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, count, FILE):
        documents = [
            f"name: job-{number:05}\nhandler: {HANDLER_MODULE}:nothing\n"
            f'schedule: {{type: cron, expression: "{number % 60} {number // 60 % 24} 1 1 *"}}\n'
            for number in range(start, min(start + FILE, count))
        ]
        (folder / f"jobs-{start:06}.yaml").write_text("---\n".join(documents))


def rows(jobs: list[tuple[str, str]], count: int, now: int) -> Iterator[tuple[Any, ...]]:
    """Yield *count* runs of *jobs* in turn, over thirty days, the oldest first."""
    for number in range(count):
        job_id, name = jobs[number * 7_919 % len(jobs)]
        at = now - 30 * DAY + number * 30 * DAY // count
        state = "failed" if number % 200 == 0 else "succeeded"
        yield (
            f"run_{number:026d}", name, job_id, "r1", "schedule", at, at, at, at, state, 1, 0, at + 5,
            at + 700 + number % 90, "returned", at + 700,
        )  # fmt: skip


def fill(state: Path, count: int) -> None:
    """Put the runs into the database of a daemon that has installed its jobs and ended."""
    marks = ",".join("?" * len(COLUMNS))
    with closing(sqlite3.connect(state / "luad.db", isolation_level=None)) as connection:
        jobs = connection.execute("SELECT job_id, name FROM jobs ORDER BY name").fetchall()
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        insert = f"INSERT INTO runs ({','.join(COLUMNS)}) VALUES ({marks})"  # noqa: S608 - our own words
        connection.executemany(insert, rows(jobs, count, SystemClock().now().wall))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class Client:
    """A browser without a screen, signed in by the link of `luad web`."""

    def __init__(self, daemon: Daemon) -> None:
        command = [*LUAD, "--socket", str(daemon.socket), "--json", "web"]
        link = urlsplit(json.loads(subprocess.check_output(command))["url"])
        assert link.port is not None
        self.connection = HTTPConnection("127.0.0.1", link.port)
        self.headers = {"Host": link.netloc, "Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
        code = parse_qs(link.query)["code"][0]
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        self.connection.request("POST", "/login", urlencode({"code": code}), self.headers | kind)
        answer = self.connection.getresponse()
        answer.read()
        self.headers["Cookie"] = str(answer.getheader("set-cookie")).partition(";")[0]

    def get(self, path: str) -> bytes:
        """Return a page."""
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status)
        return body


def size(client: Client) -> float:
    """Return the kilobytes of the overview with its files, each of them compressed."""
    page = client.get("/")
    names = set(re.findall(rb'(?:href|src)="(/static/[^"]+)"', page))
    parts = [page, *(client.get(name.decode()) for name in names)]
    return sum(len(gzip.compress(part)) for part in parts) / 1_000


async def database_ms(state: Path) -> tuple[float, float]:
    """Return the processor time of the questions that the overview asks the database: later, and at first.

    A daemon's first look reads all rows; later ones take ended runs and past hours from memory.
    """
    store = Store.open(state, clock=SystemClock())
    try:
        now = SystemClock().now().wall
        ids = [row.job_id for row in store.restore().jobs[:SHOWN]]
        running = RunFilter(statuses=frozenset({RunState.RUNNING}))
        taken = []
        for _ in range(6):
            began = cpu_ns(os.getpid())
            await store.recent_runs(ids, 40)
            await store.history.search(running, limit=8)
            await store.history.trouble(now)
            await store.history.stats_since(now - DAY, now, Group.HOUR)
            taken.append((cpu_ns(os.getpid()) - began) / 1e6)
        return median(taken[1:]), taken[0]
    finally:
        store.close()


def server_ms(daemon: Daemon, client: Client, path: str, samples: int) -> float:
    """Return the median processor time of the daemon for one page."""
    client.get(path)
    taken = []
    for _ in range(samples):
        before = cpu_ns(daemon.pid)
        client.get(path)
        taken.append((cpu_ns(daemon.pid) - before) / 1e6)
    return median(taken)


def measure(bench: Bench, jobs: int, count: int, samples: int) -> None:
    """Measure the pages of a daemon with so many jobs and runs."""
    with work_folder() as folder:
        write_handlers(folder / "handlers")
        write_jobs(folder / "jobs.d", jobs)
        with Daemon(folder):
            pass
        fill(folder / "state", count)
        if jobs < BIG:
            part, first = asyncio.run(database_ms(folder / "state"))
            bench.add(f"overview, the database's part, {jobs:,} jobs", part, "ms", DATABASE_MS)
            bench.add("the first look of a daemon", first, "ms")
        with Daemon(folder, "--listen", "127.0.0.1:0") as daemon:
            client = Client(daemon)
            for path in PAGES if jobs < BIG else ("/",):
                target = (BIG_MS if jobs >= BIG else SERVER_MS) if path == "/" else None
                took = server_ms(daemon, client, path, samples)
                bench.add(f"{path}, {jobs:,} jobs, {count:,} runs", took, "ms", target)
            bench.add(f"first page, {jobs:,} jobs", size(client), "kB", FIRST_KB)


def main() -> None:
    """Measure the pages with the jobs that are asked for, and the overview with many more."""
    asked = arguments(
        __doc__,
        {
            "jobs": (1_000, "how many jobs"),
            "rows": (1_000_000, "how many runs"),
            "samples": (20, "of each page"),
            "big": (BIG, "how many jobs of the second daemon; 0 for none"),
        },
    )
    with benchmark("pages", "Pages of the dashboard") as bench:
        measure(bench, asked.jobs, asked.rows, asked.samples)
        if asked.big:
            measure(bench, asked.big, asked.rows, asked.samples)


if __name__ == "__main__":
    main()
