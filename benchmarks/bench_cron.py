"""The next instant of a cron line: luad's beside croniter and cronsim, by turns in one invocation.

    python -m benchmarks.bench_cron [--rounds 5]

Microseconds of processor time for the next instant after a given one, in a zone with daylight saving. The parsed
line is kept where the library can do that.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from statistics import median
from typing import Final

from benchmarks.common import ROOT, Bench, arguments, benchmark
from benchmarks.peers import library

LINES: Final = ("*/5 * * * *", "30 2 * * *", "0 9-17 * * 1-5", "0 0 1 * *", "0 0 * * 5#2")
COUNT: Final = 400
PEER: Final = """
import json, sys, time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo
kind, lines, count = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
start = datetime(2025, 3, 1, 12, 0, 30, tzinfo=ZoneInfo("America/New_York"))
if kind == "croniter":
    from croniter import croniter
    kept = {line: croniter(line, start) for line in lines}
    def ask(line, at):
        kept[line].get_next(datetime, start_time=at)
else:
    from cronsim import CronSim
    def ask(line, at):
        next(CronSim(line, at))  # it cannot be kept for another instant
for line in lines:
    ask(line, start)
began = time.process_time()
for number in range(count):
    ask(lines[number % len(lines)], start + timedelta(minutes=number))
print(1e6 * (time.process_time() - began) / count)
"""
"""The program of a peer, in its own environment."""
OWN: Final = """
import json, sys, time
from luad.core.model import Cron
from luad.core.schedule import next_occurrence
kept, count = [Cron(line, "America/New_York") for line in json.loads(sys.argv[1])], int(sys.argv[2])
start = 1_740_848_430_000
for cron in kept:
    next_occurrence(cron, start, start)
began = time.process_time()
for number in range(count):
    next_occurrence(kept[number % len(kept)], start, start + 60_000 * number)
print(1e6 * (time.process_time() - began) / count)
"""


def taken(command: list[str]) -> float:
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return float(done.stdout)


def measure(bench: Bench, rounds: int) -> None:
    lines = json.dumps(LINES)
    cases: dict[str, Callable[[], float]] = {
        "luad": lambda: taken([sys.executable, "-c", OWN, lines, str(COUNT)]),
    }
    for name in ("croniter", "cronsim"):
        if (peer := library(bench, name)) is not None:
            command = [peer.command, "-c", PEER, name, lines, str(COUNT)]
            cases[peer.label] = lambda command=command: taken(command)  # type: ignore[misc]
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            found[name].append(case())
    for name, values in found.items():
        bench.add(f"next instant: {name}", median(values), "us")
    for name, values in found.items():
        if name != "luad":
            bench.ratio(f"next instant, of {name}", found["luad"], values, 0.5)


def main() -> None:
    asked = arguments(__doc__, {"rounds": (5, "of each, by turns")})
    with benchmark("cron", "The next instant of a cron line") as bench:
        measure(bench, asked.rounds)


if __name__ == "__main__":
    main()
