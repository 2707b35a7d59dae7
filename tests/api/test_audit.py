"""The audit trail names the job and the run that a request was about."""

from __future__ import annotations

from typing import Any

import pytest


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
