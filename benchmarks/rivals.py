"""The same work given to luad and to its peers: jobs that are due at one instant, or every second.

Each function does one case in one folder, and returns how late the first lines of the jobs were, in milliseconds.
"""

from __future__ import annotations

import itertools
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.common import now_s, wall_ns
from benchmarks.live import Daemon, tree_cpu_s
from benchmarks.loads import HANDLER_MODULE, stamps, write_handlers
from benchmarks.peers import Peer

DATE: Final = "exec date +%s%N >> {}"
"""The command of every shell job: it says when it ran."""
HEAVY_MODULE: Final = "bench_heavy"
HEAVY: Final = "import jsonschema, sqlalchemy\nfrom bench_handlers import stamp\n"
"""A handler module that imports two installed packages, which takes longer than a run."""
EVERY_SECOND: Final = '{type: cron, expression: "* * * * * *"}'
GIVE_UP_S: Final = 90

IN_PROCESS: Final = """
import sys, time
kind, out, at, count, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
file = open(out, "a")
def stamp(*_):
    file.write(f"{time.time_ns()}\\n")
    file.flush()
def sleep_until(end):
    time.sleep(max(0, end - time.time()))
from datetime import datetime, timedelta, timezone
start = datetime.fromtimestamp(at, timezone.utc)
if kind == "apscheduler3":
    from apscheduler.schedulers.background import BackgroundScheduler
    scheduler = BackgroundScheduler(timezone="UTC", job_defaults={"misfire_grace_time": 60})
    for _ in range(count):
        if seconds:
            scheduler.add_job(stamp, "interval", seconds=1, start_date=start)
        else:
            scheduler.add_job(stamp, "date", run_date=start)
    scheduler.start()
    sleep_until(at + seconds + 20 * (not seconds))
elif kind == "apscheduler4":
    from apscheduler import Scheduler
    from apscheduler.triggers.interval import IntervalTrigger
    from apscheduler.triggers.date import DateTrigger
    with Scheduler() as scheduler:
        for number in range(count):
            trigger = IntervalTrigger(seconds=1, start_time=start) if seconds else DateTrigger(start)
            scheduler.add_schedule(stamp, trigger, id=str(number))
        scheduler.start_in_background()
        sleep_until(at + seconds + 20 * (not seconds))
elif kind == "schedule":
    import schedule
    sleep_until(at)
    schedule.every().second.do(stamp)
    while time.time() < at + seconds:
        schedule.run_pending()
        time.sleep(0.001)
file.close()
import os
os._exit(0)
"""
"""The program of a Python library in a process of its own; it stamps when its function runs."""


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def python_command(out: Path) -> str:
    """Return the command by which a peer runs a Python handler that says when it ran."""
    code = f"import time; now = time.time_ns(); open({str(out)!r}, 'a').write(f'{{now}}\\n')"
    return f"{sys.executable} -c {shlex.quote(code)}"


def _stamped(out: Path) -> list[int]:
    return [int(line) for line in out.read_text().split()] if out.exists() else []


def _wait_for(out: Path, count: int) -> None:
    until = now_s() + GIVE_UP_S
    while now_s() < until and (not out.exists() or out.read_bytes().count(b"\n") < count):
        time.sleep(0.1)  # rare enough not to be a part of what is measured


def _late(found: list[int], at: int | None) -> list[float]:
    """Milliseconds after *at*, or after the last full second."""
    if at is None:
        return [each % 1_000_000_000 / 1e6 for each in found]
    return [(each - at * 1_000_000_000) / 1e6 for each in found]


# --- luad ----------------------------------------------------------------------------------------


def luad(
    folder: Path, handler: str, *, count: int = 1, at: int | None = None, seconds: int = 0
) -> tuple[list[float], float]:
    """Run *count* jobs at *at*, or every second; return how late they were, and the processor time of a run.

    *handler* is `shell`, `stamp`, or `heavy` for one that imports large packages.
    """
    out = folder / "stamps"
    daemon = Daemon(folder)
    write_handlers(daemon.handlers)
    (daemon.handlers / f"{HEAVY_MODULE}.py").write_text(HEAVY)
    module = HEAVY_MODULE if handler == "heavy" else HANDLER_MODULE
    work = f'handler: {module}:stamp\nmetadata: {{stamps: "{out}"}}\n'
    if handler == "shell":
        work = f'handler: luad.handlers.shell:run\nmetadata: {{command: "{DATE.format(out)}"}}\n'
    when = EVERY_SECOND
    if at is not None:
        when = f'{{type: once, execute_at: "{datetime.fromtimestamp(at, UTC).isoformat()}"}}'
    for number in range(count):
        text = f"name: job-{number:05}\n{work}schedule: {when}\n"
        (daemon.jobs / f"job-{number:05}.yaml").write_text(text)
    with daemon:
        if at is not None:
            assert wall_ns() < at * 1_000_000_000, "luad was not ready in time; this is no herd"
        busy = tree_cpu_s(daemon.pid)
        if at is None:
            time.sleep(seconds)
        else:
            _wait_for(out, count)
            time.sleep(0.5)
        busy = tree_cpu_s(daemon.pid) - busy
    if handler == "shell":
        found = _late(_stamped(out), at)
    else:
        found = [1e3 * (ran - due) for each in stamps(out).values() for due, ran in each]
    return found, busy / max(1, len(found))


# --- peers ---------------------------------------------------------------------------------------


def cronstable(
    peer: Peer,
    folder: Path,
    command: str,
    *,
    count: int = 1,
    at: int | None = None,
    seconds: int = 0,
) -> tuple[list[float], float]:
    """Run *command* by cronstable; it has to write the instant to `stamps` in *folder*."""
    out = folder / "stamps"
    when = "* * * * * * *"
    if at is not None:
        when = datetime.fromtimestamp(at, UTC).strftime("%S %M %H %d %m * %Y")
    config = folder / "cronstable.yaml"
    text = command.replace("'", "''")
    config.write_text(
        "jobs:\n"
        + "".join(
            f"  - name: job-{number}\n    command: '{text}'\n    schedule: \"{when}\"\n    timezone: UTC\n"
            for number in range(count)
        )
    )
    with _process([peer.command, "-c", str(config)]) as process:
        _wait_before(at)
        busy = tree_cpu_s(process.pid)
        if at is None:
            time.sleep(seconds)
        else:
            _wait_for(out, count)
            time.sleep(0.5)
        busy = tree_cpu_s(process.pid) - busy
    found = _late(_stamped(out), at)
    return found, busy / max(1, len(found))


def in_process(
    peer: Peer, kind: str, folder: Path, *, count: int = 1, at: int | None = None, seconds: int = 0
) -> list[float]:
    """Let a Python library call a function; *kind* is `apscheduler3`, `apscheduler4` or `schedule`."""
    out = folder / "stamps"
    start = at if at is not None else wall_ns() // 1_000_000_000 + 3
    command = [peer.command, "-c", IN_PROCESS, kind, str(out), str(start), str(count), str(seconds)]
    with _process(command) as process:
        if at is not None:
            _wait_for(out, count)
        else:
            process.wait(seconds + GIVE_UP_S)
    found = _stamped(out)
    if kind == "schedule":  # it promises no second, only an interval: late is what exceeds it
        return [(after - before) / 1e6 - 1_000 for before, after in itertools.pairwise(found)]
    return _late(found, at)


def _wait_before(at: int | None) -> None:
    if at is not None:
        time.sleep(max(0.0, at - 0.5 - wall_ns() / 1e9))
