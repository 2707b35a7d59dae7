"""One field of a cron line: its check, its spelling for croniter, and its values.

Rule: knows one field, and of the rest of the line only the text that a hint quotes. This module checks each token
before croniter gets it, so that a problem has a place, and nothing huge or ambiguous reaches croniter; croniter
then validates and expands the field.

luad's reading, where cron programs differ:

- ``1-1`` is one value, and so is ``JAN-JAN`` (for croniter, they are the whole cycle).
- ``5/10`` means from 5 to the end of the field in steps of 10.
- A step may be as large as its range (``*/60``: once in 60 minutes), not larger.
- ``?`` is ``*``, in the two day fields. ``L`` is the last day of the month; in the day of week,
  ``L5`` is the last Friday and ``5#2`` the second. Those two do not mix with plain weekdays.
- ``H``, ``R`` and ``W`` are errors: the first two name no time, the third moves a date.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from luad.suggestions import close_to

LAST: Final = -1
"""The ordinal of the last weekday of a month, beside the ordinals 1-5."""

MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth", "sixth")
_ITEM: Final = re.compile(r"(\*|[0-9]+|[A-Za-z]+)(?:-([0-9]+|[A-Za-z]+))?(?:/([0-9]+))?")
_NTH: Final = re.compile(r"([0-9]+|[A-Za-z]+)#([0-9]+)")
_LAST_WEEKDAY: Final = re.compile(r"[Ll]([0-9]+)")


class CronError(ValueError):
    """An invalid cron expression.

    *start* and *end* are the offsets of the wrong part, or of the whole expression. *field* is the name of the field
    (``hour``) or None, *note* its place (``second field: hour``), and *help* the text to write instead.
    *never_fires*: the expression is well written, but names no date.
    """

    def __init__(
        self,
        message: str,
        start: int,
        end: int,
        *,
        field: str | None = None,
        note: str = "",
        hint: str = "",
        never_fires: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end
        self.field = field
        self.note = note
        self.help = hint
        self.never_fires = never_fires


class Passing(NamedTuple):
    """The values that match a field.

    *values* is sorted; weekdays count from Sunday, 0. *has_last*: the last day of the month matches too.
    *nth* holds ``(weekday, ordinal)``, ordinal 1-5 or `LAST`; then *values* is empty.
    """

    values: tuple[int, ...]
    has_last: bool = False
    nth: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of field: its range, its names and an example."""

    name: str
    low: int
    high: int
    top: int  # the end of `*`: a week has seven days, although Sunday is both 0 and 7
    names: Mapping[str, int] = field(default_factory=dict)
    example: str = "*/5"


KINDS: Final = (
    Kind("second", 0, 59, 59),
    Kind("minute", 0, 59, 59),
    Kind("hour", 0, 23, 23, example="9-17"),
    Kind("day of month", 1, 31, 31, example="1,15"),
    Kind("month", 1, 12, 12, {name: n for n, name in enumerate(MONTHS, 1)}, "1-6"),
    Kind("day of week", 0, 7, 6, {name: n for n, name in enumerate(WEEKDAYS)}, "MON-FRI"),
)
_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY = KINDS


@lru_cache(maxsize=4096)
def read_field(kind: Kind, text: str) -> Passing:
    """Return the values that match a field. Raises CronError, with offsets into *text*.

    The cache is by field, not by line: ten thousand lines have a few hundred different fields.
    """
    spelling = FieldReader(kind, text).spelling()
    if spelling == "*":
        return Passing(tuple(range(kind.low, kind.top + 1)))
    return _expanded(kind, spelling)


def _expanded(kind: Kind, spelling: str) -> Passing:
    """Return the values of a field, which croniter validates and expands."""
    # Imported on first use: with dateutil it costs 40 ms, which `luad --help` need not pay.
    from croniter import croniter  # noqa: PLC0415 - see above

    column = max(KINDS.index(kind) - 1, 0)  # seconds are read as minutes are
    fields = ["*"] * 5
    fields[column] = spelling
    try:
        columns, nths = croniter.expand(" ".join(fields))
    except (ValueError, TypeError, LookupError) as error:  # its classes derive from these
        message = f"croniter does not take `{spelling}` as a {kind.name}: {error}"
        raise CronError(message, 0, len(spelling), field=kind.name) from error
    found = set(columns[column])
    if "*" in found:
        found |= set(range(kind.low, kind.top + 1))
    nth = {(day, LAST if number == "l" else number) for day in nths for number in nths[day]}
    values = () if nth else sorted(value for value in found if isinstance(value, int))
    return Passing(tuple(values), "l" in found, tuple(sorted(nth)))


@dataclass(frozen=True, slots=True)
class FieldReader:
    """Checks one field, and spells it so that croniter cannot misread it.

    The field is the *position*-th of *whole*, at offset *start*. For a field without its line, only the places and
    hints of problems differ.
    """

    kind: Kind
    text: str
    whole: str = ""
    position: int = 0
    start: int = 0

    def problem(self, message: str, start: int, length: int, hint: str = "") -> CronError:
        """Return a problem of *length* characters at *start*, an offset into the field."""
        return CronError(
            message,
            self.start + start,
            self.start + start + length,
            field=self.kind.name,
            note=f"{_ORDINALS[self.position]} field: {self.kind.name}",
            hint=hint,
        )

    def instead(self, start: int, length: int, fix: str) -> str:
        """Return the whole expression with *fix* instead of some characters of the field."""
        at = self.start + start
        line = f"{self.whole[:at]}{fix}{self.whole[at + length :]}"
        return f'"{line.strip(" ")}"'

    def spelling(self) -> str:
        """Return the spelling of the field for croniter, after a check of every item."""
        if self.text == "?" and self.kind in {_DAY, _WEEKDAY}:
            return "*"
        spelt, offset = [], 0
        for item in self.text.split(","):
            spelt.append(self._item(item, offset))
            offset += len(item) + 1
        special = [item for item in spelt if item.startswith("l") or "#" in item]
        if self.kind is _WEEKDAY and special and len(special) < len(spelt):
            message = "plain weekdays do not mix with `#` and `L`"
            hint = "write every item as `5#2` or `L5`, or declare two jobs"
            raise self.problem(message, 0, len(self.text), hint)
        return ",".join(spelt)

    def _item(self, item: str, at: int) -> str:
        if not item:
            message = "a list has an empty item"
            hint = "remove the comma that has no value beside it"
            raise self.problem(message, max(at - 1, 0), 1, hint)
        if self.kind is _DAY and item in {"L", "l"}:
            return "l"
        if self.kind is _WEEKDAY and (match := _LAST_WEEKDAY.fullmatch(item)):
            return f"l{self._value(match[1], at + 1)}"
        if self.kind is _WEEKDAY and (match := _NTH.fullmatch(item)):
            return self._nth(match, at)
        match = _ITEM.fullmatch(item)
        if match is None or match[1] in {"L", "l"} or (match[1] == "*" and match[2]):
            raise self._unreadable(item, at)
        return self._range(match, at)

    def _nth(self, match: re.Match[str], at: int) -> str:
        weekday = self._value(match[1], at)
        if len(match[2]) > 1 or match[2] not in "12345":
            message = f"a month has no {match[2]}. weekday; `#` takes 1–5"
            hint = f"for the last one write `L{weekday}`"
            raise self.problem(message, at + match.start(2), len(match[2]), hint)
        return f"{weekday}#{match[2]}"

    def _range(self, match: re.Match[str], at: int) -> str:
        low, high, step = match[1], match[2], match[3]
        if low == "*":
            first, last = self.kind.low, self.kind.top
        else:
            first = self._value(low, at)
            last = self._value(high, at + match.start(2)) if high else first
            if step and not high:
                last = max(self.kind.top, first)
        if last < first:
            raise self._reversed(match, at, first, last)
        size = self._step(step, at + match.start(3), first, last) if step else 1
        if low == "*" and not step:
            return "*"
        if first == last:
            return str(first)
        if last > self.kind.top:  # croniter folds 7 to 0 before it counts, and then the step slips
            return ",".join(map(str, range(first, last + 1, size)))
        return f"{first}-{last}/{size}"

    def _step(self, text: str, at: int, first: int, last: int) -> int:
        size = _number(text)
        unit = self.kind.name
        if size == 0:
            hint = f"without a step it is {self.instead(at - 1, len(text) + 1, '')}"
            raise self.problem("step 0 never moves", at, len(text), hint)
        if size > last - first + 1:
            message = f"step {_shown(text)} is larger than the range {first}–{last}"
            hint = ""
            if unit in {"second", "minute", "hour"} and len(text) < 7:
                every = f"{int(text)}{unit[0]}"
                hint = f"for a fixed distance write `schedule: {{type: interval, every: {every}}}`"
            raise self.problem(message, at, len(text), hint)
        return size

    def _reversed(self, match: re.Match[str], at: int, first: int, last: int) -> CronError:
        low, high = match[1], match[2]
        kind = self.kind
        message = f"range `{low}-{high}` runs backwards"
        if kind is _WEEKDAY and last == 0:
            fix = f"{first}-7"
        else:
            tail = f"{kind.low}-{last}" if last > kind.low else f"{kind.low}"
            head = f"{first}-{kind.top}" if first < kind.top else f"{first}"
            fix = f"{head},{tail}"
        length = len(low) + 1 + len(high)
        return self.problem(message, at, length, f"write {self.instead(at, length, fix)}")

    def _value(self, text: str, at: int) -> int:
        kind = self.kind
        if text[0].isdigit():
            value = _number(text)
            if not kind.low <= value <= kind.high:
                raise self._out_of_range(text, value, at)
            return value
        if text.upper() in kind.names:
            return kind.names[text.upper()]
        if kind is _DAY and text in {"L", "l"}:
            return kind.high  # `28-L`: the end of a range, in the longest month
        raise self._unreadable(text, at)

    def _out_of_range(self, text: str, value: int, at: int) -> CronError:
        kind = self.kind
        message = f"{kind.name} {_shown(text)} is out of range {kind.low}–{kind.high}"
        hint = ""
        alone = self.text == text
        if kind is _HOUR and alone and value < 48:
            hint = f"for {value - 24:02}:00 write {self.instead(at, len(text), str(value - 24))}"
        elif kind is _DAY and alone and value == 32:
            hint = f"for the last day of the month write {self.instead(at, len(text), 'L')}"
        elif kind in {_DAY, _MONTH} and value == 0:
            hint = f"the first {'day' if kind is _DAY else 'month'} is 1"
        elif kind in {_SECOND, _MINUTE} and value == 60:
            hint = f"for the full {'minute' if kind is _SECOND else 'hour'} write 0"
        elif kind is _WEEKDAY:
            hint = "Sunday is 0 and 7, Monday is 1"
        return self.problem(message, at, len(text), hint)

    def _unreadable(self, item: str, at: int) -> CronError:
        kind, upper = self.kind, item.upper()
        message = f"cannot read `{item}` as {'an' if kind is _HOUR else 'a'} {kind.name}"
        hint = f"write `*`, or values {kind.low}–{kind.high} as in `{kind.example}`"
        if kind.names:
            hint = f"write values {kind.low}–{kind.high}, or {next(iter(kind.names))} and so on"
        if re.match(r"[HR~](?:$|[/(,])|[0-9]+~[0-9]*$", upper):
            message = f"`{item if '~' in item else item[0]}` names no time"
            hint = "write the value; to spread jobs out, give the job a `jitter`"
        elif kind is _DAY and re.fullmatch(r"L?W|[0-9]+W|W[0-9]+", upper):
            message = f"`{item}`: the nearest weekday is not supported"
            hint = "choose a date or a weekday; `L` is the last day of the month"
        elif kind is _DAY and re.match(r"L[-/]", upper):
            hint = "`L` is the last day of the month; it is not counted back from"
        elif "?" in item:
            hint = "`?` stands for `*` in a day field, alone"
        elif kind is _WEEKDAY and (match := re.fullmatch(r"([0-7]|[A-Z]{3})?[L#]L?", upper)):
            day = {**dict(zip("01234567", range(8), strict=True)), **kind.names}.get(match[1], 5)
            hint = f"for the last one of a month write `L{day}`"
        elif near := close_to(upper[:4], kind.names):  # `JANUARY` as well
            hint = f"did you mean `{near[0]}`?"
        elif upper in {*MONTHS, *WEEKDAYS}:
            message = f"`{item}` is a {'month' if upper in MONTHS else 'day of week'}"
            message += f", and this is the {kind.name}"
        return self.problem(message, at, len(item), hint)


def _number(text: str) -> int:
    # More digits than any field has are only ever compared: no need to build the number.
    return int(text) if len(text) < 10 else 10**9


def _shown(digits: str) -> str:
    return digits if len(digits) <= 12 else f"{digits[:9]}…"
