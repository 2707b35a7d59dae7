"""Jobs that are made at run time: create, remind, delete, metadata, and what the others show of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

JOB = {
    "id": "job_01ABC",
    "name": "follow-up-4h2m",
    "dynamic": True,
    "summary": "Runs once on Tue 24 Nov 2026 09:32 GMT, in 2 days, for ann.",
    "file": None,
}


@pytest.fixture
def made(peer: Any) -> Any:
    """A peer that makes every job; the bodies are in `made.asked`."""
    peer.answers["POST /jobs"] = (201, JOB)
    return peer


# --- create ---


def test_create_sends_what_was_said_and_shows_the_summary(luad: Any, made: Any) -> None:
    result = luad(
        "create", "call", "--handler", "crm:follow_up", "--in", "48h", "--user", "ann", "-m", "ticket=T-812",
        "-m", 'n={"a": [1]}', "--timeout", "5m", "--max-attempts", 3, "--backoff", "1m", "-t", "crm",
        "--inactive", "--keep", "--if-exists", "replace", "--idempotency-key", "T-812",
    )  # fmt: skip
    assert result.out == (
        f"Created follow-up-4h2m ({JOB['id']}): runs once on Tue 24 Nov 2026 09:32 GMT, in 2 days, for ann.\n"
    )
    (asked,) = made.asked
    assert asked.body == {
        "handler": "crm:follow_up",
        "if_exists": "replace",
        "name": "call",
        "in": "48h",
        "user": "ann",
        "timeout": "5m",
        "metadata": {"ticket": "T-812", "n": {"a": [1]}},
        "retry": {"max_attempts": 3, "backoff_seconds": 60},
        "tags": ["crm"],
        "keep": True,
        "activate": False,
    }
    assert asked.headers["Idempotency-Key"] == '"T-812"'
    assert luad("create", "--handler", "a:b", "--in", "1h", "--json").json == JOB


@pytest.mark.parametrize(
    ("args", "schedule"),
    [
        (["--every", "15m"], {"type": "interval", "every": "15m"}),
        (["--cron", "0 9 * * *"], {"type": "cron", "expression": "0 9 * * *"}),
        (
            ["--cron", "@daily", "--timezone", "Asia/Tokyo"],
            {"type": "cron", "expression": "@daily", "timezone": "Asia/Tokyo"},
        ),
        (
            ["--at", "2027-01-01T09:00+02:00", "--utc"],
            {"type": "once", "execute_at": "2027-01-01T07:00:00Z", "timezone": "UTC"},
        ),
        (
            ["--at", "2027-01-01T09:00", "--tz", "Asia/Tokyo"],
            {"type": "once", "execute_at": "2027-01-01T00:00:00Z", "timezone": "Asia/Tokyo"},
        ),
        (
            ["--at", "2027-01-01T09:00", "--timezone", "Asia/Tokyo", "--utc"],
            {"type": "once", "execute_at": "2027-01-01T00:00:00Z", "timezone": "Asia/Tokyo"},
        ),
    ],
)
def test_the_ways_to_say_when(luad: Any, made: Any, args: list[str], schedule: Any) -> None:
    assert luad("create", "x", "--handler", "a:b", *args).code == 0
    assert made.asked[0].body["schedule"] == schedule
    assert made.asked[0].body["name"] == "x"


def test_a_local_time_is_read_in_the_zone_of_the_machine_and_shown_in_it(
    luad: Any, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert luad("create", "--handler", "a:b", "--at", "2027-01-01T09:00").code == 0
    finally:
        monkeypatch.undo()
        time.tzset()
    schedule = made.asked[0].body["schedule"]
    assert schedule["execute_at"] == "2027-01-01T14:00:00Z"
    assert schedule["timezone"] == "America/New_York"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "the handler is missing"),
        (["--handler", "a:b"], "no option says when"),
        (["--handler", "a:b", "--in", "1h", "--every", "1h"], "--in and --every exclude"),
        (["--handler", "a:b", "--every", "1h", "--timezone", "UTC"], "--every has no time zone"),
        (["--handler", "a:b", "--at", "09:00", "--timezone", "Europe/Londn"], "Europe/Londn"),
        (["--handler", "a:b", "--in", "1h", "-m", "x"], "`x` has no `=`"),
        (["--handler", "a:b", "--in", "1h", "--metadata-file", "none.json"], "cannot read none"),
        (
            ["--handler", "a:b", "--in", "1h", "--idempotency-key", 'a"b'],
            "is not an idempotency key",
        ),
        (["--from", "jobs.yaml", "--user", "ann"], "--from excludes the other options"),
        (["--from", "none.yaml"], "cannot read none.yaml"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anybody_is_asked(
    luad: Any, made: Any, args: list[str], said: str
) -> None:
    result = luad("create", *args)
    assert result.code == 2
    assert result.err.startswith("error[usage]: ")
    assert said in result.err
    assert made.asked == []


def test_metadata_come_from_a_file_with_single_ones_over_it(
    luad: Any, made: Any, tmp_path: Path
) -> None:
    (tmp_path / "m.json").write_text('{"a": 1, "b": 2}')
    args = ("create", "--handler", "a:b", "--in", "1h", "--metadata-file", "m.json")
    assert luad(*args, "-m", "b=3").code == 0
    assert made.asked[0].body["metadata"] == {"a": 1, "b": 3}
    (tmp_path / "m.json").write_text("[1]")
    assert "m.json is not a JSON object" in luad(*args).err


def test_every_mistake_of_a_job_is_told_once_with_its_place(luad: Any, peer: Any) -> None:
    one = {"pointer": "#/schedule/expression", "code": "LU201", "detail": "hour 25 is too many",
           "hint": "write 1"}  # fmt: skip
    two = {"pointer": "#/user", "code": "LU404", "detail": "no user", "hint": "did you mean `ann`?"}
    refusal = {
        "code": "validation",
        "detail": "it cannot be: hour 25 is too many",
        "hint": "write 1",
    }
    create = ("create", "--handler", "a:b", "--cron", "0 25 * * *")
    peer.answers["POST /jobs"] = (422, {**refusal, "errors": [one]})
    assert luad(*create).err.splitlines() == [
        "error[validation]: it cannot be: hour 25 is too many",
        "  at schedule.expression",
        "  hint: write 1",
    ]
    peer.answers["POST /jobs"] = (422, {"code": "validation", "detail": "2", "errors": [one, two]})
    assert luad(*create).err.splitlines() == [
        "error[validation]: 2",
        "  schedule.expression: hour 25 is too many",
        "    hint: write 1",
        "  user: no user",
        "    hint: did you mean `ann`?",
    ]


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (409, "name_taken", 8), (409, "file_owned", 8), (403, "handler_not_allowed", 10),
        (409, "too_many_jobs", 8), (422, "idempotency_key_reused", 8), (503, "draining", 11),
        (401, "unauthenticated", 9), (422, "validation", 2),
    ],
)  # fmt: skip
def test_refusals_have_exit_codes(
    luad: Any, peer: Any, status: int, code: str, exit_code: int
) -> None:
    peer.answers["POST /jobs"] = (status, {"code": code, "detail": "no", "hint": "try"})
    result = luad("create", "--handler", "a:b", "--in", "1h")
    assert result.code == exit_code
    assert result.err == f"error[{code}]: no\n  hint: try\n"


# --- create --from ---


def _batch(request: Any) -> Any:
    """Answer as the daemon does; a job named `taken` is."""
    results = []
    for job in request.body["jobs"]:
        name = job.get("name") if isinstance(job, dict) else None
        if name == "taken":
            error = {"code": "name_taken", "detail": "there is a `taken`", "hint": "another name"}
            results.append({"job": name, "ok": False, "status": 409, "error": error})
        elif name is None:
            error = {"code": "validation", "detail": "this is not an object"}
            results.append({"job": None, "ok": False, "status": 422, "error": error})
        else:
            status = 200 if job["if_exists"] == "keep" else 201
            results.append({"job": name, "ok": True, "status": status, "id": f"job_{name}"})
    return 200, {"results": results, "count": len(results)}


@pytest.mark.parametrize(
    "text",
    [
        "name: a\nhandler: x:y\n---\nname: b\nhandler: x:y\n",
        "- {name: a, handler: x:y}\n- {name: b, handler: x:y}\n",
        '[{"name": "a", "handler": "x:y"}, {"name": "b", "handler": "x:y"}]',
        "[{name: a, handler: 'x:y'}, {name: b, handler: 'x:y'}]",
    ],
)
def test_many_jobs_come_from_yaml_or_json(luad: Any, peer: Any, tmp_path: Path, text: str) -> None:
    peer.answers["POST /jobs:batch"] = _batch
    (tmp_path / "jobs").write_text(text)
    result = luad("create", "--from", "jobs")
    assert (result.code, result.err) == (0, "Created 2 jobs: a, b\n")
    assert peer.asked[0].body == {
        "action": "create",
        "jobs": [{"if_exists": "error", "name": name, "handler": "x:y"} for name in "ab"],
    }
    assert "; 2 existed already" in luad("create", "--from", "jobs", "--if-exists", "keep").err


def test_each_refused_job_is_told_and_decides_the_exit_code(
    luad: Any, peer: Any, tmp_path: Path
) -> None:
    peer.answers["POST /jobs:batch"] = _batch
    (tmp_path / "jobs").write_text("[{name: taken}, {name: b}]")
    result = luad("create", "--from", "jobs")
    assert result.code == 8
    assert result.err.splitlines() == [
        "taken: error[name_taken]: there is a `taken`",
        "  hint: another name",
        "Created 1 job: b; 1 refused",
    ]
    (tmp_path / "jobs").write_text("[{name: taken}, 7]")
    result = luad("create", "--from", "jobs")
    assert result.code == 1
    assert "job 2: error[validation]: this is not an object" in result.err
    assert luad("create", "--from", "jobs", "--json").json["count"] == 2


def test_thousands_are_made_in_portions(luad: Any, peer: Any, tmp_path: Path) -> None:
    peer.answers["POST /jobs:batch"] = _batch
    (tmp_path / "jobs").write_text(json.dumps([{"name": f"j{n}"} for n in range(2500)]))
    assert luad("create", "--from", "jobs").err == "Created 2500 jobs\n"
    assert [len(each.body["jobs"]) for each in peer.asked] == [1000, 1000, 500]


def test_broken_yaml_is_shown_with_its_place(luad: Any, peer: Any, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("name: a\nname: b\n")
    result = luad("create", "--from", "jobs.yaml")
    assert result.code == 2
    assert "--> jobs.yaml:2:1" in result.err
    (tmp_path / "jobs.yaml").write_text("# nobody\n")
    assert "jobs.yaml contains no jobs" in luad("create", "--from", "jobs.yaml").err
    assert peer.asked == []


def test_jobs_come_from_a_pipe(peer: Any) -> None:
    peer.answers["POST /jobs:batch"] = _batch
    done = subprocess.run(
        [sys.executable, "-m", "luad", "create", "--from", "-"],
        input="name: a\n", capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert done.stderr.endswith("\nCreated 1 job: a\n")


# --- remind ---


def test_what_was_kept_is_not_said_to_be_created(luad: Any, peer: Any) -> None:
    peer.answers["POST /jobs"] = (200, JOB)
    create = ("create", "follow-up-4h2m", "--handler", "a:b", "--in", "1h", "--if-exists")
    assert luad(*create, "keep").out.startswith(f"Kept follow-up-4h2m ({JOB['id']}): runs once on ")
    peer.answers["POST /jobs"] = (201, JOB)
    assert luad(*create, "keep").out.startswith(f"Created follow-up-4h2m ({JOB['id']}): ")


@pytest.mark.parametrize("option", ["--in", "--at"])
@pytest.mark.parametrize("words", ["tomorrow 09:00", "fri 17:00", "9:00", "2027-01-01 9am"])
def test_the_daemon_reads_a_phrase_in_the_zone_of_the_request_else_of_the_user(
    luad: Any, made: Any, option: str, words: str
) -> None:
    at = "2027-01-01T09:00:00+02:00"
    made.answers["POST /explain"] = {"next": [{"at": at}], "problems": []}
    assert luad("create", "--handler", "a:b", option, words, "--user", "ann").code == 0
    assert made.asked[0].body == {"phrase": words, "user": "ann"}
    assert made.asked[1].body["schedule"] == {"type": "once", "execute_at": at}
    more = ("--timezone", "Asia/Tokyo")
    assert luad("create", "--handler", "a:b", option, words, *more).code == 0
    assert made.asked[2].body == {"phrase": words, "timezone": "Asia/Tokyo"}
    assert made.asked[3].body["schedule"]["timezone"] == "Asia/Tokyo"


def test_a_phrase_that_the_daemon_refuses_is_told_with_the_nearest_one(
    luad: Any, made: Any
) -> None:
    problem = {"pointer": "#/phrase", "detail": "`soon` is not a phrase", "hint": "write one"}
    made.answers["POST /explain"] = {"next": [], "problems": [problem]}
    for option in ("--in", "--at"):
        result = luad("create", "--handler", "a:b", option, "soon")
        assert result.code == 2
        assert "`soon` is not a phrase" in result.err
        assert "hint: write one" in result.err


@pytest.mark.parametrize("words", ["in 10 minutes", "10 minutes", "an hour and 30 minutes"])
def test_a_delay_in_words_needs_no_answer(luad: Any, made: Any, words: str) -> None:
    assert luad("create", "--handler", "a:b", "--in", words).code == 0
    assert made.asked[0].body["in"] == (5_400 if "hour" in words else 600)


def test_a_clock_time_and_a_date_are_meant_in_the_zone_of_the_user(luad: Any, made: Any) -> None:
    made.answers["GET /users/ann"] = {"id": "ann", "timezone": "Asia/Tokyo"}
    assert luad("remind", "ann", "x", "--at", "2099-01-01T09:00").code == 0
    schedule = made.asked[-1].body["schedule"]
    assert schedule["execute_at"] == "2099-01-01T00:00:00Z"
    assert schedule["timezone"] == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("args", "schedule"),
    [
        (["--every", "1h 30m"], {"type": "interval", "every": "5400s"}),
        (["--cron", "0 9 * * *"], {"type": "cron", "expression": "0 9 * * *"}),
    ],
)
def test_a_reminder_comes_again_and_again(
    luad: Any, made: Any, args: list[str], schedule: dict[str, str]
) -> None:
    assert luad("remind", "ann", "stand-up", *args).code == 0
    assert made.asked[-1].body["schedule"] == schedule
    assert made.asked[-1].body["user"] == "ann"


def test_a_reminder_of_nothing_is_refused(luad: Any, made: Any) -> None:
    result = luad("remind", "ann", " ", "--in", "10m")
    assert (result.code, made.asked) == (2, [])
    assert "the text is empty" in result.err


def test_a_reminder_of_yesterday_is_refused(luad: Any, made: Any) -> None:
    result = luad("remind", "ann", "stand-up", "--at", "2001-01-01T09:00:00Z")
    assert (result.code, made.asked) == (2, [])
    assert "2001-01-01T09:00:00Z is past" in result.err


def test_remind_makes_a_job_of_the_built_in_handler(luad: Any, made: Any) -> None:
    result = luad("remind", "ann", "stand-up", "--in", "10m", "--title", "Now")
    assert result.out.startswith(f"Created follow-up-4h2m ({JOB['id']}): runs once on ")
    body = made.asked[0].body
    assert body["handler"] == "luad.handlers.message:send"
    assert (body["user"], body["in"]) == ("ann", "10m")
    assert body["metadata"] == {"text": "stand-up", "title": "Now"}
    assert body["retry"]["max_attempts"] > 1
    assert "--in, --at" in luad("remind", "ann", "x").err


# --- delete ---


def test_delete_asks_and_names_whole_jobs(luad: Any, peer: Any) -> None:
    peer.answers["GET /jobs/foll"] = JOB
    peer.answers["DELETE /jobs/job_01ABC"] = (
        200,
        {"deleted": True, "deactivated": False, "message": "follow-up-4h2m is deleted"},
    )
    refused = luad("delete", "foll")
    assert refused.code == 2
    assert "Delete follow-up-4h2m?" in refused.err
    assert [each.method for each in peer.asked] == ["GET"]
    assert luad("delete", "foll", "foll", "--yes").err == "follow-up-4h2m is deleted\n"
    (result,) = luad("delete", "foll", "--yes", "--json").json["results"]
    assert (result["job"], result["deleted"]) == ("follow-up-4h2m", True)


def test_a_job_of_a_file_is_not_deleted_and_neither_are_those_beside_it(
    luad: Any, peer: Any
) -> None:
    peer.answers["GET /jobs/a"] = JOB
    file = {"path": "jobs.d/b.yaml", "line": 3, "stale": False}
    peer.answers["GET /jobs/b"] = {**JOB, "id": "job_b", "name": "b", "file": file}
    result = luad("delete", "a", "b", "--yes")
    assert result.code == 8
    assert result.err.splitlines() == [
        "error[file_owned]: b comes from jobs.d/b.yaml:3",
        "  hint: delete the file, or luad pause b",
    ]
    assert luad("delete", "a", "none", "--yes").code == 3
    assert {each.method for each in peer.asked} == {"GET"}


def test_a_job_that_leaves_meanwhile_is_no_error(luad: Any, peer: Any) -> None:
    peer.answers["GET /jobs/a"] = JOB
    result = luad("delete", "a", "--yes")
    assert (result.code, result.err) == (0, "follow-up-4h2m was deleted already\n")


# --- metadata ---


def test_metadata_are_shown_merged_and_replaced(luad: Any, peer: Any) -> None:
    peer.answers["GET /jobs/a%2Fb"] = (200, {"id": "job_1"})  # the beginning of a name will do
    path = "/jobs/job_1/metadata"
    for method in ("GET", "PATCH", "PUT"):
        peer.answers[f"{method} {path}"] = (200, {"by": method})
    assert luad("metadata", "a/b").json == {"by": "GET"}
    assert luad("metadata", "a/b", "n=1", "t=x").json == {"by": "PATCH"}
    assert luad("metadata", "a/b", "n=1", "--replace").json == {"by": "PUT"}
    assert luad("metadata", "a/b", "--replace").json == {"by": "PUT"}
    sent = [each.body for each in peer.asked if each.path == path]
    assert sent == [None, {"n": 1, "t": "x"}, {"n": 1}, {}]


# --- what the others show ---


def test_list_asks_for_dynamic_jobs_and_for_those_of_a_user(luad: Any, peer: Any) -> None:
    ann = {"name": "a", "user_id": "ann", "schedule_text": "once", "status": "active"}
    peer.answers["GET /jobs"] = (200, {"jobs": [ann, {**ann, "name": "b", "user_id": None}]})
    assert [row["name"] for row in luad("list", "--user", "ann", "--json").json["jobs"]] == ["a"]
    assert peer.asked[-1].query == {"include_dynamic": "1", "user": "ann"}
    luad("list", "--all")
    assert peer.asked[-1].query["include_dynamic"] == "1"
    assert "metadata" not in peer.asked[-1].query["fields"].split(",")
    peer.answers["GET /jobs"] = (200, {"jobs": [ann], "hidden_dynamic": 7})
    assert "7 dynamic jobs hidden (-a)." in luad("list").err


def test_history_filters_by_user_text_and_delivery_and_shows_what_was_sent(
    luad: Any, peer: Any
) -> None:
    run = {"id": "run_01ABC", "job": "remind", "status": "succeeded", "trigger": "schedule",
           "sent": {"delivered": 1, "total": 2}}  # fmt: skip
    peer.answers["GET /runs"] = (200, {"runs": [run, {**run, "sent": None}]})
    result = luad("history", "--user", "ann", "--q", "time", "--delivery", "failed")
    query = peer.asked[0].query
    assert (query["user"], query["q"], query["delivery"]) == ("ann", "time", "failed")
    assert result.lines[0].split() == ["RUN", "JOB", "STATUS", "STARTED", "TOOK", "TRIGGER", "SENT",
                                       "ERROR"]  # fmt: skip
    assert result.lines[1].endswith("1/2")
    assert not result.lines[2].endswith("1/2")
    peer.answers["GET /runs"] = (200, {"runs": []})
    assert luad("history", "--user", "zoe").err == "no such runs\n"
    assert luad("history").err == "no runs yet\n"


def test_show_tells_where_a_dynamic_job_comes_from_and_whom_it_is_for(luad: Any, peer: Any) -> None:
    creation = {"at": "2026-11-22T09:00:00Z", "author": "ann", "run_id": "run_01XYZ"}
    peer.answers["GET /jobs/x"] = {
        **JOB, "creation": creation, "user_id": "ann", "alert": {"cause": "3 failures in a row"},
    }  # fmt: skip
    peer.answers["GET /jobs/job_01ABC/next"] = {"next": []}
    peer.answers["GET /runs"] = {"runs": []}
    peer.answers["GET /users/ann"] = {"channels": [{"name": "inbox"}, {"name": "tgram"}]}
    text = luad("show", "x", "--utc").out
    assert re.search(r"for\s+ann   by inbox, tgram\n", text)
    assert re.search(r"made\s+Sun 22 Nov .*09:00:00 UTC .* by ann in run_01XYZ\n", text)
    assert "sent because of: 3 failures in a row" in text
    del peer.answers["GET /users/ann"]
    assert re.search(r"for\s+ann   \(no such user\)\n", luad("show", "x").out)


def test_show_tells_what_a_run_sent_and_made(luad: Any, peer: Any) -> None:
    peer.answers["GET /runs/run_01ABC"] = {
        "id": "run_01ABC", "job": "x", "status": "failed", "user_id": "ann",
        "created_jobs": ["follow-up-1", "follow-up-2"],
        "deliveries": [
            {"user_id": "ann", "channel": "inbox", "status": "delivered", "error": ""},
            {"user_id": "ann", "channel": "tgram", "status": "failed", "error": "timed out"},
        ],
    }  # fmt: skip
    text = luad("show", "run_01ABC").out
    assert re.search(r"for\s+ann\n", text)
    assert re.search(r"made\s+follow-up-1 follow-up-2\n", text)
    assert re.search(r"sent\s+ann by inbox: delivered\n\s+ann by tgram: failed \(timed out\)", text)
