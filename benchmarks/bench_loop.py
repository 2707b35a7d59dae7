"""The lag of the scheduling loop while clients ask for the most that each route can be asked for.

    python -m benchmarks.bench_loop [--jobs 1000] [--seconds 6]

A probe on the daemon's own loop sleeps two milliseconds again and again, and notes by how much it wakes too
late. First another thread of the same process spins: that is what Python's threads cost each other. Then
that thread is gone, and sixteen clients send the worst bodies of all routes at once.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from contextlib import suppress
from http.client import HTTPConnection
from itertools import cycle, islice
from pathlib import Path
from socket import AF_UNIX, socket
from time import sleep
from typing import Any

from benchmarks.common import Bench, arguments, benchmark, now_s, quantile, work_folder
from benchmarks.loads import write_handlers, write_jobs

STEP_S = 0.002
MOST_MS = 5.0
CLIENTS = 16
PATIENCE_S = 30
SPARSE = "0 0 29 2 */7"
ZONES = ("Africa/Casablanca", "Europe/London", "America/New_York", "Asia/Tokyo", "Australia/Sydney")
NEW = {"handler": "load:nothing", "schedule": {"type": "cron", "expression": SPARSE}}
WIDE = b'{"metadata":{"a":[' + b",".join([b"{}"] * 40_000) + b"]}}"
WORST: tuple[tuple[str, str, Any], ...] = (
    *(("POST", "/explain", {"expression": SPARSE, "timezone": zone, "n": 100}) for zone in ZONES),
    ("GET", "/schedule?limit=500", None),
    ("GET", "/jobs?limit=500&sort=next&q=o&include_dynamic=1", None),
    ("GET", "/runs?limit=500", None),
    ("GET", "/jobs/no-such-job-at-all", None),
    ("GET", "/status", None),
    ("GET", "/config", None),
    ("GET", "/metrics", None),
    ("GET", "/logs?tail=10000", None),
    ("POST", "/jobs", WIDE),
    ("POST", "/users", {"id": "a", "emails": [f"a{n}@example.com" for n in range(9_000)]}),
    ("POST", "/jobs:batch", {"action": "pause", "jobs": [f"none-{n}" for n in range(9_000)]}),
    ("POST", "/jobs:batch", {"action": "create", "dry_run": True, "jobs": [NEW] * 500}),
)


def ask_for_ever(path: Path, offset: int, until: float) -> None:
    """Send one worst body after the other until *until*."""
    for method, target, body in cycle(islice(cycle(WORST), offset, offset + len(WORST))):
        if now_s() > until:
            return
        connection = HTTPConnection("luad", timeout=PATIENCE_S)
        connection.sock = socket(AF_UNIX)
        connection.sock.settimeout(PATIENCE_S)
        with suppress(OSError):
            connection.sock.connect(str(path))
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, f"/v1{target}", data, {"Content-Type": "application/json"})
            connection.getresponse().read()
        connection.close()


def ask_all(path: Path, seconds: float) -> None:
    """Ask with sixteen clients at once; in a process of its own, so that they cost luad nothing."""
    until = now_s() + seconds
    clients = [
        threading.Thread(target=ask_for_ever, args=(path, number, until))
        for number in range(CLIENTS)
    ]
    for each in clients:
        each.start()
    for each in clients:
        each.join()


async def lags(seconds: float) -> list[float]:
    """Return by how many milliseconds a sleep on this loop is too long, again and again."""
    found = []
    until = now_s() + seconds
    while now_s() < until:
        began = now_s()
        await asyncio.sleep(STEP_S)
        found.append(1e3 * (now_s() - began - STEP_S))
    return found


def spin(is_over: threading.Event) -> None:
    """Compute until told to stop."""
    total = 0
    while not is_over.is_set():
        total += sum(range(1_000))


async def probe(folder: Path, seconds: float) -> None:
    """Measure the daemon's loop, write down what was found, and end the daemon."""
    sleep_s = seconds / 2
    while not (folder / "luad.sock").exists():  # noqa: ASYNC110 - made beside this, without an event
        await asyncio.sleep(0.05)
    await asyncio.sleep(2)
    idle = await lags(sleep_s)
    is_over = threading.Event()
    spinner = threading.Thread(target=spin, args=(is_over,))
    spinner.start()
    spinning = await lags(sleep_s)
    is_over.set()
    spinner.join()
    asking = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.bench_loop", "ask", str(folder), str(seconds + 1))
    )
    asked = await lags(seconds)
    await asking.wait()
    text = json.dumps({"idle": idle, "spinning": spinning, "asked": asked})
    (folder / "lags.json").write_text(text)


def serve(folder: Path, seconds: float) -> None:
    """Be a daemon with a probe on its loop."""
    from luad.cli import main  # noqa: PLC0415 - the clients need none of it
    from luad.daemon import launch  # noqa: PLC0415 - as above

    class Probed(launch.Daemon):
        async def run(self) -> int:
            task = asyncio.create_task(super().run())
            await probe(folder, seconds)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            return 0

    launch.Daemon = Probed  # type: ignore[misc]  # the same, and looked at
    options = ["--jobs", str(folder / "jobs.d"), "--state", str(folder / "state")]
    main(["--socket", str(folder / "luad.sock"), "serve", *options, "--log-level", "error"])


def measure(bench: Bench, jobs: int, seconds: float) -> None:
    with work_folder() as folder:
        write_jobs(folder / "jobs.d", jobs)
        write_handlers(folder / "handlers")
        command = [sys.executable, "-m", "benchmarks.bench_loop", "serve", str(folder)]
        subprocess.run([*command, str(seconds)], check=False, timeout=120)
        sleep(0.1)
        found = json.loads((folder / "lags.json").read_text())
    worst = {name: quantile(values, 0.999) for name, values in found.items()}
    bench.add("the lag of an idle loop, 999 of 1,000", worst["idle"], "ms")
    bench.add("beside a thread that spins", worst["spinning"], "ms")
    target = max(MOST_MS, 2 * worst["spinning"])
    note = f"{len(found['asked'])} looks, {max(found['asked']):.1f} ms at most"
    bench.add("under the worst of all routes at once", worst["asked"], "ms", target, note)


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        serve(Path(sys.argv[2]), float(sys.argv[3]))
        return
    if sys.argv[1:2] == ["ask"]:
        ask_all(Path(sys.argv[2]) / "luad.sock", float(sys.argv[3]))
        return
    asked = arguments(__doc__, {"jobs": (1_000, "that are installed"), "seconds": (6, "of asking")})
    with benchmark("loop", "The lag of the loop under the worst requests") as bench:
        measure(bench, asked.jobs, asked.seconds)


if __name__ == "__main__":
    main()
