"""Times and durations as users write and read them.

Rule: it is pure; the instant "now" and the zone are arguments. A zone of None is the machine's zone.
"""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, timezone, tzinfo
from typing import Final

from luad.cli.terminal.failure import CommandError
from luad.core.model import DAY, HOUR, MINUTE, SECOND, Instant
from luad.wire import example_date, format_instant, parse_duration_ms

UTC: Final = timezone.utc  # noqa: UP017 - the one name for it in this package
CLOCK_TIME: Final = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


def to_datetime(instant: Instant, zone: tzinfo | None) -> datetime:
    """Return *instant* as an aware datetime in *zone*."""
    moment = datetime.fromtimestamp(instant // 1000, UTC) + timedelta(milliseconds=instant % 1000)
    return moment.astimezone(zone)


def to_instant(moment: datetime, zone: tzinfo | None) -> Instant:
    """Return *moment* as an instant; a naive one is in *zone*."""
    if moment.tzinfo is None and zone is not None:
        moment = moment.replace(tzinfo=zone)
    return int(moment.timestamp() * 1000 + 0.5)


def parse_rfc3339(text: str | None) -> Instant | None:
    """Return the instant of a time in the daemon's JSON; None stays None."""
    return None if text is None else to_instant(datetime.fromisoformat(text), UTC)


def rfc3339(instant: Instant, zone: tzinfo | None = UTC) -> str:
    """Return *instant* for programs, with the offset of *zone*, `Z` for UTC."""
    if zone is UTC:
        return format_instant(instant)
    spec = "milliseconds" if instant % SECOND else "seconds"
    return to_datetime(instant, zone).isoformat(timespec=spec)


def parse_duration(text: str) -> int:
    """Return the milliseconds of `90`, `90s`, `10m`, `1h30m`, `2d`, `1w`; raises `CommandError` (usage)."""
    try:
        return parse_duration_ms(text)
    except ValueError as error:
        raise CommandError(
            f"`{text}` is not a duration",
            code="usage",
            hint="write it like  90s  10m  1h30m  2d  1w",
        ) from error


def parse_when(text: str, zone: tzinfo | None, now: Instant, *, direction: int = 1) -> Instant:
    """Return the instant of a time (`2026-12-25T09:00`, `2026-12-25`, `09:00`, `now`) or a duration.

    A duration counts from *now*: forward, or back if *direction* is -1. A clock time means today. A time
    without an offset is in *zone*. Raises `CommandError` (usage) if *text* is neither.
    """
    if text == "now":
        return now
    moment: datetime | None = None
    try:
        if CLOCK_TIME.fullmatch(text):
            today = to_datetime(now, zone).date()
            moment = datetime.combine(today, time.fromisoformat(text.rjust(5, "0")))
        elif "-" in text:
            moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(
            f"`{text}` is not a time: {error}",
            code="usage",
            hint=f"write it like  {example_date()}T09:00  {example_date()}T09:00:00Z  09:00"
            "  or a duration  2h",
        ) from error
    if moment is not None:
        return to_instant(moment, zone)
    try:
        return now + direction * parse_duration(text)
    except CommandError as error:
        raise CommandError(
            f"`{text}` is neither a time nor a duration",
            code="usage",
            hint=f"write it like  {example_date()}T09:00  09:00  now  10m  2d",
        ) from error


def show_when(instant: Instant, zone: tzinfo | None, now: Instant) -> str:
    """Return *instant* as `Sun 22 Nov 09:35:00 GMT`, with the year unless it is this year."""
    moment = to_datetime(instant, zone)
    year = "" if moment.year == to_datetime(now, zone).year else f" {moment.year}"
    return f"{moment:%a} {moment.day} {moment:%b}{year} {moment:%H:%M:%S} {moment:%Z}".rstrip()


def show_span(duration_ms: int) -> str:
    """Return a duration in its largest unit, for a column: `3 min`, `16 h`, `6 d`."""
    seconds = abs(duration_ms) / SECOND
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} d"


def show_left(instant: Instant, now: Instant) -> str:
    """Return the time from now to *instant*: `in 11 min`, `4 min ago`, `now`."""
    span = show_span(instant - now)
    if span == "0 s":
        return "now"
    return f"in {span}" if instant > now else f"{span} ago"


def show_exact(duration_ms: int) -> str:
    """Return a duration in two units, for a sentence: `4 d 14 h`, `1 h 30 min`, `20 s`."""
    rest = abs(duration_ms)
    parts: list[str] = []
    for name, unit in (("d", DAY), ("h", HOUR), ("min", MINUTE), ("s", SECOND)):
        count, rest = divmod(rest, unit)
        if count or (parts and len(parts) < 2 and rest):
            parts.append(f"{count} {name}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part) or "0 s"


def show_took(duration_ms: int | None) -> str:
    """Return the duration of a run: `12 ms`, `0.8 s`, `41 s`, `2 min`."""
    if duration_ms is None:
        return ""
    if duration_ms < 100:
        return f"{duration_ms} ms"
    if duration_ms < 10 * SECOND:
        return f"{duration_ms / SECOND:.1f} s"
    return show_span(duration_ms)


def zone_name(zone: tzinfo | None, now: Instant) -> str:
    """Return the abbreviation that *zone* has at *now*."""
    return to_datetime(now, zone).tzname() or "UTC"
