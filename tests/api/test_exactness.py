"""The API is exact about entity tags, whole names, keys that grant once, and values that can be kept."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from luad.api.auth.roles import ADMINS, OPERATORS, VIEWERS, Role
from luad.api.json.answer_schemas import JOB
from luad.api.json.job_summary import summarize
from luad.api.routes.table import API
from luad.core.requests import CreateRequested
from luad.errors import UnavailableError

HANDLER = {"handler": "crm:follow_up"}
SOON = {**HANDLER, "in": "1h"}


@pytest.fixture(autouse=True)
async def started(daemon: Any) -> None:
    """The files have been read: there are none."""
    await daemon.install()


# --- entity tags -----------------------------------------------------------------------------------


async def test_a_pause_is_a_change_to_who_looks_and_none_to_who_writes(api: Any) -> None:
    tag = (await api.post("/v1/jobs", {**SOON, "name": "a"})).headers["etag"]
    assert (await api.get("/v1/jobs/a", **{"if-none-match": tag})).status == 304
    await api.post("/v1/jobs/a/deactivate", {"reason": "night"})
    seen = await api.get("/v1/jobs/a", **{"if-none-match": tag})
    assert (seen.status, seen.json["status"]) == (200, "paused")
    changed = await api.ask("PATCH", "/v1/jobs/a", {"tags": ["x"]}, **{"if-match": tag})
    assert changed.status == 200


async def test_tags_come_in_lists_weak_or_as_a_star(api: Any) -> None:
    tag = (await api.post("/v1/jobs", {**SOON, "name": "a"})).headers["etag"]
    for text in (f'"other", W/{tag}', "*", f"W/{tag}"):
        assert (await api.get("/v1/jobs/a", **{"if-none-match": text})).status == 304
    assert (await api.get("/v1/jobs/a", **{"if-none-match": '"other"'})).status == 200
    several = {"if-match": f'"other", {tag}'}
    assert (await api.ask("PATCH", "/v1/jobs/a", {"tags": ["x"]}, **several)).status == 200
    assert (await api.ask("DELETE", "/v1/jobs/a", **several)).status == 412
    assert (await api.ask("DELETE", "/v1/jobs/a", **{"if-match": "*"})).status == 200


async def test_metadata_that_are_as_they_were_are_not_sent_again(api: Any) -> None:
    await api.post("/v1/jobs", {**SOON, "name": "a"})
    tag = (await api.get("/v1/jobs/a/metadata")).headers["etag"]
    assert (await api.get("/v1/jobs/a/metadata", **{"if-none-match": tag})).status == 304
    await api.ask("PATCH", "/v1/jobs/a/metadata", {"n": 1})
    assert (await api.get("/v1/jobs/a/metadata", **{"if-none-match": tag})).status == 200


# --- whole names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/v1/jobs/remind-1", None),
        ("PATCH", "/v1/jobs/remind-1", {"tags": ["x"]}),
        ("PATCH", "/v1/jobs/remind-1/metadata", {"x": 1}),
        ("PUT", "/v1/jobs/remind-1/metadata", {}),
        ("GET", "/v1/jobs/remind-1?exact=1", None),
    ],
)
async def test_a_job_that_has_left_is_not_taken_for_its_neighbour(
    api: Any, method: str, path: str, body: Any
) -> None:
    made = await api.post("/v1/jobs", {**SOON, "name": "remind-10"})
    answer = await api.ask(method, path, body)
    assert (answer.status, answer.json["suggestions"]) == (404, ["remind-10"])
    assert "whole name" in answer.json["hint"]
    assert (await api.get("/v1/jobs/remind-1")).json["id"] == made.json["id"]  # looking is free
    assert (await api.get("/v1/jobs/remind-10")).headers["etag"] == made.headers["etag"]


async def test_a_batch_takes_whole_names_and_nothing_but_names(api: Any) -> None:
    await api.post("/v1/jobs", {**SOON, "name": "remind-10"})
    body = {"action": "delete", "jobs": ["remind-1", 7, "remind-10"]}
    answer = (await api.post("/v1/jobs:batch", body)).json
    assert [each["status"] for each in answer["results"]] == [404, 422, 200]


async def test_a_filter_that_names_nothing_fits_nothing(api: Any) -> None:
    for chosen in ({}, {"tag": ""}, {"tag": None}, {"source": "files"}, {"status": "on"}, [1]):
        body = {"action": "delete", "filter": chosen}
        assert (await api.post("/v1/jobs:batch", body)).status == 422


async def test_a_batch_runs_jobs_and_says_which_runs(api: Any, daemon: Any) -> None:
    items = [{**SOON, "name": f"j{number}"} for number in range(3)]
    await api.post("/v1/jobs:batch", {"action": "create", "jobs": items})
    dry = {"action": "trigger", "filter": {"source": "api"}, "dry_run": True}
    assert (await api.post("/v1/jobs:batch", dry)).json["count"] == 3
    assert daemon.started == []
    ran = (await api.post("/v1/jobs:batch", {**dry, "dry_run": False})).json
    assert {each["run_id"] for each in ran["results"]} == {each.run.id for each in daemon.started}
    assert ran["remaining"] == 0


# --- keys ------------------------------------------------------------------------------------------


async def test_a_replay_says_where_the_job_is(api: Any) -> None:
    key = {"idempotency-key": "k"}
    first = await api.post("/v1/jobs", SOON, **key)
    again = await api.post("/v1/jobs", SOON, **key)
    assert again.headers["location"] == first.headers["location"]


async def test_of_two_requests_at_once_one_waits_its_turn(api: Any, daemon: Any) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(event: Any) -> Any:
        arrived.set()
        await go_on.wait()
        daemon.answer_request = None
        return await daemon.request(event)

    daemon.answer_request = slowly
    key = {"idempotency-key": "k"}
    first = asyncio.create_task(api.post("/v1/jobs", SOON, **key))
    await arrived.wait()
    second = await api.post("/v1/jobs", SOON, **key)
    assert (second.status, second.json["code"]) == (409, "idempotency_in_progress")
    assert second.headers["retry-after"] == "1"
    go_on.set()
    assert (await first).status == 201


async def test_what_was_taken_but_not_answered_is_not_taken_twice(api: Any, daemon: Any) -> None:
    taken: list[CreateRequested] = []

    async def too_slow(event: CreateRequested) -> Any:
        taken.append(event)
        raise UnavailableError("the store cannot be written")

    daemon.answer_request = too_slow
    key = {"idempotency-key": "k"}
    assert (await api.post("/v1/jobs", SOON, **key)).status == 503
    daemon.answer_request = None
    unsure = await api.post("/v1/jobs", SOON, **key)
    assert (unsure.status, unsure.json["code"]) == (409, "idempotency_in_progress")
    await daemon.turn(*taken)  # by now it is carried out
    known = await api.post("/v1/jobs", SOON, **key)
    assert (known.status, known.json["name"]) == (201, taken[0].jobs[0].wanted.job.name)
    assert known.headers["idempotency-replayed"] == "true"


async def test_what_was_never_carried_out_may_be_asked_for_again_later(
    api: Any, daemon: Any
) -> None:
    async def too_slow(_: Any) -> Any:
        raise UnavailableError("the store cannot be written")

    daemon.answer_request = too_slow
    key = {"idempotency-key": "k"}
    await api.post("/v1/jobs", SOON, **key)
    daemon.answer_request = None
    daemon.clock.wall += 11 * 60_000
    assert (await api.post("/v1/jobs", SOON, **key)).status == 201


async def test_a_key_is_one_line_of_some_length(api: Any) -> None:
    for key in ('""', "k" * 256, "a\tb"):
        answer = await api.post("/v1/jobs", SOON, **{"idempotency-key": key})
        assert answer.status == 422


async def test_a_refusal_does_not_use_up_a_key(api: Any) -> None:
    key = {"idempotency-key": "k"}
    await api.post("/v1/jobs", {**SOON, "name": "a"})
    assert (await api.post("/v1/jobs", {**SOON, "name": "a"}, **key)).status == 409
    await api.ask("DELETE", "/v1/jobs/a")
    assert (await api.post("/v1/jobs", {**SOON, "name": "a"}, **key)).status == 201


# --- what can be kept ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"x": "a\0b"},
        {"x": "\ud800"},
        {"x": 10**30},
        json.loads('{"a":' * 80 + "1" + "}" * 80),
    ],
    ids=["nul", "half a character", "too many bits", "too deep"],
)
async def test_data_that_no_file_could_hold_are_refused_with_their_place(
    api: Any, values: dict[str, Any]
) -> None:
    await api.post("/v1/jobs", {**SOON, "name": "a"})
    await api.post("/v1/users", {"id": "ann"})
    for method, path, body, pointer in (
        ("PATCH", "/v1/jobs/a/metadata", values, "#/"),
        ("PUT", "/v1/users/ann/data", values, "#/"),
        ("POST", "/v1/jobs/a/trigger", {"metadata": values}, "#/metadata/"),
    ):
        answer = await api.ask(method, path, body)
        assert answer.status == 422, path
        assert answer.json["errors"][0]["pointer"].startswith(pointer)


# --- changing --------------------------------------------------------------------------------------


async def test_a_reminder_is_put_off(api: Any) -> None:
    await api.post("/v1/jobs", {**SOON, "name": "a", "keep": True})
    later = await api.ask("PATCH", "/v1/jobs/a", {"in": "3h"})
    assert later.json["schedule"]["execute_at"] == "2026-11-22T15:00:00Z"
    assert later.json["definition"]["keep"] is True
    both = await api.ask("PATCH", "/v1/jobs/a", {"in": "3h", "schedule": {"type": "once"}})
    assert both.json["errors"][0]["pointer"] == "#/in"


async def test_a_merge_patch_may_be_called_one(api: Any) -> None:
    await api.post("/v1/jobs", {**SOON, "name": "a", "tags": ["x"]})
    kind = {"Content-Type": "application/merge-patch+json"}
    changed = await api.ask("PATCH", "/v1/jobs/a", {"tags": None, "description": "d"}, **kind)
    assert (changed.json["tags"], changed.json["description"]) == ([], "d")


@pytest.mark.parametrize("body", [{"name": "b"}, {"metadata": {}}, {"handler": None}, {"in": -1}])
async def test_what_a_patch_cannot_change_is_said(api: Any, body: dict[str, Any]) -> None:
    await api.post("/v1/jobs", {**SOON, "name": "a"})
    answer = await api.ask("PATCH", "/v1/jobs/a", body)
    assert answer.status == 422
    assert answer.json["errors"][0]["pointer"] == f"#/{next(iter(body))}"


# --- looking ---------------------------------------------------------------------------------------


async def test_a_list_shows_the_members_that_are_asked_for(api: Any) -> None:
    await api.post("/v1/jobs", {**SOON, "name": "a"})
    whole = (await api.get("/v1/jobs?include_dynamic=1")).json["jobs"][0]
    assert set(whole) == set(JOB)
    some = (await api.get("/v1/jobs?include_dynamic=1&fields=name,status")).json
    assert some["jobs"] == [{"name": "a", "status": "active"}]
    wrong = await api.get("/v1/jobs?fields=name,staus")
    assert wrong.status == 422
    assert wrong.json["hint"].startswith("did you mean `status`")


async def test_the_latest_run_comes_first_and_those_that_never_ran_last(
    api: Any, daemon: Any
) -> None:
    for name in ("a", "b", "c"):
        await api.post("/v1/jobs", {**SOON, "name": name, "keep": True})
    for name in ("c", "b"):
        await api.post(f"/v1/jobs/{name}/trigger")
        daemon.clock.wall += 1_000
        await daemon.begin()
    seen, cursor = [], ""
    for _ in range(3):
        query = f"include_dynamic=1&sort=last&limit=1&fields=name{cursor}"
        page = (await api.get(f"/v1/jobs?{query}")).json
        seen += [each["name"] for each in page["jobs"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ["b", "c", "a"]
    assert page["next_cursor"] is None
    first = (await api.get("/v1/jobs?include_dynamic=1&limit=1")).json["next_cursor"]
    other = await api.get(f"/v1/jobs?include_dynamic=1&sort=next&cursor={first}")
    assert other.json["errors"][0]["parameter"] == "cursor"


async def test_rows_are_counted_and_left_out_where_asked(api: Any, daemon: Any) -> None:
    for number in range(5):
        await api.post("/v1/jobs", {**SOON, "name": f"j{number}", "keep": True})
        await api.post(f"/v1/jobs/j{number}/trigger")
        await daemon.begin()
        await daemon.end()
        daemon.clock.wall += 1_000
    every = (await api.get("/v1/runs?count=true")).json
    assert (every["total"], len(every["runs"])) == (5, 5)
    page = (await api.get("/v1/runs?offset=2&limit=2&job=j1&count=1")).json
    assert (page["runs"], page["total"]) == ([], 1)
    page = (await api.get("/v1/runs?offset=2&limit=2")).json
    assert page["runs"] == every["runs"][2:4]
    rest = (await api.get(f"/v1/runs?cursor={page['next_cursor']}")).json
    assert rest["runs"] == every["runs"][4:]
    jobs = (await api.get("/v1/jobs?include_dynamic=1&offset=3&fields=name")).json["jobs"]
    assert [each["name"] for each in jobs] == ["j3", "j4"]
    assert (await api.get("/v1/runs?offset=10001")).status == 422


# --- roles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "roles"),
    [
        ("POST", "/v1/jobs/a/trigger", OPERATORS),
        ("PUT", "/v1/jobs/trigger/metadata", OPERATORS),
        ("POST", "/v1/runs/@last/retry", OPERATORS),
        ("POST", "/v1/config/reload", OPERATORS),
        ("DELETE", "/v1/jobs/trigger", ADMINS),
        ("PATCH", "/v1/jobs/metadata", ADMINS),
        ("DELETE", "/v1/users/cancel", ADMINS),
        ("PATCH", "/v1/users/retry/data", ADMINS),
        ("POST", "/v1/jobs:batch", OPERATORS),
        ("GET", "/v1/jobs/trigger", VIEWERS),
    ],
)
def test_a_name_that_is_a_verb_opens_nothing(
    method: str, path: str, roles: frozenset[Role]
) -> None:
    assert API.roles_for(method, path) == roles


# --- in words --------------------------------------------------------------------------------------


async def test_a_summary_says_what_will_happen_and_nothing_else(api: Any, daemon: Any) -> None:
    async def summary(name: str) -> str:
        text: str = (await api.get(f"/v1/jobs/{name}")).json["summary"]
        return text

    async def make(name: str, **body: Any) -> str:
        made = await api.post("/v1/jobs", {**HANDLER, "name": name, **body})
        text: str = made.json["summary"]
        return text

    await api.post("/v1/users", {"id": "ann"})
    zone = "Europe/London"
    cron = {"type": "cron", "expression": "*/15 * * * *", "timezone": zone}
    said = "Runs every 15 minutes, next on Sun 22 Nov 2026 12:15 GMT, in 15 minutes, for ann."
    assert await make("a", user_id="ann", schedule=cron) == said
    daily = {"type": "cron", "expression": "0 9 * * *"}
    said = "Runs at 09:00 every day, next on Mon 23 Nov 2026 09:00 UTC, in 21 hours."
    assert await make("b", schedule=daily) == said
    hours = {"type": "interval", "every": "90m", "start_at": "2026-11-22T00:00:00Z"}
    assert (await make("c", schedule=hours)).startswith("Runs every 1 hour 30 minutes, next on ")
    assert await make("d", schedule=daily, enabled=False) == "Not enabled."
    assert await make("e", schedule=daily, activate=False) == "Paused: created inactive."
    await api.post("/v1/jobs/b/deactivate", {"reason": "Night.", "until": "8h"})
    assert await summary("b") == "Paused until Sun 22 Nov 2026 20:00 UTC: Night."
    past = {"type": "once", "execute_at": "2020-01-01T00:00:00Z"}
    refused = await api.post("/v1/jobs", {**HANDLER, "name": "f", "schedule": past})
    assert (refused.status, refused.json["errors"][0]["code"]) == (422, "LU502")
    await make("g", keep=True, **{"in": "1m"})
    await daemon.pass_time(60_000)
    assert await summary("g") == "Is running for the last time."
    await daemon.begin()
    await daemon.end()
    assert await summary("g") == "Is over, and will not run again."


async def test_a_list_says_the_same_without_how_long_it_is_until_then(
    api: Any, daemon: Any
) -> None:
    await api.post("/v1/jobs", {**SOON, "name": "a"})
    state = daemon.job("a")
    listed = (await api.get("/v1/jobs?include_dynamic=1")).json["jobs"][0]["summary"]
    assert listed == summarize(state) == "Runs once on Sun 22 Nov 2026 13:00 UTC."
    waits = {1_400: "in 1 second", 0: "now", 3_600_000: "in 1 hour", 5_500_000: "in 2 hours"}
    for wait, words in waits.items():
        assert summarize(state, state.next_fire_at - wait).endswith(f", {words}.")
