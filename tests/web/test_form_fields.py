"""The form of a handler's parameters: what it shows, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest

from luad.api.http.api_problems import ApiError
from luad.web.form_fields import fields_of, metadata_of, rest_of

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["path"],
    "properties": {
        "path": {"type": "string", "description": "where"},
        "keep": {"type": ["integer", "null"], "minimum": 1, "maximum": 9},
        "share": {"type": "number"},
        "dry_run": {"type": "boolean"},
        "level": {"enum": ["low", "high", None]},
        "pattern": {"type": "array", "items": {"type": "string"}},
        "deep": {"type": "object"},
    },
}
METADATA: dict[str, Any] = {
    "path": "/tmp",
    "keep": 3,
    "dry_run": True,
    "level": "high",
    "pattern": ["*.tmp", "*.bak"],
    "deep": {"a": [1]},
    "more": 1,
}


def test_a_form_has_a_field_for_each_property() -> None:
    fields = fields_of(SCHEMA, METADATA)
    kinds = ["text", "number", "number", "flag", "choice", "list", "json"]
    assert [each.kind for each in fields] == kinds
    path, keep, _, _, level, *_ = fields
    assert path.is_required
    assert (keep.low, keep.high, keep.step) == ("1", "9", "1")
    assert level.options == ('"low"', '"high"')
    assert rest_of(fields, METADATA) == {"more": 1}


@pytest.mark.parametrize(
    "metadata",
    [
        METADATA,
        {"path": "two\nlines"},
        {"path": 7, "keep": "many", "dry_run": "yes", "pattern": "*.tmp", "level": {"odd": 1}},
        {"pattern": [], "deep": None},
        {"pattern": [" spaced ", ""], "keep": True},
    ],
)
def test_a_form_that_nobody_changed_gives_the_same_metadata(metadata: dict[str, Any]) -> None:
    fields = fields_of(SCHEMA, metadata)
    form = {each.name: [each.value] for each in fields}
    found = metadata_of(form) or {}
    given = {key: value for key, value in metadata.items() if value not in (None, [])}
    assert found == {key: value for key, value in given.items() if key in SCHEMA["properties"]}


def test_fields_and_other_keys_are_joined() -> None:
    form = {"metadata": ['{"more": 1}'], "m.text.path": ["/srv"], "m.number.keep": [""]}
    assert metadata_of(form) == {"more": 1, "path": "/srv"}
    assert metadata_of({"job": ["tidy"]}) is None
    assert metadata_of({"metadata": ["{}"]}) == {}


@pytest.mark.parametrize(
    "form",
    [
        {"m.number.keep": ["three"]},
        {"m.flag.dry_run": ["maybe"]},
        {"metadata": ["[1]"]},
        {"metadata": ["{" * 9_000]},
        {"m.json.deep": ["[" * 200_000]},
    ],
)
def test_what_is_not_metadata_is_refused(form: dict[str, list[str]]) -> None:
    with pytest.raises(ApiError):
        metadata_of(form)


@pytest.mark.parametrize("schema", [{}, {"properties": 1}, {"properties": {"a": 7}, "required": 3}])
def test_odd_schemas_are_no_reason_to_fail(schema: dict[str, Any]) -> None:
    assert all(each.kind == "json" for each in fields_of(schema, {"a": 1}))
