"""Jobs that are made at run time, over HTTP: the whole of their life."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from luad.sdk import Job

HANDLER = {"handler": "crm:follow_up"}


@pytest.fixture(autouse=True)
async def started(daemon: Any) -> None:
    """The files have been read: there are none."""
    await daemon.install()


async def create(api: Any, **body: Any) -> Any:
    return await api.post("/v1/jobs", {**HANDLER, **body})


# --- making --------------------------------------------------------------------------------------


async def test_a_job_is_made_and_found_where_the_answer_says(api: Any) -> None:
    made = await create(api, name="followup", **{"in": "48h"}, metadata={"ticket": "T-812"})
    assert made.status == 201, made.json
    job = made.json
    assert job["summary"] == "Runs once on Tue 24 Nov 2026 12:00 UTC, in 2 days."
    assert (job["source"], job["dynamic"], job["active"]) == ("api", True, True)
    assert job["schedule"]["execute_at"] == "2026-11-24T12:00:00Z"
    found = await api.get(made.headers["location"])
    assert found.json["id"] == job["id"]
    assert found.headers["etag"] == made.headers["etag"]
    same = await api.get(made.headers["location"], **{"if-none-match": made.headers["etag"]})
    assert same.status == 304


async def test_without_a_name_it_gets_one_from_its_handler(api: Any) -> None:
    names = {(await create(api, **{"in": "1h"})).json["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("follow-up-") for name in names)


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        (
            {"schedule": {"type": "cron", "expression": "0 25 * * *"}},
            "#/schedule/expression",
            "LU201",
        ),
        ({"in": "1h", "timout": 5}, "#/timout", "LU102"),
        ({"in": "1h", "pauseAfterFailures": 5}, "#/pauseAfterFailures", "LU105"),
        ({"in": "soon"}, "#/in", "value"),
        ({"in": "1h", "user": "zed"}, "#/user", "LU404"),
        ({"in": "1h", "queue": "gpu"}, "#/queue", "LU209"),
        ({"in": "1h", "activate": "yes"}, "#/activate", "value"),
        (
            {"schedule": {"type": "once", "execute_at": "2030-01-01T09:00:00"}},
            "#/schedule/execute_at",
            "LU208",
        ),
    ],
)
async def test_what_is_wrong_is_said_as_in_a_file(
    api: Any, body: dict[str, Any], pointer: str, code: str
) -> None:
    answer = await create(api, name="x", **body)
    assert answer.status == 422
    errors = answer.json["errors"]
    assert pointer in [each["pointer"] for each in errors], errors
    if code != "LU208":  # the code of a time without a zone is the file's business
        assert code in [each["code"] for each in errors], errors


async def test_names_are_taken_kept_and_replaced(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job("from-file"))
    first = await create(api, name="a", **{"in": "1h"})
    taken = await create(api, name="a", **{"in": "2h"})
    assert (taken.status, taken.json["code"]) == (409, "name_taken")
    kept = await create(api, name="a", if_exists="keep", **{"in": "2h"})
    assert (kept.status, kept.json["id"]) == (200, first.json["id"])
    replaced = await create(api, name="a", if_exists="replace", **{"in": "2h"})
    assert (replaced.status, replaced.json["id"]) == (201, first.json["id"])
    of_file = await create(api, name="from-file", **{"in": "2h"})
    assert (of_file.status, of_file.json["code"]) == (409, "file_owned")
    assert "jobs.d/from-file.yaml:1" in of_file.json["detail"]


async def test_the_settings_say_which_handlers(api: Any, daemon: Any, tmp_path: Any) -> None:
    daemon.dynamic = type(daemon.dynamic)(("reports.*",), tmp_path)
    answer = await create(api, **{"in": "1h"})
    assert (answer.status, answer.json["code"]) == (403, "handler_not_allowed")
    assert "reports.*" in answer.json["hint"]


async def test_a_handler_file_with_a_reserved_name_is_refused_with_the_new_name(
    api: Any, daemon: Any, tmp_path: Any
) -> None:
    (tmp_path / "email.py").write_text("def send(job): pass\n")
    daemon.dynamic = type(daemon.dynamic)(("handlers/*", "email:*"), tmp_path)
    answer = await api.post("/v1/jobs", {"handler": "email:send", "in": "1h"})
    assert (answer.status, answer.json["code"]) == (422, "validation")
    [error] = answer.json["errors"]
    assert (error["pointer"], error["code"]) == ("#/handler", "LU310")
    assert error["hint"] == f"rename it to {tmp_path}/email_jobs.py"


async def test_a_key_grants_once(api: Any) -> None:
    key = {"idempotency-key": '"T-812"'}
    first = await api.post("/v1/jobs", {**HANDLER, "in": "1h"}, **key)
    again = await api.post("/v1/jobs", {**HANDLER, "in": "1h"}, **key)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["idempotency-replayed"] == "true"
    other = await api.post("/v1/jobs", {**HANDLER, "in": "2h"}, **key)
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    assert len((await api.get("/v1/jobs?include_dynamic=1")).json["jobs"]) == 1


async def test_a_key_whose_job_has_run_and_left_is_answered_so_that_clients_can_read_it(
    api: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        """As if luad had been killed between the creation and its answer."""

    monkeypatch.setattr(daemon.store.access, "finish_answer", never)
    body = {**HANDLER, "name": "brief", "in": "1h"}
    made = await api.post("/v1/jobs", body, **{"idempotency-key": "k"})
    await api.ask("DELETE", "/v1/jobs/brief")
    again = await api.post("/v1/jobs", body, **{"idempotency-key": "k"})
    job = Job.from_view(again.json)
    assert (again.status, job.id) == (201, made.json["id"])
    assert (job.summary, job.active, job.next_run_at) == ("Has run already.", False, None)
    with pytest.raises(AttributeError, match="no longer exists"):
        _ = job.handler


async def test_a_key_counts_for_runs_too(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    key = {"idempotency-key": "once"}
    first = await api.post("/v1/jobs/tidy/trigger", {}, **key)
    again = await api.post("/v1/jobs/tidy/trigger", {}, **key)
    assert first.json["id"] == again.json["id"]


async def test_a_run_that_goes_on_is_believed_to_be_the_maker(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job())
    await api.post("/v1/jobs/tidy/trigger")
    run_id = await daemon.begin()
    made = await api.post("/v1/jobs", {**HANDLER, "in": "1h"}, **{"luad-run": run_id})
    assert made.json["creation"]["run_id"] == run_id
    lie = await api.post("/v1/jobs", {**HANDLER, "in": "1h"}, **{"luad-run": "run_nobody"})
    assert lie.json["creation"]["run_id"] is None
    assert (await api.get(f"/v1/runs/{run_id}")).json["created_jobs"] == [made.json["name"]]


# --- changing and removing -----------------------------------------------------------------------


async def test_a_patch_changes_what_it_names(api: Any) -> None:
    schedule = {"type": "interval", "every": "1h"}
    made = await create(api, name="a", schedule=schedule, timeout="5m", tags=["x"])
    patched = await api.ask(
        "PATCH",
        "/v1/jobs/a",
        {"schedule": {"type": "cron", "expression": "0 9 * * *"}, "tags": None},
        **{"if-match": made.headers["etag"]},
    )
    assert patched.status == 200, patched.json
    assert patched.json["schedule"]["expression"] == "0 9 * * *"
    assert (patched.json["tags"], patched.json["timeout_seconds"]) == ([], 300)
    stale = await api.ask(
        "PATCH", "/v1/jobs/a", {"tags": ["y"]}, **{"if-match": made.headers["etag"]}
    )
    assert (stale.status, stale.json["code"]) == (412, "precondition_failed")
    revisions = (await api.get("/v1/jobs/a/revisions")).json["revisions"]
    assert [each["is_current"] for each in revisions].count(True) == 1
    assert len(revisions) == 2


async def test_a_deleted_job_is_gone_and_its_history_is_not(api: Any, daemon: Any) -> None:
    await create(api, name="a", **{"in": "1h"})
    await api.post("/v1/jobs/a/trigger")
    run_id = await daemon.begin()
    gone = await api.ask("DELETE", "/v1/jobs/a")
    assert gone.json["deleted"] is True
    there = (await api.get("/v1/jobs/a")).json
    assert (there["status"], there["active"], there["next_run_at"]) == ("deleted", False, None)
    for method, path in (("POST", "trigger"), ("POST", "activate"), ("PATCH", "metadata")):
        refused = await api.ask(method, f"/v1/jobs/a/{path}", {})
        assert (refused.status, refused.json["code"]) == (404, "not_found")
        assert "is deleted since" in refused.json["detail"]
    assert (await api.get("/v1/jobs/a/next")).json["next"] == []
    await daemon.end()
    for name in ("a", there["id"], there["id"].lower()):
        runs = (await api.get(f"/v1/jobs/{name}/runs")).json["runs"]
        assert [each["id"] for each in runs] == [run_id]
        assert len((await api.get(f"/v1/jobs/{name}/revisions")).json["revisions"]) == 1
        assert (await api.get(f"/v1/jobs/{name}/metadata")).json == {}
    assert (await api.get(f"/v1/runs/{run_id}")).json["status"] == "succeeded"


async def test_what_a_file_declares_is_the_files(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    for method, body in (("PATCH", {"tags": ["x"]}), ("DELETE", None)):
        answer = await api.ask(method, "/v1/jobs/tidy", body)
        assert (answer.status, answer.json["code"]) == (409, "file_owned")


# --- metadata ------------------------------------------------------------------------------------


async def test_metadata_are_merged_patched_and_replaced(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job(metadata={"a": 1, "b": {"c": 1}}))
    path = "/v1/jobs/tidy/metadata"
    merged = await api.ask("PATCH", path, {"a": None, "d": 2})
    assert merged.json == {"a": None, "b": {"c": 1}, "d": 2}
    tag = merged.headers["etag"]
    patch = {"Content-Type": "application/merge-patch+json", "if-match": tag}
    patched = await api.ask("PATCH", path, {"a": None, "b": {"e": 3}}, **patch)
    assert patched.json == {"b": {"c": 1, "e": 3}, "d": 2}
    stale = await api.ask("PUT", path, {}, **{"if-match": tag})
    assert stale.status == 412
    assert (await api.ask("PUT", path, {"only": 1})).json == {"only": 1}
    assert (await api.get(path)).json == {"only": 1}
    large = await api.ask("PATCH", path, {"x": "y" * 70_000})
    assert large.status == 422


# --- many at once --------------------------------------------------------------------------------


async def test_a_batch_answers_for_every_item(api: Any) -> None:
    items = [{**HANDLER, "name": f"j{n}", "in": "1h"} for n in range(300)]
    items[7] = {**HANDLER, "name": "bad", "in": "never"}
    items[8] = {**HANDLER, "name": "j6", "in": "1h"}
    answer = (await api.post("/v1/jobs:batch", {"action": "create", "jobs": items})).json
    assert answer["count"] == 300
    bad = [(n, each["status"]) for n, each in enumerate(answer["results"]) if not each["ok"]]
    assert bad == [(7, 422), (8, 409)]
    paused = await api.post(
        "/v1/jobs:batch", {"action": "pause", "filter": {"source": "api"}, "reason": "night"}
    )
    assert paused.json["count"] == 298
    deleted = await api.post("/v1/jobs:batch", {"action": "delete", "jobs": ["j1", "nobody"]})
    assert [each["status"] for each in deleted.json["results"]] == [200, 404]


async def test_lists_hide_dynamic_jobs_and_page_through_them(api: Any) -> None:
    for number in range(7):
        await create(api, name=f"j{number}", user=None, **{"in": f"{9 - number}h"})
    hidden = (await api.get("/v1/jobs")).json
    assert (hidden["jobs"], hidden["hidden_dynamic"]) == ([], 7)
    seen: list[str] = []
    query = "include_dynamic=1&limit=3&sort=next&count=1"
    cursor = ""
    while True:
        page = (await api.get(f"/v1/jobs?{query}{cursor}")).json
        seen += [each["name"] for each in page["jobs"]]
        assert page["total"] == 7
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [f"j{number}" for number in reversed(range(7))]
    assert (await api.get("/v1/jobs?cursor=nonsense")).status == 422


async def test_a_schedule_is_explained_before_anybody_uses_it(api: Any) -> None:
    good = await api.post(
        "/v1/explain", {"expression": "0 9 * * MON", "timezone": "Europe/London", "n": 2}
    )
    assert [each["at"] for each in good.json["next"]] == [
        "2026-11-23T09:00:00Z",
        "2026-11-30T09:00:00Z",
    ]
    bad = await api.post("/v1/explain", {"expression": "0 25 * * *"})
    assert bad.json["problems"][0]["code"] == "LU201"


# --- people and messages -------------------------------------------------------------------------


async def test_people_are_added_changed_and_removed(api: Any) -> None:
    made = await api.post("/v1/users", {"id": "bob", "emails": ["bob@example.com"]})
    assert (made.status, made.json["source"]) == (201, "api")
    assert (await api.post("/v1/users", {"id": "bob"})).status == 409
    changed = await api.ask("PATCH", "/v1/users/bob", {"full_name": "Bob"})
    assert changed.json["full_name"] == "Bob"
    found = (await api.get("/v1/users?email=BOB@example.com")).json["users"]
    assert [each["id"] for each in found] == ["bob"]
    for nobody in ("email=", "phone=", "email=BOB@example.com&phone=1"):
        assert (await api.get(f"/v1/users?{nobody}")).status == 422, nobody
    assert (await api.get("/v1/users?phone=none")).json["users"] == []
    wrong = await api.post("/v1/users", {"id": "x", "chanels": []})
    assert wrong.json["errors"][0]["hint"] == "did you mean `channels`?"
    assert (await api.ask("DELETE", "/v1/users/bob")).status == 200
    assert (await api.get("/v1/users/bob")).status == 404


async def test_a_message_has_an_outcome_on_every_channel(api: Any) -> None:
    channels = ["inbox", {"type": "webhook", "url": "https://example.com/${HOOK}"}]
    await api.post("/v1/users", {"id": "bob", "channels": channels})
    shown = (await api.get("/v1/users/bob")).json["channels"][1]["url"]
    assert shown == "https://****${HOOK}"
    sent = (await api.post("/v1/users/bob/send", {"messages": ["hello"]})).json
    assert sent["ok"]
    assert [(each["channel"], each["status"]) for each in sent["deliveries"]] == [
        ("inbox", "delivered"),
        ("webhook", "failed"),
    ]
    body = {"messages": ["hello"], "require": "all", "dedupe_key": "k"}
    strict = (await api.post("/v1/users/bob/send", body)).json
    assert not strict["ok"]
    again = (await api.post("/v1/users/bob/send", body)).json
    assert [each["status"] for each in again["deliveries"]] == ["repeated", "failed"]
    listed = (await api.get("/v1/users/bob/messages")).json["messages"]
    assert len(listed) == 3
    unknown = await api.post("/v1/users/bob/send", {"messages": ["x"], "channels": ["fax"]})
    assert unknown.status == 404
    wrong = await api.post("/v1/users/bob/send", {"messages": [{"type": "fax"}]})
    assert wrong.json["errors"][0]["pointer"] == "#/messages/0/type"


# --- what happens, as a stream -------------------------------------------------------------------


async def test_events_are_taken_up_where_they_were_left(daemon: Any) -> None:
    ring = daemon.ring
    for number in range(5):
        ring.publish("job.changed", {"n": number})

    async def next_of(last: str | None, count: int) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        async for each in ring.follow(last, 5):
            assert each is not None
            found.append((each.kind, each.data.get("n")))
            if len(found) == count:
                break
        return found

    assert await next_of("boot-2", 3) == [("job.changed", n) for n in (2, 3, 4)]
    assert await next_of("other-2", 1) == [("resync", None)]
    for number in range(1_200):
        ring.publish("job.changed", {"n": number})
    assert (await next_of("boot-3", 1)) == [("resync", None)]
    waiting = asyncio.create_task(next_of(None, 1))
    await asyncio.sleep(0)
    ring.publish("job.removed", {"n": 7})
    assert await waiting == [("job.removed", 7)]


# --- how often, and how many ---------------------------------------------------------------------

FAST: list[dict[str, Any]] = [
    {"type": "interval", "seconds": 5},
    {"type": "interval", "every": "9s"},
    {"type": "cron", "expression": "*/5 * * * * *"},
    {"type": "cron", "expression": "0,5 0 9 1 1 *"},
    {"type": "cron", "expression": "0,55 * * * * *"},
]


@pytest.fixture
def slow(daemon: Any) -> None:
    """No new job may run more often than every ten seconds."""
    daemon.dynamic = replace(daemon.dynamic, min_interval_ms=10_000)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("schedule", FAST)
async def test_a_job_that_would_run_too_often_is_refused(api: Any, schedule: Any) -> None:
    refused = await create(api, name="fast", schedule=schedule)
    assert refused.status == 422
    (error,) = refused.json["errors"]
    assert (error["pointer"], error["code"]) == ("#/schedule", "LU405")
    assert "at most every 10 s" in error["detail"]
    await create(api, name="slow", schedule={"type": "interval", "seconds": 10})
    changed = await api.ask("PATCH", "/v1/jobs/slow", {"schedule": schedule})
    assert changed.json["errors"][0]["code"] == "LU405"
    many = await api.post(
        "/v1/jobs:batch",
        {"action": "create", "jobs": [{**HANDLER, "name": "x", "schedule": schedule}]},
    )
    assert many.json["results"][0]["error"]["errors"][0]["code"] == "LU405"


async def test_a_stored_job_that_is_faster_goes_on_and_may_be_asked_for_again(
    api: Any, daemon: Any
) -> None:
    schedule = {"type": "interval", "seconds": 5}
    await create(api, name="fast", schedule=schedule)
    daemon.dynamic = replace(daemon.dynamic, min_interval_ms=10_000)
    assert (await create(api, name="fast", schedule=schedule, if_exists="keep")).status == 200
    assert (await api.ask("PATCH", "/v1/jobs/fast", {"description": "as before"})).status == 200
    assert (await api.ask("PATCH", "/v1/jobs/fast", {"schedule": {"seconds": 4}})).status == 422


async def test_a_token_may_make_so_many_jobs_a_minute(far: Any, daemon: Any) -> None:
    daemon.dynamic = replace(daemon.dynamic, creates_per_minute=3)
    for name in ("one", "other"):
        await far.make_token(name, "admin")
    items = [{**HANDLER, "name": f"many-{number}", "in": "1h"} for number in range(2)]

    async def make(name: str, token: str) -> Any:
        body = {**HANDLER, "name": name, "in": "1h"}
        return await far.ask("POST", "/v1/jobs", token, body)

    assert (await make("a", "one"))[0] == 201
    batch = {"action": "create", "jobs": items}
    assert (await far.ask("POST", "/v1/jobs:batch", "one", batch))[0] == 200
    status, refused = await make("b", "one")
    assert (status, refused["code"]) == (429, "rate_limited")
    assert "dynamic.creates_per_minute" in refused["hint"]
    assert (await make("b", "other"))[0] == 201
    for number in range(5):
        near = {**HANDLER, "name": f"near-{number}", "in": "1h"}
        assert (await far.api.post("/v1/jobs", near)).status == 201
    daemon.clock.wall += 60_000
    assert (await make("c", "one"))[0] == 201
