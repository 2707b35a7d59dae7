"""Starting where nothing is as it should be, and signals that do not wait until luad is ready."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic  # noqa: TID251 - a test's patience is real time

import pytest
from support.attack import assert_every_second_has_its_row, besieged, job
from support.live_daemon import PATIENCE_S, LiveDaemon

STRANGE = {
    "TZ": ":::/../etc/passwd",
    "LANG": "C",
    "LC_ALL": "POSIX",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONUTF8": "0",
    "PYTHONIOENCODING": "ascii",
    "COLUMNS": "x",
}


def test_a_strange_environment_changes_nothing(tmp_path: Path) -> None:
    """No home, no path, a zone that is none, a locale of ASCII, no stdin, signals ignored."""
    daemon = besieged(tmp_path, env=STRANGE)
    for name in ("HOME", "USER", "PATH", "SHELL"):
        daemon.env.pop(name, None)
    daemon.write_job("umlaut", job("umlaut", more="description: Ünïcödé ✓"))
    daemon.launcher = ("/bin/sh", "-c", 'trap "" TERM INT HUP CHLD PIPE; exec "$@" <&-', "sh")
    with daemon:
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        daemon.wait_for("run.ended", job="umlaut", status="succeeded")
        assert daemon.stop() == 0


def test_told_to_stop_before_it_is_ready_it_ends_in_order(tmp_path: Path) -> None:
    daemon = besieged(tmp_path)
    with daemon:
        daemon.wait_for("run.ended", job="tick")
    start_and_wait_for_the_lock(daemon)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(60) in {0, -signal.SIGTERM}, (
        "a moment earlier it is the interpreter's"
    )
    with daemon:
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert_every_second_has_its_row(daemon)


@pytest.mark.parametrize(
    ("order", "step"),
    [
        (signal.SIGTERM, "state/luad.lock"),
        (signal.SIGINT, "state/luad.db-wal"),
        (signal.SIGTERM, "state/runs.lock"),
        (signal.SIGINT, "luad.sock"),
    ],
)
def test_a_parent_that_ignores_signals_loses_no_order_to_stop(
    tmp_path: Path, order: signal.Signals, step: str
) -> None:
    """The order arrives as soon as the start has made the file *step*."""
    daemon = LiveDaemon(tmp_path)
    daemon.launcher = ("/bin/sh", "-c", 'trap "" TERM INT; exec "$@"', "sh")
    daemon.start(wait=False)
    deadline = monotonic() + PATIENCE_S
    while not (tmp_path / step).exists():
        assert monotonic() < deadline, "luad does not come up"
    daemon.process.send_signal(order)
    assert daemon.process.wait(60) in {0, -signal.SIGTERM, 128 + signal.SIGINT}


def test_hangups_before_it_is_ready_do_not_end_it(tmp_path: Path) -> None:
    daemon = besieged(tmp_path)
    start_and_wait_for_the_lock(daemon)
    for _ in range(20):
        daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("run.ended", job="tick", status="succeeded")
    assert daemon.stop() == 0


@pytest.mark.parametrize("count", [8, 12, 16])
def test_87_with_too_few_descriptors_to_start_it_ends_and_says_why(
    tmp_path: Path, count: int
) -> None:
    daemon = besieged(tmp_path)
    command = ["prlimit", f"--nofile={count}:{count}", sys.executable, "-m", "luad", "serve"]
    command += ["--jobs", str(daemon.jobs), "--state", str(daemon.state)]
    command += ["--socket", str(daemon.socket)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env=daemon.env
    )
    assert done.returncode not in {0, 70}
    assert "open" in done.stderr, done.stderr
    assert "please report it" not in done.stderr


def start_and_wait_for_the_lock(daemon: LiveDaemon) -> None:
    """Once the state folder is taken, luad is about to begin, and far from ready."""
    lock = daemon.state / "luad.lock"
    deadline = monotonic() + PATIENCE_S
    daemon.launcher = ("env",)  # a whole start, with its imports
    daemon.start(wait=False)
    while not (lock.exists() and lock.read_text()):
        assert monotonic() < deadline, "luad does not come up"
