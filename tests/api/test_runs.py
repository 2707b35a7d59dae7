"""Routes of the history, over the socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.long_history import fill

from luad.core.model import EndKind, Overlap, Retry, RunError
from luad.errors import StoreUnavailableError
from luad.store.query_types import RunFilter

RUN_KEYS = {
    "id",
    "job",
    "job_id",
    "status",
    "trigger",
    "scheduled_for",
    "fire_at",
    "claimed_at",
    "started_at",
    "completed_at",
    "duration_ms",
    "start_delay_ms",
    "attempt",
    "max_attempts",
    "missed_count",
    "count",
    "count_is_capped",
    "first_scheduled_for",
    "reason",
    "revision",
    "result",
    "result_truncated",
    "result_omitted",
    "retryable",
    "exit_code",
    "signal",
    "error",
    "dropped_bytes",
    "retry_of",
    "retry_at",
    "pid",
}
QUARTER = 15 * 60_000


async def test_a_run_from_its_claim_to_its_end(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    await daemon.pass_time(QUARTER)
    daemon.clock.wall += 40
    run_id = await daemon.begin()
    run = (await api.get(f"/v1/runs/{run_id}")).json
    assert set(run) >= RUN_KEYS
    assert (run["status"], run["trigger"], run["attempt"]) == ("running", "schedule", 1)
    assert run["scheduled_for"] == run["fire_at"] == "2026-11-22T12:15:00Z"
    assert (run["started_at"], run["start_delay_ms"]) == ("2026-11-22T12:15:00.040Z", 40)
    assert (run["completed_at"], run["duration_ms"], run["pid"]) == (None, None, 4242)
    assert (run["max_attempts"], run["count"], run["count_is_capped"]) == (1, 1, False)
    job = (await api.get("/v1/jobs/tidy")).json
    assert (job["running"], job["queued"], job["running_runs"]) == (1, 0, [run_id])
    assert job["last_run"]["status"] == "running"

    daemon.clock.wall += 1043
    await daemon.end(result_json='{"moved": 3}')
    run = (await api.get(f"/v1/runs/{run_id}")).json
    assert (run["status"], run["duration_ms"]) == ("succeeded", 1043)
    assert (run["result"], run["error"]) == ({"moved": 3}, None)
    job = (await api.get("/v1/jobs/tidy")).json
    assert job["health"] == "ok"
    assert job["recent_runs"] == [{"id": run_id, "status": "succeeded", "duration_ms": 1043}]


async def test_a_failed_run_tells_its_error(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    await daemon.pass_time(QUARTER)
    run_id = await daemon.begin()
    error = RunError("KeyError", "'x'", "Traceback …")
    await daemon.end(EndKind.RAISED, error=error, exit_code=1, result_json="{cut", dropped_bytes=7)
    run = (await api.get(f"/v1/runs/{run_id}")).json
    assert run["status"] == "failed"
    assert run["error"] == {"type": "KeyError", "message": "'x'", "traceback": "Traceback …"}
    assert (run["exit_code"], run["dropped_bytes"], run["result"]) == (1, 7, "{cut")
    assert run["attempts"][0]["error"] == {"type": "KeyError", "message": "'x'"}
    job = (await api.get("/v1/jobs/tidy")).json
    assert (job["health"], job["consecutive_failures"]) == ("failing", 1)


async def test_a_run_says_that_its_result_was_left_out_and_that_it_is_not_tried_again(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job(retry=Retry(3, 1_000)))
    await daemon.pass_time(QUARTER)
    run_id = await daemon.begin()
    await daemon.end(result_omitted="`result` is of type set")
    run = (await api.get(f"/v1/runs/{run_id}")).json
    assert (run["status"], run["result"]) == ("succeeded", None)
    assert (run["result_omitted"], run["retryable"]) == ("`result` is of type set", True)
    await daemon.pass_time(QUARTER)
    run_id = await daemon.begin()
    await daemon.end(EndKind.RAISED, error=RunError("HandlerError", "gone"), is_retryable=False)
    run = (await api.get(f"/v1/runs/{run_id}")).json
    assert (run["status"], run["attempt"], run["retryable"]) == ("failed", 1, False)


async def test_the_history_is_read_in_pages_newest_first(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    made = []
    for _ in range(5):
        await daemon.pass_time(QUARTER)
        made.append(await daemon.begin())
        await daemon.end()
    seen, path = [], "/v1/jobs/tidy/runs?limit=2"
    while path:
        answer = await api.get(path)
        seen += [run["id"] for run in answer.json["runs"]]
        cursor, link = answer.json["next_cursor"], answer.headers.get("link", "")
        path = link[1 : link.index(">")] if cursor else ""
    assert seen == made[::-1]


async def test_the_history_is_filtered(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job("good"), kit.make_job("bad", schedule=kit.every(3600)))
    await daemon.pass_time(QUARTER)
    await daemon.begin()
    await daemon.end()
    await daemon.pass_time(3 * QUARTER)
    for action in daemon.started[-2:]:
        daemon.started.append(action)
        await daemon.begin()
        kind = EndKind.RAISED if action.run.job_name == "bad" else EndKind.RETURNED
        await daemon.end(kind)

    async def names(query: str) -> list[str]:
        return [run["job"] for run in (await api.get(f"/v1/runs?{query}")).json["runs"]]

    assert await names("job=bad") == ["bad"]
    assert await names("job=ba") == ["bad"]  # the beginning of a name
    assert await names("status=failed") == ["bad"]
    assert sorted(await names("status=failed,succeeded")) == ["bad", "good", "good"]
    assert await names("trigger=manual") == []
    assert await names("until=2026-11-22T12:30:00Z") == ["good"]
    since = "since=2026-11-22T13:00:00%2B00:00"
    assert sorted(await names(f"{since}&status=failed,succeeded")) == ["bad", "good"]


async def test_a_job_that_is_gone_keeps_its_history(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job("old"), kit.make_job("new"))
    await api.post("/v1/jobs/old/trigger")
    await daemon.begin()
    await daemon.end()
    del daemon.wanted["old"]
    await daemon.install()
    assert (await api.get("/v1/jobs/old")).status == 404
    assert [run["job"] for run in (await api.get("/v1/runs?job=old")).json["runs"]] == ["old"]
    assert (await api.get("/v1/logs?job=old")).status == 200
    for route in ("runs", "logs"):
        assert (await api.get(f"/v1/{route}?job=never")).status == 404


async def test_a_job_in_the_place_of_a_run_is_told_apart(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job("old"), kit.make_job("two-words"))
    for name in ("old", "two-words"):
        answer = await api.post(f"/v1/runs/{name}/cancel")
        assert answer.json["hint"] == f"that is a job; luad history {name} lists its runs"
    assert (await api.get("/v1/runs/nope")).json["hint"] == "luad history lists them"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("since=yesterday", 422),
        ("since=2026-11-22T12:00:00", 422),  # no offset
        ("since=2026-11-22T12:00:00+01:00", 422),  # the plus became a space
        ("status=succeded", 422),
        ("trigger=cron", 422),
        ("cursor=%00", 422),
        ("cursor=WzFd", 422),
        ("limit=0", 422),
        ("since=99999-01-01T00:00:00Z", 422),
        ("page=2", 422),
    ],
)
async def test_a_history_that_cannot_be_meant_so(api: Any, query: str, status: int) -> None:
    answer = await api.get(f"/v1/runs?{query}")
    assert answer.status == status
    assert answer.json["code"] == "validation"
    assert answer.json["detail"]


async def test_rows_that_never_ran_tell_what_they_stand_for(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job(schedule=kit.every(60)))
    await api.post("/v1/jobs/tidy/deactivate", {"reason": "quiet"})
    for _ in range(3):
        await daemon.pass_time(60_000)
    run = (await api.get("/v1/runs")).json["runs"][0]
    assert (run["status"], run["reason"], run["count"]) == ("skipped", "paused", 3)
    assert run["first_scheduled_for"] == "2026-11-22T12:01:00Z"
    assert run["scheduled_for"] == "2026-11-22T12:03:00Z"
    assert (run["started_at"], run["duration_ms"], run["pid"]) == (None, None, None)
    job = (await api.get("/v1/jobs/tidy")).json
    assert (job["last_run"], job["health"]) == (None, "never_run")
    assert [each["status"] for each in job["recent_runs"]] == ["skipped"]


async def test_a_run_is_found_by_beginning_and_by_at_last(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job(overlap=Overlap.ALLOW))
    assert (await api.get("/v1/runs/@last")).status == 404
    run_id = (await api.post("/v1/jobs/tidy/trigger")).json["id"]
    daemon.clock.wall += 50_000
    last_id = (await api.post("/v1/jobs/tidy/trigger")).json["id"]
    assert (await api.get("/v1/runs/@last")).json["id"] == last_id
    assert (await api.get(f"/v1/runs/{run_id[:-8]}")).json["id"] == run_id
    assert (await api.get("/v1/runs/@last-failed")).status == 404
    answer = await api.get("/v1/runs/run_")
    assert answer.status == 404
    answer = await api.get(f"/v1/runs/{run_id[:10]}")
    assert (answer.status, answer.json["code"]) == (409, "ambiguous")
    for name in ("run_0000", "%00", "a%20b", "r" * 65, "%F0%9F%A6%8A"):
        assert (await api.get(f"/v1/runs/{name}")).status == 404


async def test_cancel_and_retry(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    run_id = (await api.post("/v1/jobs/tidy/trigger")).json["id"]
    await daemon.begin()
    answer = await api.post(f"/v1/runs/{run_id}/retry")
    assert (answer.status, answer.json["code"]) == (409, "conflict")  # it has not ended
    answer = await api.post(f"/v1/runs/{run_id}/cancel", {"kill": True})
    assert (answer.status, answer.json["id"]) == (202, run_id)
    await daemon.end(EndKind.CANCELLED, signal=9)
    run = (await api.get(f"/v1/runs/{run_id}")).json
    assert (run["status"], run["reason"], run["signal"]) == ("cancelled", "requested", 9)
    answer = await api.post(f"/v1/runs/{run_id}/retry")
    again = answer.json
    assert (answer.status, again["retry_of"], again["trigger"]) == (202, run_id, "retry")
    assert again["scheduled_for"] == run["scheduled_for"]
    answer = await api.post(f"/v1/runs/{run_id}/cancel")
    assert answer.status == 409


async def test_a_store_that_fails_is_told_as_such(
    api: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("luad.db: the disk failed", hint="look at dmesg")

    monkeypatch.setattr(daemon.store.history, "search", fail)
    answer = await api.get("/v1/runs")
    assert (answer.status, answer.json["code"]) == (503, "store_unavailable")
    assert answer.json["hint"] == "look at dmesg"


async def test_what_was_before_the_start_is_on_the_board(daemon: Any, kit: Any) -> None:
    from luad.live.recent_runs import RecentRuns
    from luad.live.restore import RestoreTask

    await daemon.install(kit.make_job(), kit.make_job("other"))
    for kind in (EndKind.RETURNED, EndKind.RAISED):
        await daemon.pass_time(QUARTER)
        for action in daemon.started[-2:]:
            daemon.started.append(action)
            await daemon.begin()
            await daemon.end(kind)
    before, daemon.recent_runs = daemon.recent_runs, RecentRuns()
    restore = RestoreTask(daemon)
    restore.start()
    await restore.wait()
    for state in daemon.jobs():
        assert daemon.recent_runs.strip(state.job_id) == before.strip(state.job_id)
        assert daemon.recent_runs.last(state.job_id) == before.last(state.job_id)
        assert daemon.recent_runs.tallies[state.job_id].run_counts == {}
    await restore.stop()


async def test_the_last_run_is_recalled_however_much_was_skipped_since(
    daemon: Any, kit: Any
) -> None:
    from luad.live.recent_runs import RecentRuns
    from luad.live.restore import RestoreTask
    from luad.live.strips import STRIP

    await daemon.install(kit.make_job())
    await daemon.pass_time(QUARTER)
    run_id = await daemon.begin()
    for _ in range(STRIP):  # it is still running when the next one is due
        await daemon.pass_time(QUARTER)
    await daemon.end()
    daemon.recent_runs = RecentRuns()
    restore = RestoreTask(daemon)
    restore.start()
    await restore.wait()
    (state,) = daemon.jobs()
    assert daemon.recent_runs.last(state.job_id).id == run_id
    assert run_id not in daemon.recent_runs.strip(state.job_id)
    await restore.stop()


async def test_an_answer_is_not_hindered_by_a_client_that_leaves(
    api: Any, daemon: Any, kit: Any
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()
    really = daemon.turn

    async def slow(event: Any) -> Any:
        arrived.set()
        await go_on.wait()
        effects = await really(event)
        return next(each for each in effects if type(each).__name__ == "Reply")

    await daemon.install(kit.make_job())
    daemon.answer_request = slow
    sock = api.raw()
    sock.sendall(b"POST /v1/jobs/tidy/trigger HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
    await arrived.wait()
    sock.close()
    go_on.set()
    daemon.answer_request = None
    assert (await api.get("/v1/runs")).status == 200
    assert [each for each in daemon.said if each.event == "api.failed"] == []


async def test_fields_leave_only_these_members_of_each_run(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job(metadata={"a": 1}))
    await daemon.pass_time(QUARTER)
    run_id = await daemon.begin()
    error = RunError("KeyError", "'x'", "Traceback …")
    await daemon.end(EndKind.RAISED, error=error, result_json='{"moved": 3}')
    for path in ("/v1/runs", "/v1/jobs/tidy/runs"):
        (run,) = (await api.get(f"{path}?fields=id,status,error.message")).json["runs"]
        assert run == {"id": run_id, "status": "failed", "error": {"message": "'x'"}}
        (run,) = (await api.get(f"{path}?fields=result,error")).json["runs"]
        assert run["result"] == {"moved": 3}
        assert run["error"] == {"type": "KeyError", "message": "'x'", "traceback": "Traceback …"}
        refused = await api.get(f"{path}?fields=id,stauts")
        assert (refused.status, refused.json["hint"]) == (422, "did you mean `status`?")


async def test_long_members_are_not_read_where_they_are_not_asked_for(
    daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job())
    await daemon.pass_time(QUARTER)
    await daemon.begin()
    error = RunError("KeyError", "'x'", "Traceback …")
    await daemon.end(EndKind.RAISED, error=error, result_json='{"moved": 3}')
    without = ("metadata", "result", "error", "traceback")
    (row,) = (await daemon.store.history.search(RunFilter(), without=without)).rows
    assert (row.run.metadata, row.run.ending.result_json, row.run.ending.error) == (None,) * 3
    (row,) = (await daemon.store.history.search(RunFilter(), without=("traceback",))).rows
    assert row.run.ending.error == RunError("KeyError", "'x'", "")


async def test_runs_are_searched_by_reason_duration_and_what_is_left_out(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job(), kit.make_job("other", tags=("noisy",)))
    for _ in range(3):
        await daemon.pass_time(QUARTER)
    answer = (await api.get("/v1/runs?q=tidy")).json
    assert (answer["is_complete"], answer["next_cursor"]) == (True, None)
    for path, count in (
        ("/v1/runs?not=other", len(answer["runs"])),
        ("/v1/runs?reason=overlap", 4),
        ("/v1/runs?reason=overlap&not=tidy", 2),
        ("/v1/runs?since=1h", 6),
        ("/v1/runs?since=20m", 4),
        ("/v1/runs?since=1s", 2),
        ("/v1/runs?min_duration=1h", 0),
        ("/v1/runs?q=nothing", 0),
    ):
        assert len((await api.get(path)).json["runs"]) == count, path
    refused = await api.get("/v1/runs?min_duration=soon")
    assert (refused.status, refused.json["errors"][0]["parameter"]) == (422, "min_duration")


async def test_a_search_that_is_out_of_time_says_so_and_goes_on(
    api: Any, daemon: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(daemon.store, kit.NOON, 2_000)
    monkeypatch.setattr("luad.store.query_budget.BUDGET_MS", 0)
    path, pages, found = "/v1/runs?q=needle&count=1", [], []
    while path:
        answer = await api.get(path)
        pages.append(answer.json["is_complete"])
        found += [run["id"] for run in answer.json["runs"]]
        link = answer.headers.get("link", "")
        path = link[1 : link.index(">")] if answer.json["next_cursor"] else ""
    assert (len(found), pages[0], pages[-1]) == (2, False, True)
    assert (await api.get("/v1/runs?q=needle&count=1")).json["total"] == "0+"
