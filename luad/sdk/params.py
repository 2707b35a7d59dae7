"""The schema that a handler declares for its job's metadata.

Rule: imports nothing of luad but an error, and does not check the schema in depth, because every
run of a handler pays for it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs 9 ms, which every handler's process would pay
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    Handler = TypeVar("Handler", bound=Callable[..., Any])

ATTRIBUTE = "__luad_params__"
"""The attribute of a handler that holds the schema; `functools.wraps` copies it to a wrapper."""

_MOST_WRAPPERS = 10

_AT_THE_ROOT = frozenset(
    (
        *("type", "properties", "required", "additionalProperties", "patternProperties"),
        *("propertyNames", "minProperties", "maxProperties", "dependentRequired"),
        *("anyOf", "oneOf", "allOf", "not", "if", "$ref", "$defs", "$schema", "$id"),
        *("title", "description", "examples", "dependentSchemas", "unevaluatedProperties"),
    )
)


def params(schema: Mapping[str, object]) -> Callable[[Handler], Handler]:
    """Declare a JSON Schema for the metadata of the jobs of this handler.

    `luad check` reads it, and reports mistakes at their places in the job's file. A run with
    invalid metadata fails before the handler is called. Raises ``TypeError`` for an invalid
    schema.
    """
    _check(schema)

    def declare(handler: Handler) -> Handler:
        setattr(handler, ATTRIBUTE, schema)
        return handler

    return declare


def declared_params(handler: object) -> Mapping[str, object] | None:
    """Return the schema that `params` gave to *handler* or to the function that it wraps, or None."""
    for _ in range(_MOST_WRAPPERS):
        schema: Mapping[str, object] | None = getattr(handler, ATTRIBUTE, None)
        if schema is not None:
            return schema
        # `functools.wraps` and `functools.partial`
        handler = getattr(handler, "__wrapped__", None) or getattr(handler, "func", None)
        if handler is None:
            break
    return None


def _check(schema: object) -> None:
    example = '{"type": "object", "properties": {"region": {"type": "string"}}}'
    if not isinstance(schema, dict):
        got = f"not {type(schema).__name__}"
        if callable(schema):
            got = "which is missing: write @luad.params({...})"
        raise _wrong(f"luad.params takes a JSON Schema as a dict, {got}")
    strange = [key for key in schema if key not in _AT_THE_ROOT]
    if strange:
        raise _wrong(
            f"luad.params: {strange[0]!r} is not a keyword of a JSON Schema for metadata; "
            f"write parameters into `properties`: {example}"
        )
    if schema.get("type", "object") != "object":
        raise _wrong(f"luad.params: metadata is an object, not {schema['type']!r}: {example}")


def _wrong(message: str) -> TypeError:
    from luad.sdk.exceptions import WrongCall

    return WrongCall(message, hint="help(luad.params) has an example")
