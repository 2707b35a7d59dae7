"""Occurrences of schedules, and the fire times of runs.

Rule: the caller passes each instant. No function walks through a span of unknown length: missed occurrences
are counted up to a cap, and the latest one is found by halving.

An interval's grid passes through *grid_at*, which the caller keeps (see `Interval`)::

    start_at given       grid_at is itself an occurrence:      |----|----|----
    no start_at          grid_at is the moment of installing:   ----|----|----
                                                               ^ grid_at
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Final, assert_never

from luad.core.cron.crontext import describe_shortly
from luad.core.cron.search import compile_cron, describe, load_zone, next_after
from luad.core.cron.zones import BEGIN, END
from luad.core.model import DAY, HOUR, MINUTE, SECOND, Cron, Instant, Interval, Job, Once, Schedule

_UNITS: Final = (
    (DAY, "d", "day"),
    (HOUR, "h", "hour"),
    (MINUTE, "m", "minute"),
    (SECOND, "s", "second"),
    (1, "ms", "millisecond"),
)


def next_occurrence(schedule: Schedule, grid_at: Instant, after: Instant) -> Instant | None:
    """Return the first occurrence strictly after *after*, without jitter; None if it is after the year 9997.

    *grid_at* only matters for intervals. Raises CronError and ZoneError for an invalid `Cron`.
    """
    match schedule:
        case Cron(expression, timezone):
            return next_after(compile_cron(expression), load_zone(timezone), after)
        case Interval():
            at = grid_at + _place_after(schedule, grid_at, after) * schedule.every_ms
            return at if at < END else None
        case Once(execute_at):
            return execute_at if execute_at > after else None
        case _ as unreachable:
            assert_never(unreachable)


def latest_occurrence(
    schedule: Schedule, grid_at: Instant, after: Instant, until: Instant
) -> Instant | None:
    """Return the last occurrence in (after, until], or None.

    It costs about 50 searches for a next occurrence, however long the span.
    """
    match schedule:
        case Cron():
            return _latest_by_halving(schedule, after, until)
        case Interval():
            place = _place_after(schedule, grid_at, until) - 1
            at = grid_at + place * schedule.every_ms
            return at if at > after and place >= _first_place(schedule) else None
        case Once(execute_at):
            return execute_at if after < execute_at <= until else None
        case _ as unreachable:
            assert_never(unreachable)


def count_occurrences(
    schedule: Schedule, grid_at: Instant, after: Instant, until: Instant, cap: int
) -> tuple[int, bool]:
    """Return the number of occurrences in (after, until], up to *cap*, and whether there are more."""
    if isinstance(schedule, Interval):
        first = _place_after(schedule, grid_at, after)
        count = max(0, _place_after(schedule, grid_at, until) - first)
        return min(count, cap), count > cap
    count = len(occurrences(schedule, grid_at, after, until, cap + 1))
    return min(count, cap), count > cap


def occurrences(
    schedule: Schedule, grid_at: Instant, after: Instant, until: Instant, cap: int
) -> list[Instant]:
    """Return the first *cap* occurrences in (after, until], earliest first."""
    found: list[Instant] = []
    at = next_occurrence(schedule, grid_at, after)
    while at is not None and at <= until and len(found) < cap:
        found.append(at)
        at = next_occurrence(schedule, grid_at, at)
    return found


def jitter_of(
    job_name: str, scheduled_for: Instant, jitter_ms: int, gap_ms: int | None = None
) -> int:
    """Return a hashed delay in ms, below *jitter_ms* and below the *gap_ms* to the next occurrence.

    The same job and occurrence get the same delay, after every restart and on every machine.
    """
    bound = jitter_ms if gap_ms is None else min(jitter_ms, gap_ms)
    if bound <= 1:
        return 0
    digest = blake2b(f"{job_name}\0{scheduled_for}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % bound


def fire_at(job: Job, grid_at: Instant, scheduled_for: Instant) -> Instant:
    """Return the fire time of the occurrence *scheduled_for* of *job*: that instant plus jitter."""
    if not job.jitter_ms:
        return scheduled_for
    following = next_occurrence(job.schedule, grid_at, scheduled_for)
    gap_ms = None if following is None else following - scheduled_for
    return scheduled_for + jitter_of(job.name, scheduled_for, job.jitter_ms, gap_ms)


def schedule_key(job: Job, grid_at: Instant) -> Hashable:
    """Return a key that *job* shares with the jobs that are due at the same instants.

    A job with jitter has a key of its own, because jitter is hashed from the job's name. The key of a
    `once` is just its instant, because there may be very many.
    """
    alone = (job.name, job.jitter_ms) if job.jitter_ms else None
    match job.schedule:
        case Cron(expression, timezone):
            return ("cron", expression, timezone, alone)
        case Interval(every_ms, start_at):
            return ("interval", every_ms, grid_at, start_at is None, alone)
        case Once(execute_at):
            return ("once", execute_at, alone) if alone else execute_at
        case _ as unreachable:
            assert_never(unreachable)


def duration_words(duration_ms: int) -> str:
    """Return a duration in words, in its two largest units: "3 days 4 hours"."""
    parts = _parts(max(duration_ms, SECOND) // SECOND * SECOND)[:2]
    return " ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, _, name in parts)


@lru_cache(maxsize=1_024)
def describe_schedule(schedule: Schedule) -> str:
    """Return a schedule in a few words, for a table: "02:00 daily", "every 15 min"."""
    match schedule:
        case Cron(expression):
            return describe_shortly(expression)
        case Interval(every_ms):
            return f"every {_short_duration(every_ms)}"
        case Once(execute_at, timezone):
            return f"once {_moment(execute_at, timezone)}"
        case _ as unreachable:
            assert_never(unreachable)


def explain_schedule(schedule: Schedule) -> str:
    """Return a schedule in words, for a sentence: "at 02:00 every day (Europe/London)"."""
    match schedule:
        case Cron(expression, timezone):
            return describe(expression, timezone)
        case Interval(every_ms, start_at):
            since = "" if start_at is None else f", from {_moment(start_at, 'UTC')} on"
            return f"every {_long_duration(every_ms)}{since}"
        case Once(execute_at, timezone):
            return f"once, at {_moment(execute_at, timezone)}"
        case _ as unreachable:
            assert_never(unreachable)


# --- arithmetic --------------------------------------------------------------------------------


def _first_place(interval: Interval) -> int:
    return 1 if interval.start_at is None else 0


def _place_after(interval: Interval, grid_at: Instant, after: Instant) -> int:
    """Return the number of the first occurrence after *after*, in steps from *grid_at*."""
    assert interval.every_ms > 0, "an interval has a length"
    return max((after - grid_at) // interval.every_ms + 1, _first_place(interval))


def _latest_by_halving(cron: Cron, after: Instant, until: Instant) -> Instant | None:
    rule, zone = compile_cron(cron.expression), load_zone(cron.timezone)
    after, until = max(after, BEGIN), min(until, END)
    # Look back in windows that double, until one holds an occurrence ...
    window, empty_after = MINUTE, until
    while True:
        low = max(after, until - window)
        found = next_after(rule, zone, low)
        if found is not None and found <= until:
            break
        if low <= after:
            return None
        empty_after, window = low, window * 2
    # ... then halve the span between the latest known occurrence and the part that has none.
    while True:
        following = next_after(rule, zone, found)
        if following is None or following > empty_after:
            return found
        middle = (following + empty_after) // 2
        later = next_after(rule, zone, middle)
        if later is not None and later <= empty_after:
            found = later
        else:
            found, empty_after = following, middle


# --- words -------------------------------------------------------------------------------------


def _parts(duration_ms: int) -> list[tuple[int, str, str]]:
    parts = []
    for size, short, name in _UNITS:
        count, duration_ms = divmod(duration_ms, size)
        if count:
            parts.append((count, short, name))
    return parts


def _short_duration(duration_ms: int) -> str:
    return "".join(f"{count}{short}" for count, short, _ in _parts(duration_ms))


def _long_duration(duration_ms: int) -> str:
    parts = _parts(duration_ms)
    if len(parts) == 1 and parts[0][0] == 1:
        return parts[0][2]
    return " ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, _, name in parts)


def _moment(at: Instant, timezone: str) -> str:
    # In a zone ahead of UTC, the last hours of the year 9999 are beyond the range of datetime.
    name, zone = (timezone, load_zone(timezone)) if at < END else ("UTC", UTC)
    local = datetime.fromtimestamp(at // 1000, UTC).astimezone(zone)
    form = "%Y-%m-%d %H:%M:%S" if local.second else "%Y-%m-%d %H:%M"
    return f"{local:{form}} {name}"
