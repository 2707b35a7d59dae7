"""`luad test` beside a daemon with another environment and another directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from support.live_daemon import LiveDaemon

JOB = """\
name: tool
handler: luad.handlers.shell:run
schedule: {type: cron, expression: "0 3 1 1 *"}
metadata: {command: "pwd; only-mine"}
"""


def test_a_trial_says_that_the_daemon_has_another_path_and_runs_where_it_runs(
    tmp_path: Path,
) -> None:
    daemon = LiveDaemon(tmp_path, env={"PATH": "/usr/bin:/bin"})
    daemon.write_job("tool", JOB)
    program = tmp_path / "bin/only-mine"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    with daemon:
        mine = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
        command = [sys.executable, "-m", "luad", "--socket", str(daemon.socket), "test", "tool"]
        tried = subprocess.run(
            command, cwd=tmp_path, env=mine, capture_output=True, text=True, check=False
        )
        assert daemon.luad("run", "tool", "--wait", check=False).returncode == 4
    assert tried.returncode == 0, tried.stderr
    assert "the running daemon has another value of: PATH" in tried.stderr
    assert os.getcwd() in tried.stdout.splitlines(), "where the daemon was started"  # noqa: PTH109 - a str
    assert json.dumps({"exit_code": 0}) in tried.stdout


def test_runs_start_in_the_working_directory_of_the_settings(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    daemon = LiveDaemon(tmp_path, env={"LUAD_WORKING_DIRECTORY": str(folder)})
    daemon.write_job("tool", JOB.replace("; only-mine", ""))
    with daemon:
        daemon.luad("run", "tool", "--wait")
        assert str(folder) in daemon.luad("logs", "tool").stdout
        daemon.env["LUAD_JOBS"] = str(daemon.jobs)
        tried = daemon.luad("test", "tool", check=False)
    assert str(folder) in tried.stdout.splitlines(), tried.stderr
    folder.rmdir()
    daemon.complaints = tmp_path / "complaints"
    daemon.start(wait=False)
    assert daemon.process.wait(60) == 78
    assert f"working_directory {folder} is not a folder" in daemon.complaints.read_text()
