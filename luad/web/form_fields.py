"""A form made from the JSON Schema of a handler, and the metadata that comes back from it.

Rule: pure. The name of a field says its kind, so that reading a form needs no schema: `m.KIND.KEY`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from luad.api.http.api_problems import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST: Final = 60
"""The most fields of a form; the others are keys of the JSON below it."""
PREFIX: Final = "m."
FLAGS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Field:
    """A field: *kind* is text, number, flag, choice, list or json; *value* is its text."""

    key: str
    kind: str
    value: str
    help: str
    is_required: bool
    options: Sequence[str] = ()
    low: str = ""
    high: str = ""
    step: str = ""
    example: str = ""

    @property
    def name(self) -> str:
        """Return the name of the field in the form."""
        kind = "json" if self.kind == "choice" else self.kind
        return f"{PREFIX}{kind}.{self.key}"


def fields_of(schema: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[Field]:
    """Return the fields for the properties of *schema*, filled from *metadata*."""
    known = schema.get("properties")
    if not isinstance(known, dict):
        return []
    required = schema.get("required")
    wanted = required if isinstance(required, list) else []
    return [
        _field(key, each if isinstance(each, dict) else {}, metadata, is_required=key in wanted)
        for key, each in list(known.items())[:MOST]
    ]


def rest_of(fields: Sequence[Field], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata without the keys that have a field."""
    keys = {each.key for each in fields}
    return {key: value for key, value in metadata.items() if key not in keys}


def _field(
    key: str, schema: Mapping[str, Any], metadata: Mapping[str, Any], *, is_required: bool
) -> Field:
    kind, options = _kind(schema), schema.get("enum")
    value = metadata.get(key)
    examples = schema.get("examples")
    example = examples[0] if isinstance(examples, list) and examples else ""
    return Field(
        key,
        kind if value is None or _fits(kind, value) else "json",
        "" if value is None else _text(kind if _fits(kind, value) else "json", value),
        str(schema.get("description") or schema.get("title") or "")[:300],
        is_required,
        tuple(json.dumps(each, ensure_ascii=False) for each in options or () if each is not None)
        if kind == "choice"
        else (),
        _limit(schema.get("minimum")),
        _limit(schema.get("maximum")),
        "1" if _types(schema) == ["integer"] else "any",
        example if isinstance(example, str) else json.dumps(example, ensure_ascii=False),
    )


def _types(schema: Mapping[str, Any]) -> list[str]:
    found = schema.get("type")
    words = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    return [str(each) for each in words if each != "null"]


def _kind(schema: Mapping[str, Any]) -> str:
    if isinstance(schema.get("enum"), list):
        return "choice"
    match _types(schema):
        case ["boolean"]:
            return "flag"
        case ["integer"] | ["number"]:
            return "number"
        case ["string"]:
            return "text"
        case ["array"]:
            items = schema.get("items")
            is_plain = isinstance(items, dict) and _types(items) == ["string"]
            return "list" if is_plain else "json"
        case _:
            return "json"


def _fits(kind: str, value: object) -> bool:
    """Return whether a field of *kind* can hold *value*."""
    match kind:
        case "flag":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "text":
            return isinstance(value, str) and "\n" not in value
        case "list":
            return isinstance(value, list) and all(
                isinstance(each, str) and each.strip() == each != "" and "\n" not in each
                for each in value
            )
        case _:
            return True


def _text(kind: str, value: Any) -> str:
    match kind:
        case "text":
            return str(value)
        case "list":
            return "\n".join(value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def _limit(value: object) -> str:
    return str(value) if isinstance(value, int | float) else ""


def metadata_of(form: Mapping[str, Sequence[str]]) -> dict[str, Any] | None:
    """Return the metadata of a form; None if it has none. An empty field is left out. Raises `ApiError`."""
    text = (form.get("metadata") or [""])[0].strip()
    found: dict[str, Any] = _object(text) if text else {}
    for name, values in form.items():
        kind, dot, key = name.removeprefix(PREFIX).partition(".")
        if name.startswith(PREFIX) and dot and values[0].strip():
            found[key] = _value(kind, key, values[0])
    return found if found or text else None


def _value(kind: str, key: str, text: str) -> Any:
    try:
        match kind:
            case "text":
                return text
            case "list":
                return [line.strip() for line in text.splitlines() if line.strip()]
            case "flag":
                return FLAGS[text]
            case _:
                return json.loads(text)
    except (ValueError, KeyError, RecursionError) as error:
        raise ApiError("validation", f"`{key[:60]}` in the metadata is not a {kind}") from error


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        detail = f"the metadata is not JSON: {error}"
        raise ApiError("validation", detail, hint='write it as {"key": "value"}') from error
    if not isinstance(value, dict):
        raise ApiError("validation", "the metadata must be a JSON object")
    return value
