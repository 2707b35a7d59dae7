"""luad's timer wheel beside heapq and asyncio's call_at, in one invocation.

    python -m benchmarks.bench_wheel [--cron 1000000] [--random 1000,100000] [--rounds 3]

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

import asyncio
import gc
import heapq
import json
import random  # noqa: TID251 - a seeded load is the same for everybody
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

from benchmarks.common import ROOT, Bench, arguments, benchmark
from luad.core.wheel import Wheel

NOW = 1_763_845_200_000
DAY = 86_400_000
BATCH = 100_000
STRUCTURES = ("luad", "heapq", "asyncio")
MEASURES = ("add", "cancel", "fire", "batch")
TARGETS: Final = {
    ("cron", 1_000_000, "fire", "heapq"): 0.2,
    ("cron", 1_000_000, "fire", "asyncio"): 0.05,
    ("cron", 1_000_000, "cancel", "heapq"): 1.0,
    ("cron", 1_000_000, "cancel", "asyncio"): 1.0,
    ("cron", 100_000, "fire", "heapq"): 0.3,
    ("cron", 100_000, "fire", "asyncio"): 0.1,
    ("random", 100_000, "fire", "heapq"): 1.0,
    ("random", 100_000, "cancel", "heapq"): 1.0,
    ("random", 100_000, "cancel", "asyncio"): 1.0,
    ("random", 1_000, "fire", "heapq"): 1.3,
}
"""By load, number of keys, measure and structure: at most so many times what it takes."""
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
    command = [sys.executable, "-m", "benchmarks.bench_wheel", "--one", structure, load, str(n)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    result: dict[str, float] = json.loads(answer.stdout)
    return result


def compare(bench: Bench, load: str, n: int, rounds: int) -> None:
    """Add the medians of each structure, and the ratios with their range over the rounds."""
    taken = [{name: in_fresh_process(name, load, n) for name in STRUCTURES} for _ in range(rounds)]
    for what in MEASURES:
        unit = "ms" if what == "batch" else "ns"
        label = f"{n:,} {load}, {'fire and re-arm' if what == 'fire' else what}"
        own = [each["luad"][what] for each in taken]
        others = {name: [each[name][what] for each in taken] for name in STRUCTURES[1:]}
        beside = ", ".join(f"{name} {median(values):,.0f}" for name, values in others.items())
        bench.add(label, median(own), unit, note=beside)
        for name, values in others.items():
            target = TARGETS.get((load, n, what, name))
            bench.ratio(f"{label}, of {name}", own, values, target)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        structure, load, n = sys.argv[2:]
        print(json.dumps(measure(structure, load, int(n))))
        return
    asked = arguments(
        __doc__,
        {
            "cron": ([1_000_000], "how many keys with the load `cron`"),
            "random": ([1_000, 100_000], "how many with the load `random`"),
            "rounds": (3, "of each structure, by turns"),
        },
    )
    with benchmark("wheel", "The timer wheel beside heapq and asyncio") as bench:
        for load in ("cron", "random"):
            for n in getattr(asked, load):
                compare(bench, load, n, asked.rounds)


if __name__ == "__main__":
    main()
