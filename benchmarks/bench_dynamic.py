"""Dynamic jobs: how fast they are made, listed and run, and what a hundred thousand of them cost.

    python -m benchmarks.bench_dynamic [--seconds 5] [--batch 10000] [--reminders 100000]

Measured from outside, over connections that stay open. Whatever is answered is durable by then. The
clients share the machine with the daemon.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

from benchmarks.common import Bench, arguments, benchmark, now_s, quantile, wall_ns, work_folder
from benchmarks.live import Daemon, cpu_s, resident_mb
from benchmarks.loads import HANDLER_MODULE, stamps, write_handlers

CLIENTS = 8
PER_S = 500
SINGLE_P99_MS = 25
BATCH_S = 2
LIST_MS = 15
LISTED = 1_000
TRIGGER_MS = 15
READY_S = 3
RESIDENT_MB = 250
LATE_P50_MS, LATE_P99_MS = 10, 40
CHUNK = 10_000  # jobs in a call of many
SOON = 100  # reminders that fire while we look
PATIENCE_S = 60

BODY = {"handler": f"{HANDLER_MODULE}:nothing", "in": "30d", "metadata": {"message": "call back"}}


class Connection:
    """HTTP over the daemon's socket, kept open."""

    def __init__(self, daemon: Daemon) -> None:
        self._http = HTTPConnection("luad")
        self._http.sock = socket(AF_UNIX)
        self._http.sock.settimeout(PATIENCE_S)
        self._http.sock.connect(str(daemon.socket))

    def ask(self, method: str, path: str, body: Any = None) -> bytes:
        """Send a request; return the content of its answer, which has to be a good one."""
        content = None if body is None else json.dumps(body).encode()
        self._http.request(method, f"/v1{path}", content, {"Content-Type": "application/json"})
        response = self._http.getresponse()
        answer = response.read()
        assert response.status < 300, answer.decode()
        return answer

    def timed(self, method: str, path: str, body: Any = None) -> float:
        """The same; return the milliseconds it took."""
        began = now_s()
        self.ask(method, path, body)
        return 1e3 * (now_s() - began)

    def close(self) -> None:
        self._http.close()


def create_many(connection: Connection, bodies: list[dict[str, Any]]) -> float:
    """Make jobs in one call; return the seconds it took."""
    began = now_s()
    answer = connection.ask("POST", "/jobs:batch", {"action": "create", "jobs": bodies})
    took = now_s() - began
    assert all(each["ok"] for each in json.loads(answer)["results"])
    return took


# --- making ------------------------------------------------------------------------------------


def one_by_one(bench: Bench, daemon: Daemon, clients: int, seconds: float) -> None:
    taken: list[list[float]] = [[] for _ in range(clients)]
    began = now_s()

    def work(number: int) -> None:
        connection = Connection(daemon)
        mine = taken[number]
        while now_s() < began + seconds:
            body = {**BODY, "name": f"of-{clients}-{number}-{len(mine)}"}
            mine.append(connection.timed("POST", "/jobs", body))
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = now_s() - began
    every = [each for mine in taken for each in mine]
    what = f"POST /v1/jobs, {clients} clients" if clients > 1 else "POST /v1/jobs, one client"
    target = 1_000 / PER_S if clients == CLIENTS else None
    rate = len(every) / took
    bench.add(f"{what}: a job each", 1e3 / rate, "ms", target, f"{rate:,.0f} a second")
    bench.add(f"{what}: median", quantile(every, 0.5), "ms")
    bench.tail(what, every, "ms")
    bench.details[what] = [round(each, 2) for each in every]


def beside_runs(bench: Bench, daemon: Daemon, samples: int) -> None:
    """A single creation while 200 runs a minute go on."""
    connection = Connection(daemon)
    for number in range(34):
        schedule = {"type": "interval", "seconds": 10}
        connection.ask(
            "POST",
            "/jobs",
            {"name": f"busy-{number}", "handler": BODY["handler"], "schedule": schedule},
        )
        time.sleep(0.3)  # spread over the ten seconds
    taken = []
    for number in range(samples):
        taken.append(connection.timed("POST", "/jobs", {**BODY, "name": f"single-{number}"}))
        time.sleep(0.03)
    connection.close()
    what = "a single creation beside 200 runs a minute"
    bench.add(f"{what}: median", quantile(taken, 0.5), "ms")
    bench.tail(what, taken, "ms", SINGLE_P99_MS)


def making(bench: Bench, seconds: float, batch: int, samples: int) -> None:
    with work_folder() as folder:
        write_handlers(folder / "handlers")
        with Daemon(folder) as daemon:
            one_by_one(bench, daemon, CLIENTS, seconds)
            one_by_one(bench, daemon, 1, seconds)
            beside_runs(bench, daemon, samples)
    rounds = []
    for _ in range(3):
        with work_folder() as folder:
            write_handlers(folder / "handlers")
            with Daemon(folder) as daemon:
                connection = Connection(daemon)
                bodies = [{**BODY, "name": f"batch-{number}"} for number in range(batch)]
                rounds.append(create_many(connection, bodies))
                connection.close()
    target = BATCH_S * batch / CHUNK
    bench.add(f"{batch:,} jobs in one call", statistics.median(rounds), "s", target, "3 rounds")
    bench.details["batch_s"] = rounds


# --- listing and running -----------------------------------------------------------------------


def listing(bench: Bench, samples: int) -> None:
    with work_folder() as folder:
        write_handlers(folder / "handlers")
        with Daemon(folder) as daemon:
            connection = Connection(daemon)
            create_many(connection, [{**BODY, "name": f"j-{n}"} for n in range(LISTED)])
            path = "/jobs?include_dynamic=true"
            assert len(json.loads(connection.ask("GET", path))["jobs"]) == LISTED
            busy = cpu_s(daemon.pid)
            taken = [connection.timed("GET", path) for _ in range(samples)]
            busy = cpu_s(daemon.pid) - busy
            what = f"GET /v1/jobs of {LISTED:,} dynamic jobs"
            bench.add(f"{what}: median", quantile(taken, 0.5), "ms", LIST_MS)
            bench.add(f"{what}: processor time", 1e3 * busy / samples, "ms")
            triggering(bench, folder, connection, samples)
            connection.close()


def triggering(bench: Bench, folder: Path, connection: Connection, samples: int) -> None:
    """From before the question is sent to the first line of the handler."""
    out = folder / "stamps"
    body = {"name": "by-hand", "in": "30d", "handler": f"{HANDLER_MODULE}:stamp"}
    connection.ask("POST", "/jobs", {**body, "metadata": {"stamps": str(out)}})
    asked = []
    for number in range(samples):
        asked.append(wall_ns() / 1e9)
        connection.ask("POST", "/jobs/by-hand/trigger", {})
        wait_for_stamps(out, number + 1)
        time.sleep(0.05)
    began = [ran for _, ran in stamps(out)["by-hand"]]
    taken = [1e3 * (ran - at) for at, ran in zip(asked, began, strict=True)]
    bench.add("trigger to the handler's start: median", quantile(taken, 0.5), "ms", TRIGGER_MS)
    bench.tail("trigger to the handler's start", taken, "ms")


def wait_for_stamps(out: Path, count: int) -> None:
    until = now_s() + PATIENCE_S
    while not out.exists() or out.read_bytes().count(b"\n") < count:
        assert now_s() < until, f"fewer than {count} runs"
        time.sleep(0.005)


# --- many --------------------------------------------------------------------------------------


def reminders(bench: Bench, count: int, rounds: int) -> None:
    with work_folder() as folder:
        write_handlers(folder / "handlers")
        with Daemon(folder) as daemon:
            connection = Connection(daemon)
            for start in range(0, count, CHUNK):
                numbers = range(start, min(start + CHUNK, count))
                create_many(connection, [_reminder(number) for number in numbers])
            connection.close()
        ready, resident = [], []
        for _ in range(rounds):
            with Daemon(folder) as daemon:
                ready.append(now_s() - daemon.started_at)
                resident.append(resident_mb(daemon.pid))
        what = f"{count:,} reminders in the store"
        note = ", ".join(f"{each:.2f}" for each in ready)
        bench.add(f"{what}: exec to ready", statistics.median(ready), "s", READY_S, note)
        bench.add(f"{what}: resident", statistics.median(resident), "MB", RESIDENT_MB)
        firing(bench, what, folder, ready[-1])


def _reminder(number: int) -> dict[str, Any]:
    return {**BODY, "name": f"reminder-{number}", "in": 86_400 + number * 13.7}


def firing(bench: Bench, what: str, folder: Path, ready_s: float) -> None:
    """Some are made last, outlive a restart, and come due after it."""
    out = folder / "stamps"
    with Daemon(folder) as daemon:
        connection = Connection(daemon)
        first = 10 + 3 * ready_s
        bodies = [
            {"name": f"soon-{number}", "handler": f"{HANDLER_MODULE}:stamp", "keep": True}
            | {"metadata": {"stamps": str(out)}, "in": round(first + number / 5, 3)}
            for number in range(SOON)
        ]
        create_many(connection, bodies)
        connection.close()
    with Daemon(folder):
        wait_for_stamps(out, SOON)
    late = [1e3 * (ran - due) for each in stamps(out).values() for due, ran in each]
    assert len(late) == SOON, "each of them once"
    bench.add(f"{what}, {SOON} of them fire: late by, p50", quantile(late, 0.5), "ms", LATE_P50_MS)
    bench.tail(f"{what}, {SOON} of them fire: late by", late, "ms", LATE_P99_MS)


def main() -> None:
    asked = arguments(
        __doc__,
        {
            "seconds": (5.0, "of making jobs one by one"),
            "batch": (10_000, "jobs in one call"),
            "samples": (100, "of everything else"),
            "reminders": (100_000, "jobs in the store"),
            "rounds": (3, "starts with all of them"),
        },
    )
    with benchmark("dynamic", "Dynamic jobs") as bench:
        making(bench, asked.seconds, asked.batch, asked.samples)
        listing(bench, asked.samples)
        reminders(bench, asked.reminders, asked.rounds)


if __name__ == "__main__":
    main()
