"""Herds and every-second jobs beside the peers, by turns in one invocation.

    python -m benchmarks.bench_beside [--herd 500] [--seconds 30] [--rounds 2]

luad runs a Python handler in a process of its own; a peer that runs commands gets `python -c` for that. Libraries
that call a function in their own process have no process to start: they are shown, and not compared. Processor time
is that of the whole tree, handlers included.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from benchmarks import rivals
from benchmarks.common import Bench, arguments, benchmark, quantile, wall_ns, work_folder
from benchmarks.peers import Peer, installed, library, program

WARM_UP: Final = 3  # runs: a daemon that has just begun still has things to do
LEAD_S: Final = 10  # and one for each hundred jobs, from the writing of a herd to its instant
DEF_CPU_MS, SHELL_CPU_MS = 6.5, 3.5
LIBRARIES: Final = (
    ("APScheduler", "bench", "apscheduler3"),
    ("APScheduler", "bench-apscheduler4", "apscheduler4"),
    ("schedule", "bench", "schedule"),
)


class Case(NamedTuple):
    """A way to run jobs: how late they were, and the processor seconds of a run."""

    name: str
    run: Callable[..., tuple[list[float], float]]


def _cases(bench: Bench, peers: list[Peer]) -> list[Case]:
    cases = [
        Case("luad, Python handler", partial(rivals.luad, handler="stamp")),
        Case("luad, shell", partial(rivals.luad, handler="shell")),
    ]
    for peer in peers:
        cases.append(Case("cronstable, python -c", partial(_cronstable, peer, is_python=True)))
        cases.append(Case("cronstable, shell", partial(_cronstable, peer, is_python=False)))
    for package, extra, kind in LIBRARIES:
        if (found := library(bench, package, extra)) is not None:
            cases.append(Case(found.label, partial(_library, found, kind)))
    for name in ("supercronic", "crond"):
        if program(bench, name) is not None:
            bench.skip(name, "its jobs are due at whole minutes; it is measured by hand")
    return cases


def _cronstable(
    peer: Peer,
    folder: Path,
    *,
    is_python: bool,
    count: int = 1,
    at: int | None = None,
    seconds: int = 0,
) -> tuple[list[float], float]:
    out = folder / "stamps"
    command = rivals.python_command(out) if is_python else rivals.DATE.format(out)
    return rivals.cronstable(peer, folder, command, count=count, at=at, seconds=seconds)


def _library(
    peer: Peer, kind: str, folder: Path, *, count: int = 1, at: int | None = None, seconds: int = 0
) -> tuple[list[float], float]:
    if kind == "schedule" and at is not None:
        return [], 0.0  # it has no jobs for an instant
    return rivals.in_process(peer, kind, folder, count=count, at=at, seconds=seconds), 0.0


def herds(bench: Bench, cases: list[Case], count: int, rounds: int) -> None:
    """All jobs at one instant: how late the last of them began."""
    lasts: dict[str, list[float]] = {case.name: [] for case in cases}
    costs: dict[str, list[float]] = {case.name: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            with work_folder() as folder:
                at = wall_ns() // 1_000_000_000 + LEAD_S + count // 100
                late, cost = case.run(folder=folder, count=count, at=at)
            if late and len(late) < count:
                bench.note(f"{case.name}: only {len(late)} of {count} jobs ran")
            if late:
                lasts[case.name].append(max(late))
                costs[case.name].append(1e3 * cost)
    for name, values in lasts.items():
        if values:
            cost = median(costs[name])
            note = f"{cost:.1f} ms of processor a run" if cost else ""
            bench.add(f"{count} at once, {name}: the last began", median(values), "ms", note=note)
    what = f"{count} at once"
    _beside(
        bench, f"{what}: def, of cronstable + python -c", lasts, "Python handler", "python -c", 0.5
    )
    _beside(bench, f"{what}: shell, of cronstable", lasts, "shell", "shell", 1.4)
    for kind, target in (("Python handler", DEF_CPU_MS), ("shell", SHELL_CPU_MS)):
        found = costs[f"luad, {kind}"]
        bench.add(f"{what}: processor time of a run, {kind}", median(found), "ms", target)


def every_second(bench: Bench, cases: list[Case], seconds: int, rounds: int) -> None:
    """One job that is due every second: how late it begins."""
    halves: dict[str, list[float]] = {case.name: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            with work_folder() as folder:
                late, _ = case.run(folder=folder, seconds=seconds + WARM_UP)
            late = late[WARM_UP:]
            if not late:
                bench.skip(case.name, "it ran nothing")
                continue
            halves[case.name].append(quantile(late, 0.5))
            bench.details.setdefault(case.name, []).extend(round(each, 2) for each in late)
    for name, values in halves.items():
        if values:
            bench.add(f"every second, {name}: median", median(values), "ms")
            bench.tail(f"every second, {name}", bench.details[name], "ms")
    what = "every second"
    _beside(
        bench, f"{what}: def, of cronstable + python -c", halves, "Python handler", "python -c", 0.3
    )
    _beside(bench, f"{what}: shell, of cronstable", halves, "shell", "shell", 1.3)


def _beside(
    bench: Bench, what: str, found: dict[str, list[float]], own: str, other: str, target: float
) -> None:
    mine, theirs = found[f"luad, {own}"], found.get(f"cronstable, {other}", [])
    if mine and len(mine) == len(theirs):
        bench.ratio(what, mine, theirs, target)


def heavy(bench: Bench, seconds: int, rounds: int) -> None:
    """A handler whose module imports large packages, from its third run on, beside a light one."""
    taken: dict[str, list[float]] = {"stamp": [], "heavy": []}
    for _ in range(rounds):
        for handler, values in taken.items():
            with work_folder() as folder:
                late, _ = rivals.luad(folder, handler, seconds=seconds + WARM_UP)
                if len(late) <= WARM_UP:
                    bench.skip(
                        "a handler with large imports", f"`{handler}` ran {len(late)} times only"
                    )
                    return
                values.append(quantile(late[WARM_UP:], 0.5))
    bench.add("a handler with large imports: median", median(taken["heavy"]), "ms")
    bench.ratio("a handler with large imports, of a light one", taken["heavy"], taken["stamp"], 2.0)


def main() -> None:
    asked = arguments(
        __doc__,
        {
            "herd": (500, "jobs at one instant"),
            "seconds": (30, "of each every-second round"),
            "rounds": (2, "of each, by turns"),
        },
    )
    with (
        benchmark("beside", "Herds and every-second jobs beside the peers") as bench,
        installed(bench, "cronstable") as peers,
    ):
        cases = _cases(bench, peers)
        herds(bench, cases, asked.herd, asked.rounds)
        every_second(bench, cases, asked.seconds, asked.rounds)
        heavy(bench, asked.seconds, asked.rounds)


if __name__ == "__main__":
    main()
