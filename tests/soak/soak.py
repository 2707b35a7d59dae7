"""A day of a busy daemon in twenty minutes: runs, reloads and kill -9, then the promises are checked.

    PYTHONPATH=tests python -m soak.soak [--runs 100000] [--reloads 10000] [--kills 1000] [--minutes 40] [--seed N]

It ends when all three numbers are reached, or after so many minutes. Loopback only; it cleans up.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from time import monotonic  # noqa: TID251 - how long a soak takes is real time

from soak import verdict
from soak.lives import KilledLife, SteadyLife
from soak.scene import Scene

STEADY_JOBS, KILLED_JOBS = 80, 20


@dataclass(frozen=True)
class Goal:
    """When a soak is over."""

    runs: int
    reloads: int
    kills: int
    seconds: float


@dataclass(frozen=True)
class Report:
    """The work and the findings of a soak."""

    runs: int
    reloads: int
    kills: int
    seconds: float
    samples: tuple[verdict.Sample, ...]
    violations: tuple[str, ...]

    def __str__(self) -> str:
        first, last = self.samples[len(self.samples) // 2], self.samples[-1]
        slope = verdict.slope_mb(verdict.warm_half(self.samples))
        return f"""\
{self.runs:,} runs, {self.reloads:,} reloads, {self.kills:,} kill -9 in {self.seconds / 60:.1f} minutes
memory {last.resident / verdict.MB:.1f} MB, {slope:+.2f} MB in 10,000 runs once it is warm
descriptors {first.descriptors} -> {last.descriptors}, threads {first.threads} -> {last.threads}, \
zombies {len(last.zombies)}
database {last.database / verdict.MB:.1f} MB for {last.rows:,} rows
{len(self.violations)} violations
{chr(10).join(self.violations)}"""


def soak(folder: Path, goal: Goal, seed: int, *, sample_every_s: float = 5.0) -> Report:
    """Live both lives in *folder* until *goal* is reached."""
    steady = SteadyLife(Scene(folder / "steady", STEADY_JOBS))
    killed = KilledLife(Scene(folder / "killed", KILLED_JOBS), seed)
    began = monotonic()
    steady.start()
    killed.start()
    tick = threading.Event()
    try:
        while monotonic() < began + goal.seconds and not steady.trouble and not killed.trouble:
            tick.wait(sample_every_s)
            steady.sample()
            counts = (
                (steady.runs + killed.scene.count_begun(), goal.runs),
                (steady.reloads, goal.reloads),
                (killed.kills, goal.kills),
            )
            _show(monotonic() - began, counts, steady.samples[-1])
            if all(done >= wanted for done, wanted in counts):
                break
    finally:
        steady.stop()
        killed.stop()
    for error in (*steady.trouble, *killed.trouble):
        raise error
    violations = [
        *verdict.growth(steady.samples),
        *(f"the log: {line}" for line in steady.daemon.lines if line["level"] == "critical"),
        *verdict.promises(steady.scene, steady.daemon.state / "luad.db"),
        *verdict.promises(killed.scene, killed.daemon.state / "luad.db"),
    ]
    return Report(
        steady.runs + killed.scene.count_begun(),
        steady.reloads,
        killed.kills,
        monotonic() - began,
        tuple(steady.samples),
        tuple(violations),
    )


def _show(seconds: float, counts: tuple[tuple[int, int], ...], sample: verdict.Sample) -> None:
    if not sys.stdout.isatty() and int(seconds) % 30 > 5:
        return
    (runs, all_runs), (reloads, all_reloads), (kills, all_kills) = counts
    print(
        f"{seconds / 60:5.1f} min  runs {runs:,}/{all_runs:,}  reloads {reloads:,}/{all_reloads:,}  "
        f"kills {kills:,}/{all_kills:,}  {sample.resident / verdict.MB:.1f} MB  "
        f"{sample.descriptors} descriptors  {sample.threads} threads  "
        f"database {sample.database / verdict.MB:.1f} MB",
        flush=True,
    )


def main() -> int:
    """Soak, and say how it was."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--reloads", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    with tempfile.TemporaryDirectory(prefix="luad-soak-") as folder:
        goal = Goal(asked.runs, asked.reloads, asked.kills, 60 * asked.minutes)
        report = soak(Path(folder), goal, asked.seed)
    print(report)
    is_reached = (
        report.runs >= goal.runs and report.reloads >= goal.reloads and report.kills >= goal.kills
    )
    if not is_reached:
        print("the numbers were not reached in time")
    return 0 if is_reached and not report.violations else 1


if __name__ == "__main__":
    sys.exit(main())
