"""`luad reload` after `pip install -e`, under a real daemon with an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support.live_daemon import LiveDaemon

PROJECT = Path(__file__).parents[2]
JOB = 'name: late\nhandler: installed_late:run\nschedule: {type: cron, expression: "0 0 1 1 *"}\n'


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    command = [sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"]
    subprocess.run(command, check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv/bin/python"))
    [folder] = (tmp_path / "venv/lib").glob("python*/site-packages")
    (folder / "luad.pth").write_text(f"{PROJECT}\n{sysconfig.get_path('purelib')}\n")
    return folder


def test_after_a_reload_runs_find_what_was_installed_meanwhile(
    tmp_path: Path, packages: Path
) -> None:
    daemon = LiveDaemon(tmp_path)
    daemon.write_job("late", JOB)
    with daemon:
        daemon.luad("run", "late", "--wait", check=False)
        assert daemon.json("show", "@last")["status"] == "failed"
        (tmp_path / "source").mkdir()
        (tmp_path / "source/installed_late.py").write_text("def run(job):\n    return 'found'\n")
        (packages / "__editable__.installed_late.pth").write_text(f"{tmp_path / 'source'}\n")
        daemon.luad("reload")
        daemon.luad("run", "late", "--wait")
        assert daemon.json("show", "@last")["result"] == "found"
        assert [line["event"] for line in daemon.lines].count("spawner.not_renewed") == 0


def test_without_a_reload_luad_notices_it_by_itself(tmp_path: Path, packages: Path) -> None:
    daemon = LiveDaemon(tmp_path, env={"NOTIFY_SOCKET": "", "WATCHDOG_USEC": ""})
    daemon.write_job("late", JOB)
    with daemon:
        (tmp_path / "source").mkdir()
        (tmp_path / "source/installed_late.py").write_text("def run(job):\n    return 'found'\n")
        (packages / "__editable__.installed_late.pth").write_text(f"{tmp_path / 'source'}\n")
        daemon.wait_for("spawner.renewed", timeout_s=60)
        daemon.luad("run", "late", "--wait")
        assert daemon.json("show", "@last")["result"] == "found"
