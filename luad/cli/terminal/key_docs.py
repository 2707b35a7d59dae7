"""The text of `luad schema NAME KEY`, which explains one key.

Rule: the text comes from the shipped schemas.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from luad.cli.terminal.failure import CommandError
from luad.json_text import JsonObject
from luad.suggestions import close_to
from luad.wire import example_date

Schema = JsonObject
LIMITS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "maxItems": "at most {} of them",
    "pattern": "matches {}",
}


FILLED_IN: Final = (
    frozenset(
        (
            "pause_after_failures",
            "memory",
            "cpu_seconds",
            "open_files",
            "processes",
            "seconds",
            "every",
        )
    )
    | frozenset(
        (
            "start_at",
            "timezone",
            "socket",
            "state_dir",
            "handlers_path",
            "working_directory",
            "user",
            "alert",
            "listen",
            "shared_processes",
            "store",
            "store_password_file",
            "node",
        )
    )
    | frozenset(("certificate", "key", "name", "url"))
    | frozenset(("user_header", "proxy_secret_file", "proxy_socket", "base_path"))
)
"""Keys whose default in the schema is only for editors: an absent key means something else."""


def describe_key(root: Schema, key: str) -> list[str]:
    """Return the lines about *key* (`retry.max_attempts`). Raises `CommandError` (not_found)."""
    found: Schema = root
    seen: list[str] = []
    is_required, is_needed_somewhere = False, False
    for part in key.split("."):
        members = _members(root, found)
        each_form, some_form = _required(root, found)
        if part not in members:
            near = close_to(part, list(members))
            place = f" in `{'.'.join(seen)}`" if seen else ""
            hint = f"did you mean `{near[0]}`?" if near else f"it has: {', '.join(members)}"
            if not members:
                hint = f"`{'.'.join(seen)}` has no keys"
            raise CommandError(
                f"the key `{part}` does not exist{place}", code="not_found", hint=hint
            )
        found = members[part]
        is_required, is_needed_somewhere = part in each_form, part in some_form
        seen.append(part)
    has_default = not is_needed_somewhere and seen[-1] not in FILLED_IN
    lines = [f"{key}   {_kind(root, found)}".rstrip()]
    lines += ["  required"] * is_required
    return [_up_to_date(each) for each in (*lines, *_body(root, found, has_default=has_default))]


def _up_to_date(line: str) -> str:
    """Replace the date of the schema by one in the future."""
    return line.replace("2026-12-25", example_date())


def _body(root: Schema, schema: Schema, *, has_default: bool) -> Iterator[str]:
    whole = _resolved(root, schema)
    if text := whole.get("markdownDescription") or whole.get("description"):
        yield f"  {text}"
    limits = [words.format(whole[name]) for name, words in LIMITS.items() if name in whole]
    if limits:
        yield f"  limits    {', '.join(limits)}"
    if "default" in whole and has_default:
        yield f"  default   {_value(whole['default'])}"
    for number, example in enumerate(whole.get("examples", ())):
        yield f"  {'' if number else 'examples':<10}{_value(example)}"
    members = _members(root, whole)
    width = max(map(len, members), default=0)
    for number, (name, member) in enumerate(members.items()):
        about = _resolved(root, member).get("description", "")
        yield f"  {'' if number else 'keys':<10}{name:<{width}}  {about}".rstrip()


def _resolved(root: Schema, schema: Schema) -> Schema:
    """Return *schema* merged over the schema that it refers to."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target = root["$defs"][str(reference).rpartition("/")[2]]
    return {**_resolved(root, target), **{key: schema[key] for key in schema if key != "$ref"}}


def _members(root: Schema, schema: Schema) -> dict[str, Schema]:
    """Return the keys that an object of *schema* may have, in any of its forms and items."""
    found: dict[str, list[Schema]] = {}
    for name, member in _each_member(root, schema):
        found.setdefault(name, []).append(_resolved(root, member))
    return {name: _joined(forms) for name, forms in found.items()}


def _each_member(root: Schema, schema: Schema) -> Iterator[tuple[str, Schema]]:
    whole = _resolved(root, schema)
    yield from whole.get("properties", {}).items()
    for form in _forms(whole):
        yield from _each_member(root, form)
    if isinstance(whole.get("items"), dict):
        yield from _each_member(root, whole["items"])


def _forms(whole: Schema) -> tuple[Schema, ...]:
    return (*whole.get("oneOf", ()), *whole.get("anyOf", ()))


def _required(root: Schema, schema: Schema) -> tuple[frozenset[str], frozenset[str]]:
    """Return the keys that all forms of an object require, and those that some form requires."""
    whole = _resolved(root, schema)
    own = frozenset(whole.get("required", ()))
    forms = [_required(root, form) for form in _forms(whole)]
    if isinstance(whole.get("items"), dict):
        forms.append(_required(root, whole["items"]))
    if not forms:
        return own, own
    each = frozenset.intersection(*(always for always, _ in forms))
    return own | each, own.union(*(some for _, some in forms))


def _joined(forms: list[Schema]) -> Schema:
    """Return one schema for a key of several forms, such as `type`, a constant in each of them."""
    first, words = forms[0], [each["const"] for each in forms if "const" in each]
    if len(words) < 2:
        return first
    about = "; ".join(
        f"`{each['const']}`: {each.get('description', '')}".rstrip(": ") for each in forms
    )
    return {"enum": words, "markdownDescription": about, "description": " or ".join(words)}


def _kind(root: Schema, schema: Schema) -> str:
    whole = _resolved(root, schema)
    if "const" in whole:
        return _value(whole["const"])
    if "enum" in whole:
        return " or ".join(_value(each) for each in whole["enum"])
    kind = whole.get("type", "")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
