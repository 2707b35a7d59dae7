"""Warnings about valid jobs that probably contain a mistake.

Rule: pure; the current instant is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from luad.config.cron_advice import cron_doubts, zone_mistake
from luad.config.jobs.env_advice import env_mistakes
from luad.config.jobs.interval_advice import interval_mistake
from luad.config.schema.violations import Mistake
from luad.core.cron.search import CronRule, compile_cron, load_zone, next_civil
from luad.core.cron.zones import END, stretch_at
from luad.core.model import DAY, JSON, Cron, Instant, Interval, Job, Once, Overlap, Schedule
from luad.wire import format_duration_ms, format_in_zone, format_instant

_A_YEAR: Final = 366 * DAY


def advise(job: Job, now: Instant | None, written: JSON = None) -> list[Mistake]:
    """Return the warnings about *job*. Without *now*, those about the calendar are left out.

    *written* is the document as the file has it: a job's definition names the zone even if the
    file does not.
    """
    found = list(_useless_keys(job))
    if job.env or job.metadata:
        found.extend(env_mistakes(job))
    schedule = job.schedule
    found.extend(_doubts(schedule, job.definition if written is None else written))
    if isinstance(schedule, Interval):
        found.extend(_slow_runs(job, schedule))
    if now is not None and isinstance(schedule, Interval):
        zone = job.definition["schedule"].get("timezone")
        if (mistake := interval_mistake(schedule, zone, now)) is not None:
            found.append(mistake)
    if now is not None and isinstance(schedule, Once) and schedule.execute_at < now:
        found.append(_in_the_past(job, schedule.execute_at, now))
    if now is not None and isinstance(schedule, Cron):
        skipped = _skipped_time(schedule.expression, schedule.timezone, now // DAY * DAY)
        if skipped:
            path = ("schedule", "expression")
            found.append(Mistake(path, "LU501", skipped, is_warning=True))
    return found


def _doubts(schedule: Schedule, document: Mapping[str, JSON]) -> Iterator[Mistake]:
    """Yield the warnings about the values of the schedule."""
    written = document["schedule"]
    if isinstance(schedule, Cron):
        text = str(written.get("expression", ""))
        lead = len(text) - len(text.lstrip())
        for doubt in cron_doubts(schedule.expression):
            yield doubt.at(("schedule", "expression"), lead)
    zone = written.get("timezone")
    if zone is not None and (mistake := zone_mistake(("schedule", "timezone"), zone)):
        yield mistake


def _useless_keys(job: Job) -> Iterator[Mistake]:
    if "max_running" in job.definition and job.overlap is not Overlap.ALLOW:
        yield Mistake(
            ("max_running",),
            "LU504",
            f"`max_running` has no effect with `overlap: {job.overlap}`",
            "write  overlap: allow  or delete it",
            is_key=True,
            is_warning=True,
        )


def _slow_runs(job: Job, schedule: Interval) -> Iterator[Mistake]:
    # Only an explicit limit: the default says nothing about the length of a run.
    if "timeout" not in job.definition or job.overlap is not Overlap.SKIP:
        return
    if job.timeout_ms is not None and job.timeout_ms > schedule.every_ms:
        yield Mistake(
            ("timeout",),
            "LU503",
            f"timeout ({format_duration_ms(job.timeout_ms)}) is longer than the interval "
            f"({format_duration_ms(schedule.every_ms)}); runs would be skipped",
            is_warning=True,
        )


def _in_the_past(job: Job, at: Instant, now: Instant) -> Mistake:
    late = "a new job runs once, at load"
    if now - at > job.catch_up_window_ms or job.catch_up == "none":
        late = "a new job never runs, and is recorded as missed"
    return Mistake(
        ("schedule", "execute_at"),
        "LU502",
        f"`execute_at` is in the past ({format_instant(at)}); {late}",
        is_warning=True,
    )


@lru_cache(maxsize=4096)
def _skipped_time(expression: str, timezone: str, now: Instant) -> str:
    """Return a message about the day of the coming year that lacks the time of *expression*.

    Empty if each day has it.
    """
    rule, zone = compile_cron(expression), load_zone(timezone)
    if rule.follows_real_time:
        return ""
    for change, before, after in _gaps(timezone, now):
        civil = next_civil(rule, change + before - 1)
        if civil is not None and civil < change + after:
            day, _, clock = format_instant(civil).removesuffix("Z").partition("T")
            run = format_in_zone(change, zone).partition("T")[2][:5]
            return f"{_clock(clock, rule)} does not exist on {day} in {timezone}; that day's run is at {run}"
    return ""


def _clock(clock: str, rule: CronRule) -> str:
    return clock if rule.has_seconds else clock[:5]


@lru_cache(maxsize=1024)
def _gaps(timezone: str, now: Instant) -> tuple[tuple[Instant, int, int], ...]:
    """Return the forward jumps of the zone's clock in the coming year.

    Each has its instant, the offset before, and the offset after.
    """
    zone, found = load_zone(timezone), []
    stretch = stretch_at(zone, min(now, END - _A_YEAR))
    while stretch.end < now + _A_YEAR and stretch.end < END - _A_YEAR:
        following = stretch_at(zone, stretch.end)
        if following.offset > stretch.offset:
            found.append((stretch.end, stretch.offset, following.offset))
        stretch = following
    return tuple(found)
