"""The whole daemon: real files, real processes, real signals, a real database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import database_url
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon, children_of

TICK = """\
name: {name}
handler: {handler}
schedule: {{type: interval, seconds: {seconds}}}
{more}
"""


def job(name: str, handler: str = "work:note", seconds: int = 1, more: str = "") -> str:
    return TICK.format(name=name, handler=handler, seconds=seconds, more=more)


WORK = """
import os, signal, sys, time
from pathlib import Path


def note(job):
    print("noted", job.name)
    return {"pid": os.getpid()}


def hang(job):
    print("hanging", flush=True)
    signal.pause()


def stubborn(job):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("hanging", flush=True)
    while True:
        signal.pause()


def fail(job):
    raise RuntimeError("no luck")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(params=["sqlite", "postgresql"])
def env(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables that choose the store of the daemon."""
    if request.param == "sqlite":
        return {}
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return {"LUAD_STORE": database_url(f"test_daemon_{worker}_{os.getpid()}")}


@pytest.fixture
def daemon(folder: Path, env: dict[str, str]) -> Iterator[LiveDaemon]:
    live = ForkedDaemon(folder, env=env)
    live.write_handler("work", WORK)
    yield live
    live.__exit__(None, None, None)


# --- files -------------------------------------------------------------------------------------


def test_a_file_dropped_into_the_folder_runs_and_everyone_can_see_it(daemon: LiveDaemon) -> None:
    daemon.start()
    daemon.write_job("tick", job("tick"))
    daemon.wait_for("config.installed", added=1)
    started = daemon.wait_for("run.started", job="tick")
    daemon.wait_for("run.output", message="noted tick", run_id=started["run_id"])
    daemon.wait_for("run.ended", run_id=started["run_id"], status="succeeded")
    run = daemon.json("show", started["run_id"])
    assert run["status"] == "succeeded"
    assert "pid" in run["result"]
    assert "noted tick" in daemon.luad("logs", started["run_id"]).stdout


def test_the_log_of_a_failed_run_says_why(daemon: LiveDaemon) -> None:
    daemon.write_job("unlucky", job("unlucky", "work:fail"))
    daemon.start()
    ended = daemon.wait_for("run.ended", status="failed")
    assert ended["error"] == "RuntimeError: no luck"
    log = daemon.luad("logs", ended["run_id"]).stdout
    assert "RuntimeError: no luck" in log
    assert "work.py" in log, "and where"


def test_a_missing_folder_is_a_healthy_daemon_that_notices_when_it_appears(
    daemon: LiveDaemon,
) -> None:
    daemon.jobs.rmdir()
    daemon.start()
    assert daemon.luad("status").returncode == 0
    daemon.jobs.mkdir()
    daemon.write_job("tick", job("tick"))
    daemon.wait_for("config.installed", added=1)


def test_a_broken_file_changes_nothing_but_itself(daemon: LiveDaemon) -> None:
    daemon.write_job("good", job("good"))
    daemon.write_job("frail", job("frail", seconds=3600))
    daemon.start()
    daemon.write_job("frail", "name: frail\nhandler: work:note\nschedule: {type: cron}\n")
    daemon.wait_for("config.problem")
    installed = daemon.wait_for("config.installed")
    assert (installed["removed"], installed["kept"]) == (0, 2)
    daemon.wait_for("run.ended", job="good", status="succeeded")
    listed = {each["name"]: each for each in daemon.json("list")["jobs"]}
    assert listed["frail"]["file"]["stale"] is True
    assert listed["frail"]["health"] == "stale"
    assert listed["good"]["file"]["stale"] is False
    assert daemon.json("status")["status"] == "degraded"
    assert daemon.luad("reload", check=False).returncode == 1
    daemon.write_job("frail", job("frail", seconds=1800))
    daemon.wait_for("config.installed", replaced=1, problems=0)
    assert daemon.luad("reload").returncode == 0


def test_the_last_good_version_of_a_broken_file_survives_a_restart(daemon: LiveDaemon) -> None:
    daemon.write_job("frail", job("frail"))
    with daemon:
        daemon.write_job("frail", "name: [\n")
        daemon.wait_for("config.problem")
    with daemon:
        daemon.wait_for("run.ended", job="frail", status="succeeded")


def test_a_reload_keeps_what_runs(daemon: LiveDaemon) -> None:
    daemon.write_job("long", job("long", "work:hang"))
    daemon.start()
    started = daemon.wait_for("run.started", job="long")
    daemon.write_job("other", job("other", seconds=3600))
    installed = daemon.wait_for("config.installed")
    assert (installed["added"], installed["kept"]) == (1, 1)
    assert daemon.json("show", started["run_id"])["status"] == "running"
    daemon.luad("cancel", started["run_id"])
    daemon.wait_for("run.ended", run_id=started["run_id"], status="cancelled")


def test_sighup_reloads_and_a_storm_of_it_does_no_harm(daemon: LiveDaemon) -> None:
    daemon.write_job("tick", job("tick", seconds=3600))
    daemon.start()
    for _ in range(200):
        daemon.process.send_signal(signal.SIGHUP)
    daemon.process.send_signal(signal.SIGUSR1)
    daemon.process.send_signal(signal.SIGUSR2)
    daemon.wait_for("config.installed", kept=1)
    assert daemon.json("status")["jobs"]["total"] == 1
    assert daemon.stop() == 0
    reloads = [line for line in daemon.drain_log() if line["event"] == "config.installed"]
    assert 1 <= len(reloads) <= 201, (
        "those of one reading are merged, see tests/shell/test_reload.py"
    )


# --- ending ------------------------------------------------------------------------------------


def test_sigterm_lets_what_runs_end_and_starts_nothing_more(daemon: LiveDaemon) -> None:
    daemon.write_handler(
        "work", WORK + "\ndef wait(job):\n    time.sleep(1.5)\n    return 'done'\n"
    )
    daemon.write_job("long", job("long", "work:wait"))
    daemon.start()
    started = daemon.wait_for("run.started")
    assert daemon.stop() == 0
    lines = daemon.drain_log()
    draining = next(n for n, line in enumerate(lines) if line["event"] == "daemon.draining")
    assert not [line for line in lines[draining:] if line["event"] == "run.started"]
    assert daemon.rows("SELECT state FROM runs WHERE id = ?", started["run_id"]) == [("succeeded",)]
    assert lines[-1]["event"] == "daemon.stopped"


def test_a_second_sigterm_ends_what_runs(daemon: LiveDaemon) -> None:
    daemon.write_job("long", job("long", "work:hang"))
    daemon.start()
    started = daemon.wait_for("run.output", message="hanging")
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_for("daemon.draining")
    assert daemon.stop() == 0
    rows = daemon.rows("SELECT state, reason FROM runs WHERE id = ?", started["run_id"])
    assert rows == [("lost", "stopped")]


def test_nobody_is_left_behind(daemon: LiveDaemon) -> None:
    daemon.write_job("long", job("long", "work:stubborn"))
    daemon.start()
    daemon.wait_for("run.output", message="hanging")
    family = list(children_of(daemon.process.pid))
    assert len(family) >= 3, "spawner, keeper, handler"
    daemon.kill()
    waiting = [os.pidfd_open(pid) for pid in family if Path(f"/proc/{pid}").exists()]
    for pidfd in waiting:
        signalled = subprocess.run(
            [
                sys.executable,
                "-c",
                f"import select; print(select.select([{pidfd}], [], [], 20)[0])",
            ],
            pass_fds=[pidfd],
            capture_output=True,
            text=True,
            check=True,
        )
        assert signalled.stdout.strip() != "[]", "a process of a run outlived the daemon"
        os.close(pidfd)


def test_a_run_is_lost_when_the_daemon_is_killed_and_the_job_goes_on(daemon: LiveDaemon) -> None:
    daemon.write_job("long", job("long", "work:hang", more="timeout: 1h"))
    daemon.start()
    lost = daemon.wait_for("run.output", message="hanging")
    daemon.kill()
    daemon.start()
    again = daemon.wait_for("run.started", job="long")
    assert again["run_id"] != lost["run_id"]
    assert daemon.rows("SELECT state FROM runs WHERE id = ?", lost["run_id"]) == [("lost",)]
    daemon.luad("cancel", "--kill", again["run_id"])


# --- one daemon, one folder --------------------------------------------------------------------


def test_a_second_daemon_on_the_same_folder_ends_at_once_and_names_the_first(
    daemon: LiveDaemon,
) -> None:
    daemon.start()
    second = ForkedDaemon(daemon.folder, env=daemon.env)
    command = [sys.executable, "-m", "luad", "serve", "--jobs", str(second.jobs)]
    command += ["--state", str(second.state), "--socket", str(second.socket)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=second.env
    )
    assert done.returncode == 8
    assert str(daemon.process.pid) in done.stderr
    assert daemon.json("status")["pid"] == daemon.process.pid


@pytest.mark.parametrize("env", ["sqlite"], indirect=True)
def test_a_corrupt_database_is_set_aside_and_the_daemon_starts(daemon: LiveDaemon) -> None:
    daemon.write_job("tick", job("tick"))
    with daemon:
        daemon.wait_for("run.ended")
    (daemon.state / "luad.db").write_bytes(b"this is no database" * 1_000)
    with daemon:
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert [line for line in daemon.lines if line["event"] == "store.corrupt"]
    assert list(daemon.state.glob("*.corrupt-*"))


@pytest.mark.parametrize("env", ["postgresql"], indirect=True)
def test_a_run_goes_on_while_its_session_is_gone_and_its_result_is_kept(
    daemon: LiveDaemon,
) -> None:
    daemon.write_job("tick", job("tick"))
    daemon.start()
    daemon.wait_for("run.ended", job="tick", status="succeeded")
    for _ in range(3):
        daemon.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'luad %'"
        )
        daemon.wait_for("run.ended", job="tick", status="succeeded")
    assert daemon.stop() == 0
    # Every occurrence is one row, and each row that runs has ended.
    due = "SELECT count(*), count(DISTINCT occurrence) FROM runs"
    ((rows, occurrences),) = daemon.rows(due)
    assert rows == occurrences
    states = dict(daemon.rows("SELECT state, count(*) FROM runs GROUP BY state"))
    assert states.keys() <= {"succeeded", "missed", "skipped"}


def test_strict_refuses_to_start_with_a_broken_file(daemon: LiveDaemon) -> None:
    daemon.options = ("--strict",)
    daemon.write_job("broken", "name: [")
    daemon.start(wait=False)
    assert daemon.process.wait(60) == 78
