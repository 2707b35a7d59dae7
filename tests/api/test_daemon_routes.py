"""The next runs, files, health, status and metrics, over the socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from luad.api.config_files import id_of
from luad.api.json.upcoming import upcoming
from luad.api.service import Health
from luad.core.model import Cron, EndKind, Once, Origin
from luad.errors import Problem, Severity

QUARTER = 15 * 60_000
BROKEN = Problem("jobs.d/report.yaml", 6, 3, "LU102", "unknown key `expresion`", "write it well")
ADVICE = Problem("jobs.d/odd.yaml", 1, 1, "LU501", "hm", severity=Severity.WARNING)

# --- what fires next ---------------------------------------------------------------------------


async def test_the_next_times_of_a_job(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job(schedule=Cron("0 2 * * *", "Europe/London")))
    body = (await api.get("/v1/jobs/tidy/next?n=2")).json
    assert body["is_complete"]
    assert body["next"][0] == {
        "at": "2026-11-23T02:00:00Z",
        "scheduled_for": "2026-11-23T02:00:00Z",
        "job": "tidy",
        "timezone": "Europe/London",
        "note": "",
    }
    assert body["next"][1]["at"] == "2026-11-24T02:00:00Z"
    body = (await api.get("/v1/jobs/tidy/next?n=1&from=2027-06-01T00:00:00Z")).json
    assert body["next"][0]["at"] == "2027-06-01T01:00:00Z"
    assert len((await api.get("/v1/jobs/tidy/next")).json["next"]) == 10


async def test_a_paused_job_has_next_times_with_a_note(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    await api.post("/v1/jobs/tidy/deactivate")
    body = (await api.get("/v1/jobs/tidy/next?n=1")).json
    assert (body["next"][0]["at"], body["next"][0]["note"]) == ("2026-11-22T12:15:00Z", "paused")
    assert (await api.get("/v1/schedule")).json["next"] == []
    assert len((await api.get("/v1/schedule?include_paused=1&limit=3")).json["next"]) == 3
    assert len((await api.get("/v1/schedule?job=tidy&limit=3")).json["next"]) == 3


async def test_a_schedule_merges_all_jobs(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(
        kit.make_job("a", schedule=kit.every(600)),
        kit.make_job("b"),
        kit.make_job("c", schedule=Once(kit.NOON + 5 * 60_000)),
        kit.make_job("off", enabled=False),
    )
    body = (await api.get("/v1/schedule?until=2026-11-22T12:30:01Z")).json
    assert [(each["at"][11:16], each["job"], each["note"]) for each in body["next"]] == [
        ("12:05", "c", "once"),
        ("12:10", "a", ""),
        ("12:15", "b", ""),
        ("12:20", "a", ""),
        ("12:30", "a", ""),
        ("12:30", "b", ""),
    ]
    body = (await api.get("/v1/schedule?job=a,b&limit=2")).json
    assert [each["job"] for each in body["next"]] == ["a", "b"]
    body = (await api.get("/v1/schedule?from=2026-11-22T12:14:00Z&limit=1")).json
    assert [each["job"] for each in body["next"]] == ["b"]


@pytest.mark.parametrize(
    "query",
    [
        "from=9999-12-31T00:00:00Z",
        "from=0001-01-01T00:00:00Z",
        "from=2026-11-22T13:00:00Z&until=2026-11-22T12:00:00Z",
        "limit=1000000000",
        "form=2026-11-22T13:00:00Z",
    ],
)
async def test_a_question_about_the_future_has_bounds(api: Any, query: str) -> None:
    assert (await api.get(f"/v1/schedule?{query}")).status == 422
    assert (await api.get("/v1/jobs/none/next?n=1000000000")).status in {404, 422}


async def test_sparse_schedules_end_in_time(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(
        *(
            kit.make_job(f"leap-{number}", schedule=Cron(f"{number} 0 29 2 {number % 7}"))
            for number in range(40)
        )
    )
    answer = await api.get("/v1/schedule?from=2036-01-01T00:00:00Z&limit=500")
    assert answer.status == 200
    assert answer.json["next"] == sorted(answer.json["next"], key=lambda each: each["at"])


async def test_work_stops_when_told(daemon: Any, kit: Any) -> None:
    await daemon.install(*(kit.make_job(f"job-{number}") for number in range(10)))
    answers = iter([False] * 14 + [True] * 100)
    now = kit.NOON
    found, is_complete = upcoming(daemon.jobs(), now, now, None, 500, lambda: next(answers))
    assert (len(found), is_complete) == (4, False)


# --- files -------------------------------------------------------------------------------------


async def test_files_with_their_jobs_and_problems(api: Any, daemon: Any, kit: Any) -> None:
    daemon.troubles = (BROKEN, ADVICE)
    await daemon.install(kit.make_job("a"), kit.make_job("b"), origin=Origin("jobs.d/ab.yaml"))
    await daemon.install(kit.make_job("r"), origin=Origin("jobs.d/report.yaml"), stale=True)
    body = (await api.get("/v1/config")).json
    assert body["files"] == [
        {
            "id": id_of("jobs.d/ab.yaml"),
            "path": "jobs.d/ab.yaml",
            "stale": False,
            "jobs": ["a", "b"],
        },
        {
            "id": id_of("jobs.d/report.yaml"),
            "path": "jobs.d/report.yaml",
            "stale": True,
            "jobs": ["r"],
        },
    ]
    assert body["stale"] == ["jobs.d/report.yaml"]
    assert (await api.get("/v1/jobs")).json["broken_files"] == ["jobs.d/report.yaml"]
    problem = body["problems"][0]
    assert (problem["code"], problem["filename"], problem["location"]) == (
        "LU102",
        "jobs.d/report.yaml",
        {"row": 6, "column": 3},
    )
    assert (await api.get("/v1/jobs/r")).json["health"] == "stale"
    assert (await api.get("/v1/jobs/r")).json["file"]["stale"] is True


async def test_reload(api: Any, daemon: Any) -> None:
    daemon.troubles = (ADVICE,)
    body = (await api.post("/v1/config/reload", {"check_only": True})).json
    assert body["added"] == ["new"]
    assert body["replaced"] == [{"name": "tidy", "changes": ["schedule"]}]
    assert (body["removed"], body["kept"], body["stale"]) == (["old"], 3, [])
    assert body["problems"][0]["severity"] == "warning"
    await api.post("/v1/config/reload")
    assert daemon.reloaded == [True, False]


# --- health and status -------------------------------------------------------------------------


async def test_health_tells_broken_files_from_a_daemon_that_cannot_work(
    api: Any, daemon: Any, kit: Any
) -> None:
    for path in ("/healthz", "/v1/healthz"):
        answer = await api.get(path)
        assert (answer.status, answer.json["status"]) == (200, "ok")
    daemon.troubles = (ADVICE,)
    assert (await api.get("/healthz")).json["status"] == "ok"
    daemon.troubles = (BROKEN,)
    await daemon.install(kit.make_job("r"), origin=Origin("jobs.d/report.yaml"), stale=True)
    answer = await api.get("/healthz")
    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert answer.json["stale"] == ["jobs.d/report.yaml"]
    daemon.is_well = Health(is_ready=False, faults=("the store cannot be written",))
    answer = await api.get("/healthz")
    assert (answer.status, answer.json["status"]) == (503, "failing")
    assert answer.json["faults"] == ["the store cannot be written"]
    assert (await api.get("/readyz")).status == 503
    daemon.is_well = Health()
    assert (await api.get("/readyz")).json == {"ready": True}


async def test_health_says_how_far_the_comparison_of_files_is(api: Any, daemon: Any) -> None:
    assert "comparing" not in (await api.get("/healthz")).json
    daemon.is_well = Health(comparing="comparing 300 of 1005 files")
    answer = await api.get("/healthz")
    assert (answer.status, answer.json["status"]) == (200, "ok")
    assert answer.json["comparing"] == "comparing 300 of 1005 files"


async def test_status_counts(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job("a"), kit.make_job("b", enabled=False), kit.make_job("c"))
    await api.post("/v1/jobs/a/trigger")
    await daemon.begin()
    await daemon.end(EndKind.RAISED)
    await api.post("/v1/jobs/c/trigger")
    await daemon.begin()
    body = (await api.get("/v1/status")).json
    assert body["status"] == "ok"
    assert (body["version"], body["pid"]) == ("0.1.0", 1)
    assert body["store"]["runs"] == 2
    assert body["runs"] == {"running": 1, "queued": 0}
    assert body["jobs"] == {
        "total": 3,
        "active": 2,
        "paused": 1,
        "failing": 1,
        "stale": 0,
        "completed": 0,
    }
    daemon.troubles = (BROKEN,)
    body = (await api.get("/v1/status")).json
    assert (body["status"], body["problems"][0]["code"]) == ("degraded", "LU102")


# --- metrics -----------------------------------------------------------------------------------


async def scrape(api: Any) -> dict[str, Any]:
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


@pytest.mark.slow
async def test_metrics(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job(), kit.make_job("quiet", enabled=False))
    await daemon.pass_time(QUARTER)
    await daemon.begin()
    daemon.clock.wall += 1500
    await daemon.end()
    await daemon.pass_time(QUARTER - 1500)
    await daemon.begin()
    await daemon.pass_time(QUARTER)  # still running: this occurrence is skipped
    daemon.clock.wall += 500
    await daemon.end(EndKind.RAISED)
    found = await scrape(api)
    job = ("job", "tidy")
    runs = "luad_runs_total"
    assert found[runs, job, ("status", "succeeded"), ("trigger", "schedule")] == 1
    assert found[runs, job, ("status", "failed"), ("trigger", "schedule")] == 1
    assert found[runs, job, ("status", "skipped"), ("trigger", "schedule")] == 1
    assert found["luad_runs_missed_total", job, ("reason", "overlap")] == 1
    assert found["luad_job_active", job] == 1
    assert found["luad_job_active", ("job", "quiet")] == 0
    assert found["luad_job_consecutive_failures", job] == 1
    assert found["luad_job_last_run_success", job] == 0
    assert found["luad_job_last_success_timestamp_seconds", job] == kit.NOON / 1000 + 901.5
    assert found["luad_job_next_run_timestamp_seconds", job] == kit.NOON / 1000 + 3600
    assert ("luad_job_next_run_timestamp_seconds", ("job", "quiet")) not in found
    assert found["luad_run_duration_seconds_count", job] == 2
    assert found["luad_run_duration_seconds_sum", job] == 1.5 + 900.5
    assert found["luad_run_duration_seconds_bucket", job, ("le", "2.5")] == 1
    assert found["luad_run_duration_seconds_bucket", job, ("le", "+Inf")] == 2
    assert found["luad_runs_active",] == 0
    assert found["luad_config_last_reload_successful",] == 1
    assert found["luad_event_loop_lag_seconds",] == 0.002
    assert found["luad_event_loop_delay_seconds_bucket", ("le", "0.005")] == 4
    assert found["luad_event_loop_delay_seconds_count",] == 5
    assert found["luad_event_loop_delay_seconds_sum",] == 0.0125
    assert found["luad_db_size_bytes",] > 0
    labels = [dict(key[1:]) for key in found if key[0] == "luad_job_info"]
    assert {"job": "tidy", "source": "file", "handler": "house:tidy"}.items() <= labels[1].items()
    await daemon.install()  # a reload without news
    assert (await scrape(api))[runs, job, ("status", "failed"), ("trigger", "schedule")] == 1


async def test_a_paused_row_that_grows_is_counted_as_it_grows(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job(schedule=kit.every(60)))
    await api.post("/v1/jobs/tidy/deactivate")
    for count in (1, 2, 3):
        await daemon.pass_time(60_000)
        found = await scrape(api)
        assert found["luad_runs_missed_total", ("job", "tidy"), ("reason", "paused")] == count
    del daemon.wanted["tidy"]
    await daemon.install()
    assert not [key for key in await scrape(api) if ("job", "tidy") in key]


async def test_a_scrape_does_not_stop_the_loop(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(*(kit.make_job(f"job-{number:03}") for number in range(300)))
    scrapes = [asyncio.create_task(api.get("/metrics")) for _ in range(3)]
    assert (await api.get("/readyz")).status == 200
    for each in await asyncio.gather(*scrapes):
        assert each.status == 200


async def test_files_are_published_only_where_nodes_share_a_store(api: Any) -> None:
    refused = await api.post("/v1/config/reload", {"publish": True})
    assert (refused.status, refused.json["code"]) == (422, "validation")
    assert "luad has its store for itself" in refused.json["errors"][0]["detail"]
    both = await api.post("/v1/config/reload", {"publish": True, "check_only": True})
    assert both.status == 422
