"""A real daemon is stopped while runs go on: what it says meanwhile, and what the next one does."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

WORK = """
import signal


def hang(job):
    print("hanging", flush=True)
    signal.pause()


def first_hangs(job):
    if job.attempt > 1 or job.trigger_kind == "retry":
        return "done"
    hang(job)
"""
AT_ONCE = "{type: once, execute_at: 2026-01-01T00:00:00Z}"


@pytest.fixture
def daemon(tmp_path: Path) -> LiveDaemon:
    live = ForkedDaemon(tmp_path, "--drain", "0s")
    live.write_handler("work", WORK)
    return live


def declare(daemon: LiveDaemon, name: str, *more: str) -> None:
    lines = [f"name: {name}", "handler: work:first_hangs", "catch_up_window: 3650d"]
    lines += [f"schedule: {AT_ONCE}", *more]
    daemon.write_job(name, "\n".join(lines) + "\n")


def runs(daemon: LiveDaemon) -> dict[str, tuple[Any, ...]]:
    rows = daemon.rows("SELECT job_name, state, reason, attempt FROM runs ORDER BY claimed_at")
    return {name: rest for name, *rest in map(list, rows)}  # type: ignore[misc]


def test_what_a_stop_has_to_end_follows_on_lost_and_is_repeated_by_hand(
    daemon: LiveDaemon,
) -> None:
    declare(daemon, "again", "on_lost: retry")
    declare(daemon, "gone")
    daemon.start()
    names = {daemon.wait_for("run.output")["job"] for _ in range(2)}
    assert names == {"again", "gone"}
    assert daemon.stop() == 0
    assert runs(daemon) == {"again": ["retrying", None, 1], "gone": ["lost", "stopped", 1]}

    daemon.start()
    daemon.wait_for("run.ended", job="again", status="succeeded", attempt=2)
    listed = {job["name"]: job["health"] for job in daemon.json("list", "--all")["jobs"]}
    assert listed["gone"] == "failing"
    (lost,) = daemon.rows("SELECT id FROM runs WHERE state = 'lost'")
    assert "stopped" in daemon.luad("show", lost[0]).stdout
    daemon.luad("retry", lost[0])
    daemon.wait_for("run.ended", job="gone", status="succeeded")
    assert daemon.stop() == 0


def test_the_log_and_systemd_are_told_which_runs_the_stop_waits_for(
    daemon: LiveDaemon, tmp_path: Path
) -> None:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify.sock"))
    manager.settimeout(30)
    daemon.env["NOTIFY_SOCKET"] = str(tmp_path / "notify.sock")
    daemon.options = ("--drain", "60s")
    declare(daemon, "slow")
    daemon.start()
    started = daemon.wait_for("run.started", job="slow")
    daemon.wait_for("run.output", job="slow")
    daemon.process.send_signal(signal.SIGTERM)
    line = daemon.wait_for("daemon.waiting", phase="running")
    assert (line["count"], line["at_most_s"]) == (1, 60)
    assert [(run["job"], run["run_id"]) for run in line["runs"]] == [("slow", started["run_id"])]
    status = ""
    while "STATUS=stopping: waiting for 1 run" not in status:
        status = manager.recv(65_536).decode()
    assert f"slow {started['run_id']} (for " in status
    assert daemon.stop() == 0, "the second signal ends what runs"
    assert runs(daemon) == {"slow": ["lost", "stopped", 1]}
    manager.close()


def test_a_run_that_a_client_cancels_during_the_stop_is_cancelled(daemon: LiveDaemon) -> None:
    daemon.options = ("--drain", "60s")
    declare(daemon, "again", "on_lost: retry")
    daemon.start()
    started = daemon.wait_for("run.started", job="again")
    daemon.wait_for("run.output", job="again")
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_for("daemon.waiting")
    daemon.luad("cancel", started["run_id"])
    assert daemon.process.wait(30) == 0
    assert runs(daemon) == {"again": ["cancelled", "requested", 1]}
