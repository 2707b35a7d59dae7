"""luad as the first process of a container: nobody else is there to collect the dead, and all come at once."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 - a test's patience is real time
from typing import Any

import pytest
from support.attack import WitnessedDaemon, assert_every_second_has_its_row, besieged, job
from support.live_daemon import PATIENCE_S, LiveDaemon, children_of

from luad.runner.processes import read_stat

HANDLERS = """
import os, signal, sys

def end(job):
    sys.stdout.flush()
    os._exit(job.metadata["code"])

def orphan(job):
    '''Kill all that hold this run, and leave somebody who ends a moment later.'''
    holders = [os.getppid()]
    for _ in range(2):
        stat = open(f"/proc/{holders[-1]}/stat").read().rsplit(")", 1)[1].split()
        holders.append(int(stat[1]))
    if os.fork() == 0:
        os.setsid()
        while os.getppid() != 1:
            pass
        os._exit(3)
    for pid in reversed(holders):
        os.kill(pid, signal.SIGKILL)
    while True:
        signal.pause()
"""
CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
HERD = 500
AT_ONCE = 16


@pytest.fixture
def contained(tmp_path: Path) -> Iterator[WitnessedDaemon]:
    """A daemon that is PID 1 of its own namespace, and beats fast because a watchdog waits."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    daemon = besieged(tmp_path, env={**environ, "LUAD_MAX_CONCURRENT_RUNS": str(AT_ONCE)})
    daemon.launcher = CONTAINER
    daemon.write_handler("ends", HANDLERS)
    daemon.start()
    yield daemon
    assert daemon.process.poll() is None
    os.kill(inner(daemon), signal.SIGTERM)
    assert daemon.process.wait(PATIENCE_S) == 0
    daemon.dismiss_witness()
    manager.close()


def inner(daemon: LiveDaemon) -> int:
    """The daemon itself, as it is called out here."""
    return next(children_of(daemon.process.pid))


def zombies(daemon: LiveDaemon) -> list[int]:
    stats = [read_stat(pid) for pid in children_of(inner(daemon))]
    return [stat.pid for stat in stats if stat is not None and stat.state == "Z"]


def assert_no_zombies_are_left(daemon: LiveDaemon) -> None:
    deadline = monotonic() + PATIENCE_S
    while left := zombies(daemon):
        assert monotonic() < deadline, left
        sleep(0.05)


def test_79_as_the_first_process_luad_collects_whoever_has_lost_his_parent(
    contained: LiveDaemon,
) -> None:
    assert contained.json("status")["pid"] == 1
    contained.write_job("orphan", job("orphan", "ends:orphan", 3600))
    contained.wait_for("config.installed", added=1)
    for _ in range(3):
        contained.luad("run", "orphan")
        contained.wait_for("run.ended", job="orphan", status="lost")
    assert_no_zombies_are_left(contained)
    contained.wait_for("run.ended", job="tick", status="succeeded")


@pytest.mark.slow
def test_82_of_a_herd_all_run_in_turn_so_many_at_once_and_each_keeps_its_exit_code(
    contained: LiveDaemon,
) -> None:
    """Five hundred jobs are due in one instant, and each has two attempts: a thousand processes."""
    noted = contained.wait_for("run.ended", job="tick", status="succeeded")["ts"]
    when = datetime.fromisoformat(noted) + timedelta(seconds=5)
    text = (
        "name: herd-{n}\nhandler: ends:end\nmetadata: {{code: {code}}}\nretry: {{max_attempts: 2}}\n"
        "schedule: {{type: once, execute_at: '{when}'}}\n"
    )
    documents = [text.format(n=n, code=n % 255 + 1, when=when.isoformat()) for n in range(HERD)]
    contained.write_job("herd", "---\n".join(documents))
    contained.wait_for("config.installed", added=HERD)
    for _ in range(HERD):
        contained.wait_for("run.ended", 90, status="failed")
    contained.wait_for("run.ended", job="tick", status="succeeded")
    assert_no_zombies_are_left(contained)
    rows = contained.rows("SELECT id, job_name, exit_code, attempt, scheduled_for FROM runs")
    herd = {(name, code, attempt) for _, name, code, attempt, _ in rows if name != "tick"}
    assert herd == {(f"herd-{n}", n % 255 + 1, 2) for n in range(HERD)}
    assert_so_many_at_once(contained.lines, AT_ONCE)
    due = {run_id: scheduled_for for run_id, *_, scheduled_for in rows}
    started = [line for line in contained.lines if line["event"] == "run.started"]
    firsts = [line for line in started if line["attempt"] == 1]
    order = [due[line["run_id"]] for line in firsts]
    assert order == sorted(order), "who was due later overtook somebody"
    assert max(line["late_ms"] for line in firsts) > 0, "how late each was is told"
    assert_every_second_has_its_row(contained)


def assert_so_many_at_once(lines: list[dict[str, Any]], most: int) -> None:
    steps = {"run.started": 1, "run.ended": -1, "run.retrying": -1}
    running, seen = 0, set()
    for line in lines:
        running += steps.get(line["event"], 0)
        seen.add(running)
    assert 1 < max(seen) <= most


def test_83_a_first_process_that_is_told_to_stop_before_it_is_ready_stops(tmp_path: Path) -> None:
    """The kernel keeps from a first process every signal that it has not asked for."""
    daemon = besieged(tmp_path)
    daemon.launcher = CONTAINER
    daemon.start(wait=False)
    try:
        deadline = monotonic() + PATIENCE_S
        while not heeds_a_stop(daemon):
            assert monotonic() < deadline, "luad does not come up"
        os.kill(inner(daemon), signal.SIGTERM)
        assert daemon.process.wait(PATIENCE_S) == 0
    finally:
        daemon.kill()  # its child with it


def heeds_a_stop(daemon: LiveDaemon) -> bool:
    """So it does from the first moment on in which luad is a daemon, long before it is ready."""
    first = next(children_of(daemon.process.pid), None)
    status = Path(f"/proc/{first}/status").read_text() if first else "SigCgt: 0"
    (mask,) = re.findall(r"SigCgt:\s+([0-9a-f]+)", status)
    return bool(int(mask, 16) & 1 << signal.SIGTERM - 1)
