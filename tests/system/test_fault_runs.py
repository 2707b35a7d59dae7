"""Runs that take too long, fail or trigger each other, with real processes; the numbers are those of the
table of faults."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from support.attack import assert_every_second_has_its_row, assert_on_time, besieged, job
from support.live_daemon import LiveDaemon

HANDLERS = """
import os, signal, time
from pathlib import Path


def slow(job):
    time.sleep(2.3)


def fail(job):
    with open(job.metadata["stamps"], "a") as file:
        print(job.attempt, time.monotonic(), file=file)
    raise RuntimeError("no luck")


def second_time(job):
    if job.attempt < 2:
        raise RuntimeError("not yet")


def hog(job):
    while True:
        pass


def hang(job):
    signal.pause()


async def trigger_itself(job):
    for _ in range(3):
        await job.trigger(force=True)
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[LiveDaemon]:
    live = besieged(tmp_path, env={"LUAD_KILL_GRACE": "1s"})
    live.write_handler("runs", HANDLERS)
    yield live
    live.__exit__(None, None, None)


# --- 66: processor time --------------------------------------------------------------------------


def test_66_whoever_takes_all_processors_makes_nobody_late(daemon: LiveDaemon) -> None:
    hogs = "overlap: allow\nmax_running: 8\ntimeout: 1h"
    daemon.write_job("hog", job("hog", "runs:hog", 3600, hogs))
    with daemon:
        for _ in range(2 * (os.cpu_count() or 1)):
            daemon.luad("run", "hog")
        for _ in range(3):
            daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert daemon.json("status")["runs"]["running"] >= 1, "they were at it all the time"
        assert_on_time(daemon, most_ms=4_000)


# --- 74, 75: longer than the interval, longer than the time limit ---------------------------------


def test_74_75_what_runs_longer_than_its_interval_does_as_its_policy_says(
    daemon: LiveDaemon,
) -> None:
    """Four jobs of every second, each of whose runs takes more than two.

    And a fifth whose time limit is over before its process is there (75).
    """
    policies = {
        "skip": "overlap: skip",
        "queue": "overlap: queue",
        "replace": "overlap: replace",
        "allow": "overlap: allow\nmax_running: 2",
    }
    texts = [job(name, "runs:slow", 1, more) for name, more in policies.items()]
    texts.append(job("hasty", "runs:hang", 1, "timeout: 0.01"))
    daemon.write_job("policies", "---\n".join(texts))
    with daemon:
        for _ in range(3):
            daemon.wait_for("run.ended", job="queue", status="succeeded")
        most = {"skip": 1, "queue": 1, "replace": 1, "allow": 2}
        for name in policies:
            assert_every_second_has_its_row(daemon, name)
            assert at_once(daemon, name) == most[name], name
        assert_every_second_has_its_row(daemon, "hasty")
        seen = {name: reasons_of(daemon, name) for name in (*policies, "hasty")}
    ended, skipped = ("succeeded", None), ("skipped", "overlap")
    for name in ("skip", "queue", "allow"):
        assert seen[name] >= {ended, skipped}, name
        assert seen[name] <= {ended, skipped, ("running", None), ("queued", None)}, name
    replaced = {(state, "replaced") for state in ("cancelled", "running")}
    assert seen["replace"] <= {*replaced, ("running", None), ("queued", None)}
    assert seen["hasty"] <= {("timed_out", None), ("running", None)}


# --- 76: retries ---------------------------------------------------------------------------------

PATIENT = (
    "retry: {{max_attempts: 3, backoff_seconds: {backoff}}}\nmetadata: {{stamps: {folder}/{name}}}"
)


def patient(daemon: LiveDaemon, name: str, handler: str = "runs:fail", backoff_s: int = 2) -> None:
    more = PATIENT.format(folder=daemon.folder, name=name, backoff=backoff_s)
    daemon.write_job(name, job(name, handler, 3600, more))


def test_76_a_waiting_retry_outlives_kill_and_stop_and_comes_no_sooner_than_it_may(
    daemon: LiveDaemon,
) -> None:
    patient(daemon, "fails")
    with daemon:
        run_id = daemon.luad("run", "fails").stdout.strip()
        daemon.wait_for("run.retrying", job="fails", attempt=1)
        daemon.kill()
        daemon.start()
        daemon.wait_for("run.retrying", job="fails", attempt=2, run_id=run_id)
        assert daemon.stop() == 0, "who waits for a retry holds nobody up"
        assert state_of(daemon, run_id) == ("retrying", 2)
        daemon.start()
        daemon.wait_for("run.ended", run_id=run_id, status="failed", attempt=3)
        stamps = [line.split() for line in (daemon.folder / "fails").read_text().splitlines()]
        assert [attempt for attempt, _ in stamps] == ["1", "2", "3"]
        assert all(float(last) + 2 <= float(this) for (_, last), (_, this) in pairwise(stamps))
        assert_every_second_has_its_row(daemon)


def test_76_a_waiting_retry_ends_with_its_job_and_is_not_held_up_by_a_pause(
    daemon: LiveDaemon,
) -> None:
    """A pause stops occurrences; a run that has begun goes on, by the newest definition."""
    names = ("gone", "paused", "changed")
    for name in names:
        patient(daemon, name, backoff_s=600 if name == "gone" else 2)
    with daemon:
        runs = {name: daemon.luad("run", name).stdout.strip() for name in names}
        daemon.luad("pause", "paused")
        patient(daemon, "changed", "runs:second_time")
        (daemon.jobs / "gone.yaml").unlink()
        daemon.luad("reload")
        ends = [("paused", "failed"), ("changed", "succeeded")]
        while ends:  # in any order
            line = daemon.wait_for("run.ended")
            ends = [end for end in ends if end != (line["job"], line["status"])]
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert state_of(daemon, runs["gone"]) == ("cancelled", 1)
        assert state_of(daemon, runs["changed"])[0] == "succeeded"
        started = [line for line in daemon.lines if line["event"] == "run.started"]
        assert [line["attempt"] for line in started if line["job"] == "gone"] == [1]


# --- 81: luad as its own client -------------------------------------------------------------------


def test_81_a_job_that_triggers_itself_thrice_makes_nobody_late_and_comes_to_an_end(
    daemon: LiveDaemon,
) -> None:
    """The bound itself is the engine's own test; here runs are told, and the removal ends them all."""
    daemon.env["LUAD_MAX_CONCURRENT_RUNS"] = "8"
    daemon.write_job("loop", job("loop", "runs:trigger_itself", 3600))
    with daemon:
        daemon.luad("run", "loop")
        for _ in range(4):
            daemon.wait_for("run.ended", job="tick", status="succeeded")
        waiting = daemon.json("status")["runs"]["queued"]
        assert waiting > 8, "it is at it"
        (daemon.jobs / "loop.yaml").unlink()
        daemon.luad("reload")
        assert daemon.rows("SELECT id FROM runs WHERE job_name = 'loop' AND state = 'queued'") == []
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert_on_time(daemon, most_ms=4_000)


def state_of(daemon: LiveDaemon, run_id: str) -> tuple[str, int]:
    ((state, attempt),) = daemon.rows("SELECT state, attempt FROM runs WHERE id = ?", run_id)
    return state, attempt


def at_once(daemon: LiveDaemon, name: str) -> int:
    """How many runs of the job went on at the same time, at most."""
    rows = daemon.rows(
        "SELECT started_at, end_at FROM runs WHERE job_name = ? AND started_at IS NOT NULL", name
    )
    steps = [(start, 1) for start, _ in rows] + [(end, -1) for _, end in rows if end is not None]
    running = most = 0
    for _, step in sorted(steps):  # who ends in the millisecond of a start ended first
        running += step
        most = max(most, running)
    return most


def reasons_of(daemon: LiveDaemon, name: str) -> set[tuple[str, str]]:
    return set(daemon.rows("SELECT state, reason FROM runs WHERE job_name = ?", name))
