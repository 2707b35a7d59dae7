"""Common mistakes, and the answers: place, mistake, and the right form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from luad.api.json.job_summary import summarize
from luad.config.settings.allowed_handlers import DEFAULT_PATTERNS
from luad.core.model import Once
from luad.wire import example_instant

HOUR = {"in": "1h"}
HOUR_MS = 3_600_000


@pytest.fixture
def crm(daemon: Any) -> Any:
    """A daemon with a module of handlers; only what the settings say without words is allowed."""
    folder = daemon.dynamic.handlers_path / "handlers"
    folder.mkdir()
    (folder / "crm.py").write_text("def follow_up(job): ...\ndef welcome(job): ...\n")
    daemon.dynamic = replace(daemon.dynamic, handlers=DEFAULT_PATTERNS, handlers_path=folder)
    return daemon


async def refused(api: Any, path: str, body: Any) -> Any:
    answer = await api.post(path, body)
    assert answer.status >= 400, answer.json
    return answer.json


async def only_error(api: Any, path: str, body: Any) -> tuple[str, str, str]:
    (error,) = (await refused(api, path, body))["errors"]
    return error["pointer"], error["detail"], error.get("hint", "")


# --- handlers ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("crm")
async def test_a_function_that_is_not_there_is_told_at_once(api: Any) -> None:
    answer = await refused(api, "/v1/jobs", {"handler": "crm:folow_up", **HOUR})
    assert (answer["status"], answer["code"]) == (422, "validation")
    assert answer["errors"] == [
        {
            "pointer": "#/handler",
            "code": "LU301",
            "detail": "`crm` has no function `folow_up`",
            "hint": "did you mean `follow_up`?",
        }
    ]
    far = await refused(api, "/v1/jobs", {"handler": "crm:zzz", **HOUR})
    assert far["hint"] == "it has follow_up, welcome"
    assert (await api.post("/v1/jobs", {"handler": "crm:welcome", **HOUR})).status == 201


@pytest.mark.usefixtures("crm")
async def test_a_module_that_is_not_there_is_offered_by_its_right_name(api: Any) -> None:
    answer = await refused(api, "/v1/jobs", {"handler": "crn:welcome", **HOUR})
    assert answer["code"] == "handler_not_allowed"
    assert answer["hint"].startswith("did you mean `crm:welcome`?  allowed are: handlers/*, ")
    shell = await refused(api, "/v1/jobs", {"handler": "luad.handlers.shell:run", **HOUR})
    assert shell["hint"].startswith("allowed are: ")


async def test_a_job_whose_function_has_gone_can_still_be_put_off(api: Any, crm: Any) -> None:
    await api.post("/v1/jobs", {"name": "later", "handler": "crm:welcome", **HOUR})
    (crm.dynamic.handlers_path / "crm.py").write_text("def follow_up(job): ...\n")
    assert (await api.ask("PATCH", "/v1/jobs/later", {"in": "2h"})).status == 200
    other = await api.ask("PATCH", "/v1/jobs/later", {"handler": "crm:welcom"})
    assert (other.status, other.json["errors"][0]["code"]) == (422, "LU301")


# --- bodies ------------------------------------------------------------------------------------


async def test_a_key_that_is_there_twice_is_not_guessed_at(api: Any) -> None:
    text = b'{"name": "a", "handler": "a:b", "in": "1h", "name": "b"}'
    answer = await api.ask("POST", "/v1/jobs", text, Content_Type="application/json")
    assert (answer.status, answer.json["code"]) == (400, "bad_request")
    assert answer.json["detail"] == "the body is not JSON: the key `name` is there twice"


async def test_a_number_without_end_is_told_in_words_for_people(api: Any) -> None:
    text = b'{"handler": "a:b", "in": "1h", "metadata": {"n": ' + b"9" * 5000 + b"}}"
    answer = await api.ask("POST", "/v1/jobs", text, Content_Type="application/json")
    assert (answer.status, answer.json["code"]) == (400, "bad_request")
    assert answer.json["detail"] == (
        "the body is not JSON: a number has 5000 digits; send it as text"
    )


async def test_a_word_is_no_date(api: Any) -> None:
    body = {"handler": "a:b", "schedule": {"type": "once", "execute_at": "tomorrow"}}
    assert await only_error(api, "/v1/jobs", body) == (
        "#/schedule/execute_at",
        "`execute_at` in `schedule` (type: once) is not a date and time: `tomorrow`",
        f"write  execute_at: {example_instant()}",
    )


async def test_words_of_other_systems_are_told_where_they_belong(api: Any) -> None:
    body = {"handler": "a:b", "maxAttempts": 3, **HOUR}
    assert await only_error(api, "/v1/jobs", body) == (
        "#/maxAttempts",
        "unknown key `maxAttempts`",
        "`max_attempts` belongs in `retry`",
    )


async def test_the_keys_of_a_body_are_told_with_those_that_no_file_has(api: Any) -> None:
    _, _, hint = await only_error(api, "/v1/jobs", {"handler": "a:b", "zzz": 3, **HOUR})
    assert {"activate", "if_exists", "in", "keep", "user_id", "handler"} <= set(
        hint.removeprefix("the keys here: ").split(", ")
    )


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"jobs": ["a"]}, ("#/action", "`action` is missing")),
        ({"action": "delete"}, ("#/jobs", "nothing says which jobs are meant")),
        ({"action": "delete", "jobs": "a"}, ("#/jobs", "this is a list of at most 10000")),
        ({"action": "delete", "filter": {"tga": "x"}}, ("#/filter/tga", "unknown key `tga`")),
        ({"action": "delete", "filter": {}}, ("#/filter", "this is an object with at least one key")),
        ({"action": "pause", "jobs": [], "filter": {}}, ("#/filter", "`jobs` says which ones already")),
    ],
)  # fmt: skip
async def test_a_batch_says_which_part_of_it_is_wrong(api: Any, body: Any, told: Any) -> None:
    assert (await only_error(api, "/v1/jobs:batch", body))[:2] == told


async def test_a_token_without_name_or_with_a_past_end(api: Any) -> None:
    assert (await only_error(api, "/v1/tokens", {}))[:2] == ("#/name", "`name` is missing")
    pointer, detail, _ = await only_error(api, "/v1/tokens", {"name": "a", "expires_in": "-1d"})
    assert pointer == "#/expires_in"
    assert "duration" in detail


# --- times -------------------------------------------------------------------------------------


async def test_a_reminder_for_the_past_is_not_promised(daemon: Any, kit: Any) -> None:
    job = kit.make_job("late", schedule=Once(daemon.clock.wall + HOUR_MS), user="ann")
    await daemon.install(job)
    state = daemon.job("late")
    in_time = daemon.clock.wall + 2 * HOUR_MS
    assert summarize(state, in_time).startswith("Runs once on Sun 22 Nov 2026 13:00 UTC")
    assert summarize(state, in_time + 1) == (
        "Was due once on Sun 22 Nov 2026 13:00 UTC, for ann: that is past, and it will not run."
    )


async def test_a_schedule_is_explained_in_words_with_what_surprises_people(api: Any) -> None:
    asked = {"expression": "0 0 13 * 5", "timezone": "Europe/London", "n": 1}
    answer = (await api.post("/v1/explain", asked)).json
    assert answer["text"].startswith("at 00:00 on day 13 of the month")
    assert any("EITHER" in each or "either" in each for each in answer["notes"])
    wrong = (await api.post("/v1/explain", {"expression": "0 25 * * *"})).json
    assert wrong["problems"][0]["pointer"] == "#/expression"
    wrong = {"schedule": {"type": "cron", "expression": "0 25 * * *"}}
    answer = (await api.post("/v1/explain", wrong)).json
    assert answer["problems"][0]["pointer"] == "#/schedule/expression"


async def test_the_last_run_of_nobody_is_told_kindly(api: Any) -> None:
    assert (await api.get("/v1/runs/@last")).json["detail"] == "no run exists yet"
    assert (await api.get("/v1/runs/@last-failed")).json["detail"] == "no run has failed yet"
