"""The crash table of docs/explanation/delivery.md, row by row: when luad was killed, what stands there, what
runs again; and its examples, run twice for one occurrence."""

from __future__ import annotations

import re
import signal
import sqlite3
import sys
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 - a test's patience is real time
from typing import Any

import pytest
from support.forked_daemon import ForkedDaemon
from support.live_daemon import PATIENCE_S, LiveDaemon

from luad.testing import run_job_sync

PAGE = Path(__file__).parents[2] / "docs/explanation/delivery.md"
HANDLERS = """
import os, time
from pathlib import Path

FOLDER = Path(__file__).parent.parent

def mark(job, word):
    with (FOLDER / f"{job.name}.marks").open("a") as file:
        file.write(f"{word}{job.attempt} {job.run_id} {job.trigger_kind}\\n")

def quick(job):
    mark(job, "done")

def slow(job):
    mark(job, "begun")
    if job.attempt == 1 and job.trigger_kind != "catchup":
        time.sleep(60)
    mark(job, "done")

def when_told(job):
    while not (FOLDER / "go").exists():
        time.sleep(0.01)
    mark(job, "done")

def fails_once(job):
    mark(job, "done")
    if job.attempt == 1:
        raise RuntimeError("not yet")
"""
FAR = "schedule: {type: interval, seconds: 86400}"
EVERY = "schedule: {type: interval, seconds: 1}"


def job(name: str, handler: str, *more: str, schedule: str = FAR) -> str:
    return "\n".join([f"name: {name}", f"handler: h:{handler}", schedule, *more]) + "\n"


def daemon_with(folder: Path, **jobs: str) -> LiveDaemon:
    daemon = ForkedDaemon(folder)
    daemon.write_handler("h", HANDLERS)
    for name, text in jobs.items():
        daemon.write_job(name.replace("_", "-"), text)
    return daemon


def marks(daemon: LiveDaemon, name: str) -> list[str]:
    path = daemon.folder / f"{name}.marks"
    return [each.split()[0] for each in path.read_text().splitlines()] if path.exists() else []


def until(condition: Any, what: str) -> None:
    deadline = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < deadline, f"never: {what}"
        sleep(0.02)


def states(daemon: LiveDaemon, name: str) -> list[tuple[str, int]]:
    rows = daemon.rows(
        "SELECT state, attempt FROM runs WHERE job_name = ? ORDER BY claimed_at, id", name
    )
    return [(state, attempt) for state, attempt in rows]


def test_killed_before_the_end_was_written_a_run_is_lost_or_tried_again_and_nothing_else_runs_twice(
    tmp_path: Path,
) -> None:
    daemon = daemon_with(
        tmp_path,
        over=job("over", "quick"),
        middle=job("middle", "slow"),
        middle_again=job("middle-again", "slow", "on_lost: retry"),
        unwritten=job("unwritten", "when_told"),
        unwritten_again=job("unwritten-again", "when_told", "on_lost: retry"),
        waiting=job("waiting", "fails_once", "retry: {max_attempts: 2, backoff_seconds: 3}"),
        queued=job("queued", "slow", "overlap: queue"),
    )
    daemon.start()
    daemon.luad("run", "over", "--wait")
    for name in ("middle", "middle-again", "unwritten", "unwritten-again", "waiting", "queued"):
        daemon.luad("run", name)
    daemon.luad("run", "queued")  # the second one waits
    until(lambda: states(daemon, "waiting") == [("retrying", 1)], "a retry that waits")
    for name in ("middle", "middle-again", "queued"):
        until(lambda: marks(daemon, name) == ["begun1"], f"{name} has begun")  # noqa: B023 - asked at once
    # From here on the daemon hears nothing: two handlers end, and nobody writes it down.
    daemon.process.send_signal(signal.SIGSTOP)
    (tmp_path / "go").touch()
    for name in ("unwritten", "unwritten-again"):
        until(lambda: marks(daemon, name) == ["done1"], f"{name} is done")  # noqa: B023 - asked at once
    daemon.kill()
    with daemon:
        for name in ("middle-again", "unwritten-again", "waiting"):
            until(lambda: states(daemon, name) == [("succeeded", 2)], f"{name} ends")  # noqa: B023 - asked at once
        until(lambda: "begun1" in marks(daemon, "queued")[1:], "what was queued has started")
        assert states(daemon, "over") == [("succeeded", 1)]
        assert states(daemon, "middle") == [("lost", 1)]
        assert states(daemon, "unwritten") == [("lost", 1)]
        assert [state for state, _ in states(daemon, "queued")] == ["lost", "running"]
        daemon.luad("cancel", "@last", "--kill", check=False)
    assert marks(daemon, "over") == ["done1"]
    assert marks(daemon, "middle") == ["begun1"]
    assert marks(daemon, "unwritten") == ["done1"], "it was done, and is not done again"
    assert marks(daemon, "middle-again") == ["begun1", "begun2", "done2"]
    assert marks(daemon, "unwritten-again") == ["done1", "done2"], (
        "this is what at-least-once means"
    )
    assert marks(daemon, "waiting") == ["done1", "done2"]


@pytest.mark.parametrize("on_lost", ["fail", "retry"])
@pytest.mark.needs("strace")
def test_killed_between_the_claim_and_the_start_the_occurrence_is_lost_or_started_after_all(
    tmp_path: Path, on_lost: str
) -> None:
    schedule = "schedule: {type: interval, seconds: 1}\ncatch_up: none\ncatch_up_window: 2s"
    daemon = daemon_with(
        tmp_path, due=job("due", "quick", f"on_lost: {on_lost}", schedule=schedule)
    )
    # What hands an attempt to a keeper is the daemon's first call of its kind.
    daemon.launcher = (
        "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=writev",
        "-e", "inject=writev:signal=KILL:when=1",
    )  # fmt: skip
    daemon.start(wait=False)
    daemon.process.wait(PATIENCE_S)
    (claimed,) = daemon.rows("SELECT id, state, scheduled_for FROM runs WHERE job_name = 'due'")
    assert claimed[1] == "running", "the claim is durable before the process starts"
    assert marks(daemon, "due") == []
    daemon.launcher = ()
    with daemon:
        question = "SELECT state, attempt FROM runs WHERE id = ?"
        wanted = ("lost", 1) if on_lost == "fail" else ("succeeded", 2)
        until(lambda: daemon.rows(question, claimed[0]) == [wanted], "its end")
    assert daemon.rows("SELECT count(*) FROM runs WHERE scheduled_for = ?", claimed[2]) == [(1,)]
    starts = (tmp_path / "due.marks").read_text() if (tmp_path / "due.marks").exists() else ""
    assert starts.count(claimed[0]) == (0 if on_lost == "fail" else 1)


def test_what_came_due_while_nobody_was_there_follows_catch_up(tmp_path: Path) -> None:
    daemon = daemon_with(
        tmp_path,
        **{
            each: job(each, "quick", f"catch_up: {each}", schedule=EVERY)
            for each in ("latest", "all")
        },
        old=job("old", "quick", "catch_up_window: 1s", schedule=EVERY),
    )
    with daemon:
        for name in ("latest", "all", "old"):
            daemon.wait_for("run.ended", job=name)
        daemon.kill()
    before = {name: len(marks(daemon, name)) for name in ("latest", "all")}
    gone_at = monotonic()
    until(lambda: monotonic() - gone_at > 3, "three seconds without luad")
    with daemon:
        for name in ("latest", "all", "old"):
            daemon.wait_for("run.ended", job=name)
            daemon.wait_for("run.ended", job=name)
    caught_up = daemon.rows(
        "SELECT job_name, count(*) FROM runs WHERE \"trigger\" = 'catchup' GROUP BY 1"
    )
    count = dict(caught_up)
    assert count["all"] >= 2
    assert count.get("latest", 0) == 1
    assert before["all"] <= len(marks(daemon, "all")) - 2
    coalesced = daemon.rows(
        "SELECT sum(skip_count) FROM runs WHERE job_name = 'latest' AND state = 'skipped'"
    )
    assert coalesced[0][0] >= 1
    (missed,) = daemon.rows(
        "SELECT sum(skip_count) FROM runs WHERE job_name = 'old' AND state = 'missed'"
    )
    assert missed[0] >= 1


# --- the examples ------------------------------------------------------------------------------


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The handlers of the page, as they stand there, in a folder of their own."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 3
    (tmp_path / "safe.py").write_text("\n".join(blocks))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import safe

    yield safe
    del sys.modules["safe"]


def test_a_charge_of_the_page_is_made_once_however_often_it_is_tried(
    examples: Any, tmp_path: Path
) -> None:
    metadata = {"database": str(tmp_path / "shop.db"), "customer": "ann", "cents": 500}
    for _ in range(2):  # the second one is a run whose end nobody saw, tried again
        result = run_job_sync(examples.charge, metadata=metadata, at="2026-11-22T09:00:00Z")
        assert result.status == "succeeded", result.error
    run_job_sync(examples.charge, metadata=metadata, at="2026-11-23T09:00:00Z")
    charges = sqlite3.connect(tmp_path / "shop.db")
    assert charges.execute("SELECT count(*), sum(cents) FROM charges").fetchone() == (2, 1000)
    charges.close()


def test_a_report_of_the_page_is_whole_or_not_there(examples: Any, tmp_path: Path) -> None:
    metadata = {"folder": str(tmp_path / "reports")}
    for _ in range(2):
        result = run_job_sync(examples.report, metadata=metadata, at="2026-11-22T09:00:00Z")
        assert result.status == "succeeded", result.error
    assert [each.name for each in (tmp_path / "reports").iterdir()] == ["2026-11-22.txt"]


def test_an_order_of_the_page_has_the_same_key_whenever_it_is_tried(examples: Any) -> None:
    keys = [
        run_job_sync(examples.order, metadata={"url": "http://127.0.0.1:9/"}, at=at).result["key"]
        for at in ("2026-11-22T09:00:00Z", "2026-11-22T09:00:00Z", "2026-11-23T09:00:00Z")
    ]
    assert keys[0] == keys[1] != keys[2]
