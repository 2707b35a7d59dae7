"""A handler declares the JSON Schema of its metadata: check reads it, and a run obeys it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luad.handlers import disk, files, http, message, report, shell, sqlite
from luad.runner.execution import Interrupt, execute
from luad.runner.handler_params import metadata_mistakes, obeys
from luad.runner.import_check import HandlerInfo, ImportProblem, check_handlers
from luad.sdk import Job
from luad.sdk.params import declared_params, params

SHIPPED = [shell.run, http.check, files.prune, disk.usage, sqlite.backup, report.summary]
REGION: dict[str, Any] = {
    "type": "object",
    "properties": {"region": {"enum": ["emea", "apac"]}, "days": {"type": "integer", "minimum": 1}},
    "required": ["region"],
}


def messages(schema: dict[str, Any], metadata: dict[str, Any]) -> list[str]:
    return [f"{each.message} | {each.help}" for each in metadata_mistakes(schema, metadata)]


# --- the decorator ------------------------------------------------------------------------------


def test_a_handler_stays_the_same_function_and_keeps_its_schema() -> None:
    def go(job: Job) -> None: ...

    assert params(REGION)(go) is go

    @functools.wraps(go)
    def wrapped(job: Job) -> None: ...

    assert declared_params(go) is REGION
    assert declared_params(functools.partial(go)) is REGION
    assert declared_params(wrapped) is REGION
    assert declared_params(len) is None


@pytest.mark.parametrize(
    "wrong", [{"region": {"type": "string"}}, {"type": "array"}, "region", lambda job: job]
)
def test_what_cannot_be_a_schema_of_metadata_is_refused_with_an_example(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"luad\.params"):
        params(wrong)


@pytest.mark.parametrize("handler", [*SHIPPED, message.send])
def test_every_shipped_handler_declares_a_schema(handler: Any) -> None:
    schema = declared_params(handler)
    assert schema is not None
    jsonschema.Draft202012Validator.check_schema(schema)


# --- the mistakes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({}, "missing key `region` in `metadata` | "),
        ({"regoin": "emea"}, "unknown key `regoin` in `metadata` | did you mean `region`?"),
        ({"region": "mars"}, "`region` in `metadata` cannot be `mars` | one of: emea, apac"),
        (
            {"region": "emea", "days": "3"},
            "`days` in `metadata` must be a whole number, not `3` | ",
        ),
        ({"region": "emea", "days": 0}, "`days` in `metadata` must be at least 1, not `0` | "),
        ({"region": "emea", "dayz": 1}, "unknown key `dayz` in `metadata` | did you mean `days`?"),
    ],
)
def test_a_mistake_is_told_once_with_what_to_write(metadata: dict[str, Any], said: str) -> None:
    assert messages(REGION, metadata) == [said]


def test_keys_of_others_are_left_alone_unless_the_schema_closes_itself() -> None:
    assert messages(REGION, {"region": "emea", "ticket": 7}) == []
    closed = {**REGION, "additionalProperties": False}
    assert messages(closed, {"region": "emea", "ticket": 7}) == [
        "unknown key `ticket` in `metadata` | "
    ]


@pytest.mark.parametrize(
    ("handler", "metadata"),
    [
        (shell.run, {"comand": "true"}),
        (shell.run, {"command": 5}),
        (shell.run, {"command": []}),
        (shell.run, {"command": "true", "ok_exit_codes": [300]}),
        (shell.run, {"command": "true", "env": {"A": True}}),
        (http.check, {}),
        (http.check, {"url": "example.com"}),
        (http.check, {"url": "https://x", "method": "BREW"}),
        (http.check, {"url": "https://x", "expect_status": 42}),
        (http.check, {"url": "https://x", "timeout_second": 5}),
        (files.prune, {"path": "/srv"}),
        (files.prune, {"path": "/srv", "older_than": "a week"}),
        (files.prune, {"path": "/srv", "keep": 3, "dry_run": "no"}),
        (disk.usage, {"treshold_percent": 80}),
        (disk.usage, {"threshold_percent": 120}),
        (sqlite.backup, {"source": "/a.db"}),
        (report.summary, {"period": "last week"}),
        (message.send, {"title": "x"}),
    ],
)
def test_what_a_shipped_handler_would_refuse_is_known_before(
    handler: Any, metadata: dict[str, Any]
) -> None:
    assert len(messages(declared_params(handler), metadata)) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("handler", "metadata"),
    [
        (shell.run, {"command": "true", "cwd": None, "env": {"A": 1}, "ok_exit_codes": [0, 24]}),
        (shell.run, {"command": ["ls", "-l"], "ticket": "OPS-7"}),
        (http.check, {"url": "HTTPS://x/", "expect_status": [200, 204], "method": None}),
        (files.prune, {"path": "/srv", "older_than": 86400}),
        (files.prune, {"path": "/srv", "older_than": "1h30m", "pattern": ["*.log"]}),
        (disk.usage, {}),
    ],
)
def test_what_a_shipped_handler_takes_is_no_mistake(handler: Any, metadata: dict[str, Any]) -> None:
    assert messages(declared_params(handler), metadata) == []  # type: ignore[arg-type]


# --- the quick test says what jsonschema says -----------------------------------------------------

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 5)
    | st.sampled_from([0.5, 1.0])
    | st.text("ab", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=6,
)
LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["string", "integer", "number", "object", "array", "boolean", "null"]
        )
        | st.just(["string", "null"]),
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "const": VALUES,
        "minimum": st.integers(-2, 3),
        "exclusiveMaximum": st.integers(-2, 3),
        "minLength": st.integers(0, 3),
        "pattern": st.sampled_from(["^a", "b$", "ab"]),
        "minItems": st.integers(0, 2),
        "maxProperties": st.integers(0, 2),
        "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
        "dependentRequired": st.just({"a": ["b"]}),
    },
)
SCHEMAS = st.recursive(
    LEAVES | st.booleans(),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
        },
    ),
    max_leaves=5,
)


@given(schema=SCHEMAS, value=VALUES)
def test_the_quick_test_and_jsonschema_agree(schema: Any, value: Any) -> None:
    assert obeys(schema, value) is jsonschema.Draft202012Validator(schema).is_valid(value)


# --- in the process that imports ------------------------------------------------------------------

MODULE = """\
import luad

@luad.params({"type": "object", "properties": {"region": {"type": "string"}}, "required": ["region"]})
def go(job): ...

@luad.params({"type": "object", "properties": {"region": {"type": "strng"}}})
def bad(job): ...

@luad.params({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}})
def far(job): ...
"""


def test_check_reads_the_schema_in_the_process_that_imports(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(MODULE)
    asked = {"jobs:go": [{"region": 5}, {"region": "emea"}]}
    found = check_handlers(["jobs:go", "jobs:bad"], handlers_path=[tmp_path], metadata=asked)
    info, bad = found["jobs:go"], found["jobs:bad"]
    assert isinstance(info, HandlerInfo)
    assert [[each.path for each in one] for one in info.mistakes] == [[("region",)], []]
    assert isinstance(bad, ImportProblem)
    assert bad.code == "LU111"
    assert "'strng' is not valid" in bad.message
    assert bad.place == f"{tmp_path}/jobs.py:6"  # the decorator


def outcome_of(tmp_path: Path, handler: str, metadata: dict[str, Any]) -> Any:
    job = Job(name="a", run_id="r", scheduled_for_ms=0, started_at_ms=0, metadata=metadata)
    return execute(job, handler, Interrupt(), handlers_path=(str(tmp_path),), result_limit=1000)


def test_a_run_with_other_metadata_ends_before_its_handler_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "declared_jobs.py").write_text(MODULE)
    refused = outcome_of(tmp_path, "declared_jobs:go", {"region": 5})
    assert refused.kind == "not_started"
    assert "`region` in `metadata` must be text, not `5`" in refused.failure.message
    assert outcome_of(tmp_path, "declared_jobs:go", {"region": "emea"}).kind == "returned"
    # A likely misspelling is for check to tell: the schema of a user's handler allows it.
    spelt = {"region": "emea", "regions": "x"}
    assert outcome_of(tmp_path, "declared_jobs:go", spelt).kind == "returned"


def test_a_schema_that_refers_to_a_url_is_a_mistake_and_fetches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "far_jobs.py").write_text(MODULE)
    refused = outcome_of(tmp_path, "far_jobs:far", {"a": 1})
    assert refused.kind == "not_started"
    assert "JSON Schema" in refused.failure.message
