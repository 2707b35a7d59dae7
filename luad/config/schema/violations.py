"""The reasons why a document does not obey its schema, in words, with advice.

`jsonschema` finds the errors, and this module turns them into sentences. It is used only after
`obeys` returned false: importing jsonschema costs more than reading a thousand valid files.

Rule: pure; a value in, mistakes out. The caller adds the places in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import Any, Final, NamedTuple

from luad.config.schema.foreign_words import find_foreign, snake_case
from luad.config.schema.validator import SchemaName, anchored, load_schema
from luad.config.schema.value_words import (
    KIND_KEYS,
    choices,
    choices_of,
    describe_type,
    describe_value,
    example_line,
    first_twice,
    help_for_text,
    help_for_type,
    infer_kind,
)
from luad.config.yaml.marks import Marks, Path
from luad.config.yaml.reader import STAND_IN
from luad.core.model import JSON
from luad.json_text import JsonObject
from luad.suggestions import close_to

KEYS_HERE: Final = "the keys here: "
_MAX_ERRORS: Final = 100  # of one document; more would not help
_MAX_KEYS: Final = 300  # at the top level; a document with more is not one of luad's


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake at *path*: of its last key if *is_key*, else of the value there.

    *rename* is the key that can safely replace it. *settles* is the key that is no longer missing
    with that change. *kind* is the schedule's type, if it must be written as well. *within* are
    offsets into the text of the value, if only a part is wrong; *note* describes that part.
    """

    path: Path
    code: str
    message: str
    help: str = ""
    is_key: bool = False
    rename: str = ""
    settles: str = ""
    kind: str = ""
    within: tuple[int, int] | None = None
    note: str = ""
    is_warning: bool = False


def find_mistakes(value: JSON, name: SchemaName, marks: Marks | None = None) -> list[Mistake]:
    """Return the mistakes of *value*, one per place; empty if it obeys the schema.

    *marks* know how a scalar is written, which improves the advice on quotes.
    """
    found: list[Mistake] = []
    if isinstance(value, dict) and len(value) > _MAX_KEYS:
        message = f"{len(value)} keys at the top level; at most {_MAX_KEYS}"
        return [Mistake((), "LU007", message)]
    if isinstance(value, dict):
        found = list(_oversized(value, name))
        value = {key: each for key, each in value.items() if (key,) not in {m.path for m in found}}
    for error in _errors(value, name):
        found.extend(_translate(error, _Root(value, name), marks))
    return _one_per_mistake(found)


class _Root(NamedTuple):
    """The document, and the name of its schema."""

    value: JSON
    name: SchemaName


_NOUNS: Final[dict[SchemaName, str]] = {"job": "a job", "luad": "luad.yaml", "users": "a user"}


@cache
def _validator(name: SchemaName) -> Any:
    import jsonschema  # noqa: PLC0415 - it costs 75 ms, and most starts do not need it

    def pattern(
        _validator: object, pattern: str, instance: object, _schema: object
    ) -> Iterator[object]:
        if isinstance(instance, str) and not anchored(pattern).match(instance):
            yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")

    base = jsonschema.Draft202012Validator
    extend: Any = jsonschema.validators.extend  # untyped
    return extend(base, {"pattern": pattern})(load_schema(name))


def _errors(value: JSON, name: SchemaName) -> list[Any]:
    errors = []
    try:
        for error in _validator(name).iter_errors(value):
            errors.append(error)
            if len(errors) == _MAX_ERRORS:
                break
    except (RecursionError, ValueError, OverflowError):
        # Possible in an API body, but not in a file: the limits of the reader are narrower.
        assert errors or not isinstance(value, dict), "the limits of the reader prevent this"
    return errors


def _oversized(value: dict[str, JSON], name: SchemaName) -> Iterator[Mistake]:
    """Yield mistakes for huge lists and mappings first, because jsonschema checks each entry."""
    for key, schema in load_schema(name)["properties"].items():
        each = value.get(key)
        limit = schema.get("maxItems", schema.get("maxProperties"))
        if limit is not None and isinstance(each, list | dict) and len(each) > limit:
            yield _too_many((key,), f"`{key}`", each, limit)


def _one_per_mistake(found: Iterable[Mistake]) -> list[Mistake]:
    """Return the first mistake of each place, without "missing" where a misspelt key explains it."""
    kept: dict[tuple[Path, bool], Mistake] = {}
    for mistake in sorted(found, key=lambda each: _RANK.get(each.code, 5)):
        kept.setdefault((mistake.path, mistake.is_key or mistake.code == "LU101"), mistake)
    settled = {(*each.path[:-1], each.settles) for each in kept.values() if each.settles}
    if any(each.kind for each in kept.values()):
        settled.add(("schedule", "type"))
    if ("schedule", "type") in {each.path for each in kept.values() if each.code == "LU101"}:
        settled.add(("schedule", "expression"))  # the missing key depends on the type
    if ("retry", "max_attempts") in settled or ("max_attempts",) in settled:
        settled.add(("retry",))
    return [
        each
        for each in kept.values()
        if each.code != "LU101" or not (settled & set(_alternatives(each.path)))
    ]


_RANK: Final = {"LU106": 0, "LU006": 1, "LU103": 2, "LU105": 2, "LU102": 3, "LU104": 4, "LU101": 6}


def _alternatives(path: Path) -> tuple[Path, ...]:
    """Return the keys that replace a missing one."""
    if path[-1:] == ("every",):
        return path, (*path[:-1], "seconds")
    return (path,)


# --- one error of jsonschema -> mistakes -------------------------------------------------------


def _translate(error: Any, root: _Root, marks: Marks | None) -> Iterator[Mistake]:
    path: Path = tuple(error.absolute_path)
    match error.validator:
        case "additionalProperties" if error.validator_value is False:
            yield from _unknown_keys(path, error, root)
        case "required":
            yield from _missing_keys(path, error, root)
        case "oneOf":
            yield from _branch_mistakes(path, error, root, marks)
        case "type":
            yield _wrong_type(path, error, root, marks)
        case "propertyNames" | "pattern" if _is_about_a_name(error):
            message = f"`{error.instance}` cannot be a name {_inside(path, root)}"
            help_text = "letters, digits and `_`, not starting with a digit"
            if path[-1:] == ("headers",):
                help_text = "letters, digits and `-`"
            yield Mistake(
                (*path, error.instance), "LU104", message.rstrip(), help_text, is_key=True
            )
        case _:
            yield _bad_value(path, error, root, marks)


def _is_about_a_name(error: Any) -> bool:
    return "propertyNames" in error.absolute_schema_path


def _unknown_keys(path: Path, error: Any, root: _Root) -> Iterator[Mistake]:
    properties: JsonObject = error.schema.get("properties", {})
    keys = frozenset(properties)
    taken = set(error.instance)
    strange = (key for key in error.instance if key not in keys and not key.startswith(STAND_IN))
    for key in islice(strange, _MAX_ERRORS):
        found = _unknown_key(path, key, error.instance[key], keys, taken, root)
        mistake = _with_kind(found, error.instance)
        taken.add(mistake.rename)  # a second misspelling of the same key gets no rename
        yield mistake


def _with_kind(mistake: Mistake, schedule: dict[str, JSON]) -> Mistake:
    """Add the type of a schedule without one, if its single misspelt key determines it."""
    if len(mistake.path) != 2 or mistake.path[0] != "schedule" or "type" in schedule:
        return mistake
    kind = next((kind for kind, its in KIND_KEYS.items() if mistake.rename in its), "")
    others = {key for key in schedule if key != mistake.path[1]}
    if not kind or any(others & set(its) for its in KIND_KEYS.values()):
        return mistake
    return replace(mistake, kind=kind, help=f"write  type: {kind}, {mistake.rename}: ...")


def _unknown_key(
    path: Path, key: str, value: JSON, keys: frozenset[str], taken: set[str], root: _Root
) -> Mistake:
    container = _last_key(path) if path or root.name != "users" else "user"
    message = f"unknown key `{_shorten(key)}`{_inside(path, root, ' ')}"
    place = (*path, key)
    if (foreign := find_foreign(container, key, value, keys)) is not None:
        rename, help_text = foreign.key if foreign.key not in taken else "", foreign.help
        if words := choices_of(load_schema(root.name), container, foreign.key, value):
            rename, help_text = "", f"{help_text}; {words}"
        return Mistake(place, "LU105", message, help_text, True, rename, foreign.settles)
    if near := close_to(key, keys, 2):
        rename = near[0] if len(near) == 1 and near[0] not in taken else ""
        help_text = f"did you mean {' or '.join(f'`{each}`' for each in near)}?"
        return Mistake(place, "LU102", message, help_text, True, rename, near[0])
    for kind, its_keys in KIND_KEYS.items():
        if path == ("schedule",) and key in its_keys:
            help_text = f"`{key}` belongs to `type: {kind}`"
            wanted = next(first for first, *_ in KIND_KEYS.values() if first in keys)
            return Mistake(place, "LU102", message, help_text, is_key=True, settles=wanted)
    return Mistake(place, "LU102", message, _where_it_belongs(path, key, keys, root), is_key=True)


def _where_it_belongs(path: Path, key: str, keys: frozenset[str], root: _Root) -> str:
    if not path and key == f"{root.name.removesuffix('s')}s":
        noun = _NOUNS[root.name].removeprefix("a ")
        return f"write each {noun} as a document; separate two with a line `---`"
    schema, word = load_schema(root.name), snake_case(key)
    if path and word in schema["properties"]:
        return f"`{word}` belongs at the top level: indent it less"
    for other, each in schema["properties"].items():
        if word in each.get("properties", {}):
            return f"`{word}` belongs in `{other}`"
    return f"{KEYS_HERE}{', '.join(sorted(keys))}"


def _missing_keys(path: Path, error: Any, root: _Root) -> Iterator[Mistake]:
    key = next(each for each in error.validator_value if f"'{each}'" in error.message)
    message = f"missing key `{key}`{_inside(path, root, ' ')}"
    help_text = f"write  {example_line(key, error.schema, beside=error.instance)}"
    if path == ("schedule",) and key == "type":
        kind = infer_kind(error.instance)
        is_sure = any(each in error.instance for each in KIND_KEYS[kind])
        help_text = f"write  type: {kind}" if is_sure else f"one of: {', '.join(KIND_KEYS)}"
    yield Mistake((*path, key), "LU101", message, help_text)


# --- branches ----------------------------------------------------------------------------------


def _branch_mistakes(path: Path, error: Any, root: _Root, marks: Marks | None) -> Iterator[Mistake]:
    value = error.instance
    if not isinstance(value, dict):
        return  # the wrong type is reported separately
    if all(each.keys() == {"required"} for each in error.validator_value):
        yield from _choice_mistakes(path, value, root)
        return
    kinds = list(KIND_KEYS)
    kind = value.get("type")
    if "type" in value and kind not in kinds:
        yield _unknown_kind((*path, "type"), kind, kinds)
        return
    if "type" not in value:
        kind = infer_kind(value)
    branch = kinds.index(str(kind))
    for inner in error.context:
        if inner.schema_path[0] == branch:
            yield from _translate(inner, root, marks)


def _choice_mistakes(path: Path, value: dict[str, JSON], root: _Root) -> Iterator[Mistake]:
    if "every" in value and "seconds" in value:
        yield Mistake((*path, "seconds"), "LU107", "`every` and `seconds` exclude each other",
                      "keep one of them", is_key=True)  # fmt: skip
    else:
        yield Mistake((*path, "every"), "LU101", f"missing key `every`{_inside(path, root, ' ')}",
                      "write  every: 15m  or  seconds: 900")  # fmt: skip


def _unknown_kind(path: Path, kind: JSON, kinds: list[str]) -> Mistake:
    listed = ", ".join(kinds)
    if not isinstance(kind, str):
        code = "LU106" if kind is None else "LU104"
        what = "has no value" if kind is None else f"cannot be {describe_value(kind)}"
        return Mistake(path, code, f"`type` in `schedule` {what}", f"one of: {listed}")
    near = close_to(kind.lower(), kinds)
    help_text = f"did you mean `{near[0]}`?" if near else f"one of: {listed}"
    return Mistake(path, "LU104", f"unknown schedule type `{_shorten(kind)}`", help_text)


# --- values ------------------------------------------------------------------------------------


def _wrong_type(path: Path, error: Any, root: _Root, marks: Marks | None) -> Mistake:
    value, field = error.instance, _field(path, root)
    wanted = error.validator_value if isinstance(error.validator_value, list) else [
        error.validator_value
    ]  # fmt: skip
    if value is None and path:
        help_text = f"write  {example_line(_last_key(path), error.schema, is_value_only=True)}"
        return Mistake(path, "LU106", f"{field} has no value", help_text)
    if _last_key(path) in {"execute_at", "start_at"}:
        message = f"{field} must be a date and time, not {describe_value(value)}"
        return Mistake(path, "LU103", message, help_for_type(path, value, ["datetime"]))
    is_plain = marks is None or marks.value(path).style == "plain"
    if is_plain and wanted == ["string"] and isinstance(value, bool | int | float):
        what = "true or false" if isinstance(value, bool) else "a number"
        return Mistake(path, "LU006", f"{field} must be text; YAML reads this as {what}",
                       f'quote it: "{describe_value(value).strip("`")}"')  # fmt: skip
    message = f"{field} must be {describe_type(wanted)}, not {describe_value(value)}"
    code = "LU006" if is_plain and isinstance(value, str) and help_for_text(value) else "LU103"
    code = code if path else "LU008"
    title = error.schema.get("title", "")
    wanted = [title] if title in {"Duration", "Size"} else wanted
    help_text = help_for_type(path, value, wanted)
    if not path and root.name == "users":
        help_text = help_text.replace("each job", "each user")
    return Mistake(path, code, message, help_text)


def _bad_value(path: Path, error: Any, root: _Root, marks: Marks | None) -> Mistake:
    value, field, limit = error.instance, _field(path, root), error.validator_value
    title = error.schema.get("title", "")
    shown = describe_value(value)
    if value is None:
        return Mistake(path, "LU106", f"{field} has no value", choices(limit, value))
    match error.validator:
        case "enum" | "const":
            words = limit if isinstance(limit, list) else [limit]
            return Mistake(path, "LU104", f"{field} cannot be {shown}", choices(words, value))
        case "minimum":
            return Mistake(path, "LU104", f"{field} must be at least {limit}, not {shown}")
        case "maximum":
            return Mistake(path, "LU104", f"{field} must be at most {limit}, not {shown}")
        case "minLength" if value and _last_key(path) in {"execute_at", "start_at"}:
            return Mistake(path, "LU206", f"{field} is not a date and time: {shown}",
                           f"write  {example_line(_last_key(path), error.schema, is_value_only=True)}")  # fmt: skip
        case "minLength" | "minItems":
            return Mistake(path, "LU104", f"{field} is empty",
                           f"write  {example_line(_last_key(path), error.schema, is_value_only=True)}")  # fmt: skip
        case "maxLength" if title not in {"Duration", "Size"}:
            return Mistake(path, "LU104", f"{field} has {len(value)} characters; at most {limit}")
        case "uniqueItems":
            return Mistake(path, "LU104", f"{field} names `{_shorten(first_twice(value))}` twice")
        case "maxItems" | "maxProperties":
            return _too_many(path, field, value, limit)
    is_plain = marks is not None and marks.value(path).style == "plain"
    code = "LU006" if is_plain and help_for_text(str(value)) else "LU104"
    noun = {"Duration": "not a duration", "Size": "not a size"}.get(title)
    message = f"{field} cannot be {shown}" if noun is None else f"{field} is {noun}: {shown}"
    return Mistake(path, code, message, help_for_type(path, value, [title]))


def _too_many(path: Path, field: str, value: list[JSON] | dict[str, JSON], limit: int) -> Mistake:
    return Mistake(path, "LU104", f"{field} has {len(value)} entries; at most {limit}")


# --- naming places -----------------------------------------------------------------------------


def _field(path: Path, root: _Root) -> str:
    """Return the name of a place: ```max_attempts` in `retry```, or the document's noun."""
    if not path:
        return _NOUNS[root.name]
    if isinstance(path[-1], int):
        return f"item {path[-1] + 1} of {_field(path[:-1], root)}"
    return f"`{_shorten(path[-1])}`{_inside(path[:-1], root, ' ')}"


def _inside(path: Path, root: _Root, lead: str = "") -> str:
    """Return ``in `schedule` (type: cron)``; empty at the top level."""
    if not path:
        return ""
    if isinstance(path[-1], int):
        return f"{lead}in item {path[-1] + 1} of {_field(path[:-1], root)}"
    document = root.value
    is_schedule = path == ("schedule",) and isinstance(document, dict)
    kind = document.get("schedule") if is_schedule else None
    named = kind.get("type") if isinstance(kind, dict) else None
    suffix = f" (type: {named})" if named in KIND_KEYS else ""
    return f"{lead}in `{_shorten(str(path[-1]))}`{suffix}"


def _last_key(path: Path) -> str:
    return next((each for each in reversed(path) if isinstance(each, str)), "")


def _shorten(text: str) -> str:
    shown = text if len(text) <= 48 else f"{text[:45]}..."
    return "".join(char if char.isprintable() else "?" for char in shown)
