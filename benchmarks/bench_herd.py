"""Many jobs due at the same second: how long until all have started, and is any lost.

    python -m benchmarks.bench_herd [--counts 100,500,2000] [--rounds 2]

Jobs of type once, all at the same instant, a run each: a process of its own, with its row on disk before
it starts. `first lines`: from the handlers' own clock readings; `rows`: started_at of the history.
"""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.common import Bench, arguments, benchmark, quantile, spread, wall_ns, work_folder
from benchmarks.live import Daemon, tree_cpu_s
from benchmarks.loads import HANDLER_MODULE, stamps, write_handlers

TARGETS_S = {500: 3.0}
MANY = 1_000  # one round is enough of so many
LEAD_S = 4  # between writing the files and the instant; start-up takes less
GIVE_UP_S = 90


def write_herd(folder: Path, count: int, at: int, out: Path) -> None:
    when = datetime.fromtimestamp(at, UTC).isoformat()
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"herd-{number:05}.yaml").write_text(
            f"name: herd-{number:05}\nhandler: {HANDLER_MODULE}:stamp\n"
            f'schedule: {{type: once, execute_at: "{when}"}}\nmetadata: {{stamps: "{out}"}}\n'
        )


def measure(folder: Path, count: int) -> dict[str, Any]:
    lead_s = LEAD_S + count // 500
    at = wall_ns() // 1_000_000_000 + lead_s
    out = folder / "stamps"
    write_herd(folder / "jobs.d", count, at, out)
    write_handlers(folder / "handlers")
    daemon = Daemon(folder)
    with daemon:
        spent, status = _wait_until_over(daemon, at, count)
    firsts = sorted(ran - at for marks in stamps(out).values() for _, ran in marks)
    rows = daemon.rows("SELECT state, started_at, ended_at, claimed_at FROM runs")
    began = [row[1] / 1e3 - at for row in rows if row[1] is not None]
    ended = [row[2] / 1e3 - at for row in rows if row[2] is not None]
    return {
        "first_lines": firsts,
        "rows_started_s": max(began, default=0),
        "ended_s": max(ended, default=0),
        "claimed_s": max((row[3] / 1e3 - at for row in rows), default=0),
        "not_succeeded": count - sum(row[0] == "succeeded" for row in rows),
        "not_once": count - sum(len(marks) == 1 for marks in stamps(out).values()),
        "tree_cpu_s": spent,
        "lag_ms": status["event_loop_lag_ms"],
    }


def _wait_until_over(daemon: Daemon, at: int, count: int) -> tuple[float, Any]:
    """Wait until as many runs have ended; return the processor time of all processes meanwhile, and its status."""
    time.sleep(max(0.0, at - 0.5 - wall_ns() / 1e9))
    assert wall_ns() < at * 1_000_000_000, "it was not ready in time; this would be no herd"
    before = tree_cpu_s(daemon.pid)
    question = "SELECT count(*) FROM runs WHERE ended_at IS NOT NULL"
    for _ in range(2 * GIVE_UP_S):
        time.sleep(0.5)  # rare enough to be no part of what is measured
        if daemon.rows(question)[0][0] >= count:
            break
    return tree_cpu_s(daemon.pid) - before, daemon.get("/status")


def one_count(bench: Bench, count: int, rounds: int) -> None:
    taken = []
    for _ in range(rounds if count < MANY else 1):
        with work_folder() as folder:
            taken.append(measure(folder, count))
    bench.details[str(count)] = taken
    what = f"{count:,} at once"
    target = TARGETS_S.get(count)
    lasts = [each["first_lines"][-1] for each in taken]
    merged = [each for found in taken for each in found["first_lines"]]
    bench.add(f"{what}: all first lines", statistics.median(lasts), "s", target, spread(lasts))
    bench.add(f"{what}: first lines, median", quantile(merged, 0.5), "s")
    bench.add(f"{what}: the very first", min(each["first_lines"][0] for each in taken), "s")
    for key, text in (
        ("rows_started_s", "all rows started"),
        ("ended_s", "all rows ended"),
        ("claimed_s", "all claimed"),
        ("tree_cpu_s", "processor time, handlers included"),
    ):
        bench.add(f"{what}: {text}", statistics.median(each[key] for each in taken), "s")
    bench.add(
        f"{what}: not started exactly once", sum(each["not_once"] for each in taken), "runs", 0
    )
    bench.add(f"{what}: not succeeded", sum(each["not_succeeded"] for each in taken), "runs", 0)


def main() -> None:
    asked = arguments(
        __doc__, {"counts": ([100, 500, 2_000], "how many jobs"), "rounds": (2, "of each")}
    )
    with benchmark("herd", "Herd: many jobs due at the same second") as bench:
        for count in asked.counts:
            one_count(bench, count, asked.rounds)


if __name__ == "__main__":
    main()
