"""When a schedule is due, said without any cleverness: the naive twin of luad.core.cron.search.

Debian's rule, minute by minute: a line whose minute or hour field begins with `*` follows real time; any
other is due once a day at each of its times, at the first pass of a repeated hour, and right after a
gap that has swallowed it. Knows as much of cron lines as the simulated jobs use: numbers, lists,
ranges, steps from `*`, five fields.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from luad.core.model import DAY, MINUTE, Cron, Instant, Interval, Once, Schedule

_FAR_DAYS = 400
_QUARTER = 15 * MINUTE
_SPANS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def next_due(schedule: Schedule, grid_at: Instant, after: Instant) -> Instant | None:
    """Return the first instant after *after*; None if there is none within a year."""
    match schedule:
        case Once(execute_at):
            return execute_at if execute_at > after else None
        case Interval(every_ms, start_at):
            first = grid_at if start_at is not None else grid_at + every_ms
            return first if after < first else first + ((after - first) // every_ms + 1) * every_ms
        case Cron(expression, timezone):
            for day in range(after // DAY, after // DAY + _FAR_DAYS):
                due = _due_on(expression, timezone, day)
                place = bisect_right(due, after)
                if place < len(due):
                    return due[place]
    return None


@cache
def _due_on(expression: str, timezone: str, utc_day: int) -> tuple[Instant, ...]:
    """Every due instant of one day of UTC."""
    begin = utc_day * DAY
    minute, hour, *_ = expression.split()
    if minute.startswith("*") or hour.startswith("*"):
        quarters = range(begin, begin + DAY, _QUARTER)
        found = {at for each in quarters for at in _in_real_time(expression, timezone, each)}
    else:
        middle = _local(timezone, begin + DAY // 2).date()
        days = (middle + timedelta(offset) for offset in (-1, 0, 1))
        found = {at for day in days for at in _fixed(expression, timezone, day)}
    return tuple(sorted(at for at in found if begin <= at < begin + DAY))


def _fixed(expression: str, timezone: str, day: date) -> list[Instant]:
    """The instants of the civil times of one local day."""
    minutes, hours, *_ = fields = _fields(expression)
    if not _is_on(fields, expression, day):
        return []
    zone = ZoneInfo(timezone)
    return [
        _instant_of(datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone), timezone)
        for hour in hours
        for minute in minutes
    ]


def _instant_of(civil: datetime, timezone: str) -> Instant:
    at = round(civil.timestamp() * 1000)
    if _local(timezone, at).replace(tzinfo=None) == civil.replace(tzinfo=None):
        return at
    # Swallowed by a gap: *at* counts with the offset of before, so it lies behind the gap.
    offset = _local(timezone, at).utcoffset()
    while _local(timezone, at - MINUTE).utcoffset() == offset:
        at -= MINUTE
    return at


def _in_real_time(expression: str, timezone: str, quarter: Instant) -> list[Instant]:
    """The matching minutes of a quarter of an hour, within which no offset changes."""
    fields = _fields(expression)
    local = datetime.fromtimestamp(quarter // 1000, UTC) + _offset_of(timezone, quarter)
    if local.hour not in fields[1] or not _is_on(fields, expression, local.date()):
        return []
    within = range(local.minute, local.minute + 15)
    return [quarter + (each - local.minute) * MINUTE for each in fields[0] if each in within]


@cache
def _offset_of(timezone: str, at: Instant) -> timedelta:
    return _local(timezone, at).utcoffset() or timedelta()


def _local(timezone: str, at: Instant) -> datetime:
    return datetime.fromtimestamp(at // 1000, UTC).astimezone(ZoneInfo(timezone))


def _is_on(fields: tuple[frozenset[int], ...], expression: str, day: date) -> bool:
    _, _, days, months, weekdays = fields
    _, _, of_month, _, of_week = expression.split()
    in_month, in_week = day.day in days, day.isoweekday() % 7 in weekdays
    is_either = not of_month.startswith("*") and not of_week.startswith("*")
    return day.month in months and (in_month or in_week if is_either else in_month and in_week)


@cache
def _fields(expression: str) -> tuple[frozenset[int], ...]:
    fields = [
        frozenset(_numbers(text, *span))
        for text, span in zip(expression.split(), _SPANS, strict=True)
    ]
    fields[4] = frozenset(number % 7 for number in fields[4])
    return tuple(fields)


def _numbers(text: str, least: int, most: int) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{least}-{most}" if span == "*" else span).partition("-")
        found += range(int(first), int(last or first) + 1, int(step or 1))
    return found
