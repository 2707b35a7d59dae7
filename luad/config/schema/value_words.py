"""The names of values and types in messages, and advice for wrong values.

Rule: pure; texts about values, not about files.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

from luad.config.schema.foreign_words import alias_of
from luad.config.yaml.marks import Path
from luad.core.model import JSON
from luad.json_text import JsonObject
from luad.suggestions import close_to
from luad.wire import example_instant

KIND_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "cron": ("expression",),
    "interval": ("seconds", "every", "start_at"),
    "once": ("execute_at",),
}
"""The types of schedules in the order of the schema's branches, and the keys of only one type."""

_TYPES: Final = {
    "object": "a mapping of keys",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}
_EXAMPLES: Final = {
    "name": "name: daily-cleanup",
    "handler": "handler: reports:daily_sales",
    "schedule": 'schedule: {type: cron, expression: "0 9 * * *"}',
    "expression": 'expression: "0 9 * * *"',
}
_BOOLEANS: Final = {
    **dict.fromkeys(("yes", "y", "on"), "true"),
    **dict.fromkeys(("no", "n", "off"), "false"),
}
_ALPHABETS: Final[dict[Path, str]] = {
    ("tags",): "letters, digits and `._:/-`",
    ("pass_env",): "letters, digits, `_`, `*`",
    ("id",): "letters, digits and `._@+-`, a letter or digit first",
    ("user",): "the id of a user: letters, digits and `._@+-`",
    ("emails",): "write name@example.com",
    ("phones",): 'digits, with blanks between them, and + in front: "+44 20 7946 0018"',
}
_DURATION_HELP: Final = "write seconds as a number, or 90s, 10m, 1h30m, 2d, 1w"
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_OCTAL: Final = re.compile(r"[-+]?0[0-9]+", re.ASCII)
_GROUPED: Final = re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?", re.ASCII)
_BASED: Final = re.compile(r"[-+]?0([xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)", re.ASCII)
_SIXTIES: Final = re.compile(r"([0-9]+):([0-9]{1,2})(?::([0-9]{1,2}))?", re.ASCII)
_ODD_FLOAT: Final = re.compile(r"[-+]?\.(inf|nan)", re.ASCII | re.IGNORECASE)
_SPELT: Final = re.compile(
    r"([0-9]+(?:\.[0-9]+)?)\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)\.?",
    re.ASCII | re.IGNORECASE,
)
_USUAL_FUNCTIONS: Final = frozenset(("run", "main", "handle", "handler", "job", "execute"))
_SLUG: Final = re.compile(r"[^a-z0-9._-]+")


def infer_kind(schedule: JSON) -> str:
    """Return the type that a schedule without one probably has."""
    if isinstance(schedule, dict):
        # luad's words first: `{every: 5m, at: ...}` is an interval.
        for named in (set(schedule), {alias_of("schedule", key) for key in schedule}):
            for kind, keys in KIND_KEYS.items():
                if named & set(keys):
                    return kind
    return "cron"


def describe_type(wanted: list[str]) -> str:
    """Return the types as words: ``a number or text``."""
    return " or ".join(_TYPES.get(each, each) for each in wanted)


def describe_value(value: JSON) -> str:
    """Return a value for a message: short, and in the spelling of YAML."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = str(value)
    if text == "":
        return "an empty text"
    text = text if len(text) <= 48 else f"{text[:45]}..."
    return "`" + "".join(char if char.isprintable() else "?" for char in text) + "`"


def first_twice(value: list[JSON]) -> str:
    """Return the first entry that occurs twice, in one pass, because a list may be long."""
    counts = Counter(map(repr, value))
    again = (str(each) for each in value if counts[repr(each)] > 1)
    return next(again, str(value[0]))  # equal, but written in two ways: 1 and 1.0


def choices(words: JSON, value: JSON) -> str:
    """Return the advice for *value*, where only *words* are allowed."""
    if not isinstance(words, list):
        return ""
    listed = [str(word) for word in words]
    near = close_to(str(value).lower(), listed)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"one of: {', '.join(listed)}"


def choices_of(schema: JsonObject, container: str, key: str, value: JSON) -> str:
    """Return the words that *key* takes, if *value* is not like one of them."""
    properties = schema["properties"]
    holder = properties.get(container, {}).get("properties", {}) if container else properties
    words = holder.get(key, {}).get("enum")
    if not words or value in words or close_to(str(value).lower(), words):
        return ""
    return choices(words, value)


def example_line(
    key: str, schema: JsonObject, *, is_value_only: bool = False, beside: JSON = None
) -> str:
    """Return a valid line for *key*. *schema* is the container's, or the value's own.

    *beside*: the mapping in which the line is missing.
    """
    if key == "name" and isinstance(beside, dict):
        name = _name_from_handler(beside.get("handler"))
        return f"name: {name}" if name else _EXAMPLES["name"]
    if key == "execute_at":
        return f"execute_at: {example_instant()}"
    if key in _EXAMPLES:
        return _EXAMPLES[key]
    own = schema if is_value_only else schema.get("properties", {}).get(key, {})
    for example in own.get("examples", ()):
        if not isinstance(example, dict | list):
            shown = str(example).lower() if isinstance(example, bool) else str(example)
            return f"{key}: {shown}"
    return f"{key}: ...  or delete the line"


def _name_from_handler(handler: JSON) -> str:
    """Return a name for a job that has none: the function, or its module if the function is `run`."""
    module, colon, function = str(handler).rpartition(":")
    if not colon or module.startswith("luad.handlers"):
        return ""
    word = module.rpartition(".")[2] if function in _USUAL_FUNCTIONS else function
    return _SLUG.sub("-", word.replace("_", "-").lower()).strip("-._")[:63]


def help_for_text(text: str) -> str:
    """Return the advice for a text that YAML 1.1 reads as another type; empty for other texts."""
    if text.lower() in _BOOLEANS:
        return f"`{text}` is text in YAML 1.2: write {_BOOLEANS[text.lower()]}"
    return _help_for_number(text)


def _help_for_number(text: str) -> str:
    if _OCTAL.fullmatch(text):
        plain = text.lstrip("+-").lstrip("0") or "0"
        return f"a number has no leading zero: write {plain}"
    if _GROUPED.fullmatch(text):
        return f"a number has no `_`: write {text.replace('_', '')}"
    if _BASED.fullmatch(text):
        return f"write the number as {int(text, 0)}"
    if _ODD_FLOAT.fullmatch(text):
        return "a number must be finite"
    if _SIXTIES.fullmatch(text):
        return "a number cannot contain `:`"
    return ""


def help_for_type(path: Path, value: JSON, wanted: list[str]) -> str:
    """Return the advice for *value*, where *wanted* are types or the title of a schema."""
    if path == ("timeout",) and str(value).strip().lower() in _ENDLESS:
        return "for no limit write  timeout: none"
    if wanted in (["number"], ["integer"], ["boolean"]) and isinstance(value, str | int):
        return _help_for_unquoting(str(value), wanted[0])
    if isinstance(value, str):
        return _help_for_string(path, value, wanted)
    if wanted == ["Duration"]:
        return _DURATION_HELP
    if path == ("schedule",):
        return _EXAMPLES["schedule"] if not isinstance(value, list) else "a job has one schedule"
    if path == ("retry",) and type(value) is int:
        return f"write  retry: {{max_attempts: {max(1, min(value, 100))}}}"
    if wanted == ["datetime"]:
        return f"write  {path[-1]}: {example_instant()}"
    if not path and isinstance(value, list):
        return "write each job as a document; separate two with a line `---`"
    if wanted == ["array"]:
        return "write a list: [a, b]"
    return ""


def _help_for_unquoting(text: str, wanted: str) -> str:
    if wanted == "boolean":
        word = {"1": "true", "0": "false"}.get(text, text.lower())
        return f"write {word}" if word in {"true", "false"} else help_for_text(text)
    if _NUMBER.fullmatch(text):
        return f"write {text}, without quotes"
    return _help_for_number(text)


_ENDLESS: Final = frozenset(
    (
        ".inf",
        "none",
        "null",
        "never",
        "no",
        "off",
        "false",
        "inf",
        "infinite",
        "infinity",
        "forever",
    )
) | {"unlimited", "disabled"}


def _help_for_string(path: Path, text: str, wanted: list[str]) -> str:
    if path == ("schedule",):
        quoted = text.replace('"', "")[:64]
        if len(quoted.split()) in {5, 6} or quoted.startswith("@"):
            return f'write  schedule: {{type: cron, expression: "{quoted}"}}'
        return _help_for_schedule(text) or f"write  {_EXAMPLES['schedule']}"
    if wanted == ["Duration"]:
        return _help_for_duration(text)
    if wanted == ["Size"]:
        return "write bytes as a number, or 512K, 64M, 1G"
    if path == ("name",):
        plain = unicodedata.normalize("NFKD", text[:80]).encode("ascii", "ignore").decode()
        slug = _SLUG.sub("-", plain.lower()).strip("-._")[:63]
        rule = "lower-case letters, digits, `.`, `_`, `-`; at most 63, a letter or digit first"
        return f"{rule}: {slug}" if slug else rule
    if path[:1] in {("tags",), ("emails",), ("phones",)} and wanted == ["array"]:
        return f"write a list: [{text[:48]}]"
    if path[:1] in _ALPHABETS:
        return _ALPHABETS[path[:1]]
    if not path:
        return "put a space after each `:`" if ":" in text else "write  key: value"
    if path == ("retry",):
        return "write  retry: {max_attempts: 3, backoff_seconds: 60}"
    return _help_for_number(text)


def _help_for_schedule(text: str) -> str:
    """Return the advice for a schedule in words: `hourly`, `every 5 minutes`."""
    from luad.core.cron.cronline import read_line  # noqa: PLC0415 - only for a mistake
    from luad.core.cron.search import CronError  # noqa: PLC0415 - as above

    try:
        read_line(text[:256])
    except CronError as error:
        if "schedule: {" in error.help:
            return error.help
        if found := re.search(r'["`]([^"`]+)["`]', error.help):
            return f'write  schedule: {{type: cron, expression: "{found[1]}"}}'
    return ""


def _help_for_duration(text: str) -> str:
    spelt = _SPELT.fullmatch(text.strip()[:40])
    if spelt and spelt[1].isdigit():
        count, unit = int(spelt[1]), spelt[2][0].lower()
        return f"write  {count * 7}d" if unit == "w" else f"write  {count}{unit}"
    clock = _SIXTIES.fullmatch(text[:16])
    if clock and clock[3] is None:
        first, second = int(clock[1]), int(clock[2])
        return f"write {first}h{second}m or {first}m{second}s: `:` is ambiguous"
    return _help_for_number(text) or _DURATION_HELP
