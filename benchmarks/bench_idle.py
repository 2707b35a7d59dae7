"""The cost of luad while nothing is due: processor time, wake-ups, memory.

    python -m benchmarks.bench_idle [--jobs 10000] [--seconds 60]

Processor time of the daemon and of its helpers (the spawner, and the process in reserve), from
/proc/PID/stat and, finer, from the scheduler's own count.
"""

from __future__ import annotations

import time

from benchmarks.common import Bench, arguments, benchmark, now_s, work_folder
from benchmarks.live import Daemon, cpu_ns, cpu_s, proportional_mb, resident_mb, wake_ups
from benchmarks.loads import write_handlers, write_jobs

TARGET_PERCENT = 0.5
SETTLE_S = 5.0


def measure(bench: Bench, daemon: Daemon, jobs: int, seconds: int) -> None:
    time.sleep(SETTLE_S)
    pids = [daemon.pid, *daemon.helpers()]
    before = [(cpu_s(pid), cpu_ns(pid), wake_ups(pid)) for pid in pids]
    began = now_s()
    time.sleep(seconds)
    took = now_s() - began
    after = [(cpu_s(pid), cpu_ns(pid), wake_ups(pid)) for pid in pids]
    spent = [
        (new[0] - old[0], (new[1] - old[1]) / 1e9, new[2] - old[2])
        for new, old in zip(after, before, strict=True)
    ]
    what = f"{jobs:,} jobs, nothing due"
    total, exact = (100 * sum(each[which] for each in spent) / took for which in (0, 1))
    note = f"{seconds} s; daemon {spent[0][0]:.2f} s, helpers {sum(e[0] for e in spent[1:]):.2f} s"
    bench.add(f"{what}: one core", total, "%", TARGET_PERCENT, note)
    bench.add(f"{what}: one core, by the scheduler's count", exact, "%", TARGET_PERCENT)
    bench.add(f"{what}: wake-ups", sum(each[2] for each in spent) / took, "/s")
    bench.add(f"{what}: resident, daemon", resident_mb(daemon.pid), "MB")
    bench.add(f"{what}: helpers, PSS", sum(map(proportional_mb, pids[1:])), "MB")


def main() -> None:
    asked = arguments(__doc__, {"jobs": (10_000, "how many"), "seconds": (60, "of idleness")})
    with benchmark("idle", "Idle") as bench, work_folder() as folder:
        write_jobs(folder / "jobs.d", asked.jobs)
        write_handlers(folder / "handlers")
        with Daemon(folder) as daemon:
            measure(bench, daemon, asked.jobs, asked.seconds)


if __name__ == "__main__":
    main()
