"""luad's timer wheel beside heapq and asyncio's call_at, in one invocation.

    python benchmarks/bench_wheel.py [--n 100000] [--rounds 3] [--json]

Every case runs in a fresh process, the structures by turns (A B C A B C ...), and is measured in
thread CPU time; what counts is the ratio within a round, not the absolute figure of one machine.

  add           insert n keys
  cancel        take a tenth of them out, at random (heapq and asyncio only mark them)
  fire+re-arm   go from due tick to due tick, take out what is due, insert it again
  batch         100,000 keys of one tick come out at once (milliseconds for all of them)

Loads: `cron` (30 % each minute, 30 % each 5, 10 % each 15, 15 % hourly, 10 % daily, 5 % on a random
second) and `random` (uniform over a day, in milliseconds).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import heapq
import json
import os
import random  # noqa: TID251 - a seeded load is the same for everybody
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout

from luad.core.wheel import Wheel

NOW = 1_763_845_200_000
DAY = 86_400_000
BATCH = 100_000
STRUCTURES = ("luad", "heapq", "asyncio")
MEASURES = ("add", "cancel", "fire", "batch")
Times = list[tuple[int, int]]  # (first tick, period)


def cron_like(n: int) -> Times:
    dice = random.Random(1)  # noqa: S311 - a load, not a secret

    def one() -> tuple[int, int]:
        share = dice.random()
        if share > 0.95:
            return NOW + dice.randrange(1, DAY // 1000) * 1000, DAY
        minutes = 1 if share < 0.3 else 5 if share < 0.6 else 15 if share < 0.7 else 60
        if share > 0.85:
            minutes = 1440
        period = minutes * 60_000
        return (NOW // period + 1) * period, period

    return [one() for _ in range(n)]


def uniform(n: int) -> Times:
    dice = random.Random(1)  # noqa: S311 - a load, not a secret
    return [(NOW + dice.randrange(1, DAY), DAY - (key & 1023)) for key in range(n)]


class LuadWheel:
    """The wheel as the daemon uses it: sleep until `next_due`, then advance."""

    def __init__(self) -> None:
        self.wheel: Wheel[int] = Wheel(NOW)
        self.insert = self.wheel.insert
        self.cancel = self.wheel.cancel
        self.next_due = self.wheel.next_due
        self.pop_due = self.wheel.advance


class Heap:
    """heapq with tuples, the fastest form of it; a cancelled entry is marked and skipped later."""

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, int]] = []
        self.turn_of: dict[int, int] = {}
        self.turn = 0

    def insert(self, key: int, tick: int) -> None:
        self.turn += 1
        self.turn_of[key] = self.turn
        heapq.heappush(self.heap, (tick, self.turn, key))

    def cancel(self, key: int) -> None:
        del self.turn_of[key]

    def next_due(self) -> int | None:
        return self.heap[0][0] if self.heap else None

    def pop_due(self, now: int) -> list[tuple[int, int]]:
        due: list[tuple[int, int]] = []
        heap, turn_of = self.heap, self.turn_of
        while heap and heap[0][0] <= now:
            tick, turn, key = heapq.heappop(heap)
            if turn_of.get(key) == turn:
                del turn_of[key]
                due.append((tick, key))
        return due


class Loop:
    """asyncio's `call_at` on an event loop whose clock is moved by hand."""

    def __init__(self) -> None:
        self.loop: Any = asyncio.SelectorEventLoop()
        self.now = NOW
        self.loop.time = lambda: self.now / 1000
        self.loop._clock_resolution = 0.0004  # noqa: SLF001 - a clock moved by hand is no use it knows
        self.handles: dict[int, asyncio.TimerHandle] = {}
        self.due: list[tuple[int, int]] = []

    def insert(self, key: int, tick: int) -> None:
        self.handles[key] = self.loop.call_at(tick / 1000, self.fire, tick, key)

    def cancel(self, key: int) -> None:
        self.handles.pop(key).cancel()

    def fire(self, tick: int, key: int) -> None:
        self.due.append((tick, key))

    def next_due(self) -> int | None:
        waiting = self.loop._scheduled  # noqa: SLF001 - asyncio does not tell
        return round(waiting[0].when() * 1000) if waiting else None

    def pop_due(self, now: int) -> list[tuple[int, int]]:
        self.now, self.due = now, []
        self.loop._run_once()  # noqa: SLF001 - one turn, without the loop's own waiting
        return self.due


MAKE: dict[str, Callable[[], Any]] = {"luad": LuadWheel, "heapq": Heap, "asyncio": Loop}


def clocked(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def measure(structure: str, load: str, n: int) -> dict[str, float]:
    """One round of one structure; nanoseconds an operation, `batch` in milliseconds."""
    times = cron_like(n) if load == "cron" else uniform(n)
    dice = random.Random(2)  # noqa: S311 - a load, not a secret
    some = dice.sample(range(n), max(1, n // 10))
    gc.collect()
    gc.freeze()
    timers = MAKE[structure]()

    def add() -> None:
        for key, (tick, _) in enumerate(times):
            timers.insert(key, tick)

    def cancel() -> None:
        for key in some:
            timers.cancel(key)

    def fire() -> None:
        nonlocal fired
        while fired < want:
            due = timers.pop_due(timers.next_due())
            fired += len(due)
            for tick, key in due:
                timers.insert(key, tick + times[key][1])

    result = {"add": clocked(add) / n * 1e9, "cancel": clocked(cancel) / len(some) * 1e9}
    for key in some:
        timers.insert(key, times[key][0])
    gc.collect()
    gc.freeze()
    fired, want = 0, max(n, 200_000)
    seconds = clocked(fire)
    result["fire"] = seconds / fired * 1e9

    herd = MAKE[structure]()
    for key in range(BATCH):
        herd.insert(key, NOW + 60_000)
    gc.collect()
    gc.freeze()
    result["batch"] = clocked(lambda: herd.pop_due(NOW + 60_000)) * 1e3
    return result


def in_fresh_process(structure: str, load: str, n: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", structure, "--load", load, "--n", str(n)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(answer.stdout)
    return result


def compare(load: str, n: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each measure: the medians, and the ratio to luad with its range over the rounds."""
    taken = [{name: in_fresh_process(name, load, n) for name in STRUCTURES} for _ in range(rounds)]
    rows = []
    for what in MEASURES:
        row: dict[str, Any] = {"load": load, "n": n, "measure": what}
        for name in STRUCTURES:
            ratios = [one["luad"][what] / one[name][what] for one in taken]
            row[name] = round(statistics.median(one[name][what] for one in taken), 1)
            row[f"luad/{name}"] = [round(pick(ratios), 2) for pick in (statistics.median, min, max)]
        rows.append(row)
    return rows


def print_row(row: dict[str, Any]) -> None:
    unit = "ms" if row["measure"] == "batch" else "ns"
    label = "fire+re-arm" if row["measure"] == "fire" else row["measure"]
    figures = "  ".join(f"{name} {row[name]:>9,.0f}" for name in STRUCTURES)
    ratios = "  ".join(
        "x{} {:.2f} ({:.2f}-{:.2f})".format(name, *row[f"luad/{name}"]) for name in STRUCTURES[1:]
    )
    print(f"{row['n']:>9,} {row['load']:<6} {label:<11} {unit}  {figures}   {ratios}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--load", choices=("cron", "random", "both"), default="both")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("--one", choices=STRUCTURES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one, asked.load, asked.n)))
        return
    if not asked.json:
        load_now = os.getloadavg()[0]
        noisy = "  (noisy: the machine is busy)" if load_now > 1.5 else ""
        print(
            f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {load_now:.1f}{noisy}"
        )
    for load in ("cron", "random") if asked.load == "both" else (asked.load,):
        for row in compare(load, asked.n, asked.rounds):
            if asked.json:
                print(json.dumps(row), flush=True)
            else:
                print_row(row)


if __name__ == "__main__":
    main()
