"""What luad carries over from the agent platform whose Jobs it continues, row by row, on one live daemon.

Each test is a row: on the left what that system has, on the right what it has become here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 - a test's patience is real time
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from live import LiveDaemon

import luad.sdk.link as sdk_link
from luad.client import Client
from luad.clock import wall_ms
from luad.sdk.values import SentMessage
from luad.sync import (
    FileOwned,
    HandlerNotImportable,
    InvalidSchedule,
    Jobs,
    NameTaken,
    NotFound,
    Text,
    User,
    ValidationError,
)

HANDLERS = """
import asyncio
from luad import Jobs, Text, Image, User, current_job
from luad import sync


async def remind(job):
    user = await job.user()
    await user.send(f"Reminder: {job.metadata['message']}")
    return {"reminded": user.id}


async def look(job):
    return {
        "id": job.id, "name": job.name, "metadata": dict(job.metadata), "revision": job.revision,
        "dict": job.to_dict()["name"], "attempt": job.attempt, "user": job.user_id,
    }


def add_one(job):
    job.update_metadata({job.metadata["key"]: job.run_id})
    return True


async def delete_myself(job):
    await job.delete()
    return "ended normally"


async def delete_static(job):
    await job.delete()


async def who(job):
    return (await job.user()).profile.full_name


async def from_metadata(job):
    user = await User.get(job.metadata["user_id"])
    return user.profile.full_name


async def start_another(job):
    if job.metadata.get("again"):
        return "the second one"
    run = await job.trigger(metadata={"again": True}, force=True)  # beside this one
    return run.id


async def pause_myself(job):
    await job.pause(reason="enough for today")
    await job.resume()
    await job.pause(reason="enough for ever")


def fail(job):
    raise ValueError("no")


def big(job):
    return "x" * 300_000


async def profile_is_frozen(job):
    user = await job.user()
    try:
        user.profile.full_name = "X"
    except AttributeError:
        return "frozen"


async def send_all_forms(job):
    user = await job.user()
    delivery = await user.send([
        Text("one"), Image("https://example.com/a.png", alt="a"),
        {"type": "text", "text": "two"},
        {"type": "image", "imageUrl": "https://example.com/b.png", "altText": "b"},
    ])
    return [bool(delivery), len(delivery)]


async def nothing_arrives(job):
    await (await User.get("nobody-listens")).send("hello")


async def make_child(job):
    child = await Jobs.create(name="child-of-run", handler="rows:look", in_="1h")
    return child.user_id


async def forever(job):
    await asyncio.Event().wait()
"""

STATIC = """
name: from-file
handler: rows:look
schedule: {type: cron, expression: "0 9 * * *", timezone: America/New_York}
metadata: {region: emea, user_id: ann}
"""

PEOPLE = """
id: ann
full_name: Ann Example
emails: [ann@example.com]
phones: ["+44 20 7946 0018"]
---
id: nobody-listens
channels:
  - {type: webhook, url: "http://127.0.0.1:9/", allow_private: true, timeout: 2s}
"""


@pytest.fixture(scope="module", autouse=True)
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    folder = tmp_path_factory.mktemp("carried")
    (folder / "handlers").mkdir()
    (folder / "jobs.d").mkdir()
    (folder / "users.d").mkdir()
    (folder / "handlers" / "rows.py").write_text(HANDLERS)
    (folder / "jobs.d" / "from-file.yaml").write_text(STATIC)
    (folder / "users.d" / "people.yaml").write_text(PEOPLE)
    live = LiveDaemon(folder)
    with live:
        link = sdk_link.ClientLink()
        link._client = Client(live.socket)
        before = sdk_link.set_link(link)
        yield live
        sdk_link.set_link(before)


def wait_for_run(job: str, number: int = 1) -> dict[str, Any]:
    """Wait until the *number*-th run of *job* has ended."""
    until = monotonic() + 30
    while monotonic() < until:
        ask = sdk_link.Ask("GET", "/runs", query={"job": job})
        try:
            runs = sdk_link.get_link().call(ask)["runs"]
        except NotFound:
            runs = []
        ended = [run for run in runs if run["completed_at"] is not None]
        if len(ended) >= number:
            return dict(ended[-number])
        sleep(0.02)
    raise AssertionError(f"{job} has not run {number} times")


def once(handler: str, name: str, **words: Any) -> dict[str, Any]:
    """Make a job that is due now, and return its run."""
    Jobs.create(name=name, handler=f"rows:{handler}", in_=0, **{"user": None, **words})
    return wait_for_run(name)


def cli(daemon: LiveDaemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "luad", *words, "--socket", str(daemon.socket)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=daemon.folder, timeout=60
    )


# --- two kinds of job ----------------------------------------------------------------------------


def test_a_predefined_job_is_a_document_in_jobs_d() -> None:
    job = Jobs.get("from-file")
    assert not job.dynamic
    assert job.schedule["timezone"] == "America/New_York"


def test_dropping_the_file_is_the_registration(daemon: LiveDaemon) -> None:
    (daemon.jobs / "dropped.yaml").write_text(STATIC.replace("from-file", "dropped"))
    until = monotonic() + 10
    while monotonic() < until:
        try:
            Jobs.get("dropped")
            break
        except NotFound:
            sleep(0.02)
    assert Jobs.get("dropped").active


def test_a_tool_creates_a_job_while_a_user_talks_to_the_agent() -> None:
    job = Jobs.create(handler="rows:remind", user="ann", in_="1s", metadata={"message": "tea"})
    assert job.dynamic
    assert job.summary.startswith("Runs once on ")
    assert job.summary.endswith("for ann.")
    assert wait_for_run(job.name)["result"] == {"reminded": "ann"}


def test_also_by_http_and_by_command(daemon: LiveDaemon) -> None:
    ask = sdk_link.Ask("POST", "/jobs", {"name": "by-http", "handler": "rows:look", "in": "1h"})
    assert sdk_link.get_link().call(ask)["source"] == "api"
    made = cli(daemon, "create", "by-command", "--handler", "rows:look", "--in", "48h")
    assert made.stdout.startswith("Created by-command: runs once on ")


def test_a_predefined_job_finds_the_user_by_the_id_in_its_metadata() -> None:
    run = once("from_metadata", "finds-user", metadata={"user_id": "ann"})
    assert run["result"] == "Ann Example"


def test_a_dynamic_job_knows_the_user_who_caused_it() -> None:
    assert once("who", "knows-user", user="ann")["result"] == "Ann Example"


def test_without_a_user_the_error_says_how_to_set_one() -> None:
    run = once("who", "no-user")
    assert run["status"] == "failed"
    assert "is for nobody" in run["error"]["message"]


# --- schedules -----------------------------------------------------------------------------------


def test_cron_with_a_zone_utc_without() -> None:
    job = Jobs.create(name="cron-utc", handler="rows:look", cron="0 9 * * *", user=None)
    assert job.schedule == {"type": "cron", "expression": "0 9 * * *", "timezone": "UTC"}


def test_interval_in_seconds_or_words() -> None:
    assert Jobs.create(handler="rows:look", every=3600, user=None).schedule["seconds"] == 3600
    assert Jobs.create(handler="rows:look", every="1h", user=None).schedule["seconds"] == 3600


def test_once_at_a_date_an_iso_text_or_in_ten_minutes() -> None:
    at = datetime.fromtimestamp(wall_ms() / 1_000, UTC) + timedelta(minutes=10)
    for words in (
        {"at": at},
        {"at": at.isoformat()},
        {"in_": "10m"},
        {"in_": timedelta(minutes=10)},
    ):
        due = Jobs.create(handler="rows:look", user=None, **words).next_run_at
        assert due is not None
        assert abs(due - at) < timedelta(seconds=30)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidSchedule):
        Jobs.create(handler="rows:look", at="2035-01-01T09:00:00", user=None)


# --- a job's fields ------------------------------------------------------------------------------


def test_the_fields_of_a_job() -> None:
    job = Jobs.create(
        name="fields",
        description="All of them",
        handler="rows:look",
        every="1h",
        timeout="5m",
        retry=3,
        metadata={"any": ["json", None, 1.5]},
        activate=False,
        user="ann",
    )
    view = job.to_dict()
    assert (view["description"], view["timeout_seconds"]) == ("All of them", 300)
    assert view["retry"]["max_attempts"] == 3
    assert job.metadata == {"any": ["json", None, 1.5]}
    assert job.status == "paused"


@pytest.mark.parametrize("word", ["execute", "executeAt", "maxRetries", "pattern"])
def test_who_writes_the_old_words_is_told_the_new_ones(word: str) -> None:
    with pytest.raises(TypeError, match="luad's word is"):
        Jobs.create(handler="rows:look", in_="1h", **{word: 1})


# --- what a handler gets -------------------------------------------------------------------------


def test_id_name_metadata_version_and_json() -> None:
    run = once("look", "looks", metadata={"a": 1}, user="ann")
    seen = run["result"]
    assert (seen["name"], seen["dict"], seen["metadata"]) == ("looks", "looks", {"a": 1})
    assert seen["id"] == run["job_id"]
    assert seen["revision"] == run["revision"]


def test_concurrent_writers_of_metadata_lose_nothing() -> None:
    body = {"name": "writers", "handler": "rows:add_one", "overlap": "allow", "max_running": 10}
    body["schedule"] = {"type": "interval", "seconds": 86_400}
    sdk_link.get_link().call(sdk_link.Ask("POST", "/jobs", body))
    job = Jobs.get("writers")
    runs = [job.trigger(metadata={"key": f"k{n}"}) for n in range(8)]
    wait_for_run("writers", 8)
    written = Jobs.get("writers").metadata
    assert {key: value for key, value in written.items() if key.startswith("k")} == {
        f"k{n}": run.id for n, run in enumerate(runs)
    }


def test_delete_ends_the_job_and_not_the_run() -> None:
    run = once("delete_myself", "deletes-itself", keep=True)
    assert (run["status"], run["result"]) == ("succeeded", "ended normally")
    with pytest.raises(NotFound):
        Jobs.get("deletes-itself")


def test_a_static_job_cannot_be_deleted_and_the_error_names_its_file() -> None:
    with pytest.raises(FileOwned, match=r"from-file\.yaml:"):
        Jobs.get("from-file").delete()


def test_trigger_gives_a_run() -> None:
    once("start_another", "starts-another", keep=True)
    first, second = wait_for_run("starts-another", 1), wait_for_run("starts-another", 2)
    results = {first["result"], second["result"]}
    assert "the second one" in results
    assert results & {first["id"], second["id"]}
    run = Jobs.get("from-file").trigger()
    assert run.id.startswith("run_")


def test_activate_and_deactivate() -> None:
    once("pause_myself", "pauses-itself", keep=True)
    job = Jobs.get("pauses-itself")
    assert job.to_dict()["pause"]["reason"] == "enough for ever"
    assert job.resume().to_dict()["pause"] is None
    static = Jobs.get("from-file").deactivate(reason="holiday", until=timedelta(days=1))
    assert static.status == "paused"
    assert static.activate().status == "active"


def test_the_return_value_is_the_result() -> None:
    run = once("big", "returns-much", keep=True)
    assert run["status"] == "succeeded"
    assert run["result_truncated"]


# --- the Jobs API --------------------------------------------------------------------------------


def test_create_get_and_get_all() -> None:
    made = Jobs.create(name="listed", handler="rows:look", in_="1h", user=None)
    assert Jobs.get("listed").id == Jobs.get(made.id).id == made.id
    assert "listed" not in [job.name for job in Jobs.get_all()]
    assert "listed" in [job.name for job in Jobs.get_all(include_dynamic=True)]


def test_a_name_is_taken_once() -> None:
    Jobs.create(name="natural-key", handler="rows:look", in_="1h", user=None)
    with pytest.raises(NameTaken):
        Jobs.create(name="natural-key", handler="rows:look", in_="1h", user=None)
    moved = Jobs.create(
        name="natural-key", handler="rows:look", in_="2h", if_exists="replace", user=None
    )
    assert moved.next_run_at is not None


def test_executions_with_a_limit_and_versions() -> None:
    job = Jobs.get("from-file")
    run = job.trigger()
    wait_for_run("from-file")
    assert run.id in [each.id for each in job.runs(limit=5)]
    ask = sdk_link.Ask("GET", "/jobs/from-file/revisions")
    (revision,) = sdk_link.get_link().call(ask)["revisions"]
    assert revision["is_current"]
    assert revision["revision"] == job.revision


def test_what_cannot_be_imported_later_is_refused_now() -> None:
    def nested(_: object) -> None:
        """Stands inside a function."""

    for handler in (lambda job: job, nested, [].append, print):
        with pytest.raises(HandlerNotImportable):
            Jobs.create(handler=handler, in_="1h", user=None)
    with pytest.raises(ValidationError, match=r'metadata\["when"\]'):
        Jobs.create(
            handler="rows:look",
            in_="1h",
            user=None,
            metadata={"when": datetime.min},  # noqa: DTZ901 - a value that is no JSON
        )


def test_repeated_failures_switch_a_job_off() -> None:
    body: dict[str, Any] = {"name": "gives-up", "handler": "rows:fail", "pause_after_failures": 2}
    body["schedule"] = {"type": "interval", "seconds": 86_400}
    sdk_link.get_link().call(sdk_link.Ask("POST", "/jobs", body))
    for number in (1, 2):
        Jobs.get("gives-up").trigger()
        wait_for_run("gives-up", number)
    assert "2 failures in a row" in Jobs.get("gives-up").to_dict()["pause"]["reason"]


def test_statuses_cover_every_end() -> None:
    assert once("look", "ends-well", keep=True)["status"] == "succeeded"
    assert once("fail", "ends-badly")["status"] == "failed"
    assert once("forever", "ends-late", timeout=1)["status"] == "timed_out"
    job = Jobs.create(name="is-stopped", handler="rows:forever", in_="1h", user=None)
    run = job.trigger()
    sdk_link.get_link().call(sdk_link.Ask("POST", f"/runs/{run.id}/cancel", {}))
    assert wait_for_run("is-stopped")["status"] == "cancelled"


def test_the_run_that_made_a_job_is_linked_from_it() -> None:
    run = once("make_child", "parent", user="ann")
    assert run["result"] == "ann", "the child is for the same person"
    child = Jobs.get("child-of-run").to_dict()
    assert child["creation"]["run_id"] == run["id"]
    full = sdk_link.get_link().call(sdk_link.Ask("GET", f"/runs/{run['id']}"))
    assert full["created_jobs"] == ["child-of-run"]


# --- users and messages --------------------------------------------------------------------------


def test_users_are_found_by_id_address_and_number() -> None:
    for words in (
        {"id": "ann"},
        {"email": "Ann@Example.com"},
        {"phone": "+442079460018"},
        {"phone": "442079460018"},
    ):
        user = User.get(**words)
        assert user is not None
        assert user.id == "ann"
    assert User.get("zed") is None


def test_data_is_merged_and_cleared_and_the_profile_is_frozen() -> None:
    user = User.get("ann")
    assert user is not None
    user.update(score=1)
    user.update({"team": "a"}, last=None)
    assert user.data == {"score": 1, "team": "a", "last": None}
    user.data["score"] = 2
    user.save()
    again = User.get("ann")
    assert again is not None
    assert again.data["score"] == 2
    user.clear()
    assert user.data == {}
    assert once("profile_is_frozen", "frozen", user="ann")["result"] == "frozen"


def test_messages_in_every_form() -> None:
    assert once("send_all_forms", "sends", user="ann")["result"] == [True, 4]
    user = User.get("ann")
    assert user is not None
    sent: list[SentMessage] = user.messages(4)
    assert Text("one") in [part for each in sent for part in each.parts]


def test_nothing_delivered_raises_and_fails_the_run() -> None:
    run = once("nothing_arrives", "unheard")
    assert run["status"] == "failed"
    assert run["error"]["type"].endswith("DeliveryFailed")


# --- testing and running by hand -----------------------------------------------------------------


def test_a_job_is_tried_without_the_daemon(daemon: LiveDaemon) -> None:
    tried = cli(daemon, "test", "from-file", "--json")
    assert tried.returncode == 0, tried.stderr
    answer = json.loads(tried.stdout)
    assert answer["status"] == "completed"
    assert answer["sent"] == []


def test_messages_of_a_trial_are_shown_and_go_nowhere(daemon: LiveDaemon) -> None:
    before = len(json.loads(cli(daemon, "users", "inbox", "ann", "--json").stdout)["messages"])
    tried = cli(daemon, "test", "rows:remind", "--user", "ann", "-m", "message=hello")
    assert "would send to ann" in tried.stdout, tried.stdout + tried.stderr
    after = len(json.loads(cli(daemon, "users", "inbox", "ann", "--json").stdout)["messages"])
    assert before == after


def test_list_and_run(daemon: LiveDaemon) -> None:
    assert "from-file" in cli(daemon, "list").stdout
    ran = cli(daemon, "run", "from-file", "--wait")
    assert ran.returncode == 0, ran.stderr


def test_a_job_as_a_file_loads_again(daemon: LiveDaemon) -> None:
    Jobs.create(name="exported", handler="rows:look", every="2h", user="ann", metadata={"a": "ü"})
    text = cli(daemon, "show", "exported", "--yaml").stdout
    cli(daemon, "delete", "exported", "--yes")
    again = Path(daemon.folder / "exported.yaml")
    again.write_text(text)
    assert cli(daemon, "create", "--from", str(again)).returncode == 0
    job = Jobs.get("exported")
    assert (job.schedule["seconds"], job.user_id, job.metadata) == (7200, "ann", {"a": "ü"})
