"""Phrases such as `fri 17:00`: the daemon reads them with its own clock; and whose zone a time is meant in."""

from __future__ import annotations

from typing import Any

import pytest

HANDLER = {"handler": "crm:follow_up"}


@pytest.fixture(autouse=True)
async def started(daemon: Any, api: Any) -> None:
    """Two users: one with a time zone. It is Sunday, 22 November 2026, 12:00 UTC."""
    await daemon.install()
    await api.post("/v1/users", {"id": "zoe", "timezone": "Europe/Riga"})
    await api.post("/v1/users", {"id": "bob"})


async def ask(api: Any, phrase: Any, **more: Any) -> Any:
    return await api.post("/v1/explain", {"phrase": phrase, **more})


@pytest.mark.parametrize(
    ("phrase", "more", "at", "zone"),
    [
        ("tomorrow 09:00", {}, "2026-11-23T09:00:00+00:00", "UTC"),
        ("tomorrow 09:00", {"user": "zoe"}, "2026-11-23T09:00:00+02:00", "Europe/Riga"),
        ("tomorrow 09:00", {"user": "bob"}, "2026-11-23T09:00:00+00:00", "UTC"),
        (
            "fri 17:00",
            {"user": "zoe", "timezone": "Asia/Tokyo"},
            "2026-11-27T17:00:00+09:00",
            "Asia/Tokyo",
        ),
        ("1h 30m", {}, "2026-11-22T13:30:00+00:00", "UTC"),
        ("2026-12-25 09:00", {"user": "zoe"}, "2026-12-25T09:00:00+02:00", "Europe/Riga"),
    ],
)
async def test_a_phrase_is_read_in_the_zone_of_the_request_the_user_or_luad(
    api: Any, phrase: str, more: dict[str, str], at: str, zone: str
) -> None:
    answer = (await ask(api, phrase, **more)).json
    assert (answer["at"], answer["next"], answer["problems"]) == (at, [{"at": at}], [])
    assert answer["timezone"] == zone
    assert answer["text"].endswith(f"({zone})")


@pytest.mark.parametrize("phrase", ["03/04", "5:00", "soon", "", "next friday 9:00", "x" * 100])
@pytest.mark.slow
async def test_any_other_text_is_refused_with_the_nearest_phrase(api: Any, phrase: str) -> None:
    answer = (await ask(api, phrase)).json
    assert (answer["next"], answer["text"]) == ([], None)
    assert answer["problems"][0]["pointer"] == "#/phrase"
    assert answer["problems"][0]["hint"]


async def test_a_wrong_zone_is_told_by_its_place(api: Any) -> None:
    answer = (await ask(api, "tomorrow 09:00", timezone="Europe/Londn")).json
    assert answer["problems"][0]["pointer"] == "#/timezone"


@pytest.mark.parametrize(
    "more",
    [{"user": "nobody"}, {"n": 3}, {"expression": "0 9 * * *"}, {"schedule": {}}, {"user": 5}],
)
async def test_what_does_not_go_with_a_phrase_is_refused(api: Any, more: dict[str, Any]) -> None:
    assert (await ask(api, "tomorrow 09:00", **more)).status == 422


async def test_a_body_that_makes_a_job_takes_no_phrase(api: Any) -> None:
    for body in ({"in": "10 minutes"}, {"schedule": {"type": "once", "execute_at": "fri 17:00"}}):
        assert (await api.post("/v1/jobs", {**HANDLER, **body})).status == 422


@pytest.mark.parametrize(
    ("schedule", "next_run_at"),
    [
        ({"type": "cron", "expression": "0 9 * * *"}, "2026-11-23T07:00:00Z"),
        ({"type": "once", "execute_at": "2026-12-01T09:00"}, "2026-12-01T07:00:00Z"),
        (
            {"type": "interval", "every": "1d", "start_at": "2026-12-01T09:00"},
            "2026-12-01T07:00:00Z",
        ),
    ],
)
async def test_times_without_a_zone_are_those_of_the_user(
    api: Any, schedule: dict[str, str], next_run_at: str
) -> None:
    made = await api.post("/v1/jobs", {**HANDLER, "user": "zoe", "schedule": schedule})
    assert made.json["next_run_at"] == next_run_at, made.json
    batch = {
        "action": "create",
        "jobs": [{**HANDLER, "name": "b", "user_id": "zoe", "schedule": schedule}],
    }
    assert (await api.post("/v1/jobs:batch", batch)).json["results"][0]["ok"]
    assert (await api.get("/v1/jobs/b")).json["next_run_at"] == next_run_at
    await api.post("/v1/jobs", {**HANDLER, "name": "c", "user": "zoe", "in": "1h"})
    changed = await api.ask("PATCH", "/v1/jobs/c", {"schedule": schedule})
    assert changed.json["next_run_at"] == next_run_at


async def test_a_zone_that_is_named_wins_and_stays_when_something_else_changes(api: Any) -> None:
    cron = {"type": "cron", "expression": "0 9 * * *", "timezone": "UTC"}
    await api.post("/v1/jobs", {**HANDLER, "name": "a", "user": "zoe", "schedule": cron})
    for patch in ({"tags": ["x"]}, {"schedule": {"expression": "0 10 * * *"}}):
        changed = await api.ask("PATCH", "/v1/jobs/a", patch)
        assert changed.json["schedule"]["timezone"] == "UTC"


async def test_an_instant_that_is_long_past_is_refused(api: Any) -> None:
    past = {"type": "once", "execute_at": "2025-01-01T00:00:00Z"}
    refused = await api.post("/v1/jobs", {**HANDLER, "name": "a", "schedule": past})
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "#/schedule/execute_at")
    batch = {"action": "create", "jobs": [{**HANDLER, "name": "a", "schedule": past}]}
    assert not (await api.post("/v1/jobs:batch", batch)).json["results"][0]["ok"]
    await api.post("/v1/jobs", {**HANDLER, "name": "a", "in": "1h"})
    assert (await api.ask("PATCH", "/v1/jobs/a", {"schedule": past})).status == 422
    just_now = {"type": "once", "execute_at": "2026-11-22T11:59:59Z"}
    assert (
        await api.post("/v1/jobs", {**HANDLER, "name": "b", "schedule": just_now})
    ).status == 201


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        *(("replace_existing", "if_exists"), ("args", "metadata"), ("countdown", "in")),
        *(("maxInstances", "max_running"), ("execute", "handler"), ("ifExists", "if_exists")),
    ],
)
async def test_words_of_other_schedulers_in_a_body_are_translated(
    api: Any, key: str, meant: str
) -> None:
    refused = await api.post("/v1/jobs", {**HANDLER, "in": "1h", key: "x"})
    (error,) = [each for each in refused.json["errors"] if each["pointer"] == f"#/{key}"]
    assert error["hint"] == f"the key is `{meant}`"
    await api.post("/v1/jobs", {**HANDLER, "in": "1h", "name": "a"})
    refused = await api.post("/v1/jobs/a/trigger", {"versionId": "x"})
    assert refused.json["hint"] == "the key is `revision`"
