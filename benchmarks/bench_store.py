"""The cost of a row in the store: claims, starts and ends, mixed, in batches.

    python -m benchmarks.bench_store [--rows 40000]

Microseconds of processor time of the whole process for a row (and what the clock says), with the store's thread, its
future and its commit. Batches of 100 are what a busy second brings; a batch of one is what a quiet one does.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.common import Bench, arguments, benchmark, now_s, work_folder
from luad.clock import SystemClock
from luad.core.events import ClaimRun, SaveRun
from luad.core.model import Ending, EndKind, ProcessIdentity, Run, RunState, Trigger
from luad.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luad.core.events import Record

JOBS: Final = 1_000
BATCHES: Final = (1, 10, 100, 500)
IN_A_BUSY_SECOND: Final = 100
TARGET_US: Final = 20


def lives(now: int) -> Iterator[Record]:
    """Claims, starts and ends in turn; each run starts 50 runs after its claim, and ends 50 later."""
    runs: list[Run] = []
    for number in range(10_000_000):
        job, at = number * 7_919 % JOBS, now + number
        name, job_id = f"job-{job:05}", f"job_{job:026d}"
        run = Run(
            f"run_{number:026d}", name, job_id, "r1", Trigger.SCHEDULE, at, at, at, RunState.RUNNING
        )
        runs.append(run)
        yield ClaimRun(run)
        if number >= 50:
            identity = ProcessIdentity(number, number, "a-boot")
            runs[number - 50] = replace(runs[number - 50], started_at=at, identity=identity)
            yield SaveRun(runs[number - 50], is_start=True)
        if number >= 100:
            ending = Ending(EndKind.RETURNED, at, 0, result_json="null")
            run = runs[number - 100]
            yield SaveRun(replace(run, state=RunState.SUCCEEDED, ended_at=at, ending=ending))


async def measure(bench: Bench, folder: Path, size: int, count: int) -> None:
    store = Store.open(folder, clock=SystemClock())
    records = lives(SystemClock().now().wall)
    batches = [list(islice(records, size)) for _ in range(count // size)]
    for batch in batches[:5]:
        await store.apply(batch)
    began, before = now_s(), os.times()
    for batch in batches[5:]:
        await store.apply(batch)
    took, after = now_s() - began, os.times()
    store.close()
    rows = size * (len(batches) - 5)
    cpu = after.user - before.user + after.system - before.system
    target = TARGET_US if size == IN_A_BUSY_SECOND else None
    bench.add(f"a row in batches of {size}, processor", 1e6 * cpu / rows, "us", target)
    bench.add(f"a row in batches of {size}", 1e6 * took / rows, "us")


async def measure_all(bench: Bench, folder: Path, count: int) -> None:
    """Measure each size of batches in a store of its own."""
    for size in BATCHES:
        rows = max(20 * size, count // (40 if size == 1 else 1))
        await measure(bench, folder / f"state-{size}", size, rows)


def main() -> None:
    asked = arguments(__doc__, {"rows": (40_000, "how many, in batches of each size")})
    with benchmark("store", "A row in the store") as bench, work_folder() as folder:
        asyncio.run(measure_all(bench, folder, asked.rows))


if __name__ == "__main__":
    main()
