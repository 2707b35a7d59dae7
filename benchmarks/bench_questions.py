"""The cost of questions that return little of much: pages, status, health, schedule, command line.

    python -m benchmarks.bench_questions [--sizes 1000,100000] [--samples 50]

The same questions to daemons with few and with many jobs, created through the API. What counts is how a figure
grows from the first size to the last. A question that has a peer's counterpart would be compared with it, but no
peer answers questions about jobs.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

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


class Asked(NamedTuple):
    """A daemon with *count* jobs, and the connection on which it is asked."""

    count: int
    daemon: Daemon
    connection: Connection


def measure(bench: Bench, counts: Sequence[int], samples: int) -> list[dict[str, list[float]]]:
    """Ask a daemon for each of *counts* jobs, by turns; return the milliseconds of the answers, by path."""
    with ExitStack() as stack:
        asked = [_filled(stack, count) for count in counts]
        for each in asked:
            each.daemon.wait_until_idle()
        taken: list[dict[str, list[float]]] = [{} for _ in asked]
        for path in PATHS:
            walls, busies = _ask(asked, path, samples)
            for each, wall, busy, mine in zip(asked, walls, busies, taken, strict=True):
                target = MOST_MS if each.count >= BIG else None
                what = f"/v1{path}, {each.count:,} jobs"
                bench.add(what, median(wall), "ms", target, f"{busy:.1f} ms of processor")
                bench.tail(what, wall, "ms")
                # Beside other work, processor time is what can be compared.
                mine[path] = [busy] if is_quick() else wall
        for each in asked:
            each.connection.close()
            if not is_quick():
                command_line(bench, each.daemon, each.count)
        return taken


def _filled(stack: ExitStack, count: int) -> Asked:
    folder = stack.enter_context(work_folder())
    write_handlers(folder / "handlers")
    daemon = stack.enter_context(Daemon(folder))
    connection = Connection(daemon)
    fill(connection, count)
    return Asked(count, daemon, connection)


def _ask(asked: Sequence[Asked], path: str, samples: int) -> tuple[list[list[float]], list[float]]:
    """Ask each daemon in its turn; return the milliseconds of each answer, and those of processor time.

    By turns, because a processor may be slower for seconds.
    """
    for each in asked:
        each.connection.ask("GET", path)
    busy = [cpu_ns(each.daemon.pid) for each in asked]
    walls: list[list[float]] = [[] for _ in asked]
    for _ in range(samples):
        for each, wall in zip(asked, walls, strict=True):
            wall.append(each.connection.timed("GET", path))
    return walls, [
        (cpu_ns(each.daemon.pid) - before) / 1e6 / samples
        for each, before in zip(asked, busy, strict=True)
    ]


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
        taken = measure(bench, asked.sizes, asked.samples)
        growth = f"{asked.sizes[-1]:,} jobs, of {asked.sizes[0]:,}"
        for path in PATHS:
            few, many = (sorted(each[path]) for each in (taken[0], taken[-1]))
            bench.ratio(f"/v1{path}: {growth}", [median(many)], [median(few)], MOST_GROWTH)


if __name__ == "__main__":
    main()
