"""The questions that users and scrapers ask most: the list of jobs, the status, the metrics.

    python -m benchmarks.bench_api [--sizes 1000,10000] [--samples 20]

Measured from outside, on one connection, from the first byte of the question to the last of the answer.
`the first`: nobody has asked that daemon for it before.
"""

from __future__ import annotations

import time
from http.client import HTTPConnection
from socket import AF_UNIX, socket

from benchmarks.common import Bench, arguments, benchmark, now_s, quantile, work_folder
from benchmarks.live import Daemon, cpu_s
from benchmarks.loads import write_handlers, write_jobs

PATHS = ("/v1/jobs", "/v1/status", "/metrics")
LIST_MS = 15
OF = 1_000  # for so many jobs
SETTLE_S = 3


def ask(connection: HTTPConnection, path: str) -> tuple[float, int]:
    """Return the milliseconds that an answer took, and its size."""
    began = now_s()
    connection.request("GET", path)
    size = len(connection.getresponse().read())
    return 1e3 * (now_s() - began), size


def measure(bench: Bench, jobs: int, samples: int) -> None:
    with work_folder() as folder:
        write_jobs(folder / "jobs.d", jobs)
        write_handlers(folder / "handlers")
        with Daemon(folder) as daemon:
            time.sleep(SETTLE_S)
            connection = HTTPConnection("luad")
            connection.sock = socket(AF_UNIX)
            connection.sock.connect(str(daemon.socket))
            ask(connection, "/v1/readyz")
            for path in PATHS:
                busy = cpu_s(daemon.pid)
                answers = [ask(connection, path) for _ in range(samples)]
                busy = cpu_s(daemon.pid) - busy
                taken = [took for took, _ in answers]
                target = LIST_MS if path == "/v1/jobs" and jobs <= OF else None
                what = f"{path} of {jobs:,} jobs"
                bench.add(f"{what}: the first", taken[0], "ms", target)
                note = f"{answers[0][1] / 1000:,.0f} kB"
                bench.add(f"{what}: median", quantile(taken, 0.5), "ms", target, note)
                bench.add(f"{what}: processor time", 1e3 * busy / samples, "ms")
            connection.close()


def main() -> None:
    asked = arguments(
        __doc__,
        {"sizes": ([1_000, 10_000], "how many jobs"), "samples": (20, "of each question")},
    )
    with benchmark("api", "Questions to the daemon") as bench:
        for jobs in asked.sizes:
            measure(bench, jobs, asked.samples)


if __name__ == "__main__":
    main()
