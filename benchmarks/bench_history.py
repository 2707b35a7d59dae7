"""A long history: what it costs to forget it, to count it, and to recall the latest runs at the start.

    python -m benchmarks.bench_history [--rows 1000000] [--jobs 10000] [--claims 1500]

The rows of all jobs lie in order of time, one job after the other: removing a row then touches a page
of each index for itself, which is the worst that retention can meet. `claim during retention`: while
everything but a tenth is forgotten, claims come every few milliseconds; each waits for the slice in hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from benchmarks.common import Bench, arguments, benchmark, now_s, quantile, work_folder
from luad.clock import SystemClock
from luad.core.events import ClaimRun, InstallJob
from luad.core.model import DAY, Cron, Job, Run, Trigger
from luad.live.job_choice import Found
from luad.live.job_state import JobStateView
from luad.live.recent_runs import RecentRuns
from luad.live.restore import RestoreTask
from luad.store import Store

CLAIM_MS: Final = 100
EVERY_S: Final = 0.01
SLICES_APART_S: Final = 0.05  # as the daemon does it
LOG_EVERY: Final = 4  # each fourth run has said something

COLUMNS: Final = (
    "id", "job_name", "job_id", "revision", "trigger", "scheduled_for", "occurrence", "fire_at",
    "claimed_at", "state", "attempt", "missed_count", "started_at", "ended_at", "end_kind", "end_at",
    "exit_code", "dropped_bytes", "result_json", "is_result_truncated",
)  # fmt: skip


def job_id(number: int) -> str:
    """The id of a job."""
    return f"job_{number:026d}"


def job_named(number: int) -> Job:
    """A job that fires once a day."""
    name = f"job-{number:05}"
    return Job(name, "house:tidy", Cron("0 3 * * *"), "r1", definition={"name": name})


def rows(count: int, jobs: int, now: int) -> Iterator[tuple[Any, ...]]:
    """*count* runs of *jobs* jobs in turn, over the last year, the oldest first."""
    for number in range(count):
        job = number * 7_919 % jobs  # neighbours in time are no neighbours by name
        at = now - 365 * DAY + number * 364 * DAY // count
        state = "failed" if number % 50 == 0 else "succeeded"
        yield (
            f"run_{number:026d}", f"job-{job:05}", job_id(job), "r1", "schedule", at, at, at, at,
            state, 1, 0, at + 5, at + 700, "returned", at + 700, 0, 0, "null", 0,
        )  # fmt: skip


def chunks(count: int, now: int) -> Iterator[tuple[Any, ...]]:
    """A few lines for some of the runs."""
    text = "\n".join(['{"ts":1,"stream":"stdout","level":"info","message":"' + "x" * 80 + '"}'] * 5)
    for number in range(0, count, LOG_EVERY):
        at = now - 365 * DAY + number * 364 * DAY // count
        yield f"run_{number:026d}", 1, 5, at, at + 600, len(text), text


async def fill(folder: Path, jobs: int, count: int) -> None:
    """Make a store, and put the rows in by hand: through the front door it would take half an hour."""
    now = SystemClock().now().wall
    store = Store.open(folder, clock=SystemClock())
    await store.apply([InstallJob(job_id(n), job_named(n), None, now) for n in range(jobs)])
    store.close()
    marks = ",".join("?" * len(COLUMNS))
    with closing(sqlite3.connect(folder / "luad.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")
        connection.execute("BEGIN")
        insert = f"INSERT INTO runs ({','.join(COLUMNS)}) VALUES ({marks})"  # noqa: S608 - our own words
        connection.executemany(insert, rows(count, jobs, now))
        insert = "INSERT INTO run_logs VALUES (?,?,?,?,?,?,?)"
        connection.executemany(insert, chunks(count, now))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class _Installed:
    """As much of the installed jobs as recalling needs."""

    def __init__(self, jobs: int) -> None:
        now = SystemClock().now().wall
        views = [JobStateView(job_named(n), job_id(n), now, now) for n in range(jobs)]
        self._jobs = {view.job.name: view for view in views}
        self._places = sorted(self._jobs)

    def search(self, _choice: object, after: str, most: int) -> Found:
        """Return up to *most* places behind *after*."""
        start = bisect_right(self._places, after)
        places = self._places[start : start + most]
        is_last = start + most >= len(self._places)
        return Found(places, None if is_last else places[-1])

    def at(self, place: str) -> JobStateView | None:
        return self._jobs.get(place)

    def id_at(self, place: str) -> str | None:
        return self._jobs[place].job_id


class _Memory:
    """As much of a service as recalling needs."""

    def __init__(self, store: Store, jobs: int) -> None:
        self.store = store
        self.recent_runs = RecentRuns()
        self.installed = _Installed(jobs)


async def lag(into: list[float]) -> None:
    """Note how late the loop wakes, until cancelled."""
    while True:
        began = now_s()
        await asyncio.sleep(0.001)
        into.append(1e3 * (now_s() - began) - 1)


async def restore(bench: Bench, store: Store, jobs: int) -> None:
    memory = _Memory(store, jobs)
    late: list[float] = []
    watch = asyncio.create_task(lag(late))
    await asyncio.sleep(0.01)
    work = RestoreTask(memory)  # it asks for no more than this
    began = now_s()
    work.start()
    assert work._task is not None  # noqa: SLF001 - `wait` gives up after a while
    await work._task  # noqa: SLF001 - as above
    took = now_s() - began
    watch.cancel()
    assert all(memory.recent_runs.last(job_id(number)) for number in range(jobs))
    bench.add(f"recall the latest runs of {jobs:,} jobs", took, "s")
    bench.add("recall: the loop waits at most", max(late), "ms")


async def count(bench: Bench, store: Store, total: int) -> None:
    began = now_s()
    assert sum((await store.counts()).values()) == total
    bench.add(f"count {total:,} rows by state", 1e3 * (now_s() - began), "ms")
    began = now_s()
    assert await store.run_count() == total
    bench.add(f"how many rows there are, of {total:,}, first time", 1e3 * (now_s() - began), "ms")
    began = now_s()
    assert await store.run_count() == total
    bench.add("how many rows there are, again", 1e3 * (now_s() - began), "ms")


def claim(number: int) -> ClaimRun:
    now = SystemClock().now().wall
    name = f"run_{10**20 + number:026d}"
    return ClaimRun(
        Run(name, "job-00000", job_id(0), "r1", Trigger.SCHEDULE, now + number, now, now)
    )


async def claims(store: Store, most: int) -> list[float]:
    """Claim until cancelled, or *most* times; return how long each took, in ms."""
    taken = []
    with contextlib.suppress(asyncio.CancelledError):
        for number in range(most):
            began = now_s()
            await store.apply([claim(number)])
            taken.append(1e3 * (now_s() - began))
            await asyncio.sleep(EVERY_S)
    return taken


async def forget(bench: Bench, store: Store, wanted: int) -> None:
    alone = await claims(store, 200)
    bench.add("claim alone, median", quantile(alone, 0.5), "ms", note=f"max {max(alone):.1f}")
    claiming = asyncio.create_task(claims(store, wanted))
    slices: list[float] = []
    removed, began = 0, now_s()
    is_done = False
    while not is_done and not claiming.done():
        start = now_s()
        part = await store.prune(
            SystemClock().now().wall, history_ms=36 * DAY, runs_per_job=1_000, logs_ms=14 * DAY
        )
        slices.append(1e3 * (now_s() - start))
        removed += part.runs
        is_done = part.is_done
        await asyncio.sleep(SLICES_APART_S)
    took = now_s() - began
    if is_done:
        claiming.cancel()
    taken = await claiming
    what = "claim during retention"
    bench.add(f"{what}, median", quantile(taken, 0.5), "ms", note=f"{len(taken):,} claims")
    bench.tail(what, taken, "ms")
    bench.add(f"{what}, max", max(taken), "ms", CLAIM_MS)
    bench.add("slice, median", quantile(slices, 0.5), "ms", note=f"{len(slices):,} slices")
    bench.tail("slice", slices, "ms")
    bench.add("slice, max", max(slices), "ms", note=f"the first: {slices[0]:.0f} (with the survey)")
    bench.add("rows forgotten a second", removed / took, "", note=f"{removed:,} in {took:.0f} s")
    bench.details.update(claims_ms=taken, slices_ms=slices)


async def measure(bench: Bench, folder: Path, total: int, jobs: int, wanted: int) -> None:
    began = now_s()
    await fill(folder, jobs, total)
    bench.note(f"{total:,} rows of {jobs:,} jobs written by hand in {now_s() - began:.0f} s")
    store = Store.open(folder, clock=SystemClock())
    try:
        await restore(bench, store, jobs)
        await count(bench, store, total)
        await forget(bench, store, wanted)
    finally:
        store.close()


def main() -> None:
    asked = arguments(
        __doc__,
        {
            "rows": (1_000_000, "how many"),
            "jobs": (10_000, "whose rows they are"),
            "claims": (1_500, "at most, while history is forgotten"),
        },
    )
    with benchmark("history", "A long history") as bench, work_folder() as folder:
        time.sleep(0.1)
        asyncio.run(measure(bench, folder / "state", asked.rows, asked.jobs, asked.claims))


if __name__ == "__main__":
    main()
