"""How fast the command line answers.

    python -m benchmarks.bench_cli [--jobs 100] [--rounds 10]

Wall time of the whole command, start of the interpreter included, with a running daemon; medians.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path

from benchmarks.common import Bench, arguments, benchmark, wall_of, work_folder
from benchmarks.live import Daemon
from benchmarks.loads import write_handlers, write_jobs

LUAD = str(Path(sys.executable).with_name("luad"))  # the script that people type


def measure(bench: Bench, daemon: Daemon, jobs: int, rounds: int) -> None:
    socket = ["--socket", str(daemon.socket)]
    words = {"COMP_WORDS": f"luad --socket {daemon.socket} show job-0", "COMP_CWORD": "4"}
    completing = {**os.environ, "_LUAD_COMPLETE": "bash_complete", **words}
    cases: list[tuple[str, list[str], float | None, dict[str, str] | None]] = [
        ("luad --help", [LUAD, "--help"], 150, None),
        (f"luad list, {jobs} jobs", [LUAD, *socket, "list"], 250, None),
        (f"luad --json list, {jobs} jobs", [LUAD, *socket, "--json", "list"], 250, None),
        ("luad status", [LUAD, *socket, "status"], 250, None),
        ("luad history", [LUAD, *socket, "history"], 250, None),
        ("luad explain", [LUAD, "explain", "0 9 * * MON-FRI", "--tz", "Europe/London"], 250, None),
        ("completing a job's name", [LUAD], 150, completing),
        ("floor: python -c pass", [sys.executable, "-c", "pass"], None, None),
        ("floor: python -c 'import click'", [sys.executable, "-c", "import click"], None, None),
    ]
    taken: dict[str, list[float]] = {name: [] for name, *_ in cases}
    for turn in range(rounds + 1):
        for name, command, _, env in cases:
            took, done = wall_of(command, env=env, cwd=daemon.folder)
            assert done.stdout or done.stderr or name.startswith("floor"), name
            if turn:  # the first fills caches
                taken[name].append(1e3 * took)
    for name, _, target, _ in cases:
        times = taken[name]
        note = f"{min(times):.0f}-{max(times):.0f}"
        bench.add(name, statistics.median(times), "ms", target, note)
    bench.details.update(taken)


def main() -> None:
    asked = arguments(__doc__, {"jobs": (100, "how many"), "rounds": (10, "of each")})
    with benchmark("cli", "The command line") as bench, work_folder() as folder:
        write_jobs(folder / "jobs.d", asked.jobs)
        write_handlers(folder / "handlers")
        with Daemon(folder) as daemon:
            measure(bench, daemon, asked.jobs, asked.rounds)


if __name__ == "__main__":
    main()
