"""`Jobs.create`, a job's methods and `User`: accepted values, refusals, and messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from luad.sdk.ask import Ask
from luad.sdk.link import get_link
from luad.sync import (
    Cron,
    Every,
    InvalidSchedule,
    Job,
    Jobs,
    Once,
    Text,
    User,
    ValidationError,
)
from luad.testing import run_job_sync
from luad.testing.world import World

WHEN = datetime(2026, 11, 22, tzinfo=UTC)


def look(job: Job) -> str:
    return job.name


def tell_how_it_went(job: Job) -> None:
    user = job.user()
    user.send("I am at it")
    user.send("I am at it")  # said twice
    if job.attempt == 1:
        user.send("It may take a while")
        raise RuntimeError("not yet")
    user.send("Now it is done")


@pytest.fixture(autouse=True)
def world(luad_jobs_sync: World) -> World:
    luad_jobs_sync.add_user("ann", timezone="Europe/London", phones=["+44 20 7946 0018"])
    luad_jobs_sync.add_user("bob")
    return luad_jobs_sync


def make(**words: Any) -> Job:
    return Jobs.create(**{"handler": look, "user": None, **words})


# --- what is not meant is not guessed ------------------------------------------------------------


def test_the_old_word_for_the_handler_is_told_apart_from_a_missing_one() -> None:
    with pytest.raises(TypeError, match="`execute`; luad's word is `handler`"):
        Jobs.create(name="a", execute=look, in_="1h")
    with pytest.raises(TypeError, match="needs handler="):
        Jobs.create(name="a", in_="1h")


@pytest.mark.parametrize(
    "when",
    [{"in_": "10m"}, {"every": "1h"}, {"schedule": Cron("0 9 * * *")}, {"schedule": Every("1h")}],
)
def test_a_zone_that_would_say_nothing_is_refused(when: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchedule, match="has no effect on") as refused:
        make(timezone="Europe/Paris", **when)
    assert "at= and cron=" in refused.value.hint


@pytest.mark.parametrize(
    ("words", "place"),
    [({"metadata": [1]}, "metadata"), ({"metadata": "x"}, "metadata"), ({"retry": "x"}, "retry")],
)
def test_what_is_no_object_is_refused_with_its_name(words: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError, match=f"^{place}: a .* is not an object"):
        make(in_="1h", **words)


def test_one_tag_is_a_tag_and_no_letters() -> None:
    assert make(in_="1h", tags="billing").tags == ("billing",)


def test_one_channel_is_a_channel_and_no_letters() -> None:
    user = User.get("ann")
    assert user is not None
    assert [each.channel for each in user.send("hello", channels="inbox")] == ["inbox"]


def test_what_is_no_json_is_refused_wherever_it_is_written() -> None:
    job, user = make(in_="1h"), User.get("ann")
    assert user is not None
    user.data["when"] = WHEN
    for write in (
        lambda: job.update_metadata(when=WHEN),
        lambda: job.update_metadata({"when": WHEN}),
        lambda: job.patch_metadata({"when": WHEN}),
        lambda: job.replace_metadata({"when": WHEN}),
        lambda: job.trigger(metadata={"when": WHEN}),
        lambda: user.update(when=WHEN),
        lambda: user.patch({"when": WHEN}),
        user.save,
    ):
        with pytest.raises(ValidationError, match=r'\["when"\]: a datetime is not JSON'):
            write()
    with pytest.raises(ValidationError, match=r"messages\[0\]: a datetime is not JSON"):
        user.send(WHEN)  # type: ignore[arg-type] # that is the mistake


def test_nobody_is_found_by_nothing() -> None:
    for words in ({"phone": ""}, {"email": ""}):
        with pytest.raises(ValidationError, match="there is nothing in it"):
            User.get(**words)
    assert User.get(phone="unknown") is None
    with pytest.raises(TypeError, match="one of id, email= and phone="):
        User.get("ann", phone="1")


# --- what is shown -------------------------------------------------------------------------------


def test_a_moment_is_told_in_the_zone_of_the_person_it_is_for() -> None:
    in_july = datetime(2035, 7, 1, 12, tzinfo=UTC)
    for_ann = make(at=in_july, user="ann")
    assert for_ann.summary.startswith("Runs once on Sun 1 Jul 2035 13:00 BST, in ")
    assert for_ann.summary.endswith(", for ann.")
    assert make(in_="10m", user="ann").schedule["timezone"] == "Europe/London"
    assert "12:00 UTC" in make(at=in_july, user="bob").summary
    assert "12:00 UTC" in make(at=in_july).summary
    own = make(schedule=Once(in_july, timezone="Asia/Tokyo"), user="ann")
    assert "21:00 JST" in own.summary
    assert "12:00 BST" in make(at="2035-07-01T12:00:00", user="ann").summary


def test_a_job_that_is_looked_at_anew_is_all_new() -> None:
    job = make(name="edited", every="1h")
    change = {"description": "another", "tags": ["b"]}
    shown = get_link().call(Ask("PATCH", "/jobs/edited", change))
    job.refresh()
    assert (job.description, job.tags) == ("another", ("b",))
    assert job.revision == shown["revision"]


# --- what is sent --------------------------------------------------------------------------------


def test_what_another_attempt_says_differently_is_another_message(world: World) -> None:
    Jobs.create(handler=tell_how_it_went, in_="1m", user="ann", retry=2)
    world.advance("5m")
    told = ["I am at it", "I am at it", "It may take a while", "Now it is done"]
    assert world.sent_to("ann") == [Text(each) for each in told]
    run = run_job_sync(tell_how_it_went, user="ann", retry=2)
    assert run.sent == [Text(each) for each in told]
