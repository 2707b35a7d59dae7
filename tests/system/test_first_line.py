"""`luad serve` on a terminal begins with one plain line; in a pipe the log alone is written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.pseudo_terminal import Terminal

pytestmark = pytest.mark.slow

JOB = """\
name: {name}
handler: luad.handlers.shell:run
schedule: {{type: interval, every: {every}}}
metadata: {{command: [echo, hello]}}
"""


def env(tmp_path: Path) -> dict[str, str]:
    kept = {key: text for key, text in os.environ.items() if not key.startswith("LUAD_")}
    return {**kept, "TZ": "Asia/Tokyo", "HOME": str(tmp_path)}


def first_line(tmp_path: Path, *args: str) -> str:
    terminal = Terminal("serve", *args, env=env(tmp_path), folder=tmp_path)
    terminal.until(lambda text: "daemon.ready" in text)
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 0, terminal.text
    return terminal.text.splitlines()[0]


def test_the_first_line_says_how_many_jobs_what_is_next_and_what_to_type(tmp_path: Path) -> None:
    folder = tmp_path / "jobs.d"
    folder.mkdir()
    assert first_line(tmp_path) == (
        "luad serves no jobs yet: jobs.d has none.  In another terminal: luad new hello --every 1h"
    )
    for name, every in (("later", "3h"), ("soon", "1h")):
        (folder / f"{name}.yaml").write_text(JOB.format(name=name, every=every))
    assert re.fullmatch(
        r"luad serves 2 jobs; next: soon at \d\d:\d\d:\d\d JST\.  In another terminal: luad list",
        first_line(tmp_path),
    )
    (folder / "bad.yaml").write_text("name: bad\n")
    (folder / "later.yaml").unlink()
    path = tmp_path / "x.sock"
    assert re.fullmatch(
        r"luad serves 1 job; next: soon at \S+ JST; 1 broken file \(luad check\)\.  "
        rf"In another terminal: luad --socket {path} list",
        first_line(tmp_path, "--socket", str(path)),
    )


def test_without_a_terminal_and_as_json_there_is_no_plain_line(tmp_path: Path) -> None:
    (tmp_path / "jobs.d").mkdir()
    assert first_line(tmp_path, "--log-format", "json").startswith("{")
    command = [sys.executable, "-m", "luad", "serve", "--log-format", "console"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=env(tmp_path), stdout=subprocess.PIPE
    ) as daemon:
        assert daemon.stdout is not None
        line = daemon.stdout.readline().decode()
        daemon.send_signal(signal.SIGTERM)
        daemon.stdout.read()
    assert "luad serves" not in line
    assert re.match(r"\d\d:\d\d:\d\d ", line)


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "jobs.d").mkdir()
    (tmp_path / "jobs.d" / "bad.yaml").write_text("name: bad\n")
    terminal = Terminal("serve", "--strict", env=env(tmp_path), folder=tmp_path)
    assert terminal.end() == 78
    assert "daemon.refused" in terminal.text
