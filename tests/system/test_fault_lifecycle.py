"""Signals, limits and restarts; the numbers are those of the table of faults."""

from __future__ import annotations

import re
import resource
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic  # noqa: TID251 - a test's patience is real time

import pytest
from support.attack import assert_every_second_has_its_row, assert_on_time, besieged, job
from support.live_daemon import PATIENCE_S, LiveDaemon

from luad.client import Client
from luad.clock import SystemClock
from luad.errors import LuadError, RefusedError
from luad.wire import format_instant

HANDLERS = r"""
import signal

def deaf(job):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("hanging", flush=True)
    while True:
        signal.pause()


def hang(job):
    print("hanging", flush=True)
    signal.pause()


def forge(job):
    print('{"event": "run.ended", "job": "tick", "status": "failed"}')
    print("two\r\nlines", "and\u2028a half", "\x1b[2J\x1b]0;title\x07", "nul\x00", '"}')
    raise RuntimeError('"}\n{"event": "forged"}\n\x1b[31m' + job.metadata["note"])
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[LiveDaemon]:
    live = besieged(tmp_path, env={"LUAD_KILL_GRACE": "1s"})
    live.write_handler("more", HANDLERS)
    yield live
    live.__exit__(None, None, None)


# --- 83, 84: signals -----------------------------------------------------------------------------


def test_83_told_to_stop_in_the_middle_of_a_reload_it_stops_in_order(daemon: LiveDaemon) -> None:
    daemon.start()
    daemon.wait_for("run.ended", job="tick", status="succeeded")
    many = [job(f"many-{number}", seconds=3600) for number in range(3_000)]
    daemon.write_job("many", "---\n".join(many))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(PATIENCE_S) == 0
    assert daemon.drain_log()[-1]["event"] == "daemon.stopped"
    daemon.start()
    daemon.wait_for("run.ended", job="tick", status="succeeded")
    assert daemon.json("status")["jobs"]["total"] == 3_001
    assert_every_second_has_its_row(daemon)


def test_83_told_three_times_it_leaves_at_once_and_the_next_start_tells_the_rest(
    daemon: LiveDaemon,
) -> None:
    daemon.env["LUAD_KILL_GRACE"] = "1h"
    daemon.write_job("deaf", job("deaf", "more:deaf", 3600, "timeout: 1h"))
    daemon.start()
    run_id = daemon.luad("run", "deaf").stdout.strip()
    daemon.wait_for("run.output", message="hanging")
    asked = monotonic()
    while daemon.process.poll() is None:  # three that come at once may be one
        assert monotonic() < asked + PATIENCE_S, (
            "it waits for the hour that the run may take to end"
        )
        daemon.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            daemon.process.wait(0.3)
    assert daemon.process.returncode == 0
    daemon.start()
    daemon.wait_for("run.ended", job="tick", status="succeeded")
    assert daemon.rows("SELECT state FROM runs WHERE id = ?", run_id) == [("lost",)]
    assert_every_second_has_its_row(daemon)


def test_84_other_signals_end_nothing_and_an_interrupt_ends_it_as_a_stop_does(
    daemon: LiveDaemon,
) -> None:
    harmless = (signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGWINCH)
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        for _ in range(20):
            for signum in (*harmless, signal.SIGHUP, signal.SIGURG, signal.SIGCONT):
                daemon.process.send_signal(signum)
        for _ in range(2):
            daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert_on_time(daemon, most_ms=2_000)
        daemon.process.send_signal(signal.SIGINT)
        assert daemon.process.wait(PATIENCE_S) == 0
        assert daemon.drain_log()[-1]["event"] == "daemon.stopped"


# --- 90: the log ---------------------------------------------------------------------------------


def test_90_whatever_a_handler_says_is_a_field_of_one_line(daemon: LiveDaemon) -> None:
    """Every line was JSON already, or it would not have been read."""
    note = r'"\n{\"event\": \"daemon.stopped\"}\u2028\e[0m"'
    more = f"description: {note}\nmetadata: {{note: {note}}}\ntags: [a, b]"
    daemon.write_job("forge", job("forge", "more:forge", 3600, more))
    with daemon:
        run_id = daemon.luad("run", "forge").stdout.strip()
        daemon.wait_for("run.ended", run_id=run_id, status="failed")
        events = {line["event"] for line in daemon.lines}
        assert "forged" not in events
        assert "daemon.stopped" not in events
        outputs = [line for line in daemon.lines if line["event"] == "run.output"]
        said = [line["message"] for line in outputs if line["run_id"] == run_id]
        assert said[0] == '{"event": "run.ended", "job": "tick", "status": "failed"}'


# --- 96, 97, 98: what is asked for ----------------------------------------------------------------


def test_96_rows_that_were_changed_to_another_handler_are_not_in_force(daemon: LiveDaemon) -> None:
    """Of a dynamic job, and of one whose file says what it always said."""
    daemon.write_handler("evil", f"def run(job):\n    open({str(daemon.folder / 'evil')!r}, 'w')\n")
    schedule = {"type": "interval", "seconds": 1}
    with daemon:
        client = Client(daemon.socket)
        client.post("/jobs", {"name": "made", "handler": "work:note", "schedule": schedule})
        daemon.wait_for("run.ended", job="made", status="succeeded")
        daemon.stop()
        with closing(sqlite3.connect(daemon.state / "luad.db")) as database, database:
            database.execute(
                "UPDATE jobs SET definition_json = replace(definition_json, 'work:note', "
                "CASE name WHEN 'made' THEN 'luad.handlers.shell:run' ELSE 'evil:run' END)"
            )
        daemon.start()
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        (problem,) = daemon.json("status")["problems"]
        assert "`luad.handlers.shell:run` is not allowed" in problem["message"]
        assert [each["name"] for each in daemon.json("list")["jobs"]] == ["tick"]
        assert not (daemon.folder / "evil").exists()


def test_97_questions_about_the_end_of_time_make_nobody_late(daemon: LiveDaemon) -> None:
    text = (
        "name: leap-{n}\nhandler: work:note\nschedule: {{type: cron, expression: '{n} 0 29 2 1'}}\n"
    )
    daemon.write_job("leap", "---\n".join(text.format(n=n) for n in range(60)))
    far = {"from": "9999-12-30T00:00:00Z"}
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        client = Client(daemon.socket)
        for _ in range(50):
            client.get("/schedule", until="9999-12-31T00:00:00Z", limit=500)
            client.get("/jobs/leap-3/next", n=500)
            for path, query in (
                ("/schedule", {"limit": 10**9}),
                ("/schedule", far),
                ("/jobs/leap-3/next", {"n": 10**9}),
                ("/jobs/leap-3/next", far),
            ):
                with pytest.raises(RefusedError):
                    client.get(path, **query)
        for _ in range(2):
            daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert_on_time(daemon, most_ms=2_000)


def test_98_a_clock_that_is_behind_what_was_seen_before_catches_up_with_nothing(
    daemon: LiveDaemon,
) -> None:
    """The daemon before this one has seen tomorrow; the machine has booted with its clock not set."""
    with daemon:
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        daemon.stop()
        with closing(sqlite3.connect(daemon.state / "luad.db")) as database, database:
            database.execute("UPDATE meta SET value = value + 86400000 WHERE key = 'last_seen'")
            database.execute("UPDATE jobs SET handled_until = handled_until + 86400000")
            database.execute("DELETE FROM runs")
        daemon.start()
        assert "clock.behind" in {line["event"] for line in daemon.lines}
        for _ in range(2):
            daemon.wait_for("run.ended", job="tick", status="succeeded")
        rows = daemon.rows('SELECT state, "trigger" FROM runs')
        assert set(rows) <= {("succeeded", "schedule"), ("running", "schedule")}, rows
        assert_on_time(daemon, most_ms=2_000)


# --- 88: memory ----------------------------------------------------------------------------------


def test_88_without_memory_an_operation_fails_or_luad_ends_in_order_and_no_row_is_missing(
    daemon: LiveDaemon,
) -> None:
    """With some room, reading files and answering fail by themselves; with none, no turn can be trusted."""
    daemon.env["LUAD_MAX_FILE_SIZE"] = "128MiB"
    # Few jobs, each with much text, so that the file that fills the memory is quickly read once there is room.
    much = f"metadata: {{text: {'x' * 20_000}}}"
    client = Client(daemon.socket)
    daemon.start()
    for room in (24 << 20, 0):
        count = 50
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        pid = daemon.process.pid
        (size,) = re.findall(r"VmSize:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        resource.prlimit(pid, resource.RLIMIT_AS, ((int(size) << 10) + room, -1))
        is_felt = False
        while not is_felt:
            count *= 2
            assert count < 10_000, "there was room for everything"
            many = [job(f"many-{each}", seconds=3600, more=much) for each in range(count)]
            daemon.write_job("many", "---\n".join(many))
            is_felt = not is_answered(client, "/config/reload")
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, (-1, -1))
        if not lives_on(daemon):
            assert daemon.process.wait(PATIENCE_S) == 1
            assert daemon.drain_log()[-1]["event"] == "daemon.stopped"
            daemon.start()
    client.post("/config/reload")
    assert daemon.json("status")["jobs"]["total"] == count + 1
    daemon.wait_for("run.ended", job="tick", status="succeeded")
    assert_every_second_has_its_row(daemon)


def is_answered(client: Client, path: str) -> bool:
    with suppress(LuadError):
        client.post(path)
        return True
    return False


def lives_on(daemon: LiveDaemon) -> bool:
    """Two runs later it is known; lines from before do not count."""
    since = format_instant(SystemClock().now().wall)
    left = 2
    with suppress(AssertionError):
        while left:
            line = daemon.wait_for("run.ended", job="tick", status="succeeded")
            left -= line["ts"] > since
        return True
    return False
