"""The audit trail names the job and the run that a request was about."""

from __future__ import annotations

import re
from typing import Any

import pytest

from luad.api.json.activity_words import summary
from luad.api.routes.table import TABLE


async def entries(api: Any, daemon: Any) -> list[dict[str, Any]]:
    await daemon.store.append_logs("run_none", [{"ts": 0, "message": ""}])  # what waits is written
    found: list[dict[str, Any]] = (await api.get("/v1/audit?limit=100")).json["entries"]
    return found


def named(entry: dict[str, Any]) -> dict[str, Any]:
    keys = ("job", "job_id", "jobs", "job_count", "run_id", "new_run_id", "user", "token")
    return {key: entry[key] for key in keys if key in entry}


@pytest.fixture
async def tidy(daemon: Any, kit: Any) -> str:
    await daemon.install(kit.make_job())
    return str(daemon.job("tidy").job_id)


@pytest.mark.parametrize("name", ["tidy", "tid", "ID"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "deactivate", {"reason": "x"}),
        ("POST", "activate", {}),
        ("PATCH", "metadata", {"n": 1}),
        ("PUT", "metadata", {"n": 2}),
        ("DELETE", "", None),
        ("PATCH", "", {"tags": ["x"]}),
        ("POST", "restore", {"revision": "0" * 8}),
    ],
)
async def test_every_change_of_a_job_names_the_job(
    api: Any, daemon: Any, tidy: str, name: str, method: str, path: str, body: Any
) -> None:
    name = tidy if name == "ID" else name
    answer = await api.ask(method, f"/v1/jobs/{name}/{path}".rstrip("/"), body)
    (entry,) = await entries(api, daemon)
    assert entry["status"] == answer.status
    if answer.status == 404:  # changes that need the whole name
        assert named(entry) == {"job": "tid"}
    else:
        assert named(entry) == {"job": "tidy", "job_id": tidy}


async def test_a_run_is_named_when_it_is_started_cancelled_and_tried_again(
    api: Any, daemon: Any, tidy: str
) -> None:
    run_id = (await api.post("/v1/jobs/tidy/trigger", {})).json["id"]
    await daemon.begin()
    assert (await api.post("/v1/runs/@last/cancel", {})).status == 202
    await daemon.end()
    new_id = (await api.post(f"/v1/runs/{run_id}/retry", {})).json["id"]
    retried, cancelled, started = map(named, await entries(api, daemon))
    job = {"job": "tidy", "job_id": tidy}
    assert started == cancelled == {**job, "run_id": run_id}
    assert retried == {**job, "run_id": run_id, "new_run_id": new_id}
    assert {each.fields.get("job") for each in daemon.said if each.event == "api.changed"} == {
        "tidy"
    }


async def test_a_job_that_is_made_is_named_and_many_are_counted(api: Any, daemon: Any) -> None:
    body = {"handler": "app:work", "in": "1h", "name": "later"}
    made = (await api.post("/v1/jobs", body)).json
    jobs = [{**body, "name": f"later-{n}"} for n in range(12)]
    await api.post("/v1/jobs:batch", {"action": "create", "jobs": jobs})
    await api.post("/v1/jobs:batch", {"action": "pause", "jobs": ["later-1", "later-2"]})
    paused, many, one = map(named, await entries(api, daemon))
    assert one == {"job": "later", "job_id": made["id"]}
    assert many["job_count"] == 12
    assert many["jobs"] == [f"later-{n}" for n in range(10)]
    assert paused["jobs"] == ["later-1", "later-2"]
    assert daemon.jobs()


async def test_what_is_not_found_is_named_as_it_was_asked_for(api: Any, daemon: Any) -> None:
    for path in ("/v1/jobs/none/trigger", "/v1/runs/run_none/cancel", "/v1/users/ann/send"):
        await api.post(path, {})
    user, run, job = map(named, await entries(api, daemon))
    assert (job, run, user) == ({"job": "none"}, {"run_id": "run_none"}, {"user": "ann"})


async def test_a_request_out_of_a_run_names_that_run(api: Any, daemon: Any, tidy: str) -> None:
    await api.post("/v1/jobs/tidy/trigger", {})
    run_id = await daemon.begin()
    await api.post("/v1/jobs/tidy/deactivate", {}, **{"luad-run": run_id})
    await api.post("/v1/jobs/tidy/activate", {}, **{"luad-run": "run_none"})
    unknown, known, _ = await entries(api, daemon)
    assert known["from_run"] == run_id
    assert "from_run" not in unknown, tidy


# --- words, filters, and the activity of one job -----------------------------------------------


def test_every_request_that_may_change_something_has_words() -> None:
    unnamed = []
    for row in TABLE:
        if row.method == "GET":
            continue
        path = re.sub(r"\{\w+\}", "x", row.path)
        for status in (200, 403):
            text = summary({"method": row.method, "path": path, "status": status, "job": "tidy"})
            if "/v1" in text:
                unnamed.append(f"{row.method} {row.path}: {text}")
    assert unnamed == []


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"method": "POST", "path": "/v1/jobs/tidy/deactivate", "status": 200, "job": "tidy", "reason": "noisy"}, "paused tidy: noisy"),
        ({"method": "POST", "path": "/v1/jobs/tidy/trigger", "status": 403, "job": "tidy"}, "tried to run tidy"),
        ({"method": "POST", "path": "/v1/runs/run_1/cancel", "status": 202}, "cancelled a run of a job"),
        ({"method": "POST", "path": "/v1/jobs:batch", "status": 200, "job_count": 12, "jobs": ["a"]}, "changed 12 jobs"),
        ({"method": "POST", "path": "/v1/jobs:batch", "status": 200, "job": "a"}, "changed a"),
        ({"method": "GET", "path": "/v1/tokens", "status": 403}, "tried to GET /v1/tokens"),
        ({"method": "POST", "path": "/v1/jobs/{0.__class__}/trigger", "status": 404, "job": "{run}"}, "tried to run {run}"),
        ({"not_kept": 7}, "sent 7 more requests, of which only the number is kept"),
    ],
)  # fmt: skip
def test_an_entry_in_words(entry: dict[str, Any], text: str) -> None:
    assert summary(entry) == text


async def test_the_activity_of_a_job_says_who_did_what_and_why(
    far: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job(), kit.make_job("other"))
    await far.make_token("ann", "operator")
    await far.make_token("eve", "viewer")
    await far.ask("POST", "/v1/jobs/tidy/deactivate", "ann", {"reason": "noisy"})
    await far.ask("POST", "/v1/jobs/tidy/activate", "eve", {})
    await far.api.post("/v1/jobs:batch", {"action": "pause", "jobs": ["tidy", "other"]})
    await far.ask("POST", "/v1/jobs/other/trigger", "ann", {})
    await entries(far.api, daemon)
    status, answer = await far.get("/v1/jobs/tidy/activity", "eve")
    assert status == 200
    found = [(each["actor"], each["summary"]) for each in answer["entries"]]
    assert found[1:] == [("token ann", "paused tidy: noisy")]
    assert found[0][1] == "changed 2 jobs"
    hidden = {"client", "uid", "pid", "path"}
    assert not any(hidden & set(each) for each in answer["entries"])
    _, refused = await far.get("/v1/jobs/tidy/activity?status=refused", "eve")
    assert refused["entries"] == [], "a role is checked before the job is looked up"
    _, other = await far.get("/v1/jobs/other/activity?actor=token%20ann", "eve")
    assert [each["summary"] for each in other["entries"]] == ["ran other"]
    assert other["entries"][0]["run_id"].startswith("run_")
    assert (await far.get("/v1/audit", "eve"))[0] == 403


async def test_the_audit_trail_is_filtered_by_job_actor_time_and_status(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job(), kit.make_job("other"))
    await api.post("/v1/jobs/tidy/deactivate", {"reason": "noisy"})
    daemon.clock.wall += 3_600_000
    await api.post("/v1/jobs/other/deactivate", {})
    await api.post("/v1/jobs/nothing/trigger", {})
    (_, _, first) = await entries(api, daemon)
    assert (first["summary"], first["reason"]) == ("paused tidy: noisy", "noisy")
    for query, count in (
        ("job=tidy", 1),
        ("since=30m", 2),
        ("since=2026-11-22T12:30:00Z", 2),
        ("status=ok", 2),
        ("status=refused,failed", 1),
        ("actor=nobody", 0),
        ("since=30m&status=refused", 1),
    ):
        assert len((await api.get(f"/v1/audit?{query}")).json["entries"]) == count, query
    assert (await api.get("/v1/audit?job=nothing")).status == 404
    assert (await api.get("/v1/audit?cursor=x")).status == 422


async def test_a_search_in_a_long_trail_ends_with_its_budget(
    api: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.store.access.trail.most = 10**6
    for number in range(250):
        fields = {"method": "POST", "path": "/v1/jobs", "status": 201, "uid": 1}
        daemon.store.access.note(number, f"req_{number:04}", fields, ["job_1"])
    await entries(api, daemon)
    monkeypatch.setattr("luad.store.query_budget.BUDGET_MS", 0)
    pages, path = [], "/v1/audit?status=refused"
    while path:
        answer = (await api.get(path)).json
        pages.append((len(answer["entries"]), answer["is_complete"]))
        cursor = answer["next_cursor"]
        path = f"/v1/audit?status=refused&cursor={cursor}" if cursor else ""
    assert pages == [(0, False), (0, False), (0, True)]


async def test_a_row_that_is_removed_leaves_the_activity(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    await api.post("/v1/jobs/tidy/deactivate", {})
    await entries(api, daemon)
    assert len((await api.get("/v1/jobs/tidy/activity")).json["entries"]) == 1
    daemon.store.access.trail.most = 1
    daemon.clock.wall += 25 * 3_600_000  # old entries of the actor make room
    await api.post("/v1/tokens", {"name": "ann"})
    await entries(api, daemon)
    assert (await api.get("/v1/jobs/tidy/activity")).json["entries"] == []
