"""Jobs as the store keeps them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luad.config.jobs.job_file import job_from_definition
from luad.config.jobs.stored_jobs import LazyObject, job_from_store

DEFINITION: dict[str, Any] = {
    "name": "followup-7",
    "handler": "crm:follow_up",
    "schedule": {"type": "once", "execute_at": "2026-12-01T09:00:00Z", "timezone": "Europe/London"},
    "user": "ann",
    "metadata": {"ticket": "T-7", "tries": [1, 2]},
    "retry": {"max_attempts": 3, "backoff_seconds": 60},
}


@pytest.mark.parametrize("extra", [{}, {"keep": True}, {"tags": ["a"], "timeout": "5m"}])
def test_a_stored_job_is_the_job_that_was_declared(extra: dict[str, Any]) -> None:
    declared = job_from_definition({**DEFINITION, **extra})
    text = json.dumps(dict(declared.definition))
    stored = job_from_store(text, declared.revision)
    assert stored == declared
    assert stored.definition == declared.definition
    assert dict(stored.metadata) == DEFINITION["metadata"]
    assert {**stored.metadata, "more": 1}["more"] == 1


def test_without_metadata_it_has_none() -> None:
    definition = {key: value for key, value in DEFINITION.items() if key != "metadata"}
    assert job_from_store(json.dumps(definition), "r").metadata == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "not an object"),
        ("{", "Expecting"),
        (json.dumps({**DEFINITION, "handler": 7}), "handler"),
        (json.dumps({**DEFINITION, "timout": 7}), "timout"),
        (
            json.dumps({**DEFINITION, "schedule": {"type": "cron", "expression": "0 25 * * *"}}),
            "25",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        job_from_store(text, "r")


def test_a_definition_of_a_file_that_was_changed_in_the_store_is_noticed() -> None:
    declared = job_from_definition(DEFINITION)
    text = json.dumps(dict(declared.definition))
    assert job_from_store(text, declared.revision, must_match=True) == declared
    with pytest.raises(ValueError, match="modified in the database"):
        job_from_store(
            text.replace("crm:follow_up", "evil:run"), declared.revision, must_match=True
        )


def test_a_lazy_object_is_equal_to_its_dict() -> None:
    one, two = LazyObject('{"a": 1, "b": {"c": 2}}'), LazyObject('{"x": {"c": 2}}', "x")
    assert one == {"a": 1, "b": {"c": 2}}
    assert two == {"c": 2}
    assert one != two
    assert one["b"] == two
    assert (list(one), len(one), "a" in one) == (["a", "b"], 2, True)
    assert repr(two) == "{'c': 2}"
    assert LazyObject('{"x": {"c": 2}}', "x") == two
