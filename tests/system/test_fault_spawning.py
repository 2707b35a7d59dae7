"""The kernel makes no more processes for a while: what was to run has not started, and says so."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.attack import assert_every_second_has_its_row, besieged, job
from support.live_daemon import LiveDaemon, children_of

pytestmark = pytest.mark.needs("strace")

MAKES = "clone,clone3,fork,vfork"


@contextmanager
def tampered(calls: str, deed: str, *pids: int) -> Iterator[None]:
    """While this is open, *deed* is done to those system calls of *pids* and of whoever they make."""
    inject = ("-e", f"trace={calls}", "-e", f"inject={calls}:{deed}")
    command = ["strace", "-f", "-o", os.devnull, *inject, "-p", ",".join(map(str, pids))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        try:
            assert tracer.stderr is not None
            line = tracer.stderr.readline()
            assert "attached" in line, line
            yield
        finally:
            tracer.send_signal(signal.SIGINT)  # it lets go, and nobody notices


def forkers_of(daemon: LiveDaemon) -> list[int]:
    """The processes that fork handlers; each is below a keeper."""
    return [pid for keeper in own_children(spawner_of(daemon)) for pid in own_children(keeper)]


def own_children(pid: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def spawner_of(daemon: LiveDaemon) -> int:
    children = children_of(daemon.process.pid)
    return next(pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == "luad-runner\n")


def test_78_without_new_processes_runs_have_not_started_and_are_tried_again(tmp_path: Path) -> None:
    daemon = besieged(tmp_path)
    retry = "retry: {max_attempts: 9, backoff_seconds: 1}"
    daemon.write_job("stout", job("stout", "work:note", 3600, retry))
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        with tampered(MAKES, "error=EAGAIN", *forkers_of(daemon)):
            told = daemon.wait_for("run.ended", job="tick", ending="not_started")
            assert os.strerror(errno.EAGAIN) in told["error"]
            run_id = daemon.luad("run", "stout").stdout.strip()
            daemon.wait_for("run.retrying", run_id=run_id)
        daemon.wait_for("run.ended", run_id=run_id, status="succeeded")
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert_every_second_has_its_row(daemon)


def test_78_without_a_new_spawner_as_well(tmp_path: Path) -> None:
    """The spawner was killed, and its successor cannot be executed."""
    daemon = besieged(tmp_path)
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        with tampered("execve", "error=E2BIG", daemon.process.pid):
            os.kill(spawner_of(daemon), signal.SIGKILL)
            told = daemon.wait_for("run.ended", job="tick", ending="not_started")
            assert os.strerror(errno.E2BIG) in told["error"]
            told = daemon.json("status")
            assert told["status"] == "degraded"
            assert "cannot be started" in told["problems"][0], "nothing starts, and it says so"
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert daemon.json("status")["status"] == "ok"
        assert_every_second_has_its_row(daemon)


def test_when_luad_has_ended_nobody_of_it_is_left_however_long_they_take(tmp_path: Path) -> None:
    """The keeper in reserve and its process may be slow to go: luad waits for them."""
    daemon = besieged(tmp_path)
    daemon.write_job("tick", job("tick", seconds=3600))
    with daemon:
        spawner = spawner_of(daemon)
        while len(family := list(children_of(spawner))) < 2:
            os.sched_yield()
        with tampered("exit_group", "delay_enter=1000000", *family):
            daemon.stop()
            left = [pid for pid in (spawner, *family) if Path(f"/proc/{pid}").exists()]
    assert left == []


BOMB = """
import os
import resource

def bomb(job):
    while True:
        try:
            os.fork()
        except OSError:
            pass
"""


def test_68_a_bomb_that_takes_every_process_luad_itself_may_have_is_ended_and_runs_go_on(
    tmp_path: Path,
) -> None:
    """A user without rights, who may have a hundred processes in all, runs luad here."""
    user = 64_000 + os.getpid() % 1_000
    daemon = besieged(tmp_path, env={"LUAD_KILL_GRACE": "1s"})
    rights = ("--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    daemon.launcher = ("setpriv", f"--reuid={user}", *rights, "prlimit", "--nproc=100:100")
    daemon.state.mkdir(mode=0o700)
    os.chown(daemon.state, user, -1)
    daemon.env["LUAD_STATE_DIR"] = str(daemon.state)  # tells clients whose daemon may answer
    daemon.write_handler("bomb", BOMB)
    daemon.write_job("bomb", job("bomb", "bomb:bomb", 3600, "timeout: 15s"))
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        run_id = daemon.luad("run", "bomb").stdout.strip()
        told = daemon.wait_for("run.ended", job="tick", ending="not_started")
        assert os.strerror(errno.EAGAIN) in told["error"]
        assert daemon.json("status")["runs"]["running"] >= 1
        daemon.wait_for("run.ended", run_id=run_id, status="timed_out")
        for _ in range(2):
            daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert_every_second_has_its_row(daemon)
        assert len(processes_of(user)) < 20, "nobody of the bomb is left"
    assert processes_of(user) == []


def processes_of(user: int) -> list[int]:
    """Who runs as *user*; one who ends while we look is left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError):
            if folder.stat().st_uid == user:
                found.append(int(folder.name))
    return found
