"""A start with many files serves and fires before it has compared them all, and keeps its promises."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

from luad.daemon.comparison import LEAST

NOBODY = 65534
JOB = """\
name: {name}
handler: luad.handlers.shell:run
schedule: {{type: interval, seconds: {seconds}}}
metadata: {{command: echo {word}}}
"""


def job(name: str, seconds: int = 86_400, word: str = "old") -> str:
    return JOB.format(name=name, seconds=seconds, word=word)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[LiveDaemon]:
    """A daemon that has stored the state of so many files that its next start compares them later."""
    live = ForkedDaemon(tmp_path)
    for number in range(LEAST):
        (live.jobs / f"other-{number}.yaml").write_text(job(f"other-{number}"))
    for name in ("kept", "removed", "edited", "moved", "distrusted"):
        (live.jobs / f"{name}.yaml").write_text(job(name, 2))
    live.start()
    while count_files(live) < LEAST + 5:  # a file is stored once its status is not a recent one
        live.luad("reload")
    live.wait_for("run.ended", job="removed")
    yield live
    live.__exit__(None, None, None)


def count_files(daemon: LiveDaemon) -> int:
    (row,) = daemon.rows("SELECT count(*) FROM files")
    return int(row[0])


def started(daemon: LiveDaemon) -> dict[str, int]:
    return dict(daemon.rows("SELECT job_name, count(*) FROM runs WHERE pid > 0 GROUP BY job_name"))


def change_files(daemon: LiveDaemon) -> None:
    jobs = daemon.jobs
    (jobs / "removed.yaml").unlink()
    (jobs / "edited.yaml").write_text(job("edited", 2, "new"))
    (jobs / "moved.yaml").rename(jobs / "elsewhere.yaml")
    (jobs / "added.yaml").write_text(job("added", 2))
    if os.geteuid() == 0:
        os.chown(jobs / "distrusted.yaml", NOBODY, NOBODY)
    else:
        (jobs / "distrusted.yaml").chmod(0o666)


def check_changes(daemon: LiveDaemon, before: dict[str, int]) -> None:
    """Check that what was changed while luad was down is in force, and was before any run."""
    daemon.wait_for("run.ended", job="added", status="succeeded")
    after = started(daemon)
    assert after["removed"] == before["removed"]
    names = {each["name"]: each["file"]["stale"] for each in daemon.json("list")["jobs"]}
    assert names.keys() >= {"kept", "edited", "moved", "added"}
    assert "removed" not in names
    assert [name for name, is_stale in names.items() if is_stale] == ["distrusted"]
    lines = daemon.json("show", "edited")["definition"]["metadata"]["command"]
    assert lines == "echo new"


def test_what_was_changed_while_luad_was_down_is_in_force_before_its_jobs_run(
    daemon: LiveDaemon,
) -> None:
    """Also if daemons in between were killed during their comparison, which then begins anew."""
    daemon.stop()
    before = started(daemon)
    change_files(daemon)
    for _ in range(2):
        daemon.start()  # it is ready, and compares
        daemon.kill()
    daemon.start()
    assert daemon.wait_for("daemon.compared")["files"] == LEAST + 5
    check_changes(daemon, before)
    daemon.stop()
    (old,) = daemon.rows(
        "SELECT count(*) FROM runs JOIN revisions USING (job_id, revision) WHERE job_name = 'edited' "
        "AND definition_json LIKE '%echo old%' AND claimed_at > (SELECT max(last_installed_at) FROM "
        "revisions WHERE name = 'edited')"
    )
    assert old == (0,)
    twice = daemon.rows(
        "SELECT occurrence FROM runs WHERE occurrence IS NOT NULL GROUP BY job_id, occurrence "
        "HAVING count(*) > 1"
    )
    assert twice == []


def test_strict_and_the_snapshot_of_another_luad_read_all_files_before_anything_runs(
    daemon: LiveDaemon,
) -> None:
    daemon.stop()
    before = started(daemon)
    (daemon.jobs / "edited.yaml").write_text("name: [")
    daemon.options = ("--strict",)
    daemon.start(wait=False)
    assert daemon.process.wait(90) == 78
    assert started(daemon) == before
    change_files(daemon)
    with closing(sqlite3.connect(daemon.state / "luad.db")) as database, database:
        database.execute("UPDATE meta SET value = 'of another luad' WHERE key = 'files_digest'")
    daemon.options = ()
    ready = daemon.start().lines[-1]
    assert ready["files"] == LEAST + 5
    assert "removed" not in {each["name"] for each in daemon.json("list")["jobs"]}
    daemon.stop()
    assert not any(each["event"] == "daemon.compared" for each in daemon.drain_log())
    assert started(daemon)["removed"] == before["removed"]
