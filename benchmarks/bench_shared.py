"""Shared processes: runs a second, a herd, and lateness, against a process for every run.

    python -m benchmarks.bench_shared [--counts 10000,100000] [--own 300] [--seconds 15] [--rounds 2]

Jobs of type once, all at the same instant; each run has its row on disk before it starts, and prints a line.
Both ways of running are measured by turns in the same invocation, so the ratios hold on a busy machine.
"""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bench_dynamic import Connection, create_many
from benchmarks.common import (
    Bench,
    arguments,
    benchmark,
    now_s,
    quantile,
    spread,
    wall_ns,
    work_folder,
)
from benchmarks.live import Daemon, cpu_s, descendants
from benchmarks.loads import HANDLER_MODULE, stamps, write_handlers

RUN_US = 1e6 / 8_000  # a run, so that 8,000 fit into a second
HERD_S = {100_000: 15.0}
LAG_MS = 50
P50_MS = 4
P50_RATIO = 0.6
CHUNK = 500  # jobs in a call
LEAD_S = 3
GIVE_UP_S = 300
SETTLE_S = 2


def herd(folder: Path, isolation: str, count: int) -> dict[str, Any]:
    """Make *count* jobs of one instant, and wait until their runs are over."""
    write_handlers(folder / "handlers")
    with Daemon(folder) as daemon:
        connection = Connection(daemon)
        warm(daemon, connection, isolation)
        at = wall_ns() // 1_000_000_000 + LEAD_S + count // 200
        body = {
            "handler": f"{HANDLER_MODULE}:line",
            "isolation": isolation,
            "schedule": {"type": "once", "execute_at": datetime.fromtimestamp(at, UTC).isoformat()},
            "keep": True,
        }
        for start in range(0, count, CHUNK):
            numbers = range(start, min(count, start + CHUNK))
            create_many(connection, [{**body, "name": f"herd-{number}"} for number in numbers])
        assert wall_ns() < at * 1_000_000_000, "it was not ready in time; this would be no herd"
        daemon.forget_log()
        time.sleep(max(0.0, at - 0.3 - wall_ns() / 1e9))
        before = cpu_s(daemon.pid), below_s(daemon)
        wait_for(daemon, count)
        after = cpu_s(daemon.pid), below_s(daemon)
        lag_ms = daemon.get("/status")["event_loop_lag_ms"]
        connection.close()
        rows = daemon.rows(
            "SELECT state, claimed_at, started_at, ended_at FROM runs WHERE job_name LIKE 'herd-%'"
        )
    return {
        "took_s": max(row[3] for row in rows) / 1e3 - at,
        "not_succeeded": count - sum(row[0] == "succeeded" for row in rows),
        "lag_ms": lag_ms,
        "daemon_us": (after[0] - before[0]) / count * 1e6,
        "below_us": (after[1] - before[1]) / count * 1e6,
    }


def warm(daemon: Daemon, connection: Connection, isolation: str) -> None:
    """Execute one run, so that a shared process is ready."""
    body = {"handler": f"{HANDLER_MODULE}:line", "in": "1h", "name": "warm", "isolation": isolation}
    connection.ask("POST", "/jobs", body)
    connection.ask("POST", "/jobs/warm/trigger", {})
    daemon.wait_for(b"run.ended")


def below_s(daemon: Daemon) -> float:
    """The processor time of the processes below the daemon that live now."""
    return sum(cpu_s(pid) for pid in descendants(daemon.pid))


def wait_for(daemon: Daemon, count: int) -> None:
    question = "SELECT count(*) FROM runs WHERE ended_at IS NOT NULL AND job_name LIKE 'herd-%'"
    until = now_s() + GIVE_UP_S
    while daemon.rows(question)[0][0] < count and now_s() < until:
        time.sleep(0.5)  # rare enough to be no part of what is measured


def lateness(folder: Path, isolation: str, seconds: int) -> list[float]:
    """Return the lateness of each run of an every-second job, in milliseconds, by the handler's clock."""
    write_handlers(folder / "handlers")
    out = folder / "stamps"
    daemon = Daemon(folder)
    (daemon.jobs / "tick.yaml").write_text(
        f"name: tick\nhandler: {HANDLER_MODULE}:stamp\nisolation: {isolation}\n"
        f'schedule: {{type: cron, expression: "* * * * * *"}}\nmetadata: {{stamps: "{out}"}}\n'
    )
    with daemon:
        time.sleep(seconds + SETTLE_S)
    found = [1e3 * (ran - due) for marks in stamps(out).values() for due, ran in marks]
    return found[SETTLE_S:]


def measure_herds(bench: Bench, counts: list[int], own: int) -> None:
    with work_folder() as folder:
        alone = herd(folder, "process", own)
    bench.details["process"] = alone
    each_us = alone["took_s"] / own * 1e6
    bench.add(f"{own:,} in a process each: a run", each_us, "us")
    for count in counts:
        with work_folder() as folder:
            found = herd(folder, "shared", count)
        bench.details[f"shared {count}"] = found
        what = f"{count:,} shared"
        run_us = found["took_s"] / count * 1e6
        bench.add(f"{what}: a run", run_us, "us", RUN_US, f"{1e6 / run_us:,.0f} a second")
        bench.add(f"{what}: against a process each", run_us / each_us, "x")
        bench.add(f"{what}: all over", found["took_s"], "s", HERD_S.get(count))
        bench.add(f"{what}: processor time of the daemon, a run", found["daemon_us"], "us")
        bench.add(f"{what}: of the shared processes, a run", found["below_us"], "us")
        bench.add(f"{what}: loop held", found["lag_ms"], "ms", LAG_MS)
        bench.add(f"{what}: not succeeded", found["not_succeeded"], "runs", 0)


def measure_lateness(bench: Bench, seconds: int, rounds: int) -> None:
    taken: dict[str, list[list[float]]] = {"process": [], "shared": []}
    for _ in range(rounds):
        for isolation, mine in taken.items():
            with work_folder() as folder:
                mine.append(lateness(folder, isolation, seconds))
    medians = {name: [quantile(each, 0.5) for each in mine] for name, mine in taken.items()}
    ratios = [shared / own for own, shared in zip(*medians.values(), strict=True)]
    for name, target in (("process", None), ("shared", P50_MS)):
        values = medians[name]
        bench.add(f"lateness, {name}: p50", statistics.median(values), "ms", target, spread(values))
        bench.details[f"lateness {name}"] = taken[name]
    ratio = statistics.median(ratios)
    bench.add("lateness: shared against process", ratio, "x", P50_RATIO, spread(ratios))


def main() -> None:
    asked = arguments(
        __doc__,
        {
            "counts": ([10_000, 100_000], "how many jobs at once"),
            "own": (300, "jobs at once with a process each"),
            "seconds": (15, "of each round of lateness"),
            "rounds": (2, "of lateness, by turns"),
        },
    )
    with benchmark("shared", "Shared processes against a process for every run") as bench:
        measure_herds(bench, asked.counts, asked.own)
        measure_lateness(bench, asked.seconds, asked.rounds)


if __name__ == "__main__":
    main()
