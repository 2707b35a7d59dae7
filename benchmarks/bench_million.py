"""A million dynamic jobs in one daemon: start, memory, and what idleness costs.

    python -m benchmarks.bench_million [--jobs 1000000] [--seconds 60]

The jobs are created through the API, 10,000 in a call; then the daemon starts again with all of them. No peer holds
a million jobs: APScheduler 3 needs 3.4 kB for each, without a document.
"""

from __future__ import annotations

import time

from benchmarks.bench_dynamic import Connection
from benchmarks.bench_questions import fill
from benchmarks.common import Bench, arguments, benchmark, now_s, work_folder
from benchmarks.live import Daemon, cpu_ns, cpu_s, resident_mb
from benchmarks.loads import write_handlers

MEMORY_MB_OF_MILLION = 1_200.0
IDLE_PERCENT = 0.1
SETTLE_S = 10


def measure(bench: Bench, jobs: int, seconds: int) -> None:
    what = f"{jobs:,} dynamic jobs"
    with work_folder() as folder:
        write_handlers(folder / "handlers")
        with Daemon(folder) as daemon:
            connection = Connection(daemon)
            began = now_s()
            fill(connection, jobs)
            bench.add(f"{what}: created", now_s() - began, "s")
            connection.close()
        with Daemon(folder) as daemon:
            bench.add(f"{what}: exec to ready", now_s() - daemon.started_at, "s")
            bench.add(f"{what}: processor time of the start", cpu_s(daemon.pid), "s")
            time.sleep(SETTLE_S)
            target = MEMORY_MB_OF_MILLION * jobs / 1_000_000
            bench.add(f"{what}: resident", resident_mb(daemon.pid), "MB", target)
            busy, began = cpu_ns(daemon.pid), now_s()
            time.sleep(seconds)
            share = (cpu_ns(daemon.pid) - busy) / 1e7 / (now_s() - began)
            bench.add(f"{what}: one core, nothing due", share, "%", IDLE_PERCENT)


def main() -> None:
    asked = arguments(__doc__, {"jobs": (1_000_000, "how many"), "seconds": (60, "of idleness")})
    with benchmark("million", "A million jobs") as bench:
        measure(bench, asked.jobs, asked.seconds)


if __name__ == "__main__":
    main()
