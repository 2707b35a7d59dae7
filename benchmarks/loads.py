"""Job files to measure with: luad's, and the same jobs as yacron and cronstable read them.

The jobs are as different as jobs are: hardly two share a schedule, so that nothing is measured once
and shared by all. None is due within two days, unless a benchmark asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.common import wall_ns

ZONES: Final = (
    "UTC", "Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Sydney", "UTC",
)  # fmt: skip
HANDLER_MODULE: Final = "bench_handlers"
HANDLERS: Final = '''\
import os, time

def stamp(job):
    now = time.time_ns()
    fd = os.open(job.metadata["stamps"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(fd, f"{job.name} {job.scheduled_for.timestamp():.3f} {now}\\n".encode())
    os.close(fd)


def line(job):
    print("done", job.name)


def nothing(job):
    """A job that has nothing to do."""
'''
"""`stamp` reads the clock in its first line; what follows it is not measured."""


class Spec(NamedTuple):
    """One job: a cron line with its zone, or an interval in seconds."""

    name: str
    cron: str
    zone: str
    seconds: int


def _calendar(now: datetime) -> list[tuple[int, int]]:
    """Days of the year that are at least two days away, by which a cron line is due far from now."""
    days = [now + timedelta(days=offset) for offset in range(3, 340)]
    return [(day.day, day.month) for day in days if day.day <= 28]


def specs(count: int) -> Iterator[Spec]:
    """*count* jobs: eight of ten by cron, two by interval."""
    days = _calendar(datetime.fromtimestamp(wall_ns() / 1e9, UTC))
    for number in range(count):
        name = f"job-{number:05}"
        zone = ZONES[number % len(ZONES)]
        minute, hour = number * 7 % 60, number * 11 % 24
        day, month = days[number * 13 % len(days)]
        kind = number % 10
        if kind < 5:
            yield Spec(name, f"{minute} {hour} {day} {month} *", zone, 0)
        elif kind == 5:
            yield Spec(name, f"{minute % 20}-59/20 {hour} {day} {month} *", zone, 0)
        elif kind == 6:
            yield Spec(name, f"{minute},{(minute + 29) % 60} */6 {day} {month} *", zone, 0)
        elif kind == 7:
            yield Spec(name, f"{minute} {hour % 9}-{hour % 9 + 8} {day} {month} *", zone, 0)
        else:
            yield Spec(name, "", "UTC", 200_000 + 60 * number)


def luad_text(spec: Spec) -> str:
    """The job as luad reads it."""
    when = (
        f'  type: cron\n  expression: "{spec.cron}"\n  timezone: {spec.zone}'
        if spec.cron
        else f"  type: interval\n  seconds: {spec.seconds}"
    )
    return f"""\
name: {spec.name}
description: Collect what {spec.name} has to report and send it on.
handler: {HANDLER_MODULE}:nothing
schedule:
{when}
timeout: 10m
retry:
  max_attempts: 3
  backoff_seconds: 60
overlap: skip
tags: [reports, "team:{spec.name[-2:]}"]
metadata:
  recipient: ops@example.org
  limit: {int(spec.name[-5:]) + 1}
"""


def peer_text(spec: Spec) -> str:
    """The job as yacron and cronstable read it; an interval, which they lack, as a cron line."""
    cron = spec.cron or f"{spec.seconds // 60 % 60} {spec.seconds // 3600 % 24} * * *"
    return f"""\
jobs:
  - name: {spec.name}
    command: /bin/true {spec.name} ops@example.org {int(spec.name[-5:]) + 1}
    schedule: "{cron}"
    timezone: {spec.zone}
    executionTimeout: 600
    concurrencyPolicy: Forbid
    captureStderr: true
    onFailure:
      retry:
        maximumRetries: 3
        initialDelay: 60
        maximumDelay: 60
        backoffMultiplier: 1
    environment:
      - key: TEAM
        value: reports
"""


def write_jobs(folder: Path, count: int) -> None:
    """Put *count* files with a job each into a job folder of luad's."""
    folder.mkdir(parents=True, exist_ok=True)
    for spec in specs(count):
        (folder / f"{spec.name}.yaml").write_text(luad_text(spec))


def write_peer_jobs(folder: Path, count: int) -> None:
    """The same for yacron and cronstable."""
    folder.mkdir(parents=True, exist_ok=True)
    for spec in specs(count):
        (folder / f"{spec.name}.yaml").write_text(peer_text(spec))


def write_handlers(folder: Path) -> None:
    """The module that the handlers of all these jobs are in."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{HANDLER_MODULE}.py").write_text(HANDLERS)


def stamps(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Return the stamps by job: pairs of (scheduled for, first line ran) in seconds since 1970."""
    found: dict[str, list[tuple[float, float]]] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            name, due, ran = line.split()
            found.setdefault(name, []).append((float(due), int(ran) / 1e9))
    return found
