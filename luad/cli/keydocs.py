"""`luad schema NAME KEY`: what a key means, in words.

Room rule: reads the schemas that ship; the words are theirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from luad.cli.failure import CommandError, close_to

Schema = Mapping[str, Any]
LIMITS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "maxItems": "at most {} of them",
    "pattern": "matches {}",
}


def describe_key(root: Schema, key: str) -> list[str]:
    """Return the lines about *key* (`retry.max_attempts`). Raises `CommandError` (not_found)."""
    found: Schema = root
    seen: list[str] = []
    for part in key.split("."):
        members = dict(_members(root, found))
        if part not in members:
            near = close_to(part, list(members))
            place = f" in `{'.'.join(seen)}`" if seen else ""
            hint = f"did you mean `{near[0]}`?" if near else f"it has: {', '.join(members)}"
            if not members:
                hint = f"`{'.'.join(seen)}` has no keys"
            raise CommandError(f"there is no key `{part}`{place}", code="not_found", hint=hint)
        found = members[part]
        seen.append(part)
    return [f"{key}   {_kind(root, found)}".rstrip(), *_body(root, found)]


def _body(root: Schema, schema: Schema) -> Iterator[str]:
    whole = _resolved(root, schema)
    if text := whole.get("markdownDescription") or whole.get("description"):
        yield f"  {text}"
    limits = [words.format(whole[name]) for name, words in LIMITS.items() if name in whole]
    if limits:
        yield f"  limits    {', '.join(limits)}"
    if "default" in whole:
        yield f"  default   {_value(whole['default'])}"
    for number, example in enumerate(whole.get("examples", ())):
        yield f"  {'' if number else 'examples':<10}{_value(example)}"
    members = dict(_members(root, whole))
    width = max(map(len, members), default=0)
    for number, (name, member) in enumerate(members.items()):
        about = _resolved(root, member).get("description", "")
        yield f"  {'' if number else 'keys':<10}{name:<{width}}  {about}".rstrip()


def _resolved(root: Schema, schema: Schema) -> Schema:
    """Return *schema* with what it refers to; its own words win."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target = root["$defs"][str(reference).rpartition("/")[2]]
    return {**_resolved(root, target), **{key: schema[key] for key in schema if key != "$ref"}}


def _members(root: Schema, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the keys that an object of *schema* may have, in each of its forms and in each item."""
    whole = _resolved(root, schema)
    yield from whole.get("properties", {}).items()
    for form in (*whole.get("oneOf", ()), *whole.get("anyOf", ())):
        yield from _members(root, form)
    if isinstance(whole.get("items"), dict):
        yield from _members(root, whole["items"])


def _kind(root: Schema, schema: Schema) -> str:
    whole = _resolved(root, schema)
    if "enum" in whole:
        return " or ".join(_value(each) for each in whole["enum"])
    kind = whole.get("type", "")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
