"""Revisions by every door: looked at, put back, executed once more; and a job of a file that deletes itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

HANDLER = """
import time
from pathlib import Path

from luad import Job, sync


def one(job):
    return ["one", dict(job.metadata)]


def two(job):
    return ["two", dict(job.metadata)]


def slow_one(job):
    if job.attempt == 1:
        raise RuntimeError
    return "slow one"


def goes(job):
    job.delete()
    return "gone"


async def goes_async(job: Job):
    await job.delete()
    return "gone"


def deletes_another(job):
    sync.Jobs.get("other").delete()
"""


def job_file(name: str, handler: str, more: str = "") -> str:
    return f"name: {name}\nhandler: m:{handler}\nschedule: {{type: interval, every: 1h}}\n{more}"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveDaemon]:
    daemon = ForkedDaemon(tmp_path)
    daemon.write_handler("m", HANDLER)
    with daemon:
        yield daemon


def test_a_dynamic_job_has_an_earlier_revision_back(live: LiveDaemon) -> None:
    live.luad("create", "tide", "--handler", "m:one", "--every", "1h", "-m", "a=1")
    first = live.json("show", "tide")
    live.luad("metadata", "tide", "b=2")
    body = ("--handler", "m:two", "--every", "2h", "-m", "a=5", "--if-exists", "replace")
    live.luad("create", "tide", *body)
    live.luad("metadata", "tide", "b=2")
    shown = live.json("revisions", "tide")
    assert "luad restore tide REVISION restores one" in live.luad("revisions", "tid").stderr
    assert (shown["can_restore"], shown["reason"]) == (True, None)
    current, before = shown["revisions"]
    assert (current["is_current"], current["difference"]) == (True, [])
    assert before["revision"] == first["revision"]
    changed = {each["key"]: (each["then"], each["now"]) for each in before["difference"]}
    assert changed["handler"] == ("m:one", "m:two")
    assert changed["metadata"] == ({"a": 1}, {"a": 5})
    text = live.luad("revisions", "tide", "--diff").stdout
    assert first["revision"] in text
    assert '- handler: "m:two"' in text
    assert '+ handler: "m:one"' in text
    run = live.json("run", "tide", "--wait", "--revision", first["revision"][:8])
    assert run["result"] == ["one", {"a": 1, "b": 2}]
    assert run["revision"] == first["revision"]
    assert live.json("show", "tide")["revision"] == current["revision"]
    live.luad("restore", "tide", first["revision"])
    after = live.json("show", "tide")
    assert (after["revision"], after["handler"], after["id"]) == (
        first["revision"],
        "m:one",
        first["id"],
    )
    assert after["metadata"] == {"a": 1, "b": 2}
    wrong = live.luad("restore", "tide", "nothing", check=False)
    assert (wrong.returncode, "has no revision" in wrong.stderr) == (3, True)


def test_a_run_of_an_earlier_revision_keeps_it_over_attempts_and_a_restart(
    live: LiveDaemon,
) -> None:
    retry = '{"max_attempts": 2, "backoff_seconds": 2}'
    live.python(f"""
from luad.sync import Jobs
for handler in ("m:slow_one", "m:two"):
    Jobs.create(name="tide", handler=handler, every="1h", retry={retry}, if_exists="replace")
job = Jobs.get("tide")
now, before = job.revisions()
assert now.is_current and not before.is_current, (now, before)
print(job.trigger(revision=before.revision).id)
""")
    live.wait_for("run.retrying", job="tide")
    live.kill()
    live.start()
    ended = live.wait_for("run.ended", job="tide")
    run = live.json("show", ended["run_id"])
    assert (run["status"], run["result"], run["attempt"]) == ("succeeded", "slow one", 2)


def test_the_runs_of_a_job_are_read_by_pages(live: LiveDaemon) -> None:
    live.python("""
from luad.sync import Jobs
job = Jobs.create(name="many", handler="m:two", every="1h")
ids = {job.trigger(force=True).id for _ in range(4)}
every = [run.id for run in job.runs()]
assert {*every} == ids, every
assert [run.id for run in job.runs(2, 1)] == every[1:3], every
assert [run.id for run in job.runs(limit=2, offset=3)] == every[3:], every
""")


def test_revisions_of_a_file_are_shown_with_the_reason(live: LiveDaemon) -> None:
    live.write_job("filed", job_file("filed", "one"))
    live.wait_for("config.installed", added=1)
    first = live.json("show", "filed")["revision"]
    live.write_job("filed", job_file("filed", "two"))
    live.wait_for("config.installed", replaced=1)
    shown = live.json("revisions", "filed")
    assert [each["revision"] for each in shown["revisions"]][1] == first
    assert shown["can_restore"] is False
    assert f"{live.jobs}/filed.yaml:1 declares the job" in shown["reason"]
    assert [each["key"] for each in shown["revisions"][1]["difference"]] == ["handler"]
    assert "none can be restored" in live.luad("revisions", "filed").stderr
    refused = live.luad("restore", "filed", first, check=False)
    assert (refused.returncode, "file_owned" in refused.stderr) == (8, True)
    refused = live.luad("run", "filed", "--revision", first, check=False)
    assert refused.returncode != 0
    assert "declares the job" in refused.stderr


@pytest.mark.parametrize("handler", ["goes", "goes_async"])
def test_a_job_of_a_file_that_deletes_itself_is_paused_until_its_file_changes(
    live: LiveDaemon, handler: str
) -> None:
    live.write_job("once-only", job_file("once-only", handler))
    live.wait_for("config.installed", added=1)
    run = live.json("run", "once-only", "--wait")
    assert (run["status"], run["result"]) == ("succeeded", "gone")
    reason = f"deleted itself in {run['id']}; the file still declares it"
    shown = live.json("show", "once-only")
    assert (shown["status"], shown["pause"]["reason"]) == ("paused", reason)
    assert "a file declares once-only, so it is paused" in live.luad("logs", run["id"]).stdout
    assert f"once-only: {reason}" in live.luad("status").stdout
    refused = live.luad("delete", "once-only", "--yes", check=False)
    assert (refused.returncode, "file_owned" in refused.stderr) == (8, True)
    live.kill()
    live.start()
    live.luad("reload")
    assert live.json("show", "once-only")["pause"]["reason"] == reason
    live.write_job("once-only", job_file("once-only", handler, "description: again\n"))
    live.wait_for("config.installed", replaced=1)
    assert live.json("show", "once-only")["status"] == "active"


def test_a_run_does_not_pause_another_job_of_a_file_by_deleting_it(live: LiveDaemon) -> None:
    live.write_job("other", job_file("other", "one"))
    live.write_job("eager", job_file("eager", "deletes_another"))
    live.luad("reload")
    run = json.loads(live.luad("--json", "run", "eager", "--wait", check=False).stdout)
    assert (run["status"], run["error"]["type"].rpartition(".")[2]) == ("failed", "FileOwned")
    assert live.json("show", "other")["status"] == "active"
