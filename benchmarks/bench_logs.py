"""The cost of a log line for the caller, beside the floor: json.dumps and one write.

    python benchmarks/bench_logs.py [--n 2000] [--rounds 7]

A line of eight fields to /dev/null, microseconds, best of the rounds; the queue is emptied in
between. `filtered` is a line below the level.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable
from typing import Any

from luad import logs

FIELDS: dict[str, Any] = {
    "job": "backup", "run_id": "run_01KAPFWQ3T5C9", "attempt": 1, "late_ms": 3,
    "handler": "reports:daily", "status": "succeeded", "duration_ms": 1043, "trigger": "schedule",
}  # fmt: skip


def best(say: Callable[[], object], settle: Callable[[], object], n: int, rounds: int) -> float:
    """Microseconds per call."""
    least = float("inf")
    for _ in range(rounds):
        settle()
        start = time.perf_counter()  # noqa: TID251 - a benchmark measures
        for _ in range(n):
            say()
        least = min(least, time.perf_counter() - start)  # noqa: TID251 - as above
    return least / n * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    null = os.open(os.devnull, os.O_WRONLY)

    def floor() -> None:
        os.write(null, json.dumps({"level": "info", "event": "run.ended", **FIELDS}).encode())

    print(f"floor: json.dumps + write   {best(floor, bool, args.n, args.rounds):6.1f} us")
    with tempfile.TemporaryDirectory() as folder:
        journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        journal.bind(f"{folder}/journal")  # nobody reads: what is measured is the caller's part
        for form in ("json", "console", "journal"):
            handle = logs.configure(
                form, descriptor=null, environ={}, journal_socket=f"{folder}/journal"
            )
            log = handle.logger
            cases: dict[str, Callable[[], object]] = {
                "logger.info": lambda log=log: log.info("run.ended", **FIELDS),
                "emit": lambda handle=handle: handle.emit("info", "run.ended", FIELDS),
                "filtered": lambda log=log: log.debug("run.ended", **FIELDS),
            }
            for name, say in cases.items():
                took = best(say, lambda handle=handle: handle.flush(0.1), args.n, args.rounds)
                print(f"{form:8} {name:18} {took:6.1f} us")
            handle.close(0.1)
        journal.close()


if __name__ == "__main__":
    main()
