"""The JSON Schemas of the project, and a fast test for valid values.

The schema files are the single source. `obeys` compiles the few keywords that they use to
closures, once; an unknown keyword fails an assertion. `jsonschema` is the reference in tests, and
finds the reasons if a value is not valid.

Rule: reads luad's own schemas and no other file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Final, Literal, TypeAlias

from luad.core.model import JSON
from luad.json_text import JsonObject

SchemaName: TypeAlias = Literal["job", "luad", "users"]
Test: TypeAlias = Callable[[JSON], bool]

_ANNOTATIONS: Final = frozenset(
    ("$schema", "$id", "$defs", "title", "description", "markdownDescription")
) | {"default", "examples"}
_KEYWORDS: Final[dict[str, frozenset[str]]] = {
    "object": frozenset(("properties", "required", "additionalProperties", "propertyNames"))
    | {"maxProperties", "oneOf"},
    "array": frozenset(("items", "minItems", "maxItems", "uniqueItems")),
    "string": frozenset(("pattern", "minLength", "maxLength")),
    "number": frozenset(("minimum", "maximum")),
    "integer": frozenset(("minimum", "maximum")),
    "boolean": frozenset(),
}


@cache
def load_schema(name: SchemaName) -> JsonObject:
    """Return the shipped schema; do not change it in place."""
    package = resources.files("luad")
    found = package.joinpath("schemas", f"{name}.schema.json")
    if not found.is_file():  # in a checkout they are beside the package
        found = package.joinpath("..", "schemas", f"{name}.schema.json")
    schema: JsonObject = json.loads(found.read_text(encoding="utf-8"))
    return schema


@cache
def obeys(name: SchemaName) -> Test:
    """Return the test for values of a schema; it costs microseconds, and gives no reasons."""
    schema = load_schema(name)
    return _compile(schema, schema)


def anchored(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of a schema, in which `$` matches only at the very end."""
    assert pattern.startswith("^"), pattern
    assert pattern.endswith("$"), pattern
    return re.compile(rf"(?:{pattern[1:-1]})\Z", re.ASCII)


# --- compiling ---------------------------------------------------------------------------------


def _compile(schema: JsonObject, root: JsonObject) -> Test:
    keywords = schema.keys() - _ANNOTATIONS
    if "$ref" in keywords:
        assert keywords == {"$ref"}, f"beside $ref: {keywords}"
        return _compile(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    if keywords <= {"enum", "const"}:
        return _one_of_words(schema["enum"] if "enum" in schema else [schema["const"]])
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    allowed = frozenset[str]().union(*(_KEYWORDS[each] for each in types)) | {"type"}
    assert keywords <= allowed, f"unknown keywords: {keywords - allowed}"
    if len(types) > 1:
        narrowed = [
            {key: schema[key] for key in keywords & _KEYWORDS[each]} | {"type": each}
            for each in types
        ]
        return _either(types, [_compile(each, root) for each in narrowed])
    match types[0]:
        case "object":
            return _object(schema, root)
        case "array":
            return _array(schema, root)
        case "string":
            return _string(schema)
        case "boolean":
            return lambda value: value is True or value is False
        case kind:
            return _number(schema, is_whole=kind == "integer")


def _either(types: list[str], tests: list[Test]) -> Test:
    """Return the test for a value that is of the second type, a text or a boolean, or of the first."""
    assert len(types) == 2, types
    second = {"string": str, "boolean": bool}[types[1]]
    first, other = tests
    return lambda value: other(value) if type(value) is second else first(value)


def _one_of_words(words: list[str]) -> Test:
    assert all(isinstance(word, str) for word in words), words
    allowed = frozenset(words)
    return lambda value: type(value) is str and value in allowed


def _number(schema: dict[str, object], *, is_whole: bool) -> Test:
    low, high = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))

    def test(value: JSON) -> bool:
        kind = type(value)
        if kind is float and is_whole and not value.is_integer():
            return False
        return (kind is int or kind is float) and bool(low <= value <= high)

    return test


def _string(schema: JsonObject) -> Test:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", float("inf"))
    match = anchored(schema["pattern"]).match if "pattern" in schema else None

    def test(value: JSON) -> bool:
        if type(value) is not str or not shortest <= len(value) <= longest:
            return False
        return match is None or match(value) is not None

    return test


def _array(schema: JsonObject, root: JsonObject) -> Test:
    item = _compile(schema["items"], root)
    fewest, most = schema.get("minItems", 0), schema.get("maxItems", float("inf"))
    is_unique = schema.get("uniqueItems", False)
    assert not is_unique or _are_words(schema["items"], root), (
        "uniqueItems is supported for texts only"
    )

    def test(value: JSON) -> bool:
        if type(value) is not list or not fewest <= len(value) <= most:
            return False
        if not all(item(each) for each in value):
            return False
        return not is_unique or len(set(value)) == len(value)

    return test


def _are_words(schema: JsonObject, root: JsonObject) -> bool:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return "enum" in schema or schema.get("type") == "string"


def _object(schema: JsonObject, root: JsonObject) -> Test:
    find = {key: _compile(each, root) for key, each in schema.get("properties", {}).items()}.get
    required = frozenset(schema.get("required", ()))
    other = _other_keys(schema, root)
    most = schema.get("maxProperties", float("inf"))
    branch = _branches(schema["oneOf"], root) if "oneOf" in schema else None

    def test(value: JSON) -> bool:
        if type(value) is not dict or len(value) > most:
            return False
        for key, item in value.items():
            known = find(key)
            if not (known(item) if known is not None else other(key, item)):
                return False
        return required <= value.keys() and (branch is None or branch(value))

    return test


def _other_keys(schema: JsonObject, root: JsonObject) -> Callable[[str, JSON], bool]:
    """Return the test for keys that `properties` does not name."""
    if "oneOf" in schema and "properties" not in schema:
        return lambda _key, _item: True  # the branches test each key
    extra = schema.get("additionalProperties", True)
    if extra is False:
        return lambda _key, _item: False
    if extra is True:
        return lambda _key, _item: True
    name = anchored(schema["propertyNames"]["pattern"]).match
    test = _compile(extra, root)
    return lambda key, item: name(key) is not None and test(item)


def _branches(schemas: list[JsonObject], root: JsonObject) -> Test:
    """Return the test for `oneOf`, whose branches differ by `type` or by a required key."""
    if all(each.keys() == {"required"} for each in schemas):
        choices = [frozenset(each["required"]) for each in schemas]
        return lambda value: sum(choice <= value.keys() for choice in choices) == 1
    named: dict[JSON, Test] = {}
    for each in schemas:
        branch = root["$defs"][each["$ref"].removeprefix("#/$defs/")]
        assert "type" in branch["required"], "a branch must require its type"
        named[branch["properties"]["type"]["const"]] = _compile(each, root)

    def test(value: JSON) -> bool:
        kind = value.get("type")
        return type(kind) is str and kind in named and named[kind](value)

    return test
