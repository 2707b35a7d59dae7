"""What luad carries over, row by row: kinds of job, schedules, fields, what a handler gets, on one live daemon.

Each test is a row: on the left what the agent platform has whose Jobs luad continues, on the right what
it has become here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.carried_over import STATIC, ask, carried_daemon, cli, once, wait_for_run, wait_until
from support.live_daemon import LiveDaemon

from luad.clock import wall_ms
from luad.errors import RefusedError
from luad.sync import FileOwned, InvalidSchedule, Jobs


@pytest.fixture(scope="module", autouse=True)
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    with carried_daemon(tmp_path_factory.mktemp("carried")) as live:
        yield live


# --- two kinds of job ----------------------------------------------------------------------------


def test_a_predefined_job_is_a_document_in_jobs_d() -> None:
    job = Jobs.get("from-file")
    assert not job.dynamic
    assert job.schedule["timezone"] == "America/New_York"


def test_dropping_the_file_is_the_registration(daemon: LiveDaemon) -> None:
    (daemon.jobs / "dropped.yaml").write_text(STATIC.replace("from-file", "dropped"))
    wait_until(lambda: "dropped" in [job.name for job in Jobs.get_all()])
    assert Jobs.get("dropped").active


def test_a_tool_creates_a_job_while_a_user_talks_to_the_agent() -> None:
    job = Jobs.create(handler="rows:remind", user="ann", in_="1s", metadata={"message": "tea"})
    assert job.dynamic
    assert job.summary.startswith("Runs once on ")
    assert job.summary.endswith("for ann.")
    assert wait_for_run(job.name)["result"] == {"reminded": "ann"}


def test_also_by_http_and_by_command(daemon: LiveDaemon) -> None:
    body = {"name": "by-http", "handler": "rows:look", "in": "1h"}
    assert ask("POST", "/jobs", body)["source"] == "api"
    made = cli(daemon, "create", "by-command", "--handler", "rows:look", "--in", "48h")
    assert made.stdout.startswith("Created by-command (job_")
    assert "): runs once on " in made.stdout


def test_a_predefined_job_finds_the_user_by_the_id_in_its_metadata() -> None:
    run = once("from_metadata", "finds-user", metadata={"user_id": "ann"})
    assert run["result"] == "Ann Example"


def test_or_it_is_for_a_user_that_its_file_names() -> None:
    Jobs.get("for-ann").trigger()
    assert wait_for_run("for-ann")["result"] == "Ann Example"


def test_a_dynamic_job_knows_the_user_who_caused_it() -> None:
    assert once("who", "knows-user", user="ann")["result"] == "Ann Example"


def test_without_a_user_the_error_says_how_to_set_one() -> None:
    run = once("who", "no-user")
    assert run["status"] == "failed"
    assert "has no user" in run["error"]["message"]


# --- schedules -----------------------------------------------------------------------------------


def test_cron_with_a_zone_utc_without() -> None:
    job = Jobs.create(name="cron-utc", handler="rows:look", cron="0 9 * * *", user=None)
    assert job.schedule == {"type": "cron", "expression": "0 9 * * *", "timezone": "UTC"}
    assert "09:00 UTC" in job.summary
    with_zone = Jobs.get("from-file").schedule
    assert (with_zone["type"], with_zone["timezone"]) == ("cron", "America/New_York")


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
    assert ask("GET", "/jobs/from-file")["timeout_seconds"] == 300, "that of all who say nothing"


def test_max_attempts_counts_the_first_try() -> None:
    run = once("second_time", "needs-two", retry={"max_attempts": 2, "backoff_seconds": 0.1})
    assert (run["status"], run["result"], run["attempt"]) == ("succeeded", 2, 2)
    assert once("second_time", "has-one", retry={"max_attempts": 1})["status"] == "failed"


def test_one_that_is_not_activated_waits_until_it_is() -> None:
    job = Jobs.create(name="asleep", handler="rows:look", every="1s", user=None, activate=False)
    assert (job.active, job.next_run_at) == (False, None)
    assert job.activate().active
    assert wait_for_run("asleep")["status"] == "succeeded"
    Jobs.get("asleep").delete()


@pytest.mark.parametrize("word", ["execute", "executeAt", "maxRetries", "pattern"])
def test_who_writes_the_old_words_is_told_the_new_ones(word: str) -> None:
    with pytest.raises(TypeError, match="luad's word is"):
        Jobs.create(handler="rows:look", in_="1h", **{word: 1})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"executeAt": "2035-01-01T09:00:00Z"}, "execute_at"),
        ({"schedule": {"type": "cron", "pattern": "0 9 * * *"}}, "expression"),
        ({"retry": {"maxAttempts": 3}}, "max_attempts"),
        ({"retry": {"maxRetries": 3}}, "max_attempts"),
        ({"retry": {"max_attempts": 3, "backoffSeconds": 3}}, "backoff_seconds"),
    ],
)
def test_also_over_http_and_in_a_file(daemon: LiveDaemon, old: dict[str, Any], new: str) -> None:
    body = {"name": "old-words", "handler": "rows:look"}
    body |= {"schedule": {"type": "interval", "seconds": 60}} | old
    with pytest.raises(RefusedError) as refused:
        ask("POST", "/jobs", body)
    assert refused.value.status == 422
    assert new in json.dumps(refused.value.errors)
    path = daemon.folder / "old-words.yaml"
    path.write_text(json.dumps(body))
    checked = cli(daemon, "check", "--no-import", str(path))
    assert checked.returncode == 1, checked.stderr
    assert new in checked.stdout + checked.stderr


# --- what a handler gets -------------------------------------------------------------------------


def test_id_name_metadata_version_and_json() -> None:
    run = once("look", "looks", metadata={"a": 1}, user="ann")
    seen = run["result"]
    assert (seen["name"], seen["dict"], seen["metadata"]) == ("looks", "looks", {"a": 1})
    assert seen["id"] == run["job_id"]
    assert seen["revision"] == run["revision"]


def test_metadata_are_a_view_that_cannot_be_written_to() -> None:
    hint = once("read_only", "writes-in-vain", metadata={"a": 1})["result"]
    assert "update_metadata" in hint


def test_what_a_run_writes_the_next_one_finds() -> None:
    run = once("write_to_itself", "writes", metadata={"a": 1}, keep=True)
    assert run["result"] == {"a": 1, "seen": True, "last": None}
    assert Jobs.get("writes").metadata == {"a": 1, "seen": True, "last": None}


def test_concurrent_writers_of_metadata_lose_nothing() -> None:
    body = {"name": "writers", "handler": "rows:add_one", "overlap": "allow", "max_running": 10}
    body["schedule"] = {"type": "interval", "seconds": 86_400}
    ask("POST", "/jobs", body)
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
    assert Jobs.get("deletes-itself").status == "deleted"
    assert "deletes-itself" not in [job.name for job in Jobs.get_all(include_dynamic=True)]


def test_a_static_job_cannot_be_deleted_only_paused(daemon: LiveDaemon) -> None:
    with pytest.raises(FileOwned, match=r"from-file\.yaml:"):
        Jobs.get("from-file").delete()
    (daemon.jobs / "stays.yaml").write_text(
        STATIC.replace("from-file", "stays").replace("rows:look", "rows:delete_static")
    )
    wait_until(lambda: "stays" in [job.name for job in Jobs.get_all()])
    Jobs.get("stays").trigger()
    run = wait_for_run("stays")
    assert run["status"] == "succeeded"
    assert Jobs.get("stays").status == "paused"


def test_trigger_gives_a_run() -> None:
    once("start_another", "starts-another", keep=True)
    # The run that was triggered may end first: both have ended before either is read.
    second, first = wait_for_run("starts-another", 2), wait_for_run("starts-another", 1)
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
    run = once("much", "returns-200-kb", keep=True)
    assert (len(run["result"]), run["result_truncated"]) == (200_000, False)
    run = once("big", "returns-300-kb", keep=True)
    assert run["status"] == "succeeded"
    assert run["result_truncated"]
