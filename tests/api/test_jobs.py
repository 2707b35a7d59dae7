"""Routes of jobs, over the socket."""

from __future__ import annotations

import getpass
import json
from typing import Any

import pytest

from luad.api.auth.roles import Admission
from luad.api.context import Context
from luad.api.json.views import job_view
from luad.core.events import Reply
from luad.core.installed import JobStatus
from luad.core.model import EndKind, Overlap
from luad.live.restore import RestoreTask

JOB_KEYS = {
    "id",
    "name",
    "description",
    "handler",
    "source",
    "dynamic",
    "status",
    "health",
    "enabled",
    "schedule",
    "schedule_text",
    "timezone",
    "tags",
    "overlap",
    "catch_up",
    "timeout_seconds",
    "retry",
    "metadata",
    "last_run",
    "recent_runs",
    "running",
    "queued",
    "consecutive_failures",
    "next_run_at",
    "pause",
    "file",
    "revision",
}


async def test_a_list_shows_every_job_in_order_with_the_keys_of_the_contract(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job("tidy"), kit.make_job("backup", schedule=kit.every(90)))
    answer = await api.get("/v1/jobs")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json
    assert [job["name"] for job in body["jobs"]] == ["backup", "tidy"]
    assert (body["hidden_dynamic"], body["next_cursor"]) == (0, None)
    assert set(body["jobs"][0]) >= JOB_KEYS
    tidy = body["jobs"][1]
    assert tidy["schedule"] == {"type": "cron", "expression": "*/15 * * * *", "timezone": "UTC"}
    assert tidy["schedule_text"].startswith("every 15 min")
    assert tidy["next_run_at"] == "2026-11-22T12:15:00Z"
    assert (tidy["status"], tidy["health"], tidy["last_run"]) == ("active", "never_run", None)
    assert tidy["file"] == {
        "path": "jobs.d/tidy.yaml",
        "line": 1,
        "revision": "9f2c1ab",
        "stale": False,
    }
    assert body["jobs"][0]["schedule"] == {"type": "interval", "seconds": 90}


async def test_the_quick_text_of_a_job_is_its_view_whatever_has_changed(
    api: Any, daemon: Any, kit: Any
) -> None:
    context = Context(daemon, RestoreTask(daemon), Admission(daemon))
    seen = []

    def check() -> None:
        state = daemon.job("tidy")
        strip = json.loads(f"[{daemon.recent_runs.strip(state.job_id)}]")
        wanted = job_view(state, daemon.recent_runs.last(state.job_id), strip)
        assert json.loads(context.job_text(state)) == wanted
        assert json.loads(context.job_text(state)) == wanted  # from the kept text
        seen.append(wanted)

    await daemon.install(kit.make_job(description="räumt „auf“", metadata={"a": [1, None]}))
    check()
    await daemon.pass_time(15 * 60_000)
    check()
    await daemon.begin()
    check()
    await daemon.end(EndKind.RAISED)
    check()
    await api.post("/v1/jobs/tidy/deactivate", {"reason": "broken"})
    check()
    edited = kit.make_job(description="new", revision="77aa001")
    await daemon.install(edited)
    check()
    await daemon.install(edited, stale=True)
    check()
    assert [each["queued"] + each["running"] for each in seen] == [0, 1, 1, 0, 0, 0, 0]
    assert [each["health"] for each in seen] == ["never_run"] + 2 * ["ok"] + 4 * ["failing"]
    assert [each["status"] for each in seen] == 4 * ["active"] + 3 * ["paused"]
    assert [each["description"] for each in seen] == 5 * ["räumt „auf“"] + 2 * ["new"]
    assert [each["file"]["stale"] for each in seen] == 6 * [False] + [True]


async def test_the_first_look_finds_the_texts_written(daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job(), kit.make_job("other"))
    prepared: list[Any] = []
    restore = RestoreTask(daemon)
    restore.prepare = prepared.append
    restore.start()
    await restore.wait()
    assert prepared == daemon.jobs()


@pytest.mark.slow
async def test_jobs_that_come_and_go_leave_no_texts_behind(
    daemon: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody lists them: each is shown once, to whoever makes it."""
    monkeypatch.setattr("luad.api.context.MOST_TEXTS", 100)
    context = Context(daemon, RestoreTask(daemon), Admission(daemon))
    for number in range(500):
        daemon.wanted.clear()
        await daemon.install(kit.make_job(f"job-{number}"))
        context.job_text(daemon.job(f"job-{number}"))
    assert len(context._job_texts) <= 100


async def test_a_list_longer_than_a_portion_comes_whole(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(*(kit.make_job(f"job-{number:03}") for number in range(450)))
    body = (await api.get("/v1/jobs")).json
    assert [job["name"] for job in body["jobs"]] == [f"job-{number:03}" for number in range(450)]


async def test_pages_follow_each_other_without_gap(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(*(kit.make_job(f"job-{number}") for number in range(5)))
    seen, path = [], "/v1/jobs?limit=2"
    while path:
        answer = await api.get(path)
        seen += [job["name"] for job in answer.json["jobs"]]
        cursor = answer.json["next_cursor"]
        link = answer.headers.get("link", "")
        path = link[1 : link.index(">")] if cursor else ""
        assert (cursor is None) == (link == "")
    assert seen == [f"job-{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("status=paused", ["b"]),
        ("status=active,paused", ["a", "b", "c"]),
        ("tag=nightly", ["a"]),
        ("tag=nightly,other", ["a", "c"]),
        ("q=WASH", ["c"]),
        ("source=api", []),
        ("health=never_run", ["a", "b", "c"]),
        ("health=failing", []),
    ],
)
async def test_filters(api: Any, daemon: Any, kit: Any, query: str, names: list[str]) -> None:
    await daemon.install(
        kit.make_job("a", tags=("nightly",)),
        kit.make_job("b", enabled=False),
        kit.make_job("c", tags=("other",), description="washes up"),
    )
    body = (await api.get(f"/v1/jobs?{query}")).json
    assert [job["name"] for job in body["jobs"]] == names


@pytest.mark.parametrize(
    ("query", "parameter", "hint"),
    [
        ("statsu=paused", "statsu", "did you mean `status`?"),
        ("wrong=1", "wrong", "known are count, cursor, fields, health"),
        ("status=pausde", "status", "did you mean `paused`?"),
        ("limit=0", "limit", ""),
        ("limit=501", "limit", ""),
        ("limit=-1", "limit", ""),
        ("limit=1e3", "limit", ""),
        ("limit=%D9%A1", "limit", ""),  # an Arabic digit is one for str.isdigit
        ("limit=" + "9" * 400, "limit", ""),
        ("limit=1&limit=2", "limit", "several values"),
        ("include_dynamic=perhaps", "include_dynamic", ""),
    ],
)
async def test_a_parameter_that_cannot_be_meant_so_is_named(
    api: Any, query: str, parameter: str, hint: str
) -> None:
    answer = await api.get(f"/v1/jobs?{query}")
    problem = answer.json
    assert answer.status == problem["status"] == 422
    assert problem["code"] == "validation"
    assert problem["errors"][0]["parameter"] == parameter
    assert hint in problem.get("hint", "")


async def test_a_job_is_found_by_name_id_and_unique_beginning(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job("tidy"), kit.make_job("tidy-up"), kit.make_job("backup"))
    job_id = daemon.job("backup").job_id
    for name in ("backup", "back", job_id, job_id[:-3], job_id.lower()[:-1]):
        ids_differ = name == job_id[:-3] or name == job_id.lower()[:-1]
        answer = await api.get(f"/v1/jobs/{name}")
        if answer.status == 409:
            assert ids_differ  # made in the same millisecond, ids differ only in their hash
            continue
        assert answer.json["name"] == "backup", name
    assert (await api.get("/v1/jobs/tidy")).json["name"] == "tidy"  # a whole name wins
    body = (await api.get("/v1/jobs/tid")).json
    assert (body["status"], body["code"]) == (409, "ambiguous")
    assert body["suggestions"] == ["tidy", "tidy-up"]
    body = (await api.get("/v1/jobs/backup")).json
    assert body["definition"] == {"name": "backup"}


async def test_an_unknown_job_is_told_with_what_may_have_been_meant(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job("daily-cleanup"))
    answer = await api.get("/v1/jobs/daily-cleanp")
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["request_id"].startswith("req_")
    assert problem | {"request_id": ""} == {
        "type": "/problems/not-found",
        "title": "Not found",
        "status": 404,
        "code": "not_found",
        "detail": "no job named `daily-cleanp`",
        "hint": "did you mean `daily-cleanup`?  (`luad list` shows all 1)",
        "suggestions": ["daily-cleanup"],
        "instance": "/v1/jobs/daily-cleanp",
        "request_id": "",
    }


async def test_the_hint_names_the_command_that_shows_all_jobs(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job("daily-cleanup"))
    await api.post("/v1/jobs", {"handler": "app:work", "in": "1h", "name": "later"})
    problem = (await api.get("/v1/jobs/xyz")).json
    assert problem["hint"] == "`luad list --all` shows all 2"


async def test_pause_and_resume(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    body = (await api.post("/v1/jobs/tidy/deactivate", {"reason": "Q4", "until": "2h"})).json
    assert body["status"] == "paused"
    assert body["pause"] == {
        "reason": "Q4",
        "author": getpass.getuser(),  # the kernel says who is at the other end
        "until": "2026-11-22T14:00:00Z",
        "at": "2026-11-22T12:00:00Z",
    }
    assert daemon.job("tidy").status is JobStatus.PAUSED
    changed = daemon.said[-1]
    assert (changed.event, changed.fields["status"]) == ("api.changed", 200)
    assert changed.fields["uid"] >= 0
    body = (await api.post("/v1/jobs/tidy/activate", {"catch_up": "none"})).json
    assert (body["status"], body["pause"]) == ("active", None)


async def test_a_pause_may_name_its_author_and_its_end(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    asked = {"author": "ann", "until": "2026-11-22T13:00:00+01:00"}
    problem = (await api.post("/v1/jobs/tidy/deactivate", asked)).json
    assert problem["errors"][0]["pointer"] == "#/until"  # that is now, not later
    asked["until"] = "2026-11-22T14:00:00+01:00"
    pause = (await api.post("/v1/jobs/tidy/deactivate", asked)).json["pause"]
    assert (pause["author"], pause["until"]) == ("ann", "2026-11-22T13:00:00Z")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"until": "2026-11-23T09:00:00"}, 422, "no offset"),
        ({"until": "tomorrow"}, 422, "until"),
        ({"until": "-2h"}, 422, "until"),
        ({"until": True}, 422, "until"),
        ({"reason": 5}, 422, "reason"),
        ({"reason": "x" * 501}, 422, "reason"),
        ({"raeson": "x"}, 422, "did you mean `reason`?"),
        ([], 422, "not an object"),
        (b"{", 400, "not JSON"),
        (b'{"reason": NaN}', 400, "not JSON"),
        (b'{"reason": "\xff"}', 400, "UTF-8"),
        (b"[" * 40_000, 400, "nested too deeply"),
        (b"[" * 100_000, 413, "values"),
    ],
)
async def test_a_body_that_cannot_be_meant_so(
    api: Any, daemon: Any, kit: Any, body: Any, status: int, words: str
) -> None:
    await daemon.install(kit.make_job())
    headers = {"Content_Type": "application/json"} if isinstance(body, bytes) else {}
    answer = await api.ask("POST", "/v1/jobs/tidy/deactivate", body, **headers)
    assert answer.status == status
    assert words in answer.json["detail"] + answer.json.get("hint", "")
    assert daemon.job("tidy").pause is None


async def test_a_body_must_say_that_it_is_json(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    path = "/v1/jobs/tidy/deactivate"
    assert (await api.ask("POST", path, b'{"a": 1}', Content_Type="text/plain")).status == 415
    assert (await api.ask("POST", path, b'{"a": 1}')).status == 415
    json_type = "application/json; charset=utf-8"
    assert (await api.ask("POST", path, b"{}", Content_Type=json_type)).status == 200
    assert (await api.ask("POST", path)).status == 200  # no body is an empty one


async def test_trigger_answers_with_the_run(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    answer = await api.post("/v1/jobs/tidy/trigger", {"metadata": {"a": 1}})
    run = answer.json
    assert answer.status == 202
    assert answer.headers["location"] == f"/v1/runs/{run['id']}"
    assert (run["job"], run["trigger"], run["metadata"]) == ("tidy", "api", {"a": 1})
    assert daemon.started[0].run.id == run["id"]
    answer = await api.post("/v1/jobs/tidy/trigger", {})
    assert (answer.status, answer.json["code"]) == (409, "already_running")
    current = (await api.get("/v1/jobs/tidy")).json["revision"]
    wrong = await api.post("/v1/jobs/tidy/trigger", {"force": True, "revision": "0123456789ab"})
    assert (wrong.status, wrong.json["code"]) == (412, "precondition_failed")
    assert current in wrong.json["detail"]
    answer = await api.post("/v1/jobs/tidy/trigger", {"force": True, "revision": current})
    assert (answer.status, answer.json["revision"]) == (202, current)
    answer = await api.post("/v1/jobs/tidy/trigger", {"force": True, "trigger": "manual"})
    assert (answer.status, answer.json["trigger"]) == (202, "manual")


async def test_metadata_for_one_run_is_an_object_of_bounded_size(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job(overlap=Overlap.ALLOW))
    path = "/v1/jobs/tidy/trigger"
    assert (await api.post(path, {"metadata": [1]})).status == 422
    assert (await api.post(path, {"metadata": {"a": "x" * 70_000}})).status == 422
    assert (await api.post(path, {"trigger": "schedule"})).status == 422
    assert daemon.started == []


async def test_an_engine_that_says_no_is_a_problem_document(
    api: Any, daemon: Any, kit: Any
) -> None:
    async def refuse(event: Any) -> Reply:
        return Reply(event.request_id, None, "draining", "luad is shutting down", "try later")

    await daemon.install(kit.make_job())
    daemon.answer_request = refuse
    answer = await api.post("/v1/jobs/tidy/trigger")
    assert answer.status == 503
    assert (answer.json["code"], answer.json["hint"]) == ("draining", "try later")


async def test_our_own_mistake_tells_the_log_and_not_the_client(
    api: Any, daemon: Any, kit: Any
) -> None:
    async def stumble(_: Any) -> Reply:
        raise ZeroDivisionError("secret detail")

    await daemon.install(kit.make_job())
    daemon.answer_request = stumble
    answer = await api.post("/v1/jobs/tidy/trigger")
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    failed = next(each for each in daemon.said if each.event == "api.failed")
    assert failed.level == "error"
    assert failed.fields["request_id"] == answer.json["request_id"]
    assert "secret detail" in failed.fields["traceback"]
