"""The schemas, the quick test made of them, and its reference: jsonschema."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from luad.config.schema.validator import SchemaName, load_schema, obeys
from luad.config.schema.violations import _validator, find_mistakes
from luad.wire import DURATION_PATTERN, SIZE_PATTERN

JOB: dict[str, Any] = {
    "name": "daily-report",
    "description": "x",
    "handler": "reports:daily",
    "schedule": {"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/London"},
    "enabled": True,
    "timeout": "5m",
    "retry": {"max_attempts": 3, "backoff_seconds": 60.5, "backoff_multiplier": 2},
    "overlap": "queue",
    "max_running": 3,
    "catch_up": "all",
    "catch_up_window": 3600,
    "jitter": "30s",
    "on_lost": "retry",
    "isolation": "process",
    "pause_after_failures": 5,
    "tags": ["a", "b:c"],
    "env": {"REGION": "emea"},
    "nice": 10,
    "warm": False,
    "log_level": "debug",
    "limits": {"memory": "512M", "cpu_seconds": 5, "open_files": 64, "processes": 8},
    "user": "user_abc123",
    "alert": {"to": ["ops"], "after_failures": 0, "or_failures_in_24h": 3, "also": ["missed"]},
    "metadata": {"any": [1, {"x": None}]},
}
INTERVAL = JOB | {
    "schedule": {"type": "interval", "every": "15m", "start_at": "2026-01-01T00:00:00Z"}
}
ONCE = JOB | {"schedule": {"type": "once", "execute_at": "2026-12-25T09:00:00Z"}}
SETTINGS: dict[str, Any] = {
    "jobs": ["jobs.d"],
    "timezone": "UTC",
    "log": {"format": "json", "level": "debug"},
    "max_concurrent_runs": 5,
    "shared_processes": 2,
    "kill_grace": "10s",
    "retention": {"history": "30d", "runs_per_job": 10, "logs": 5},
    "pass_env": ["A_*"],
    "max_file_size": "1M",
    "permit_insecure": False,
    "users": ["users.d"],
    "listen": "127.0.0.1:0",
    "tls": {"certificate": "a.pem", "key": "b.pem"},
    "trusted_proxies": ["10.0.0.0/8"],
    "allowed_hosts": ["luad.example.com"],
    "dynamic": {"handlers": ["handlers/*"], "max_jobs": 5, "max_jobs_per_user": 1},
    "alert": {"to": ["ops"], "recovery": False},
    "webhooks": {"allow_private": True},
    "store": "postgresql://luad@db.example.com/luad",
    "store_password_file": "/run/credentials/luad.service/store",
    "node": "web-1",
    "work": False,
    "lost_after": "1m",
}

USER: dict[str, Any] = {
    "id": "ann",
    "full_name": "Ann",
    "emails": ["ann@example.com"],
    "phones": ["+44 20 7946 0018"],
    "timezone": "Europe/London",
    "channels": [
        "inbox",
        {"type": "webhook", "url": "${A}", "headers": {"X-Token": "${B}"}, "timeout": "5s"},
        {"type": "apprise", "name": "mail", "url": "credential:mail", "allow_private": True},
    ],
}


def subschemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for group in ("properties", "$defs"):
        for each in schema.get(group, {}).values():
            yield from subschemas(each)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from subschemas(schema[key])


@pytest.mark.parametrize("name", ["job", "luad", "users"])
def test_every_field_of_a_schema_explains_itself(name: SchemaName) -> None:
    schema = load_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    for field in subschemas(schema):
        if "$ref" in field and field.keys() == {"$ref"}:
            continue  # it is explained where it points to
        missing = {
            "title",
            "description",
            "markdownDescription",
            "examples",
            "default",
        } - field.keys()
        assert not missing, (field.get("title"), missing)
        assert field.get("additionalProperties") is not True
        bare = {key: value for key, value in field.items() if key != "$id"} | {
            "$defs": schema["$defs"]
        }
        for value in [*field["examples"], field["default"]]:
            assert jsonschema.Draft202012Validator(bare).is_valid(value), (field["title"], value)


def test_the_schemas_hold_the_grammar_of_durations_and_sizes_and_none_of_cron() -> None:
    definitions = load_schema("job")["$defs"]
    assert definitions["duration"]["pattern"] == DURATION_PATTERN
    assert definitions["size"]["pattern"] == SIZE_PATTERN
    assert "pattern" not in definitions["cron"]["properties"]["expression"]
    assert load_schema("luad")["$defs"].items() <= definitions.items()
    assert load_schema("users")["$defs"].items() <= definitions.items()


@pytest.mark.parametrize("document", [JOB, INTERVAL, ONCE])
def test_a_document_with_every_key_obeys(document: dict[str, Any]) -> None:
    assert obeys("job")(document)
    assert find_mistakes(document, "job") == []


odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([10**18, -(10**18), 1.0, 0.5, -0.0, 1e308, 25.0, 86401, 3153600001]),
    st.sampled_from(
        ["", "a", "A", "5m", "010", "5m\n", "name\n", "1h30m", "90.5s", "1d", "m5", "512M", "1e3"]
    ),
    st.sampled_from(["cron", "once", "interval", "skip", "latest", "none", "UTC", "é", "x" * 300]),
    st.text(max_size=5),
    st.lists(st.sampled_from(["a", "b", 1, None, True, "a b", "\n"]), max_size=4),
    st.dictionaries(
        st.sampled_from(["a", "type", "every", "A B", "seconds", "1X", "memory"]),
        st.sampled_from(["cron", 1, None, "interval", "1s"]),
        max_size=3,
    ),
)
steps = st.lists(
    st.tuples(st.sampled_from(["set", "delete", "add"]), st.integers(0, 60), odd_values),
    min_size=1,
    max_size=4,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document, outermost first."""
    found = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        found.append((value, key))
        if isinstance(inner, dict | list):
            found.extend(places(inner))
    return found


def mutate(document: dict[str, Any], plan: list[tuple[str, int, Any]]) -> dict[str, Any]:
    mutant = copy.deepcopy(document)
    for step, index, value in plan:
        found = places(mutant)
        if not found:
            break
        container, key = found[index % len(found)]
        if step == "set":
            container[key] = value
        elif step == "delete":
            del container[key]
        elif isinstance(container, dict):
            container[f"new{index}"] = value
        else:
            container.append(value)
    return mutant


@settings(max_examples=300)
@given(st.sampled_from([JOB, INTERVAL, ONCE]), steps)
@example(JOB, [("set", 0, "name\n")])
@example(JOB, [("set", 4, True)])
@pytest.mark.slow
def test_the_quick_test_agrees_with_jsonschema(
    document: dict[str, Any], plan: list[tuple[str, int, Any]]
) -> None:
    mutant = mutate(document, plan)
    expected = _validator("job").is_valid(mutant)
    assert obeys("job")(mutant) == expected
    mistakes = find_mistakes(mutant, "job")
    assert bool(mistakes) != expected
    assert all(mistake.message and "\n" not in mistake.message for mistake in mistakes)


@settings(max_examples=100)
@given(steps)
@pytest.mark.slow
def test_the_quick_test_agrees_with_jsonschema_on_settings(
    plan: list[tuple[str, int, Any]],
) -> None:
    mutant = mutate(SETTINGS, plan)
    expected = _validator("luad").is_valid(mutant)
    assert obeys("luad")(mutant) == expected
    assert bool(find_mistakes(mutant, "luad")) != expected


@settings(max_examples=150)
@given(steps)
@pytest.mark.slow
def test_the_quick_test_agrees_with_jsonschema_on_users(plan: list[tuple[str, int, Any]]) -> None:
    mutant = mutate(USER, plan)
    expected = _validator("users").is_valid(mutant)
    assert obeys("users")(mutant) == expected
    assert bool(find_mistakes(mutant, "users")) != expected


def test_a_name_that_ends_in_a_newline_is_refused_though_pythons_dollar_would_take_it() -> None:
    document = JOB | {"name": "job\n"}
    assert jsonschema.Draft202012Validator(load_schema("job")).is_valid(document)
    assert not obeys("job")(document)
    assert find_mistakes(document, "job")


def test_one_mistake_is_one_message() -> None:
    document = {
        "name": "a",
        "handler": "m:f",
        "schedule": {"type": "cron", "expresion": "0 9 * * *"},
    }
    (mistake,) = find_mistakes(document, "job")
    assert mistake.message == "unknown key `expresion` in `schedule` (type: cron)"
    assert mistake.help == "did you mean `expression`?"


def test_a_value_that_is_no_mapping_has_one_mistake() -> None:
    for value in (None, [], "x", 1, True):
        (mistake,) = find_mistakes(value, "job")
        assert mistake.code in {"LU008", "LU106"}
