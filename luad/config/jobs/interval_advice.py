"""Warnings about intervals of whole days that do not keep their time of day.

An interval is a distance in time: when a zone changes its clocks, 24 hours later is another time
of day.

Rule: as in `advice`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from luad.config.schema.violations import Mistake
from luad.core.cron.search import load_zone
from luad.core.cron.zones import BEGIN, END, ZoneError, stretch_at
from luad.core.model import DAY, MINUTE, SECOND, Instant, Interval
from luad.wire import format_duration_ms, format_in_zone

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_WEEK: Final = 7 * DAY
_WEEKDAYS: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_LOOKED_AHEAD: Final = 2 * 366 * DAY


def interval_mistake(schedule: Interval, timezone: object, now: Instant) -> Mistake | None:
    """Return a warning if an interval of whole days leaves the time of day of `start_at`."""
    start = schedule.start_at
    if start is None or schedule.every_ms % DAY or not isinstance(timezone, str):
        return None
    try:
        zone = load_zone(timezone)
    except ZoneError:  # reported elsewhere
        return None
    begin = max(now, start)
    if not BEGIN < start < END or begin >= END - _LOOKED_AHEAD:
        return None
    change = _next_change(zone, stretch_at(zone, start).offset, begin)
    if change is None:
        return None
    following = start + -((start - change) // schedule.every_ms) * schedule.every_ms
    message = (
        f"an interval of {format_duration_ms(schedule.every_ms)} does not keep its time of day in "
        f"{timezone}: {_clock(start, zone)} becomes {_clock(following, zone)} "
        f"when the clocks change on {format_in_zone(change, zone)[:10]}"
    )
    return Mistake(
        ("schedule", "start_at"), "LU520", message, _help(schedule, zone), is_warning=True
    )


def _next_change(zone: ZoneInfo, offset: int, begin: Instant) -> Instant | None:
    """Return the first instant from *begin* on at which the zone does not have *offset*."""
    stretch, at = stretch_at(zone, begin), begin
    while stretch.offset == offset:
        at = stretch.end
        if at > begin + _LOOKED_AHEAD:
            return None
        stretch = stretch_at(zone, at)
    return at


def _help(schedule: Interval, zone: ZoneInfo) -> str:
    """Return advice with the cron expression for the same time of day, if there is one."""
    start = schedule.start_at
    assert start is not None, "an interval without a start has no time of day"
    local = (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=start)).astimezone(zone)
    weekday = {DAY: "*", _WEEK: _WEEKDAYS[local.weekday()]}.get(schedule.every_ms)
    if weekday is None or start % SECOND:
        return "no cron expression has this distance; keep the interval if the time of day does not matter"
    seconds = f"{local.second} " if start % MINUTE else ""
    line = f"{seconds}{local.minute} {local.hour} * * {weekday}"
    return f'write  type: cron, expression: "{line}", timezone: {zone.key}'


def _clock(at: Instant, zone: ZoneInfo) -> str:
    return format_in_zone(at, zone)[11 : 16 if at % MINUTE == 0 else 19]
