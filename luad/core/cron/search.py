"""The search for the next instant of a cron line.

Rule: knows calendars and zones, not jobs. `cronline` reads the text, and `crontext` describes it; this module
exports both.

Two rules decide (those of Debian cron)::

    days    day of month and day of week both restricted: EITHER suffices. A field that starts with
            `*` (`*/2` too) restricts nothing: then both must hold. `5#2` and `L5` are a kind of date
            themselves and hold together with the day of month: `0 0 13 * 5#2` is Friday the 13th.
            (Cron has neither; of the programs that do, each combines them in its own way.)

    clock   a line whose minute or hour starts with `*` follows real time: it fires whenever the wall
            clock matches, in both passes of a repeated hour, never in a skipped one. Every other
            line is a fixed time: it fires when the wall clock reaches that time or jumps past it,
            and only the first time. The seconds field has no say in this.

            spring  01:58 01:59 03:00 03:01    30 2 * * *   fires at 03:00, once
                                 ^             */30 * * * * fires at 03:00 and 03:30
            autumn  01:30 .. 01:59 01:00 .. 01:30           30 1 * * * fires at the first 01:30
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from luad.core.cron.cronfield import LAST, CronError, Passing
from luad.core.cron.cronline import CronField, CronLine, read_line
from luad.core.cron.crontext import describe, explain_fields, never_fires_message, notes
from luad.core.cron.zones import BEGIN, END, ZoneError, load_zone, stretch_at
from luad.core.model import DAY, SECOND, Instant

__all__ = [
    "CronError",
    "CronRule",
    "ZoneError",
    "compile_cron",
    "describe",
    "explain_fields",
    "load_zone",
    "next_after",
    "notes",
]

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_LAST_YEAR: Final = 9997
_MINUTES: Final = 60
_LENGTHS: Final = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class CronRule:
    """A cron line, compiled to bit masks: bit n is set if the value n matches.

    *minutes* has a bit for each minute of a day. The indexes of *days* are the weekday of the month's first day
    (Sunday is 0) and the month's length less 28; bit n of the mask is day n.
    *follows_real_time* and *has_seconds* are about the line as written.
    """

    has_seconds: bool
    follows_real_time: bool
    seconds: int
    minutes: int
    days: tuple[tuple[int, ...], ...]
    months: int


@lru_cache(maxsize=8192)
def compile_cron(expression: str) -> CronRule:
    """Return *expression* compiled. Raises CronError if it is not valid, or never fires."""
    line = read_line(expression)
    rule = CronRule(
        has_seconds=line.has_seconds,
        follows_real_time=line.minute.is_free or line.hour.is_free,
        seconds=_mask(line.second.values),
        minutes=sum(_mask(line.minute.values) << _MINUTES * hour for hour in line.hour.values),
        days=_days(line.day.passing, line.weekday.passing, is_either=_is_either(line)),
        months=_mask(line.month.values),
    )
    if not _has_a_date(rule):
        raise _never_fires(line)
    return rule


def next_after(rule: CronRule, zone: ZoneInfo, after: Instant) -> Instant | None:
    """Return the first instant strictly after *after* at which *rule* fires in *zone*.

    Returns None after the year 9997. Returns None too if the search makes no progress, so that callers cannot loop
    for ever.
    """
    found = None if after >= END else _first_match(rule, zone, after)
    return found if found is None or found > after else None


def _first_match(rule: CronRule, zone: ZoneInfo, after: Instant) -> Instant | None:
    after = max(after, BEGIN)
    _, end, offset, reached = stretch_at(zone, after)
    # `seen` is the civil time up to which the search has come. A fixed time that the clock reached in the
    # first pass of a repeated hour does not fire again.
    seen = after + offset
    if reached > seen and not rule.follows_real_time:
        seen = reached - 1
    civil = next_civil(rule, seen)
    while civil is not None:
        if civil - offset < end:
            return civil - offset
        if end >= END:
            break
        start, end, offset, _ = stretch_at(zone, end)
        skipped = civil - offset < start
        if skipped and not rule.follows_real_time:
            return start
        if rule.follows_real_time and (skipped or start + offset <= seen):
            seen = start + offset - 1
            civil = next_civil(rule, seen)
    return None


def next_civil(rule: CronRule, after: int) -> int | None:
    """Return the first civil time strictly after *after* that matches, without zones.

    Both are in ms since 1970-01-01 00:00 of the same clock.
    """
    second = after // SECOND + 1
    ordinal, second = divmod(second, 86_400)
    ordinal += _EPOCH_ORDINAL
    day = _next_day(rule, ordinal)
    if day == ordinal:
        minute, second = divmod(second, 60)
        if rule.minutes >> minute & 1 and (rest := rule.seconds >> second):
            second += _lowest(rest)
            return (day - _EPOCH_ORDINAL) * DAY + (minute * 60 + second) * SECOND
        if rest := rule.minutes >> minute + 1:
            minute += 1 + _lowest(rest)
            second = minute * 60 + _lowest(rule.seconds)
            return (day - _EPOCH_ORDINAL) * DAY + second * SECOND
        day = _next_day(rule, ordinal + 1)
    if day is None:
        return None
    second = _lowest(rule.minutes) * 60 + _lowest(rule.seconds)
    return (day - _EPOCH_ORDINAL) * DAY + second * SECOND


def _next_day(rule: CronRule, ordinal: int) -> int | None:
    """Return the first day from *ordinal* on that matches; skips months without matches."""
    today = date.fromordinal(ordinal)
    year, month, day = today.year, today.month, today.day
    first = ordinal - day + 1
    while True:
        if rule.months >> month & 1:
            days = rule.days[first % 7][_length(year, month) - 28] >> day
            if days:
                return first + day - 1 + _lowest(days)
        later = rule.months >> month + 1
        month = month + 1 + _lowest(later) if later else _lowest(rule.months)
        year += not later
        if year > _LAST_YEAR:
            return None
        day, first = 1, date(year, month, 1).toordinal()


# --- compiling ---------------------------------------------------------------------------------


def _is_either(line: CronLine) -> bool:
    return not (line.day.is_free or line.weekday.is_free or line.weekday.passing.nth)


@lru_cache(maxsize=1024)
def _days(dates: Passing, weekdays: Passing, *, is_either: bool) -> tuple[tuple[int, ...], ...]:
    """Return `CronRule.days`; the cache shares it, because few pairs of day fields are in use."""
    table = []
    for first in range(7):
        week = _weekdays(weekdays.values, first)
        months = []
        for length in range(28, 32):
            whole = (1 << length + 1) - 2
            by_date = _mask(dates.values) | dates.has_last << length
            by_weekday = week | _nth_days(weekdays.nth, first, length)
            both = by_date | by_weekday if is_either else by_date & by_weekday
            months.append(both & whole)
        table.append(tuple(months))
    return tuple(table)


def _weekdays(values: tuple[int, ...], first: int) -> int:
    week = _mask(tuple(1 + (weekday - first) % 7 for weekday in values))
    return week | week << 7 | week << 14 | week << 21 | week << 28


def _nth_days(nth: tuple[tuple[int, int], ...], first: int, length: int) -> int:
    days = 0
    for weekday, ordinal in nth:
        day = 1 + (weekday - first) % 7
        days |= 1 << (day + (length - day) // 7 * 7 if ordinal == LAST else day + 7 * (ordinal - 1))
    return days


def _has_a_date(rule: CronRule) -> bool:
    # In the 400 years after which the calendar repeats, each month, and a leap year's February,
    # begins on each of the seven weekdays. So this is exact, and needs no search.
    return any(
        month_days[length - 28]
        for month in range(1, 13)
        if rule.months >> month & 1
        for month_days in rule.days
        for length in (_LENGTHS[month], _LENGTHS[month] + (month == 2))
    )


def _never_fires(line: CronLine) -> CronError:
    fields: tuple[CronField, ...] = (line.day, line.month)
    longest = max(_LENGTHS[month] + (month == 2) for month in line.month.values)
    if line.day.passing.has_last or min(line.day.values) <= longest:
        fields = (line.day, line.month, line.weekday)  # the dates exist, on no such weekday
    last = fields[-1]
    return CronError(
        never_fires_message(line, is_date_missing=len(fields) == 2),
        line.day.start,
        last.start + len(last.text),
        field=line.day.name,
        never_fires=True,
    )


def _mask(values: tuple[int, ...]) -> int:
    return sum(1 << value for value in values)


def _lowest(bits: int) -> int:
    """Return the number of the lowest set bit; *bits* is not 0."""
    return (bits & -bits).bit_length() - 1


def _length(year: int, month: int) -> int:
    if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
        return 29
    return _LENGTHS[month]
