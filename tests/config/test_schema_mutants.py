"""No constraint of the schemas of jobs and users stands there unnoticed.

A mutant is the schema without one of its constraints, or with one bound moved by one. Some document
of `verdicts`, of the corpus or of the samples must get another verdict from it. Those of
`verdicts` are written down with theirs, so that no bound moves without anybody meaning it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from support.schema_verdicts import told

from luad.config.schema.validator import SchemaName, load_schema, obeys
from luad.config.schema.violations import _validator
from luad.config.yaml.reader import Limits, parse_yaml

Place: TypeAlias = tuple[str | int, ...]

PROJECT: Final = Path(__file__).parents[2]
DROPPED: Final = "nothing"
NOTES: Final = {
    *("$schema", "$id", "title", "description", "markdownDescription", "default", "examples")
}
BOUNDS: Final = {
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties")
}

# What no document can notice, and why it stands there all the same.
_EMPTY: Final = "the pattern wants a digit, too; this one says that the text is empty"
_BRANCH: Final = "`schedule` must be a mapping already; a branch names its type for the quick test"
_NO_DURATION: Final = {f"/$defs/duration/minLength -> {value}": _EMPTY for value in (DROPPED, 0)}
EQUIVALENT: Final[dict[SchemaName, dict[str, str]]] = {
    "job": _NO_DURATION
    | {f"/$defs/size/minLength -> {value}": _EMPTY for value in (DROPPED, 0)}
    | {f"/$defs/{kind}/type -> {DROPPED}": _BRANCH for kind in ("cron", "interval", "once")}
    | {f"/properties/schedule/type -> {DROPPED}": "so do its branches; this one gives the message"},
    "users": _NO_DURATION,
}


def found(name: SchemaName) -> list[Any]:
    """The documents of the corpus and the samples."""
    jobs, users = ("tests/corpus/*.yaml", "jobs.d/*.yaml"), ("tests/corpus/users/*.yaml",)
    return [
        document.value
        for pattern in (jobs if name == "job" else users)
        for path in sorted(PROJECT.glob(pattern))
        for document in parse_yaml(path.read_bytes(), path.name, Limits())
        if document.is_complete
    ]


def mutants(schema: dict[str, Any], here: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Each constraint's place, and what stands there instead."""
    for key, value in schema.items():
        place = (*here, key)
        if key in NOTES:
            continue
        if key in {"properties", "$defs"}:
            for name, each in value.items():
                if key == "properties":
                    yield (*place, name), DROPPED
                yield from mutants(each, (*place, name))
            continue
        assert key in BOUNDS | {
            *("type", "enum", "const", "required", "oneOf", "$ref", "pattern", "uniqueItems"),
            *("items", "additionalProperties", "propertyNames"),
        }, f"the test knows no {key}"
        yield place, DROPPED
        if isinstance(value, dict):
            yield from mutants(value, place)
        elif isinstance(value, list):
            for index, each in enumerate(value):
                yield (*place, index), DROPPED
                if isinstance(each, dict):
                    yield from mutants(each, (*place, index))
        elif key in BOUNDS:
            yield from ((place, value + step) for step in (-1, 1))
        elif key == "pattern":
            yield from ((place, moved) for moved in with_bounds_moved(value))


def with_bounds_moved(pattern: str) -> Iterator[str]:
    for bound in re.finditer(r"(?<=[{,])[0-9]+(?=[,}])", pattern):
        for moved in {abs(int(bound[0]) - 1), int(bound[0]) + 1}:
            yield pattern[: bound.start()] + str(moved) + pattern[bound.end() :]


def mutated(schema: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    mutant = copy.deepcopy(schema)
    parent: Any = mutant
    for step in place[:-1]:
        parent = parent[step]
    if value is DROPPED:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return mutant


@pytest.mark.parametrize("name", ["job", "users"])
def test_the_tables_tell_the_verdicts(name: SchemaName) -> None:
    for place, document, verdict in told(name):
        assert obeys(name)(document) is verdict, (place, document)
        assert _validator(name).is_valid(document) is verdict, (place, document)


@pytest.mark.parametrize("name", ["job", "users"])
@pytest.mark.slow
def test_each_constraint_of_a_schema_is_noticed_by_some_document(name: SchemaName) -> None:
    schema, real = load_schema(name), _validator(name)
    assert all(real.is_valid(each) is verdict for _, each, verdict in told(name))
    others = [("", document, real.is_valid(document)) for document in found(name)]
    unnoticed = []
    for place, value in mutants(schema):
        mutant = type(real)(mutated(schema, place, value))
        near = sorted(told(name), key=lambda each: not {*each[0].split(".")} & {*place})  # first
        if all(mutant.is_valid(each) is verdict for _, each, verdict in near + others):
            unnoticed.append(f"/{'/'.join(map(str, place))} -> {value}")
    assert [each for each in unnoticed if each not in EQUIVALENT[name]] == []
    assert [each for each in EQUIVALENT[name] if each not in unnoticed] == [], "noticed after all"
