"""Warnings about valid cron expressions and time zones that are probably mistakes.

An expression that is clearly intended gets no warning: `* 8-18 * * MON-FRI` names a range of
hours, but `* 2 * * *` lacks the minute.

Rule: pure; an expression or a zone in, warnings out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import Final

from luad.config.schema.violations import Mistake
from luad.config.yaml.marks import Path
from luad.core.cron.cronfield import WEEKDAYS
from luad.core.cron.cronline import CronField, CronLine, read_line
from luad.core.cron.search import CronError

_CYCLE: Final = {"second": 60, "minute": 60, "hour": 24, "day of month": 31, "month": 12}
_UNITS: Final = {"second": "s", "minute": "m", "hour": "h", "day of month": "d"}
_STEP: Final = re.compile(r"(?:\*|([0-9]+)(?:-([0-9]+))?)/([0-9]+)")
_STARS: Final = frozenset({"*", "*/1"})

_ABBREVIATED: Final = {
    "EST": "America/New_York",
    "MST": "America/Denver",
    "HST": "Pacific/Honolulu",
}
_FIXED: Final = re.compile(r"Etc/GMT([+-])([1-9][0-9]?)")


@dataclass(frozen=True, slots=True)
class Doubt:
    """One probable mistake. *start* and *end* are offsets into the text."""

    code: str
    message: str
    help: str
    start: int
    end: int

    def at(self, path: Path, lead: int = 0) -> Mistake:
        """Return the warning at *path*, whose text has *lead* blanks before the expression."""
        within = (lead + self.start, lead + self.end)
        return Mistake(path, self.code, self.message, self.help, within=within, is_warning=True)


@lru_cache(maxsize=8192)
def cron_doubts(expression: str) -> tuple[Doubt, ...]:
    """Return the probable mistakes of *expression*; none if it is invalid."""
    try:
        line = read_line(expression)
    except CronError:
        return ()
    if expression.lstrip().startswith("@"):
        return ()
    return (*_too_often(line), *_either_day(line), *_uneven(line))


def zone_mistake(path: Path, name: str) -> Mistake | None:
    """Return a warning at *path* if the time zone *name* lacks summer time."""
    doubt = zone_doubt(name)
    return doubt.at(path) if doubt is not None else None


def zone_doubt(name: str) -> Doubt | None:
    """Return a warning if the clock of the zone never changes, but that of its place does."""
    if name in _ABBREVIATED:
        place = _ABBREVIATED[name]
        message = f"time zone `{name}` never has summer time"
        return Doubt("LU510", message, f"write the place: {place}", 0, len(name))
    if found := _FIXED.fullmatch(name):
        behind = found[1] == "+"
        side, sign = ("behind", "-") if behind else ("ahead of", "+")
        message = f"time zone `{name}` is {found[2]} h {side} UTC (UTC{sign}{found[2]}), all year"
        hint = (
            "name a place, such as America/New_York or Europe/Berlin, for a zone with summer time"
        )
        return Doubt("LU510", message, hint, 0, len(name))
    return None


# --- a star that makes too many runs -------------------------------------------


def _too_often(line: CronLine) -> Iterator[Doubt]:
    """Yield a warning for a `*` in seconds or minutes, with values in a field to its right."""
    fields = line.fields
    first = fields[0]
    if first.text not in _STARS:
        # `0 * 2 * * *`: the seconds are one value, so the minute repeats.
        fields = fields[1:] if line.has_seconds and len(first.values) == 1 else ()
    star = fields[0] if fields else first
    if star.text not in _STARS or star.name not in {"second", "minute"}:
        return
    narrow = next((each for each in fields[1:] if each.text not in {"*", "?", "*/1"}), None)
    if narrow is None or _is_plain_range(narrow):
        return
    clock = [each for each in fields[1:] if each.name in {"minute", "hour"}]
    runs = 60 * prod(len(each.values) for each in clock)
    zeros = {each.name for each in fields[: fields.index(narrow)]} & {"second", "minute", "hour"}
    once = " ".join("0" if each.name in zeros else each.text for each in line.fields)
    noun = {"day of month": "day", "day of week": "weekday"}.get(narrow.name, narrow.name)
    yield Doubt(
        "LU507",
        f"`*` in the {star.name} field means every {star.name} of each {noun} that matches: "
        f"{runs:,} runs a day",
        f'for one run each time write "{once}"; if each {star.name} is intended, write `0-59` for the `*`',
        star.start,
        star.start + len(star.text),
    )


def _is_plain_range(field: CronField) -> bool:
    """Return whether a field is one range, `8-18` or `MON-FRI`, which is intended."""
    return "-" in field.text and not set(field.text) & set(",/#*")


# --- day of month OR day of week ---------------------------------------------------------------


def _either_day(line: CronLine) -> Iterator[Doubt]:
    day, weekday = line.day, line.weekday
    if day.is_free or weekday.is_free or weekday.passing.nth:
        return
    start, end = day.start, weekday.start + len(weekday.text)
    for whole, other in ((day, weekday), (weekday, day)):
        if len(whole.values) == (31 if whole is day else 7):
            message = f"`{whole.text}` matches every day, so `{other.text}` has no effect"
            hint = f"write `*` for the {whole.name}, or for the {other.name}"
            yield Doubt("LU508", message, hint, start, end)
            return
    message = "both day fields are set, so the job runs when EITHER matches"
    yield Doubt("LU508", message, _either_help(line), start, end)


def _either_help(line: CronLine) -> str:
    values, weekdays = line.day.values, line.weekday.values
    first = values[0] if values else 0
    is_week = values == tuple(range(first, first + 7)) and first % 7 == 1
    if is_week and len(weekdays) == 1 and not line.day.passing.has_last:
        nth = f"{WEEKDAYS[weekdays[0]]}#{first // 7 + 1}"
        texts = [*(each.text for each in line.fields[:-3]), "*", line.month.text, nth]
        return f'for the dates that match both write "{" ".join(texts)}"'
    hint = "for the dates that match both, set one field and check the other in the handler"
    return f"{hint}; for EITHER on purpose, write two jobs"


# --- steps that do not divide their cycle ------------------------------------------------------


def _uneven(line: CronLine) -> Iterator[Doubt]:
    above = {
        "second": line.minute,
        "minute": line.hour,
        "hour": None,
        "day of month": line.month,
    }
    for field in line.fields:
        following = above.get(field.name)
        if following is not None and not _has_neighbours(following):
            continue  # no cycle follows directly on another
        if field.name == "hour" and not _has_neighbouring_days(line):
            continue
        if (step := _open_step(field)) and (doubt := _uneven_step(line, field, step)):
            yield doubt


def _open_step(field: CronField) -> int:
    """Return the step of a field that runs through its whole cycle; 0 for other fields."""
    found = _STEP.fullmatch(field.text)
    if found is None or len(field.values) < 2:
        return 0
    if found[2] is not None and int(found[2]) < (_top(field) - 1):
        return 0  # `9-17/2` has an explicit end
    if found[1] is not None and int(found[1]) >= max(int(found[3]), 2):
        return 0  # `15/5` has an explicit start
    return int(found[3])


def _top(field: CronField) -> int:
    cycle = _CYCLE.get(field.name, 7)
    return cycle + 1 if field.name in {"day of month", "month"} else cycle


def _uneven_step(line: CronLine, field: CronField, step: int) -> Doubt | None:
    cycle, values = _CYCLE.get(field.name, 7), field.values
    last = values[0] + cycle - values[-1]
    if step in {1, last}:
        return None
    noun = {"day of month": "day", "day of week": "day"}.get(field.name, field.name)
    if field.name == "day of month":
        lengths = "the 31st and the 1st" if values[-1] == 31 else f"day {values[-1]} and day 1"
        message = f"`{field.text}` is not every {step} days: {lengths} are closer than that"
        if step > 15:
            message = (
                f"`{field.text}` is day {_listed(values)} of each month, not every {step} days"
            )
    else:
        distance = f"{last} {noun}{'' if last == 1 else 's'}"
        message = f"`{field.text}` is not every {step} {noun}s: the last distance is {distance}"
    return Doubt(
        "LU509",
        message,
        _even_help(line, field, step),
        field.start,
        field.start + len(field.text),
    )


def _even_help(line: CronLine, field: CronField, step: int) -> str:
    unit = _UNITS.get(field.name)
    written = [each for each in line.fields if each is not field]
    later = line.fields[line.fields.index(field) + 1 :]
    is_alone = all(each.text in {"*", "?"} for each in later)
    if unit and is_alone and all(len(each.values) == 1 or each in later for each in written):
        return f"for a fixed distance write  schedule: {{type: interval, every: {step}{unit}}}"
    listed = ",".join(map(str, field.values))
    return f"if the uneven distances are meant, write the values: {listed}"


def _has_neighbours(field: CronField) -> bool:
    values: Sequence[int] = field.values
    cycle = _CYCLE[field.name]
    return any(b - a == 1 for a, b in pairwise((*values, values[0] + cycle))) if values else True


def _has_neighbouring_days(line: CronLine) -> bool:
    """Return whether two days in a row can match."""
    weekdays = line.weekday.values
    days = line.day.values
    if line.weekday.passing.nth or not days:
        return False
    by_weekday = any((each + 1) % 7 in weekdays for each in weekdays)
    by_date = any(each + 1 in days for each in days) or {1, 31} <= set(days)
    return by_weekday and by_date


def _listed(values: Sequence[int]) -> str:
    return " and ".join(map(str, values))
