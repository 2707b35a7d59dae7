"""Reminders that are over: their names, their places, and what is still known of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

HANDLER = "def bad(job):\n    raise RuntimeError('no')\n\n\ndef good(job):\n    return 1\n"
CREATE = ("--handler", "m:bad", "--in", "0s", "--user", "me")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveDaemon]:
    daemon = ForkedDaemon(tmp_path, env={"LUAD_DYNAMIC_MAX_JOBS_PER_USER": "2"})
    daemon.write_handler("m", HANDLER)
    with daemon:
        daemon.luad("users", "add", "me", "--dynamic")
        yield daemon


def test_reminders_that_failed_do_not_use_up_the_places_of_their_user(live: LiveDaemon) -> None:
    for number in range(3):
        live.luad("create", f"bad-{number}", *CREATE)
        live.wait_for("run.ended", job=f"bad-{number}")
    made = live.json("create", "bad-0", *CREATE[:3], "10m", *CREATE[4:], "--if-exists", "keep")
    listed = {each["id"]: each for each in live.json("list", "-a")["jobs"]}
    assert (made["created"], made["name"]) == (True, "bad-0")
    earlier = listed[made["earlier_id"]]
    assert (earlier["name"], earlier["status"], earlier["holds_name"]) == (
        "bad-0",
        "completed",
        False,
    )
    assert live.json("show", "bad-0")["id"] == made["id"]


def test_a_job_that_is_gone_is_found_by_every_door(live: LiveDaemon) -> None:
    made = live.json("create", "hello", "--handler", "m:good", "--in", "0s")
    live.wait_for("job.done", job="hello")
    live.luad("create", "hello-2", "--handler", "m:good", "--in", "9h")
    live.json("create", "cron-job", "--handler", "m:good", "--in", "9h")
    live.luad("run", "cron-job", "--wait")
    deleted = live.json("show", "cron-job")
    live.luad("delete", "cron-job", "--yes")
    for name, job_id, status in (
        ("hello", made["id"], "completed"),
        ("cron-job", deleted["id"], "deleted"),
    ):
        for what in (name, job_id):
            job = live.json("show", what)
            assert (job["id"], job["name"], job["status"]) == (job_id, name, status)
            assert job["gone_at"] is not None
            assert (job["next"], job["last_run"]["status"]) == ([], "succeeded")
            runs = live.json("history", what)["runs"]
            assert [each["job_id"] for each in runs] == [job_id]
            assert f"{status} since" in live.luad("show", what).stdout
            assert live.json("next", what) == {**live.json("next", what), "next": []}
            assert live.luad("logs", what).returncode == 0
            assert live.json("revisions", what)["can_restore"] is False
            done = live.luad("run", what, check=False)
            assert done.returncode == 3
            assert f"is {status} since" in done.stderr
    script = f"""
from luad.sync import Jobs
for what in ("hello", {made["id"]!r}):
    job = Jobs.get(what)
    print(job.status, [run.status for run in job.runs()], job.refresh().name)
"""
    done = live.python(script)
    assert done.stdout.split("\n")[:2] == ["completed ['succeeded'] hello"] * 2
    again = live.json("create", "hello", "--handler", "m:good", "--in", "9h", "--if-exists", "keep")
    assert (again["created"], again["earlier_id"]) == (True, made["id"])
    assert live.json("show", "hello")["id"] == again["id"]
    assert live.json("show", made["id"])["status"] == "completed"
    live.kill()
    live.start()
    assert live.json("show", made["id"])["status"] == "completed"


def test_a_stored_job_that_is_faster_than_a_new_one_may_be_goes_on_with_a_warning(
    tmp_path: Path,
) -> None:
    quick = ForkedDaemon(tmp_path)
    quick.write_handler("m", HANDLER)
    with quick:
        quick.luad("create", "fast", "--handler", "m:good", "--every", "2s")
    quick.env["LUAD_DYNAMIC_MIN_INTERVAL"] = "10s"
    with quick:
        quick.wait_for("run.ended", job="fast", status="succeeded")
        (problem,) = quick.json("status")["problems"]
        assert (problem["code"], problem["severity"]) == ("LU405", "warning")
        assert "`fast` runs more often than every 10 s" in problem["message"]
        refused = quick.luad("create", "other", "--handler", "m:good", "--every", "2s", check=False)
        assert "at most every 10 s is allowed" in refused.stderr
        quick.luad("delete", "fast", "--yes")
        assert quick.json("status")["problems"] == []
