"""Calls take every key of a job file; a job is changed and put off; code acts for a user."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import luad
from luad import NoUser, sync
from luad.config.schema.validator import load_schema
from luad.sdk.keyword_types import Changes, Policies
from luad.sdk.keywords import POLICIES
from luad.sync import InvalidSchedule, Job, Jobs, User
from luad.testing.world import World

ALL: dict[str, Any] = {
    "overlap": "queue",
    "max_running": 1,
    "catch_up": "all",
    "catch_up_window": "2h",
    "jitter": "30s",
    "on_lost": "retry",
    "isolation": "process",
    "queue": "default",
    "pause_after_failures": 3,
    "alert": {"to": ["ann"]},
    "env": {"MODE": "test"},
    "nice": 5,
    "warm": False,
    "log_level": "debug",
    "limits": {"open_files": 100},
    "enabled": True,
}


def look(job: Job) -> str:
    return job.name


def put_off(job: Job) -> None:
    if not job.metadata.get("again"):
        job.update_metadata(again=True)
        job.snooze("1h")


@pytest.fixture(autouse=True)
def world(luad_jobs_sync: World) -> World:
    luad_jobs_sync.add_user("ann", timezone="Europe/Riga")
    luad_jobs_sync.add_user("bob")
    return luad_jobs_sync


def test_a_call_takes_all_keys_of_a_job_file() -> None:
    named = {
        *("name", "description", "handler", "schedule", "timeout", "retry", "tags", "user"),
        "metadata",
    }
    assert {*POLICIES, *named} == set(load_schema("job")["properties"])
    assert set(Policies.__annotations__) == set(POLICIES) == set(ALL)
    assert set(POLICIES) <= set(Changes.__annotations__)
    job = Jobs.create(handler=look, every="1h", **ALL)
    definition = job.to_dict()["definition"]
    for key, value in ALL.items():
        if key != "enabled":  # the default
            assert definition[key] == value or key == "env", key
    changed = Jobs.create(handler=look, every="1h").update(**ALL).to_dict()["definition"]
    assert {**changed, "name": ""} == {**definition, "name": ""}


def test_a_keyword_that_no_call_has_is_told_with_the_one_it_has() -> None:
    for word, meant in (
        *(("replace_existing", "if_exists"), ("args", "metadata"), ("run_date", "at")),
        *(("max_instances", "max_running"), ("maxRetries", "retry"), ("countdown", "in_")),
        *(
            ("concurrencyPolicy", "overlap"),
            ("execute", "handler"),
            ("idempotencyKey", "idempotency_key"),
        ),
    ):
        with pytest.raises(TypeError, match=f"`{word}`; luad's word is `{meant}`"):
            Jobs.create(handler=look, in_=1, **{word: 1})


def test_a_job_is_changed_in_place() -> None:
    job = Jobs.create(handler=look, in_="1h", user="ann", timeout="5m", tags=["a"])
    same = job.update(at="tomorrow 09:00", timeout=None, tags=["b"], description="new")
    assert same is job
    assert (job.tags, job.description) == (("b",), "new")
    assert "09:00 EE" in job.summary
    assert "timeout" not in job.to_dict()["definition"]
    job.update(user="bob")
    assert job.user_id == "bob"
    job.update(cron="0 9 * * *", timezone="Asia/Tokyo")
    job.update(timezone="Europe/Riga")
    assert job.schedule["timezone"] == "Europe/Riga"
    for words, method in (
        *(({"metadata": {}}, "update_metadata"), ({"activate": True}, "resume")),
        *(({"name": "x"}, "new name"), ({}, "write a change")),
    ):
        with pytest.raises(TypeError) as refused:
            job.update(**words)  # type: ignore[arg-type] # that is the mistake
        assert method in refused.value.hint  # type: ignore[attr-defined]
    with pytest.raises(InvalidSchedule):
        job.update(at="03/04")


def test_a_job_that_is_due_once_is_put_off_in_its_own_zone(world: World) -> None:
    job = Jobs.create(handler=look, at="in 10 minutes", timezone="Asia/Tokyo")
    assert job.snooze("1h").next_run_at == world.now + timedelta(hours=1)
    assert job.schedule["timezone"] == "Asia/Tokyo"
    assert "09:00 JST" in job.snooze("tomorrow 09:00").summary
    assert "09:00 JST" in job.snooze("2099-01-01 09:00").summary


def test_a_job_that_recurs_is_paused_instead(world: World) -> None:
    job = Jobs.create(handler=look, every="10m").snooze(timedelta(hours=1))
    assert job.status == "paused"
    world.advance("2h")
    assert Jobs.get(job.id).active


def test_a_handler_puts_its_own_job_off(world: World) -> None:
    job = Jobs.create(handler=put_off, in_="1m", user="ann")
    world.advance("2m")
    assert Jobs.get(job.id).active
    world.advance("1h")
    assert [each["status"] for each in world.runs(job.name)] == ["succeeded"] * 2


async def test_the_face_that_is_awaited_does_the_same(luad_jobs: Any) -> None:
    del luad_jobs
    job = await luad.Jobs.create(handler=look, every="1h", overlap="queue")
    assert (await job.update(overlap="replace")).to_dict()["definition"]["overlap"] == "replace"
    assert (await job.snooze("in 10 minutes")).status == "paused"


# --- acting for a user ---------------------------------------------------------------------------


def user_id() -> str | None:
    user = sync.User.get()
    return None if user is None else user.id


def test_code_acts_for_the_innermost_user_and_for_nobody_outside() -> None:
    with pytest.raises(NoUser):
        User.get()
    with luad.acting_for("ann"):
        assert user_id() == "ann"
        assert Jobs.create(handler=look, in_="1h").user_id == "ann"
        assert Jobs.create(handler=look, in_="1h", user="bob").user_id == "bob"
        with sync.acting_for(User.get("bob")):
            assert user_id() == "bob"
        with luad.acting_for(None), pytest.raises(NoUser):
            User.get()
        assert user_id() == "ann"
    assert Jobs.create(handler=look, in_="1h").user_id is None


async def test_each_task_and_thread_acts_for_its_own_user(luad_jobs: Any) -> None:
    del luad_jobs
    barrier = asyncio.Barrier(2)

    async def act(name: str) -> list[str | None]:
        with luad.acting_for(name):
            await barrier.wait()
            user = await luad.User.get()
            assert user is not None
            inner = await asyncio.create_task(asyncio.to_thread(user_id))
            return [user.id, inner, (await luad.Jobs.create(handler=look, in_=60)).user_id]

    assert await asyncio.gather(act("ann"), act("bob")) == [["ann"] * 3, ["bob"] * 3]
