"""luad is replaced by another version and back, again and again, while runs go on."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from support.attack import assert_every_second_has_its_row, besieged, job

import luad

HANDLERS = """
import signal

def hang(job):
    print("hanging", flush=True)
    signal.pause()
"""
ENDS = (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM)
PROJECT = Path(__file__).parents[2]


def other_version(folder: Path) -> Path:
    """A copy of luad that calls itself 99.0, as an import path."""
    for name in ("luad", "schemas"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    module = folder / "luad" / "__init__.py"
    text = module.read_text()
    assert luad.__version__ in text
    module.write_text(text.replace(luad.__version__, "99.0"))
    return folder


def test_100_over_upgrades_and_downgrades_every_run_has_its_end(tmp_path: Path) -> None:
    daemon = besieged(tmp_path, "--drain", "0.5s", env={"LUAD_KILL_GRACE": "1s"})
    daemon.launcher = ("env", f"--chdir={tmp_path}")  # this folder has a luad of its own
    versions = {luad.__version__: str(PROJECT), "99.0": str(other_version(tmp_path / "other"))}
    daemon.write_handler("long", HANDLERS)
    daemon.write_job("stout", job("stout", "long:hang", 1, "timeout: 1h\non_lost: retry"))
    daemon.write_job("long", job("long", "long:hang", 1, "timeout: 1h"))
    expected: dict[str, str] = {}
    try:
        for version, end in zip([*versions] * 2, ENDS, strict=False):
            daemon.env["PYTHONPATH"] = versions[version]
            daemon.start()
            assert daemon.lines[-1]["version"] == version
            run_id = daemon.wait_for("run.output", job="long", message="hanging")["run_id"]
            daemon.wait_for("run.ended", job="tick", status="succeeded")
            daemon.process.send_signal(end)
            daemon.process.wait(30)
            expected[run_id] = "lost"  # a stop is never worse than a kill
        daemon.start()
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        found = dict(daemon.rows("SELECT id, state FROM runs WHERE job_name = 'long'"))
        assert {run_id: found[run_id] for run_id in expected} == expected
        open_ = "SELECT count(*) FROM runs WHERE job_name = ? AND state IN ('running', 'queued')"
        for name in ("long", "stout"):
            assert daemon.rows(open_, name) == [(1,)], "no run of an earlier version is open"
            assert_every_second_has_its_row(daemon, name)
        assert_every_second_has_its_row(daemon)
    finally:
        daemon.__exit__(None, None, None)
