"""How long luad takes from exec to serving, and how much memory it then has.

    python -m benchmarks.bench_start [--counts 1,1000,10000,100000] [--rounds 3]

One job a file, hardly two with the same schedule. `cold`: nothing is known of them; `warm`: the second
start on the same state folder. Rounds are taken by turns; a figure is the median of its rounds.
"""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.common import Bench, arguments, benchmark, now_s, spread, work_folder
from benchmarks.live import Daemon, proportional_mb, resident_mb, tree_cpu_s
from benchmarks.loads import write_handlers, write_jobs
from luad.daemon.comparison import LEAST

TARGETS_S = {1_000: 1.0, 10_000: 6.0}
TARGETS_MB = {1_000: 80.0, 100_000: 200.0}
CPU_TARGETS_S = {
    (100_000, "cold"): 12.0,
    (100_000, "warm"): 2.0,
    (100_000, "compared"): 3.0,
}
MANY = 100_000  # one round is enough of so many files
SETTLE_S = 10.0


def measure(folder: Path, settle_s: float, *, compares: bool) -> dict[str, Any]:
    """One start; with *settle_s*, memory after that time as well. *compares*: files are compared later."""
    daemon = Daemon(folder)
    daemon.start()
    try:
        ready = daemon.wait_ready()
        status = daemon.get("/status")
        answered = now_s()
        found = {
            "ready_s": ready.at - daemon.started_at,
            "answered_s": answered - daemon.started_at,
            "said_ms": ready.fields["took_ms"],
            "cpu_s": tree_cpu_s(daemon.pid),
            "ready_mb": resident_mb(daemon.pid),
            "jobs": status["jobs"]["total"],
        }
        if compares:
            daemon.wait_for(b"daemon.compared")
            found["compared_cpu_s"] = tree_cpu_s(daemon.pid)
        if settle_s:
            time.sleep(settle_s)
            found["settled_mb"] = resident_mb(daemon.pid)
            found["helpers_pss_mb"] = sum(map(proportional_mb, daemon.helpers()))
            found["daemon_pss_mb"] = proportional_mb(daemon.pid)
    finally:
        daemon.stop()
    return found


def one_count(bench: Bench, count: int, rounds: int) -> None:
    taken: dict[str, list[dict[str, Any]]] = {"cold": [], "warm": []}
    with work_folder() as folder:
        write_jobs(folder / "jobs.d", count)
        write_handlers(folder / "handlers")
        for turn in range(rounds if count < MANY else 1):
            shutil.rmtree(folder / "state", ignore_errors=True)
            for kind, found in taken.items():
                compares = kind == "warm" and count >= 10 * LEAST
                settle_s = SETTLE_S if turn == 0 else 0
                found.append(measure(folder, settle_s, compares=compares))
                assert found[-1]["jobs"] == count, found[-1]
    bench.details[str(count)] = taken
    for kind, found in taken.items():
        what = f"{count:,} jobs, {kind}"
        times = [each["ready_s"] for each in found]
        target = TARGETS_S.get(count)
        bench.add(f"{what}: ready", statistics.median(times), "s", target, spread(times))
        bench.add(
            f"{what}: status answered", statistics.median(each["answered_s"] for each in found), "s"
        )
        busy = statistics.median(each["cpu_s"] for each in found)
        bench.add(f"{what}: processor time", busy, "s", CPU_TARGETS_S.get((count, kind)))
        if "compared_cpu_s" in found[0]:
            busy = statistics.median(each["compared_cpu_s"] for each in found)
            target = CPU_TARGETS_S.get((count, "compared"))
            bench.add(f"{what}: processor time until all files are compared", busy, "s", target)
        most = max(max(each["ready_mb"], each.get("settled_mb", 0)) for each in found)
        first = found[0]
        bench.add(
            f"{what}: resident",
            most,
            "MB",
            TARGETS_MB.get(count),
            f"{first['ready_mb']:.0f} at ready, {first['settled_mb']:.0f} after {SETTLE_S:.0f} s; "
            f"helpers {first['helpers_pss_mb']:.0f} PSS",
        )


def main() -> None:
    asked = arguments(
        __doc__,
        {"counts": ([1, 1_000, 10_000, 100_000], "how many jobs"), "rounds": (3, "of each")},
    )
    with benchmark("start", "Start: from exec to serving") as bench:
        for count in asked.counts:
            one_count(bench, count, asked.rounds)


if __name__ == "__main__":
    main()
