"""Processes that outlive their run, under a real daemon: ended, counted and named."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.live_daemon import LiveDaemon, children_of

from luad.runner.processes import read_stat

HANDLERS = """
import os, signal, subprocess, sys, threading
from contextlib import suppress


def _stat(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def attack(job):
    env = {} if job.metadata.get("clear") else None
    child = subprocess.Popen(["sleep", "300"], start_new_session=True, env=env)
    print("left", child.pid, flush=True)
    keeper = int(_stat(os.getppid())[1])
    spawner = int(_stat(keeper)[1])
    if job.metadata.get("waits"):
        signal.pause()
    threading.Event().wait(0.5)  # what the keeper has not read is lost with it
    if job.metadata.get("spawner_too"):
        os.kill(spawner, signal.SIGKILL)
    os.kill(keeper, signal.SIGKILL)
    signal.pause()


def leave(job):
    return subprocess.Popen(["sleep", "300"], start_new_session=True).pid
"""

JOB = """\
name: {name}
handler: runs:{handler}
schedule: {{type: cron, expression: "0 0 1 1 *"}}
metadata: {metadata}
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[LiveDaemon]:
    live = LiveDaemon(tmp_path, env={"LUAD_KILL_GRACE": "1s"})
    live.write_handler("runs", HANDLERS)
    for name, handler, metadata in (
        ("marked", "attack", "{}"),
        ("cleared", "attack", "{clear: true}"),
        ("both", "attack", "{clear: true, spawner_too: true}"),
        ("waits", "attack", "{waits: true}"),
        ("leave", "leave", "{}"),
    ):
        live.write_job(name, JOB.format(name=name, handler=handler, metadata=metadata))
    with live:
        yield live


def pid_left_by(daemon: LiveDaemon, name: str) -> int:
    line = daemon.wait_for("run.output", job=name, stream="stdout")
    return int(line["message"].removeprefix("left "))


def is_alive(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is not None and stat.state != "Z"


def test_80_what_a_killed_keeper_left_is_gone_when_its_run_is_reported(daemon: LiveDaemon) -> None:
    daemon.luad("run", "marked")
    pid = pid_left_by(daemon, "marked")
    daemon.wait_for("run.ended", job="marked")
    assert not is_alive(pid)
    shown = daemon.json("show", "@last")
    assert (shown["status"], shown["left_processes"]) == ("lost", 1)
    assert "left running  1 process;" in daemon.luad("show", "@last").stdout
    assert f"`sleep 300` (pid {pid})" in daemon.luad("logs", "marked").stdout
    assert "✓ ok    processes    no process has outlived its run" in daemon.luad("doctor").stdout


def test_80_the_doctor_names_a_process_that_cleared_its_environment(daemon: LiveDaemon) -> None:
    daemon.luad("run", "cleared")
    pid = pid_left_by(daemon, "cleared")
    run_id = daemon.wait_for("run.ended", job="cleared")["run_id"]
    assert not is_alive(pid)
    assert daemon.json("status")["orphan_processes"] == {
        "count": 1,
        "latest": [{"pid": pid, "name": "sleep", "run_id": run_id, "alive": False}],
    }
    said = daemon.luad("doctor", check=False).stdout
    assert f"without LUAD_RUN_ID: sleep (pid {pid}, {run_id})" in said


def test_80_the_doctor_names_a_process_that_lost_keeper_and_spawner(daemon: LiveDaemon) -> None:
    daemon.luad("run", "both")
    pid = pid_left_by(daemon, "both")
    daemon.wait_for("run.ended", job="both")
    try:
        assert is_alive(pid), "nothing says which run it belongs to"
        said = daemon.luad("doctor", check=False).stdout
        assert f"1 process is alive below luad and belong to no run: sleep (pid {pid})" in said
        assert f"fix: kill {pid}" in said
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_daemon_and_a_keeper_that_die_together_leave_nothing_behind(daemon: LiveDaemon) -> None:
    """The next daemon ends what is left, also what the spawner could not."""
    daemon.luad("run", "waits")
    pid = pid_left_by(daemon, "waits")
    below = list(children_of(daemon.process.pid))
    for each in below:
        if each != pid:
            os.kill(each, signal.SIGSTOP)
    daemon.kill()
    for each in below:
        if each != pid:
            with suppress(ProcessLookupError):  # the kernel has killed it together with its parent
                os.kill(each, signal.SIGKILL)
    assert is_alive(pid)
    daemon.start()
    [ended] = [line for line in daemon.lines if line["event"] == "run.ended"]
    assert ended["status"] == "lost"
    assert not is_alive(pid)


def test_67_show_counts_and_the_log_names_what_a_handler_left_running(daemon: LiveDaemon) -> None:
    daemon.luad("run", "leave", "--wait")
    shown = daemon.json("show", "@last")
    assert (shown["status"], shown["left_processes"], shown["left_tasks"]) == ("succeeded", 1, 0)
    assert f"`sleep 300` (pid {shown['result']})" in daemon.luad("logs", "leave").stdout
