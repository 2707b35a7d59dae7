"""The cost of questions that return little of much: pages, status, health, schedule, command line.

    python -m benchmarks.bench_questions [--sizes 1000,100000] [--samples 50]

The same questions to daemons with few and with many jobs, created through the API. What counts is how a figure
grows from the first size to the last. A question that has a peer's counterpart would be compared with it, but no
peer answers questions about jobs.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.bench_dynamic import CHUNK, Connection, create_many
from benchmarks.common import Bench, arguments, benchmark, is_quick, wall_of, work_folder
from benchmarks.live import LUAD, Daemon, cpu_ns
from benchmarks.loads import HANDLER_MODULE, write_handlers

PATHS: Final = (
    "/jobs?limit=1&include_dynamic=true",
    "/jobs?limit=100&include_dynamic=true",
    "/status",
    "/healthz",
    "/schedule?limit=20",
)
MOST_MS: Final = 5
MOST_GROWTH: Final = 1.5
BIG: Final = 100_000
LIST_S, TAG_S = 4.0, 0.3
LOOKS: Final = 3


def fill(connection: Connection, count: int) -> None:
    """Create *count* jobs, far in the future and each at an instant of its own; a hundred have the tag `some`."""
    for start in range(0, count, CHUNK):
        bodies = [
            {
                "name": f"job-{number:07}",
                "handler": f"{HANDLER_MODULE}:nothing",
                "in": 86_400 + number * 13.7,
                "tags": ["some"] if number % max(1, count // 100) == 0 else [],
            }
            for number in range(start, min(start + CHUNK, count))
        ]
        create_many(connection, bodies)


def measure(bench: Bench, count: int, samples: int) -> dict[str, list[float]]:
    """Ask a daemon with *count* jobs; return the milliseconds of each answer, by path."""
    taken: dict[str, list[float]] = {}
    with work_folder() as folder:
        write_handlers(folder / "handlers")
        with Daemon(folder) as daemon:
            connection = Connection(daemon)
            fill(connection, count)
            for path in PATHS:
                connection.ask("GET", path)
                busy = cpu_ns(daemon.pid)
                taken[path] = [connection.timed("GET", path) for _ in range(samples)]
                busy = (cpu_ns(daemon.pid) - busy) / 1e6 / samples
                target = MOST_MS if count >= BIG else None
                what = f"/v1{path}, {count:,} jobs"
                bench.add(what, median(taken[path]), "ms", target, f"{busy:.1f} ms of processor")
                bench.tail(what, taken[path], "ms")
                if is_quick():  # beside other work, processor time is what can be compared
                    taken[path] = [busy]
            connection.close()
            if not is_quick():
                command_line(bench, daemon, count)
    return taken


def command_line(bench: Bench, daemon: Daemon, count: int) -> None:
    """`luad list`, of everything and of a tag."""
    base = [*LUAD, "--socket", str(daemon.socket), "list", "--all"]
    for text, more, target in (
        ("luad list", [], LIST_S),
        ("luad list of a tag", ["--tag", "some"], TAG_S),
    ):
        taken = [_seconds([*base, *more], daemon.folder) for _ in range(LOOKS)]
        bench.add(f"{text}, {count:,} jobs", median(taken), "s", target if count >= BIG else None)


def _seconds(command: list[str], folder: Path) -> float:
    took, _ = wall_of(command, cwd=folder, stdin=subprocess.DEVNULL)
    return took


def main() -> None:
    asked = arguments(
        __doc__,
        {"sizes": ([1_000, 100_000], "how many jobs"), "samples": (50, "of each question")},
    )
    with benchmark("questions", "Questions that return a little of much") as bench:
        taken = [measure(bench, count, asked.samples) for count in asked.sizes]
        growth = f"{asked.sizes[-1]:,} jobs, of {asked.sizes[0]:,}"
        for path in PATHS:
            few, many = (sorted(each[path]) for each in (taken[0], taken[-1]))
            bench.ratio(f"/v1{path}: {growth}", [median(many)], [median(few)], MOST_GROWTH)


if __name__ == "__main__":
    main()
