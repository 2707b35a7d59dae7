"""A daemon takes over from the one before it, and says why it cannot start."""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.live_daemon import LiveDaemon

from luad.runner.processes import read_stat

JOB = """\
name: tick
handler: luad.handlers.shell:run
schedule: {type: interval, seconds: 3600}
metadata: {command: echo tick}
"""
OVERDUE = """\
name: overdue
handler: luad.handlers.shell:run
schedule: {type: once, execute_at: 2026-01-01T00:00:00Z}
catch_up_window: 36500d
metadata: {command: echo overdue}
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[LiveDaemon]:
    live = LiveDaemon(tmp_path)
    yield live
    live.__exit__(None, None, None)


def shown(daemon: LiveDaemon, name: str) -> tuple[str, str, bool]:
    """Id, status, and whether the file is stale."""
    view = json.loads(daemon.luad("show", name, "--json").stdout)
    return view["id"], view["status"], view["file"]["stale"]


def test_a_folder_that_is_missing_at_the_start_keeps_its_jobs(daemon: LiveDaemon) -> None:
    daemon.write_job("tick", JOB)
    daemon.start()
    daemon.luad("pause", "tick", "--reason", "moving house")
    own_id = shown(daemon, "tick")[0]
    daemon.stop()
    away = daemon.folder / "away"
    daemon.jobs.rename(away)
    daemon.start()
    assert shown(daemon, "tick") == (own_id, "paused", True)
    away.rename(daemon.jobs)
    daemon.luad("reload")
    assert shown(daemon, "tick") == (own_id, "paused", False)


def test_the_last_good_version_of_a_file_that_was_renamed_survives_a_restart(
    daemon: LiveDaemon,
) -> None:
    path = daemon.write_job("old", JOB)
    daemon.start()
    own_id = shown(daemon, "tick")[0]
    path.rename(daemon.jobs / "new.yaml")
    daemon.luad("reload")
    daemon.stop()
    daemon.write_job("new", "name: [")
    daemon.start()
    assert shown(daemon, "tick") == (own_id, "active", True)


def test_without_a_socket_nothing_is_started(daemon: LiveDaemon) -> None:
    daemon.write_job("overdue", OVERDUE)
    daemon.socket.mkdir()
    daemon.start(wait=False)
    assert daemon.process.wait(30) not in {0, None}
    assert daemon.rows("SELECT count(*) FROM runs") == [(0,)]


def test_those_who_held_a_run_and_were_stopped_are_woken_to_end_it(daemon: LiveDaemon) -> None:
    """Else they would hold up this start and every later one, and never end."""
    daemon.write_job("long", JOB.replace("tick", "long").replace("echo long", "sleep 3600"))
    daemon.start()
    run_id = daemon.luad("run", "long").stdout.strip()
    daemon.wait_for("run.started", run_id=run_id)
    ((pid,),) = daemon.rows("SELECT pid FROM runs WHERE id = ?", run_id)
    forker = parent_of(pid)
    keeper = parent_of(forker)
    holders = (parent_of(keeper), keeper, forker)
    held = {each: os.pidfd_open(each) for each in (*holders, pid)}
    for each in holders:
        os.kill(each, signal.SIGSTOP)
    daemon.kill()
    daemon.start()
    for each, pidfd in held.items():
        assert select.select([pidfd], [], [], 20)[0], f"{each} is still there"
        os.close(pidfd)
    assert "recovery.survivors" not in {line["event"] for line in daemon.lines}
    assert daemon.rows("SELECT state FROM runs WHERE id = ?", run_id) == [("lost",)]


def parent_of(pid: int) -> int:
    stat = read_stat(pid)
    assert stat is not None
    return stat.parent


def test_without_watching_a_change_waits_until_somebody_asks(tmp_path: Path) -> None:
    live = LiveDaemon(tmp_path, "--no-reload", env={"LUAD_RESCAN": "1s"})
    live.write_job("clock", JOB.replace("tick", "clock").replace("3600", "1"))
    with live as daemon:
        daemon.write_job("tick", JOB)
        for _ in range(3):
            daemon.wait_for("run.started", job="clock")
        jobs = json.loads(daemon.luad("list", "--json").stdout)["jobs"]
        assert [each["name"] for each in jobs] == ["clock"]
        daemon.luad("reload")
        assert shown(daemon, "tick")[1] == "active"


@pytest.mark.parametrize("is_other_boot", [True, False])
def test_whoever_has_the_pid_of_a_dead_run_now_is_left_alone_and_the_job_goes_on(
    daemon: LiveDaemon, *, is_other_boot: bool
) -> None:
    """After a restart of the machine somebody may even have begun in the same instant after the boot."""
    daemon.write_job("tick", JOB.replace("3600", "1").replace("echo tick", "sleep 600"))
    daemon.start()
    daemon.wait_for("run.started", job="tick")
    daemon.kill()
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        stat = Path(f"/proc/{stranger.pid}/stat").read_text()
        start_ticks = int(stat.rpartition(")")[2].split()[19])
        with closing(sqlite3.connect(daemon.state / "luad.db")) as connection, connection:
            changed = connection.execute(
                "UPDATE runs SET pid = ?, start_ticks = ?, boot_id = CASE ? WHEN 1 THEN 'another'"
                " ELSE boot_id END WHERE state = 'running'",
                (stranger.pid, start_ticks - (not is_other_boot), is_other_boot),
            )
            assert changed.rowcount == 1
        daemon.start()
        assert daemon.rows("SELECT state FROM runs ORDER BY claimed_at LIMIT 1") == [("lost",)]
        daemon.wait_for("run.started", job="tick")
        assert stranger.poll() is None, "a stranger was killed"
    finally:
        stranger.kill()
        stranger.wait()
        daemon.kill()  # its run would be waited for


def test_after_a_kill_the_next_start_reads_what_has_changed_and_nothing_else(
    daemon: LiveDaemon,
) -> None:
    """The jobs of a file are durable before luad notes that it need not be read again."""
    soon = JOB.replace("3600", "2")
    for name in ("kept", "removed", "edited"):
        daemon.write_job(name, soon.replace("tick", name))
    daemon.start()
    daemon.luad("reload")
    daemon.wait_for("run.ended", job="kept")
    daemon.luad("reload")
    daemon.kill()
    with closing(sqlite3.connect(daemon.state / "luad.db")) as database:
        noted = dict(database.execute("SELECT path, jobs FROM files").fetchall())
        installed = database.execute("SELECT origin_path FROM jobs").fetchall()
    assert {path: 1 for (path,) in installed if path in noted} == noted
    (daemon.jobs / "removed.yaml").unlink()
    daemon.write_job("edited", soon.replace("tick", "edited").replace("echo", "echo again"))
    started = "SELECT count(*) FROM runs WHERE job_name = 'removed' AND pid IS NOT NULL"
    before = daemon.rows(started)
    daemon.start()
    daemon.wait_for("run.ended", job="edited", status="succeeded")
    assert {each["name"] for each in daemon.json("list")["jobs"]} == {"kept", "edited"}
    assert daemon.json("show", "edited")["definition"]["metadata"] == {
        "command": "echo again edited"
    }
    daemon.stop()
    assert daemon.rows(started) == before
