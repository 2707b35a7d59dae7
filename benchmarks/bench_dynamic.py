"""Dynamic jobs: how fast they are made, listed and run, and what a hundred thousand of them cost.

python benchmarks/bench_dynamic.py [--reminders 100000] [--seconds 5]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, sleep, time  # noqa: TID251 - it measures
from typing import Any

HANDLER = "def tick(job):\n    return None\n"
BODY = {"handler": "h:tick", "in": "30d", "metadata": {"message": "call back"}}


class Connection(http.client.HTTPConnection):
    """HTTP over the daemon's socket, kept open."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        self.request(method, path, data, {"Content-Type": "application/json"})
        response = self.getresponse()
        content = response.read()
        assert response.status < 300, content[:300]
        return json.loads(content)


class Daemon:
    """`luad serve` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "jobs.d").mkdir(exist_ok=True)
        (folder / "handlers").mkdir(exist_ok=True)
        (folder / "handlers" / "h.py").write_text(HANDLER)
        self.socket = folder / "s.sock"

    def start(self) -> float:
        """Start it; return the seconds until it was ready."""
        command = [sys.executable, "-m", "luad", "serve", "--jobs", str(self.folder / "jobs.d")]
        command += ["--state", str(self.folder / "state"), "--socket", str(self.socket)]
        began = perf_counter()
        self.process = subprocess.Popen(
            [*command, "--log-format", "json"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if '"daemon.ready"' in line:
                break
        took = perf_counter() - began
        threading.Thread(target=self._drain, daemon=True).start()
        return took

    def _drain(self) -> None:
        assert self.process.stdout is not None
        for _ in self.process.stdout:
            pass

    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


def create_one_by_one(daemon: Daemon, clients: int, seconds: float) -> None:
    times: list[float] = []

    def work(number: int) -> None:
        connection = Connection(daemon.socket)
        end = perf_counter() + seconds
        count = 0
        while perf_counter() < end:
            began = perf_counter()
            connection.ask("POST", "/v1/jobs", {**BODY, "name": f"c{clients}-{number}-{count}"})
            times.append(1_000 * (perf_counter() - began))
            count += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    began = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(times) / (perf_counter() - began)
    print(
        f"  {clients} clients, one by one   {rate:7.0f} a second   "
        f"p50 {median(times):.1f} ms   p99 {p99(times):.1f} ms"
    )


def create_batch(daemon: Daemon) -> None:
    connection = Connection(daemon.socket)
    jobs = [{**BODY, "name": f"batch-{number}"} for number in range(10_000)]
    began = perf_counter()
    answer = connection.ask("POST", "/v1/jobs:batch", {"action": "create", "jobs": jobs})
    took = perf_counter() - began
    assert all(each["ok"] for each in answer["results"])
    print(f"  10,000 in one call         {took:7.2f} s")


def list_jobs(folder: Path) -> None:
    daemon = Daemon(folder)
    for number in range(1_000):
        text = (
            f"name: j{number}\nhandler: h:tick\nschedule: {{type: cron, expression: '0 9 * * *'}}\n"
        )
        (folder / "jobs.d" / f"j{number}.yaml").write_text(text)
    daemon.start()
    connection = Connection(daemon.socket)
    times = []
    for _ in range(50):
        began = perf_counter()
        connection.ask("GET", "/v1/jobs")
        times.append(1_000 * (perf_counter() - began))
    print(f"  GET /v1/jobs, 1,000 jobs   {median(times):7.1f} ms, JSON read by the client included")
    delays = []
    for number in range(60):
        run = connection.ask("POST", f"/v1/jobs/j{number}/trigger", {})
        sleep(0.05)
        delays.append(connection.ask("GET", f"/v1/runs/{run['id']}")["start_delay_ms"])
    print(f"  trigger to handler's start {median(delays):7.1f} ms median")
    daemon.stop()


def create_beside_runs(daemon: Daemon) -> None:
    connection = Connection(daemon.socket)
    for number in range(10):  # 200 runs a minute
        schedule = {"type": "interval", "seconds": 3}
        body = {"name": f"busy-{number}", "handler": "h:tick", "schedule": schedule}
        connection.ask("POST", "/v1/jobs", body)
    times = []
    for number in range(300):
        began = perf_counter()
        connection.ask("POST", "/v1/jobs", {**BODY, "name": f"single-{number}"})
        times.append(1_000 * (perf_counter() - began))
        sleep(0.03)
    print(f"  one beside 200 runs/min    p50 {median(times):.1f} ms   p99 {p99(times):.1f} ms")


def reminders(folder: Path, count: int) -> None:
    daemon = Daemon(folder)
    daemon.start()
    connection = Connection(daemon.socket)
    began = time()
    due_at = began + 60 + count / 5_000
    for start in range(0, count, 10_000):
        jobs = []
        for number in range(start, min(start + 10_000, count)):
            is_soon = number % (count // 100) == 0
            seconds = due_at + number / count * 20 - time() if is_soon else 86_400 + number * 13.7
            jobs.append({**BODY, "name": f"reminder-{number}", "in": round(seconds, 3)})
        connection.ask("POST", "/v1/jobs:batch", {"action": "create", "jobs": jobs})
    daemon.stop()
    took = daemon.start()
    rss = daemon.rss_mb()
    print(f"  {count:,} reminders: ready after {took:.2f} s, {rss:.0f} MB resident")
    sleep(max(0.0, due_at + 23 - time()))
    connection = Connection(daemon.socket)
    runs = connection.ask("GET", "/v1/runs?limit=500")["runs"]
    delays = [run["start_delay_ms"] for run in runs if run["start_delay_ms"] is not None]
    print(
        f"  {len(runs)} of them fired: p50 {median(delays):.0f} ms late, p99 {p99(delays):.0f} ms"
    )
    daemon.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reminders", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        daemon = Daemon(Path(text))
        daemon.start()
        create_one_by_one(daemon, 8, options.seconds)
        create_one_by_one(daemon, 1, options.seconds)
        create_batch(daemon)
        create_beside_runs(daemon)
        daemon.stop()
    with tempfile.TemporaryDirectory() as text:
        list_jobs(Path(text))
    with tempfile.TemporaryDirectory() as text:
        reminders(Path(text), options.reminders)


if __name__ == "__main__":
    main()
