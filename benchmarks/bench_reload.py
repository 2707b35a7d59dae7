"""From saving a job file to its new schedule being in force, among 10,000 files.

    python -m benchmarks.bench_reload [--jobs 10000,100000] [--samples 30] [--burst 1000]

A file is replaced as editors do it: written beside, then renamed. `in force`: the log says so, which it
does once the change is durable; `in the API`: the job's `next_run_at` is the new one, asked every few
milliseconds. After the start the daemon still stores the state of all files; that is waited for, because it is
a cost of the start. `burst`: that many files in one go, until the last of them is in force.
"""

from __future__ import annotations

import os
import statistics
import time
from datetime import UTC, datetime

from benchmarks.common import Bench, arguments, benchmark, now_s, quantile, wall_ns, work_folder
from benchmarks.live import Daemon, Openings, cpu_s
from benchmarks.loads import HANDLER_MODULE, write_handlers, write_jobs

TARGET_MS = 30
CPU_MS = 2
IN_API_MS = 150
ASK_EVERY_S = 0.005
APART_S = 0.15  # so that a sample begins in peace
SETTLING = 10  # files saved less than a second before a reading are read again at the next one
INSTALLED = b"config.installed"


def save(daemon: Daemon, name: str, due: int) -> float:
    """Replace the file of a job so that it is due once at *due*; return when the change was made."""
    when = datetime.fromtimestamp(due, UTC).isoformat()
    draft = daemon.jobs / f".{name}.draft"
    draft.write_text(
        f"name: {name}\nhandler: {HANDLER_MODULE}:nothing\n"
        f'schedule: {{type: once, execute_at: "{when}"}}\n'
    )
    began = now_s()
    os.rename(draft, daemon.jobs / f"{name}.yaml")  # noqa: PTH104 - what is measured begins here
    return began


def due_at(day: int) -> int:
    """A full second, far away."""
    return wall_ns() // 1_000_000_000 + 400 * 86_400 + day


def by_log(daemon: Daemon, names: list[str], openings: Openings) -> tuple[list[float], list[int]]:
    """Milliseconds of each sample, and how many job files were opened for it."""
    taken, opened = [], []
    for turn, name in enumerate(names):
        daemon.forget_log()
        openings.take()
        began = save(daemon, name, due_at(turn))
        line = daemon.wait_for(INSTALLED, 30)
        assert line.fields["replaced"] == 1, line.fields
        taken.append(1e3 * (line.at - began))
        opened.append(sum(each.endswith(".yaml") for each in openings.take()))
        time.sleep(APART_S + turn * 0.017 % 0.05)  # not in step with anything that polls
    return taken, opened


def by_api(daemon: Daemon, names: list[str]) -> list[float]:
    taken = []
    for turn, name in enumerate(names):
        due = due_at(turn)
        wanted = datetime.fromtimestamp(due, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        began = save(daemon, name, due)
        while not (daemon.get(f"/jobs/{name}")["next_run_at"] or "").startswith(wanted):
            assert now_s() - began < 30, name
            time.sleep(ASK_EVERY_S)
        taken.append(1e3 * (now_s() - began))
        time.sleep(APART_S + turn * 0.017 % 0.05)
    return taken


def burst(bench: Bench, daemon: Daemon, names: list[str], openings: Openings) -> None:
    """Change many files at once."""
    for name in names:
        (daemon.jobs / f".{name}.next").write_text(
            f"name: {name}\nhandler: {HANDLER_MODULE}:nothing\nschedule: {{type: interval, every: 90h}}\n"
        )
    time.sleep(2)
    openings.take()
    daemon.forget_log()
    busy = cpu_s(daemon.pid)
    began = now_s()
    for name in names:
        (daemon.jobs / f".{name}.next").rename(daemon.jobs / f"{name}.yaml")
    saved = now_s()
    count = 0
    turns = 0
    while count < len(names):
        line = daemon.wait_for(INSTALLED, 60)
        count += line.fields["replaced"]
        turns += 1
    what = f"burst of {len(names):,} files"
    bench.add(f"{what}: in force after the last", 1e3 * (line.at - saved), "ms")
    bench.add(
        f"{what}: in force after the first",
        1e3 * (line.at - began),
        "ms",
        note=f"{1e3 * (saved - began):.0f} ms of it to rename them; {turns} reloads",
    )
    bench.add(f"{what}: processor time", cpu_s(daemon.pid) - busy, "s")
    opened = [name for name in openings.take() if name.endswith(".yaml")]
    bench.add(f"{what}: job files opened", len(opened), "", 2 * len(names))
    others = set(opened) - {f"{name}.yaml" for name in names}
    bench.add(f"{what}: others opened", len(others), "", SETTLING)


def main() -> None:
    asked = arguments(
        __doc__,
        {
            "jobs": ([10_000, 100_000], "how many files"),
            "samples": (30, "of each kind"),
            "burst": (1_000, "files at once"),
        },
    )
    title = "Reload: from saving a file to its schedule in force"
    with benchmark("reload", title) as bench:
        for jobs in asked.jobs:
            with work_folder() as folder:
                write_jobs(folder / "jobs.d", jobs)
                write_handlers(folder / "handlers")
                time.sleep(1.5)  # a file that was written just now would be looked at twice
                with Daemon(folder) as daemon:
                    settle(bench, daemon, jobs)
                    measure(bench, daemon, jobs, asked.samples, asked.burst)


def settle(bench: Bench, daemon: Daemon, jobs: int) -> None:
    """Save a file directly after the start, then wait until the start leaves no work behind."""
    daemon.forget_log()
    began = save(daemon, "job-00001", due_at(-1))
    line = daemon.wait_for(INSTALLED, 60)
    bench.add(
        f"one file among {jobs:,}: in force directly after a start", 1e3 * (line.at - began), "ms"
    )
    daemon.wait_until_idle()


def measure(bench: Bench, daemon: Daemon, jobs: int, samples: int, many: int) -> None:
    names = [f"job-{number * 37 % jobs:05}" for number in range(2 * samples)]
    openings = Openings(daemon.jobs)
    busy = cpu_s(daemon.pid)
    logged, opened = by_log(daemon, names[:samples], openings)
    busy = cpu_s(daemon.pid) - busy
    what = f"one file among {jobs:,}"
    bench.add(
        f"{what}: in force, median", quantile(logged, 0.5), "ms", TARGET_MS, f"{samples} samples"
    )
    bench.add(f"{what}: in force, p95", quantile(logged, 0.95), "ms")
    bench.add(f"{what}: in force, max", max(logged), "ms")
    bench.add(f"{what}: processor time", 1e3 * busy / samples, "ms", CPU_MS)
    note = "those of the second before are looked at again"
    bench.add(f"{what}: job files opened", statistics.median(opened), "", note=note)
    asked = by_api(daemon, names[samples:])
    bench.add(f"{what}: in the API, median", quantile(asked, 0.5), "ms", IN_API_MS)
    bench.add(f"{what}: in the API, max", max(asked), "ms")
    bench.details.update(logged_ms=logged, asked_ms=asked)
    burst(bench, daemon, [f"job-{number:05}" for number in range(jobs - many, jobs)], openings)
    openings.close()


if __name__ == "__main__":
    main()
