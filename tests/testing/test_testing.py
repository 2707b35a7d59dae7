"""`luad.testing`: a whole luad for tests of handlers, on a clock that stands still."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.pages import blocks

import luad.sync
from luad import Job, Jobs, Retry, Text, User, current_job
from luad.clock import wall_ms
from luad.testing import fake_user, run_job, run_job_sync
from luad.testing.host import Host

pytest_plugins = ["pytester"]
MORNING = "2026-11-23T09:42:00Z"


# --- handlers under test ---------------------------------------------------------------------------


async def remind(job: Job) -> dict[str, Any]:
    user = await job.user()
    await user.send(f"Reminder: {job.metadata['message']}")
    return {"at": job.scheduled_for.isoformat(), "same": current_job().run_id == job.run_id}


async def set_reminder(user_id: str, message: str, minutes: int) -> str:
    job = await Jobs.create(
        handler=remind, user=user_id, in_=f"{minutes}m", metadata={"message": message}
    )
    return job.summary


def count(job: luad.sync.Job) -> int:
    job.update_metadata(n=job.metadata.get("n", 0) + 1)
    job.log.info("counted to %d", job.metadata["n"])
    return int(job.metadata["n"])


async def succeed_the_third_time(job: Job) -> str:
    user = await job.user()
    await user.send("first")
    if job.attempt < 3:
        raise ValueError(f"attempt {job.attempt}")
    await user.send("second")
    return "done"


async def hang(_: Job) -> None:
    import asyncio

    await asyncio.Event().wait()


def spin(_: luad.sync.Job) -> None:
    while True:
        time.sleep(0.01)  # hangs on purpose


async def make_more(job: Job) -> None:
    await Jobs.create(name="child", handler=f"{__name__}:count", every="1h", user=None)
    user = await User.get()
    assert user is not None
    await user.update(seen=True)
    await job.delete()


def returns_no_json(_: luad.sync.Job) -> object:
    return object()


async def say_much(job: Job) -> None:
    user = await job.user()
    for number in range(8):
        await user.send([f"{number}a", f"{number}b"])


# --- one run ---------------------------------------------------------------------------------------


async def test_a_run_is_what_it_would_be_on_a_daemon() -> None:
    run = await run_job(remind, user=fake_user("ann"), metadata={"message": "stand-up"}, at=MORNING)
    assert run.status == "succeeded", run.error
    assert run.sent == [Text("Reminder: stand-up")]
    assert run.result == {"at": "2026-11-23T09:42:00+00:00", "same": True}
    assert (run.attempts, run.created, run.is_deleted) == (1, [], False)


def test_a_plain_function_gets_a_job_that_waits() -> None:
    run = run_job_sync(count, metadata={"n": 4})
    assert (run.status, run.result, run.metadata) == ("succeeded", 5, {"n": 5})
    assert [line["message"] for line in run.logs] == ["counted to 5"]


async def test_a_retried_run_does_not_send_again_what_has_arrived() -> None:
    run = await run_job(
        succeed_the_third_time, user="ann", retry=Retry(max_attempts=5, backoff_seconds=3600)
    )
    assert (run.status, run.attempts, run.result) == ("succeeded", 3, "done")
    assert run.sent == [Text("first"), Text("second")]


async def test_what_is_sent_is_told_in_order_though_the_clock_stands_still(luad_jobs: Any) -> None:
    said = [Text(f"{number}{letter}") for number in range(8) for letter in "ab"]
    assert (await run_job(say_much, user="ann")).sent == said
    luad_jobs.add_user("ann")
    await Jobs.create(handler=say_much, in_="1m", user="ann")
    await luad_jobs.advance("1m")
    assert luad_jobs.sent_to("ann") == said


async def test_what_fails_fails_with_its_reason() -> None:
    run = await run_job(remind, metadata={"message": "x"})
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["type"].endswith("NoUser")
    run = await run_job(returns_no_json)
    assert (run.status, run.result) == ("succeeded", None)
    assert "left out" in run.logs[-1]["message"]
    assert (await run_job("no_such_module:f")).status == "failed"


@pytest.mark.parametrize("handler", [hang, spin])
async def test_the_time_limit_holds(handler: Any) -> None:
    run = await run_job(handler, timeout=1)
    assert run.status == "timed_out"


async def test_what_a_run_makes_and_removes_is_told() -> None:
    run = await run_job(make_more, user="ann")
    assert run.status == "succeeded", run.error
    assert (run.created, run.is_deleted) == (["child"], True)


# --- jobs that are made, and time that passes --------------------------------------------------------


async def test_an_agent_sets_a_reminder(luad_jobs: Any) -> None:
    luad_jobs.add_user("ann")
    said = await set_reminder("ann", "stand-up", 10)
    assert "in 10 minutes, for ann" in said
    (job,) = luad_jobs.assert_created(
        handler=remind, user="ann", in_=timedelta(minutes=10), metadata={"message": "stand-up"}
    )
    await luad_jobs.advance("9m")
    assert luad_jobs.sent_to("ann") == []
    await luad_jobs.advance("1m")
    assert luad_jobs.sent_to("ann") == [Text("Reminder: stand-up")]
    assert luad_jobs.created == []
    assert [each["status"] for each in luad_jobs.runs(job["name"])] == ["succeeded"]


def test_a_week_of_a_daily_job_takes_no_time(luad_jobs_sync: Any) -> None:
    luad.sync.Jobs.create(name="daily", handler=f"{__name__}:count", cron="0 9 * * *", user=None)
    luad_jobs_sync.advance("7d")
    assert [run["result"] for run in luad_jobs_sync.runs("daily")] == [1, 2, 3, 4, 5, 6, 7]
    assert luad.sync.Jobs.get("daily").metadata == {"n": 7}


def test_an_assertion_says_what_there_is_instead(luad_jobs_sync: Any) -> None:
    luad.sync.Jobs.create(name="one", handler=f"{__name__}:count", in_="5m", user=None)
    with pytest.raises(AssertionError, match=r"in_='10m'.*one \("):
        luad_jobs_sync.assert_created(in_="10m")
    luad_jobs_sync.assert_created(handler=count, count=1)
    luad_jobs_sync.assert_created(cron="0 9 * * *", count=0)


def test_every_test_has_a_luad_of_its_own(luad_jobs_sync: Any) -> None:
    assert luad_jobs_sync.created == []
    assert abs(luad_jobs_sync.now - datetime.fromtimestamp(wall_ms() / 1_000, UTC)) < timedelta(
        minutes=1
    )


# --- job files ---------------------------------------------------------------------------------------


def test_job_files_become_tests(pytester: pytest.Pytester) -> None:
    folder = pytester.path / "jobs.d"
    folder.mkdir()
    good = "name: a\nhandler: m:f\nschedule: {type: interval, seconds: 60}\n"
    (folder / "a.yaml").write_text(good)
    (folder / "b.yaml").write_text(good.replace("handler", "handlr"))
    (folder / "c.yaml").write_text(good.replace("m:f", "m:nothing"))
    pytester.mkdir("handlers").joinpath("m.py").write_text("def f(job): ...")
    pytester.makepyfile("def test_one(): pass")
    ran = pytester.runpytest_subprocess("--luad-check", "jobs.d", "-p", "no:asyncio")
    ran.assert_outcomes(passed=2, failed=2)
    ran.stdout.fnmatch_lines(["*unknown key `handlr`*", "*`m` has no function `nothing`*"])


# --- in a project of somebody else ---------------------------------------------------------------

HOW_TO = Path(__file__).parents[2] / "docs/how-to/test-your-handlers.md"


@pytest.mark.parametrize(
    "others", [("-p", "no:asyncio", "-p", "no:anyio"), (), ("--asyncio-mode=auto",)]
)
def test_the_examples_of_the_how_to_pass_as_they_are(
    pytester: pytest.Pytester, others: tuple[str, ...]
) -> None:
    """With no plugin but luad's for asynchronous tests, and beside another one in each of its modes."""
    found = {block.place: block.text for block in blocks(HOW_TO) if block.place}
    for place, text in found.items():
        path = pytester.path / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    tests = [place for place in found if place.startswith("tests/")]
    ran = pytester.runpytest_subprocess(*others)
    ran.assert_outcomes(passed=len(tests))
    assert len(tests) > 1


def test_a_test_that_belongs_to_another_plugin_is_left_to_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.trio\nasync def test_one(): pass")
    ran = pytester.runpytest_subprocess("-p", "no:asyncio", "-p", "no:anyio", "-W", "ignore")
    ran.assert_outcomes(failed=1)


def send_many(job: luad.sync.Job) -> None:
    for number in range(job.metadata["n"]):
        job.user().send(str(number))


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists come in pages of five rows."""
    monkeypatch.setattr(Host, "page_rows", 5)


@pytest.mark.usefixtures("small_pages")
def test_all_messages_are_told_in_their_order(luad_jobs_sync: Any) -> None:
    luad_jobs_sync.add_user("ann")
    luad.sync.Jobs.create(handler=send_many, in_="1s", user="ann", metadata={"n": 12})
    luad_jobs_sync.advance("1s")
    assert luad_jobs_sync.sent_to("ann") == [Text(str(number)) for number in range(12)]


@pytest.mark.usefixtures("small_pages")
def test_a_run_tells_all_of_its_messages() -> None:
    run = run_job_sync(send_many, user="ann", metadata={"n": 12})
    assert run.sent == [Text(str(number)) for number in range(12)]
