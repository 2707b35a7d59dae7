"""Assignments that would be lost, and words of other schedulers: both are told with luad's own way."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import luad
from luad import sync
from luad.cli import ALIASES, COMMANDS
from luad.config.schema import foreign_words
from luad.sdk.keywords import CREATABLE
from luad.sync import Job, Jobs, User
from luad.testing import run_job
from luad.testing.world import World


def look(job: Job) -> str:
    return job.name


@pytest.fixture(autouse=True)
def world(luad_jobs_sync: World) -> World:
    luad_jobs_sync.add_user("ann", emails=["ann@example.com"])
    return luad_jobs_sync


@pytest.fixture
def job() -> Job:
    return Jobs.create(handler=look, every="1h", user="ann")


@pytest.fixture
def user() -> User:
    user = User.get("ann")
    assert user is not None
    return user


# --- assignments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("metadata", "job.update_metadata("),
        ("data", "job.update_metadata("),
        ("name", "Jobs.create(name="),
        ("schedule", "job.update(schedule="),
        ("timeout", "job.update(timeout="),
        ("retry", "job.update(retry="),
        ("user", "job.update(user="),
        ("user_id", "job.update(user="),
        ("next_run_at", "job.snooze("),
        ("nextRunAt", "job.snooze("),
        ("status", "job.pause() or job.resume()"),
        ("active", "job.pause() or job.resume()"),
        ("enabled", "job.update(enabled="),
        ("activeVersion", "job.restore("),
        ("attempt", "job.refresh()"),
        ("delete", "job.refresh()"),
    ],
)
def test_assigning_to_a_job_names_the_method(job: Job, name: str, method: str) -> None:
    with pytest.raises(luad.LuadError, match=f"job.{name} cannot be assigned") as refused:
        setattr(job, name, "x")
    assert isinstance(refused.value, AttributeError)
    assert refused.value.hint.startswith(f"call {method}")


def test_an_attribute_of_the_caller_stays_allowed(job: Job) -> None:
    anything: Any = job
    for _ in range(2):
        anything.keep = 1
        anything.my_cache = {}
    del anything.keep
    assert not hasattr(job, "keep")


@pytest.mark.parametrize(
    "name", ["email", "id", "profile", "mood", "fullName", "channels", "_luaProfile"[1:]]
)
def test_assigning_to_a_user_names_the_method(user: User, name: str) -> None:
    with pytest.raises(luad.LuadError, match="cannot be assigned") as refused:
        setattr(user, name, "x")
    assert f"user.update({name}=...)" in refused.value.hint


def test_what_is_saved_may_be_assigned(user: User) -> None:
    user.data = {"mood": "good"}
    user.save()
    again = User.get("ann")
    assert again is not None
    assert again.data == {"mood": "good"}


def test_values_that_luad_has_shown_are_read(job: Job, user: User) -> None:
    things: list[tuple[Any, str]] = [
        (job.trigger(), "status"),
        (user.send("hello"), "ok"),
        (job.revisions()[0], "revision"),
        (user.profile, "full_name"),
    ]
    for thing, name in things:
        with pytest.raises(luad.LuadError) as refused:
            setattr(thing, name, "x")
        assert refused.value.hint
    metadata: Any = job.metadata
    with pytest.raises(luad.LuadError, match="read-only"):
        metadata["a"] = 1


async def test_the_face_that_is_awaited_says_await(luad_jobs: Any) -> None:
    del luad_jobs
    job: Any = await luad.Jobs.create(handler=look, every="1h")
    with pytest.raises(luad.LuadError) as refused:
        job.metadata = {}
    assert refused.value.hint == "call await job.update_metadata(key=value)"


def test_objects_are_copied_as_before(job: Job, user: User) -> None:
    for thing in (job, user, user.profile):
        assert repr(copy.copy(thing)) == repr(copy.deepcopy(thing)) == repr(thing)
        assert repr(pickle.loads(pickle.dumps(thing))) == repr(thing)  # noqa: S301 - our own bytes


# --- words of other schedulers -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("getJob", "Jobs.get"), ("getAll", "Jobs.get_all"), ("add_job", "Jobs.create")),
        *(("remove_job", "job.delete"), ("apply_async", "Jobs.create"), ("pause_job", "job.pause")),
        *(("reschedule_job", "job.update"), ("AsyncResult", "Jobs.get")),
    ],
)
def test_names_at_jobs_are_translated(name: str, meant: str) -> None:
    for face in (luad.Jobs, Jobs):
        with pytest.raises(AttributeError, match=f"`{name}`; luad's word is `{meant}`"):
            getattr(face, name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("updateMetadata", "job.update_metadata"), ("toJSON", "job.to_dict")),
        *(("activeVersion", "job.revision"), ("next_run_time", "job.next_run_at")),
        *(("args", "job.metadata"), ("executions", "job.runs"), ("versions", "job.revisions")),
        *(("lastRunAt", "job.last_run"), ("remove", "job.delete"), ("modify", "job.update")),
    ],
)
def test_names_at_a_job_are_translated(job: Job, name: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=f"luad's word is `{meant}`"):
        getattr(job, name)


def test_names_at_a_user_are_translated(user: User) -> None:
    for name, meant in (
        *(("_luaProfile", "profile"), ("fullName", "profile.full_name"), ("unset", "patch")),
        *(("email", "profile.emails"), ("mobileNumbers", "profile.phones")),
    ):
        with pytest.raises(AttributeError, match=f"luad's word is `user.{meant}`"):
            getattr(user, name)
    with pytest.raises(AttributeError, match=r"luad's word is `User\.get`"):
        _ = User.find  # type: ignore[attr-defined]


def test_names_at_the_packages_are_translated() -> None:
    for package in (luad, sync):
        with pytest.raises(AttributeError, match=r"luad's word is `luad\.Jobs`"):
            _ = package.LuaJob
        assert not hasattr(package, "nothing")


def test_a_name_that_nothing_means_is_just_missing(job: Job) -> None:
    assert not hasattr(job, "zebra")
    assert not hasattr(Jobs, "zebra")
    assert getattr(job, "zebra", 5) == 5


async def test_an_error_of_an_attribute_in_a_handler_stays_its_own() -> None:
    def handler_asks(job: Job) -> str:
        return job.handler

    del handler_asks
    result = await run_job(ask_for_handler)
    assert result.error is not None
    assert "job.refresh()" in result.error["message"]


def ask_for_handler(job: Job) -> str:
    return job.handler


def test_the_table_leads_to_words_that_exist(job: Job, user: User) -> None:
    for word, key in foreign_words._KEYWORD_OF.items():
        assert key in CREATABLE, word
    for word, command in foreign_words._COMMAND_OF.items():
        assert command in COMMANDS, word
        assert word not in {*COMMANDS, *ALIASES}, word
    places: dict[str, Any] = {"Jobs": Jobs, "job": job, "user": user, "luad": luad, "User": User}
    for kind, names in foreign_words._NAME_OF.items():
        for word, meant in names.items():
            start, *path = meant.split(".")
            found = places[start]
            for part in path:
                found = getattr(type(found) if start == "job" else found, part, None) or getattr(
                    found, part
                )
            is_there = word in vars(type(places[kind])) or word in dir(places[kind])
            assert not is_there, f"{kind}.{word} exists, so its translation is never shown"
