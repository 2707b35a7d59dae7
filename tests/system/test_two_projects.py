"""Two projects of one user: each has its own daemon, and no command reaches the wrong one."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.live_daemon import LiveDaemon

pytestmark = pytest.mark.slow
JOB = """\
name: {name}
handler: luad.handlers.shell:run
schedule: {{type: interval, every: 1h}}
metadata: {{command: "true"}}
"""


class OwnDaemon(LiveDaemon):
    """`luad serve` without any option, in a project."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "luad", "serve", "--log-format", "json", "--drain", "0.2s"]


@pytest.fixture
def projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Path]]:
    """Projects a and b, each with a daemon that was started in it, and c without one."""
    for name in [name for name in os.environ if name.startswith("LUAD_")]:
        monkeypatch.delenv(name)
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    folders = {name: tmp_path / name for name in "abc"}
    with ExitStack() as daemons:
        for name, folder in folders.items():
            (folder / "jobs.d").mkdir(parents=True)
            (folder / "luad.yaml").write_text("timezone: UTC\n")
            (folder / "jobs.d" / "job.yaml").write_text(JOB.format(name=f"of-{name}"))
            if name != "c":
                monkeypatch.chdir(folder)
                daemons.enter_context(OwnDaemon(folder))
        yield folders


def luad(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "luad", *words]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_each_command_reaches_the_daemon_of_its_project(projects: dict[str, Path]) -> None:
    for name in "ab":
        folder = projects[name]
        place = folder / ".luad" / "luad.sock"
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
        for here in (folder, folder / "jobs.d"):
            jobs = json.loads(luad(here, "list", "--json").stdout)["jobs"]
            assert [job["name"] for job in jobs] == [f"of-{name}"]
            paused = luad(here, "pause", f"of-{name}")
            assert (paused.returncode, f"on the daemon at {place}\n" in paused.stderr) == (0, True)
        assert luad(folder, "run", "of-" + {"a": "b", "b": "a"}[name]).returncode == 3


def test_a_project_without_a_daemon_reaches_none(projects: dict[str, Path]) -> None:
    done = luad(projects["c"], "run", "of-c")
    assert done.returncode == 11, done.stderr
    for word in ("status", "reload"):
        assert luad(projects["c"], word).returncode == 11
    named = luad(projects["c"], "run", "of-a", "--socket", str(projects["a"] / ".luad/luad.sock"))
    assert named.returncode == 0, named.stderr
