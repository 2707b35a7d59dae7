"""The list of things that need a look, over HTTP, and its events for clients."""

from __future__ import annotations

from typing import Any

import pytest

from luad.api.service import Health
from luad.core.model import AlertPolicy, EndKind, RunError
from luad.errors import Problem

QUARTER = 15 * 60_000
BROKEN = Problem("jobs.d/report.yaml", 6, 3, "LU102", "unknown key `expresion`", "write it well")


async def fail(daemon: Any) -> None:
    await daemon.pass_time(QUARTER)
    await daemon.begin()
    await daemon.end(EndKind.RAISED, error=RunError("KeyError", "'x'", ""))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luad.api.routes.routes_attention.KEPT_MS", 0)


async def shown(api: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.get("/v1/attention")).json["attention"]
    return found


async def test_the_worst_comes_first(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    assert (await api.get("/v1/attention")).json == {"attention": [], "is_complete": True}
    daemon.troubles = (BROKEN,)
    daemon.is_well = Health(True, ("the store cannot be written: disk full",))
    await fail(daemon)
    fault, failing, file = await shown(api)
    assert (fault["kind"], fault["text"]) == ("daemon", "the store cannot be written: disk full")
    assert (failing["kind"], failing["subject"], failing["count"]) == ("failing", "tidy", 1)
    assert failing["text"] == "KeyError: 'x'"
    assert failing["link"] == f"/v1/jobs/{failing['job_id']}"
    assert failing["since"] == "2026-11-22T12:15:00Z"
    assert file["text"] == "jobs.d/report.yaml:6:3: unknown key `expresion`"
    assert (file["kind"], file["link"], file["acknowledged"]) == ("file", "/v1/config", None)


async def test_an_acknowledgement_ends_when_the_job_has_succeeded(
    far: Any, daemon: Any, kit: Any
) -> None:
    await far.make_token("ann", "operator")
    await far.make_token("eve", "viewer")
    policy = AlertPolicy(("ann",), after_failures=2)
    await daemon.install(kit.make_job(alert=policy))
    await fail(daemon)
    (failing,) = await shown(far.api)
    path = f"/v1/attention/{failing['id']}/acknowledge"
    assert (await far.ask("POST", path, "eve", {}))[0] == 403
    assert (await far.ask("POST", "/v1/attention/failing.x/acknowledge", "ann", {}))[0] == 404
    status, answer = await far.ask("POST", path, "ann", {"note": "known", "until": "2h"})
    assert (status, answer["acknowledged"]["author"]) == (200, "token ann")
    (failing,) = await shown(far.api)
    known = {
        "at": "2026-11-22T12:15:00Z",
        "author": "token ann",
        "note": "known",
        "until": "2026-11-22T14:15:00Z",
    }
    assert failing["acknowledged"] == known
    await fail(daemon)
    assert (await far.api.get("/v1/jobs/tidy")).json["alert"] is None, "no alert meanwhile"
    await daemon.pass_time(QUARTER)
    await daemon.begin()
    await daemon.end()
    assert await shown(far.api) == []
    await fail(daemon)
    (failing,) = await shown(far.api)
    assert failing["acknowledged"] is None
    await daemon.store.append_logs("run_none", [{"ts": 0, "message": ""}])  # what waits is written
    activity = (await far.api.get("/v1/jobs/tidy/activity")).json["entries"]
    assert [each["summary"] for each in activity] == ["acknowledged tidy: known"]


async def test_other_trouble_is_acknowledged_until_it_changes(
    api: Any, daemon: Any, kit: Any
) -> None:
    daemon.troubles = (BROKEN,)
    (file,) = await shown(api)
    answer = await api.post(f"/v1/attention/{file['id']}/acknowledge", {"note": "later"})
    assert answer.json["acknowledged"]["note"] == "later"
    (file,) = await shown(api)
    assert file["acknowledged"]["note"] == "later"
    daemon.troubles = (kit.replace(BROKEN, message="another one"),)
    (file,) = await shown(api)
    assert file["acknowledged"] is None


@pytest.mark.parametrize("body", [{"until": "2020-01-01T00:00:00Z"}, {"note": 1}, {"what": 1}])
async def test_a_wrong_acknowledgement_is_refused(api: Any, daemon: Any, body: Any) -> None:
    daemon.troubles = (BROKEN,)
    (file,) = await shown(api)
    assert (await api.post(f"/v1/attention/{file['id']}/acknowledge", body)).status == 422


async def test_a_run_that_no_worker_can_take_is_seen_everywhere(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job(queue="gpu"))
    await daemon.pass_time(QUARTER)
    (waiting,) = await shown(api)
    assert (waiting["kind"], waiting["subject"], waiting["count"]) == ("queue", "gpu", 1)
    assert waiting["text"] == "no worker serves the queue `gpu`: 1 run waiting"
    why = (await api.get("/v1/jobs/tidy/why")).json["text"]
    assert why.endswith("12:15 UTC waits: no worker serves the queue `gpu`.")
    metrics = (await api.get("/v1/metrics")).body.decode()
    assert 'luad_queue_waiting{queue="gpu"} 1.0' in metrics
    assert (await api.get("/v1/jobs/tidy")).json["queue"] == "gpu"
    await daemon.install(kit.make_job(revision="b"))
    assert [each["kind"] for each in await shown(api)] == []


async def test_a_job_cannot_be_changed_to_a_queue_that_no_worker_serves(api: Any) -> None:
    body = {"name": "later", "handler": "mail:follow_up", "in": "1h"}
    assert (await api.post("/v1/jobs", body)).status == 201
    answer = await api.ask("PATCH", "/v1/jobs/later", {"queue": "gpu"})
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "#/queue")
