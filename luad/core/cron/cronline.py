"""Reads a cron expression: returns its fields, or raises one precise problem.

Rule: knows how a line is written, not when it fires. A line has five fields, or six with the seconds first,
separated by spaces only. `cronfield` reads the fields.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from luad.core.cron.cronfield import KINDS, CronError, FieldReader, Kind, Passing, read_field
from luad.core.cron.cronhints import Hint, foreign_line
from luad.suggestions import close_to

MAX_LENGTH: Final = 256
"""The longest expression, in characters, so that reading takes milliseconds at most."""

ALIASES: Final[Mapping[str, str]] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


@dataclass(frozen=True, slots=True)
class CronField:
    """One field as written, and its values (see `Passing`)."""

    name: str
    text: str
    start: int
    passing: Passing

    @property
    def values(self) -> tuple[int, ...]:
        """The sorted values that match; empty if the field has weekdays with an ordinal."""
        return self.passing.values

    @property
    def is_free(self) -> bool:
        """True if the field starts with `*` or `?`, which is cron's test for "unrestricted"."""
        return self.text.startswith(("*", "?"))


@dataclass(frozen=True, slots=True)
class CronLine:
    """A cron expression with its fields. With five fields, *second* has the value 0 and no text."""

    expression: str
    second: CronField
    minute: CronField
    hour: CronField
    day: CronField
    month: CronField
    weekday: CronField

    @property
    def has_seconds(self) -> bool:
        """True if the line has six fields."""
        return bool(self.second.text)

    @property
    def fields(self) -> tuple[CronField, ...]:
        """The written fields, in their order."""
        clock = (self.second,) if self.has_seconds else ()
        return (*clock, self.minute, self.hour, self.day, self.month, self.weekday)


@lru_cache(maxsize=8192)
def read_line(expression: str) -> CronLine:
    """Return the fields of *expression*. Raises CronError if it is not valid."""
    try:
        return _read(expression)
    except CronError:
        if (hint := foreign_hint(expression)) is not None:
            raise CronError(hint.message, hint.start, hint.end, hint=hint.help) from None
        raise


def foreign_hint(expression: str) -> Hint | None:
    """Return the translation of an expression in another program's spelling; None for others."""
    is_short = len(expression) <= MAX_LENGTH and expression.isascii()
    return foreign_line(expression, _can_read) if is_short else None


def _can_read(expression: str) -> bool:
    try:
        _read(expression)
    except CronError:
        return False
    return True


def _read(expression: str) -> CronLine:
    _check_text(expression)
    text = expression.strip(" ")
    if text.startswith("@"):
        tokens = _tokens(_alias(expression, text))
    else:
        tokens = _tokens(expression)
        _check_count(expression, tokens)
    kinds = KINDS if len(tokens) == len(KINDS) else KINDS[1:]
    fields = [
        _field(expression, kind, position, token, start)
        for position, (kind, (token, start)) in enumerate(zip(kinds, tokens, strict=True))
    ]
    if len(fields) < len(KINDS):
        fields.insert(0, CronField("second", "", 0, Passing((0,))))
    return CronLine(expression, *fields)


def _field(expression: str, kind: Kind, position: int, token: str, start: int) -> CronField:
    try:
        return CronField(kind.name, token, start, read_field(kind, token))
    except CronError as error:
        # The cached problem of a field has no places in the line: read the field again.
        reader = FieldReader(kind, token, expression, position, start)
        reader.spelling()
        raise reader.problem(error.message, 0, len(token)) from error  # croniter's own refusal


# --- the text as a whole -----------------------------------------------------------------------


def _check_text(expression: str) -> None:
    whole = len(expression)
    if not expression.strip(" "):
        hint = 'for every day at 02:00 write "0 2 * * *"'
        raise CronError("the cron expression is empty", 0, whole, hint=hint)
    if whole > MAX_LENGTH:
        message = f"the cron expression has {whole} characters, more than {MAX_LENGTH}"
        raise CronError(message, 0, whole, hint="use ranges and steps, or several jobs")
    for offset, character in enumerate(expression):
        if not " " <= character <= "~":
            raise _bad_character(character, offset)
    prefix = re.match(r" *((?:CRON_)?TZ=(\S*))", expression, re.IGNORECASE)
    if prefix:
        message = "a cron expression does not carry its time zone"
        hint = f"write `timezone: {prefix[2] or 'Europe/London'}` beside `expression`"
        raise CronError(message, prefix.start(1), prefix.end(1), hint=hint)


def _bad_character(character: str, offset: int) -> CronError:
    if character.isspace() or unicodedata.category(character) == "Zs":
        named = {"\t": "a tab", "\n": "a line break", "\r": "a line break"}
        what = named.get(character, f"the character U+{ord(character):04X}")
        message, hint = f"{what} cannot separate fields", "separate the fields with spaces"
    elif character.isdigit():
        message = f"the digit `{character}` (U+{ord(character):04X}) is not one of 0–9"
        hint = "write plain digits"
    else:
        shown = f"`{character}` (U+{ord(character):04X})"
        name = shown if character.isprintable() else f"U+{ord(character):04X}"
        message = f"the character {name} has no place in a cron expression"
        hint = "write a plain hyphen" if unicodedata.category(character) == "Pd" else ""
    return CronError(message, offset, offset + 1, hint=hint)


def _alias(expression: str, alias: str) -> str:
    line = ALIASES.get(alias.lower())
    if line is not None:
        return line
    start = expression.index("@")
    where = (start, start + len(alias))
    if alias.lower().startswith("@every"):
        every = alias[len("@every") :].strip() or "5m"
        hint = f"write `schedule: {{type: interval, every: {every}}}`"
        raise CronError("`@every` is not a cron expression", *where, hint=hint)
    if alias.lower() == "@reboot":
        hint = "luad runs jobs by time; for something at start-up use a systemd unit"
        raise CronError("`@reboot` names no time", *where, hint=hint)
    near = close_to(alias.lower(), ALIASES)
    hint = f"did you mean `{near[0]}`?" if near else f"known: {' '.join(ALIASES)}"
    raise CronError(f"unknown alias `{alias}`", *where, hint=hint)


def _tokens(line: str) -> list[tuple[str, int]]:
    return [(match[0], match.start()) for match in re.finditer(r"[^ ]+", line)]


def _check_count(expression: str, tokens: Sequence[tuple[str, int]]) -> None:
    count = len(tokens)
    if count in {5, 6}:
        return
    start, end = tokens[0][1], tokens[-1][1] + len(tokens[-1][0])
    fields = "field" if count == 1 else "fields"
    message = f"the cron expression has {count} {fields}; it takes 5, or 6 with the seconds first"
    hint = "minute hour day-of-month month day-of-week"
    if count < 5:
        stars = expression[start:end] + " *" * (5 - count)
        hint = f"the fields are {hint}" + (f'; perhaps "{stars}"' if _can_read(stars) else "")
    elif count == 7 and re.fullmatch(r"[0-9*?,/-]+", tokens[6][0]):
        start, hint = (
            tokens[6][1],
            "a cron expression has no field for the year; for one date use `type: once`",
        )
    else:
        start = tokens[5][1]
        hint = f"the fields are {hint}; a command does not belong here"
    raise CronError(message, start, end, hint=hint)
