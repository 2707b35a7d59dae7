"""Bodies sent to the API are judged as files are."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luad.config.jobs.api_bodies import job_from_body
from luad.config.jobs.job_file import job_from_definition, load_file
from luad.config.settings.daemon_settings import Settings
from luad.core.model import METADATA_LIMIT, AlertCause, AlertPolicy, Job, Once
from luad.errors import ValidationError

BODY: dict[str, Any] = {
    "name": "reminder",
    "handler": "reminders:remind",
    "schedule": {"type": "interval", "every": "15m"},
}


def make(body: dict[str, Any], **more: Any) -> Job:
    return job_from_body(body, timezone="UTC", **more)


def errors_of(body: dict[str, Any], **more: Any) -> tuple[dict[str, str], ...]:
    with pytest.raises(ValidationError) as caught:
        make(body, **more)
    assert caught.value.message
    return caught.value.errors


def test_a_body_is_the_job_that_a_file_would_declare() -> None:
    text = json.dumps(BODY | {"user": "ann", "alert": {"to": ["ops"], "also": ["missed"]}})
    job = make(json.loads(text))
    (wanted,) = load_file("a.yaml", text.encode(), settings=Settings()).jobs
    assert job == wanted.job
    assert job.user == "ann"
    assert job.alert == AlertPolicy(("ops",), also=(AlertCause.MISSED,))


def test_keep_is_kept_with_the_definition_and_is_no_key_of_a_file() -> None:
    job = make(BODY | {"keep": True})
    assert job.keep
    assert job.revision != make(BODY).revision
    assert make(BODY | {"keep": False}) == make(BODY)
    assert job_from_definition(job.definition) == job
    parsed = load_file("a.yaml", json.dumps(BODY | {"keep": True}).encode(), settings=Settings())
    assert [each.code for each in parsed.problems] == ["LU102"]


def test_the_zone_of_the_daemon_becomes_part_of_the_definition() -> None:
    body = BODY | {"schedule": {"type": "once", "execute_at": "2026-12-25T09:00:00Z"}}
    job = job_from_body(body, timezone="Asia/Tokyo")
    assert isinstance(job.schedule, Once)
    assert job.schedule.timezone == "Asia/Tokyo"
    assert job.definition["schedule"]["timezone"] == "Asia/Tokyo"


def test_all_mistakes_are_told_at_once_with_pointers_and_what_to_write() -> None:
    found = errors_of(
        {
            "name": "Reminder",
            "handler": "reminders.py",
            "schedule": {"type": "cron", "expression": "61 * * * *"},
            "timout": 5,
            "retry": {"maxRetries": 3},
        }
    )
    assert sorted((each["pointer"], each["code"]) for each in found) == [
        ("#/handler", "LU304"),
        ("#/name", "LU104"),
        ("#/retry/maxRetries", "LU105"),
        ("#/schedule/expression", "LU201"),
        ("#/timout", "LU102"),
    ]
    hints = {each["pointer"]: each["hint"] for each in found if "hint" in each}
    assert hints["#/timout"] == "did you mean `timeout`?"
    assert "max_attempts: 4" in hints["#/retry/maxRetries"]


@pytest.mark.parametrize(
    ("body", "pointer", "code", "words"),
    [
        ({}, "#/schedule", "LU101", "missing key `schedule`"),
        ({"name": 5} | BODY | {"name": 5}, "#/name", "LU103", "`name` must be text, not `5`"),
        (BODY | {"schedule": {"type": "once", "executeAt": "2026-12-25T09:00:00Z"}},
         "#/schedule/executeAt", "LU105", "unknown key `executeAt`"),
        (BODY | {"schedule": {"type": "once", "execute_at": "2026-12-25T09:00:00"}},
         "#/schedule/execute_at", "LU206", "has no offset"),
        (BODY | {"schedule": {"type": "cron", "expression": "@daily", "timezone": "Mars"}},
         "#/schedule/timezone", "LU205", "unknown time zone"),
        (BODY | {"user": "a b"}, "#/user", "LU104", "`user` cannot be `a b`"),
        (BODY | {"alert": {"to": ["ops"], "also": ["tiemout"]}}, "#/alert/also/0", "LU104",
         "item 1 of `also` in `alert` cannot be `tiemout`"),
        (BODY | {"alert": {}}, "#/alert/to", "LU101", "missing key `to` in `alert`"),
        (BODY | {"keep": "yes"}, "#/keep", "LU103", "must be true or false"),
        (BODY | {"metadata": {"x": [1, math.inf]}}, "#/metadata/x/1", "LU104", "finite"),
        (BODY | {"metadata": {"x": 1 << 70}}, "#/metadata/x", "LU104", "64 bits"),
        (BODY | {"metadata": {"x": "\0"}}, "#/metadata/x", "LU005", "NUL"),
        (BODY | {"metadata": {"x\0": 1}}, "#/metadata", "LU005", "NUL"),
        (BODY | {"description": "\ud800"}, "#/description", "LU005", "surrogate"),
        (BODY | {"metadata": {"x": "y" * METADATA_LIMIT}}, "#/metadata", "LU007", "at most 65536"),
        (BODY | {"env": {"X": "a\0"}}, "#/env/X", "LU005", "NUL"),
    ],
)  # fmt: skip
def test_a_mistake_has_the_code_that_a_file_has(
    body: dict[str, Any], pointer: str, code: str, words: str
) -> None:
    found = {each["pointer"]: each for each in errors_of(body)}
    assert found[pointer]["code"] == code
    assert words in found[pointer]["detail"]


def test_what_is_nested_too_deeply_is_refused() -> None:
    value: Any = 1
    for _ in range(900):
        value = [value]
    (error,) = errors_of(BODY | {"metadata": {"x": value}})
    assert error["code"] == "LU007"


def test_a_slip_for_a_key_of_the_call_is_called_that() -> None:
    found = errors_of(
        BODY | {"ifExists": "keep", "activat": True}, also=("if_exists", "activate", "in")
    )
    assert [each.get("hint") for each in found] == [
        "the key is `if_exists`",
        "did you mean `activate`?",
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "cron", "every", "seconds", "to", "expression", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
keys = st.sampled_from(
    ["name", "handler", "schedule", "user", "alert", "metadata", "keep", "env", "tags", "limits"]
)


@given(changes=st.dictionaries(keys, json_values, max_size=3))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.slow
def test_whatever_is_sent_is_a_job_or_told(changes: dict[str, Any]) -> None:
    try:
        job = make(BODY | changes)
    except ValidationError as error:
        told = error.errors
    else:
        assert job_from_definition(json.loads(json.dumps(job.definition))) == job
        return
    assert told
    assert json.dumps(told).encode()
