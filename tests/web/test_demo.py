"""The demonstration: its files are right, and its history is one that luad's engine makes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT))

from demo import history  # noqa: E402 - the folder of the checkout
from luad.clock import SystemClock  # noqa: E402 - after it


def test_the_files_of_the_demonstration_are_right() -> None:
    command = [sys.executable, "-m", "luad", "check", "jobs.d", "users.d"]
    found = subprocess.run(
        command, cwd=PROJECT / "demo", capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_a_short_history_has_good_and_bad_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "STAGES", (3 * history.HOUR, 2 * history.HOUR, history.HOUR))
    monkeypatch.syspath_prepend(str(PROJECT / "demo" / "handlers"))
    history.make(PROJECT / "demo", tmp_path, SystemClock().now().wall)
    with closing(sqlite3.connect(tmp_path / "luad.db")) as connection:
        states = dict(connection.execute("SELECT state, count(*) FROM runs GROUP BY state"))
        assert states["succeeded"] > 100
        assert states["failed"] > 0
        assert states.keys().isdisjoint({"running", "queued", "retrying"})
        assert connection.execute("SELECT count(*) FROM run_logs").fetchone()[0] > 100
