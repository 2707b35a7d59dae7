"""Many runs in one request."""

from __future__ import annotations

from typing import Any

import pytest
from support.long_history import fill

from luad.core.model import EndKind, Overlap, RunError

QUARTER = 15 * 60_000


@pytest.fixture
async def failed(daemon: Any, kit: Any) -> list[str]:
    """Let `tidy` fail three times and `other` once; return the ids of the runs."""
    jobs = [kit.make_job(name, overlap=Overlap.ALLOW, max_running=9) for name in ("tidy", "other")]
    await daemon.install(jobs[0])
    ids = []
    for number in range(4):
        if number == 3:
            await daemon.install(jobs[1])
        await daemon.pass_time(QUARTER)
        for action in daemon.started[-2 if number == 3 else -1 :]:
            daemon.started.append(action)
            ids.append(await daemon.begin())
            kind = (
                EndKind.RETURNED
                if number == 3 and action.run.job_name == "tidy"
                else EndKind.RAISED
            )
            await daemon.end(
                kind, error=RunError("KeyError", "x", "") if kind is EndKind.RAISED else None
            )
    return ids


def of(answer: Any) -> list[tuple[str, bool, int]]:
    return [(each["run"], each["ok"], each["status"]) for each in answer.json["results"]]


async def test_a_dry_run_shows_what_would_be_tried_again_and_changes_nothing(
    api: Any, failed: list[str]
) -> None:
    count = len((await api.get("/v1/runs")).json["runs"])
    answer = await api.post(
        "/v1/runs:batch", {"action": "retry", "filter": {"job": "tidy"}, "dry_run": True}
    )
    assert of(answer) == [(run_id, True, 202) for run_id in failed[2::-1]]
    assert (answer.json["count"], answer.json["remaining"], answer.json["is_complete"]) == (
        3,
        0,
        True,
    )
    assert len((await api.get("/v1/runs")).json["runs"]) == count


@pytest.mark.usefixtures("failed")
async def test_the_failed_runs_of_a_filter_are_tried_again(api: Any) -> None:
    answer = await api.post("/v1/runs:batch", {"action": "retry", "filter": {"q": "keyerror"}})
    assert len(of(answer)) == 4
    assert all(ok for _, ok, _ in of(answer))
    again = [each["new_run_id"] for each in answer.json["results"]]
    for old, new in zip([each["run"] for each in answer.json["results"]], again, strict=True):
        assert (await api.get(f"/v1/runs/{new}")).json["retry_of"] == old
    cancelled = await api.post(
        "/v1/runs:batch", {"action": "cancel", "filter": {"trigger": "retry"}}
    )
    assert sorted(each["run"] for each in cancelled.json["results"]) == sorted(again)


async def test_named_runs_are_answered_for_one_by_one(api: Any, failed: list[str]) -> None:
    body = {"action": "cancel", "runs": [failed[0], failed[0], "run_none", "no such run"]}
    answer = await api.post("/v1/runs:batch", body)
    assert of(answer) == [
        (failed[0], False, 409),
        ("run_none", False, 404),
        ("no such run", False, 404),
    ]
    open_run = (await api.post("/v1/jobs/tidy/trigger", {})).json["id"]
    answer = await api.post("/v1/runs:batch", {"action": "retry", "runs": [open_run, failed[0]]})
    assert of(answer) == [(open_run, False, 409), (failed[0], True, 202)]


@pytest.mark.parametrize(
    "body",
    [
        {"runs": ["run_1"]},
        {"action": "delete", "runs": ["run_1"]},
        {"action": "retry"},
        {"action": "retry", "runs": ["run_1"], "filter": {"job": "tidy"}},
        {"action": "retry", "filter": {}},
        {"action": "retry", "filter": {"job": ""}},
        {"action": "retry", "filter": {"jobs": "tidy"}},
        {"action": "retry", "filter": {"status": 1}},
        {"action": "retry", "filter": {"status": "fialed"}},
        {"action": "retry", "filter": "tidy"},
        {"action": "retry", "runs": "run_1"},
        {"action": "retry", "runs": ["run_1"] * 10_001},
    ],
)
async def test_a_wrong_body_is_refused(api: Any, body: Any) -> None:
    assert (await api.post("/v1/runs:batch", body)).status == 422


@pytest.mark.usefixtures("failed")
async def test_a_viewer_may_not_and_the_trail_says_who_did(far: Any, daemon: Any) -> None:
    await far.make_token("ann", "operator")
    await far.make_token("eve", "viewer")
    body = {"action": "retry", "filter": {"job": "other"}}
    assert (await far.ask("POST", "/v1/runs:batch", "eve", body))[0] == 403
    status, answer = await far.ask("POST", "/v1/runs:batch", "ann", body)
    assert (status, len(answer["results"])) == (200, 1)
    await daemon.store.append_logs("run_none", [{"ts": 0, "message": ""}])  # what waits is written
    (entry,) = (await far.api.get("/v1/jobs/other/activity")).json["entries"]
    assert (entry["actor"], entry["summary"]) == ("token ann", "asked for the retry of 1 runs")


async def test_a_filter_that_finds_very_many_says_how_many_remain(
    api: Any, daemon: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luad.store.query_budget.BUDGET_MS", 600_000)
    monkeypatch.setattr("luad.api.routes.routes_run_batch.MAX_ITEMS", 1_000)
    fill(daemon.store, kit.NOON, 4_000)
    body = {"action": "retry", "filter": {"status": "succeeded"}, "dry_run": True}
    answer = (await api.post("/v1/runs:batch", body)).json
    assert (answer["count"], answer["remaining"], answer["is_complete"]) == (1_000, 1_000, False)
