"""A job in one sentence, which an agent can repeat to a user.

Rule: pure; says what will happen, with the zone in which it is meant.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from luad.core.cron.crontext import describe
from luad.core.cron.zones import load_zone
from luad.core.installed import JobStatus
from luad.core.model import DAY, HOUR, MINUTE, SECOND, Cron, Instant, Interval, Once, Schedule
from luad.core.policy import is_too_late
from luad.core.schedule import explain_schedule

if TYPE_CHECKING:
    from luad.live.job_state import JobStateView

_UNITS: Final = ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second"))
_LATE_MS: Final = MINUTE
_ENOUGH: Final = 2
"""From two of a unit on, the next smaller one does not matter to anybody."""


def summarize(state: JobStateView, now: Instant | None = None) -> str:
    """Return the sentence. With *now* it also says how long it is until then."""
    job = state.job
    addressee = f", for {job.user}" if job.user else ""
    if state.gone_at is not None:
        return f"Is {state.status.value} since {moment(state.gone_at)}{addressee}."
    if state.status is JobStatus.PAUSED:
        return _paused(state, addressee)
    at = state.next_fire_at
    if state.status is JobStatus.COMPLETED or at is None:
        if state.running or state.queued:
            return f"Is running for the last time{addressee}."
        if state.status is JobStatus.ACTIVE and isinstance(job.schedule, Interval):
            return f"Runs {_rule(job.schedule)}, from when the daemon sees its file{addressee}."
        return f"Is over, and will not run again{addressee}."
    wait = "" if now is None else f", {_in_words(at - now)}"
    when = _moment(at, _zone_of(job.schedule))
    if isinstance(job.schedule, Once):
        if now is not None and is_too_late(job, now - at):
            return f"Was due once on {when}{addressee}: that is past, and it will not run."
        return f"Runs once on {when}{wait}{addressee}."
    return f"Runs {_rule(job.schedule)}, next on {when}{wait}{addressee}."


def _paused(state: JobStateView, addressee: str) -> str:
    pause = state.pause
    if pause is None:  # its definition says so
        return f"Not enabled{addressee}."
    until = (
        ""
        if pause.until is None
        else f" until {_moment(pause.until, _zone_of(state.job.schedule))}"
    )
    reason = f": {pause.reason.rstrip('.')}" if pause.reason else ""
    return f"Paused{until}{reason}{addressee}."


def _zone_of(schedule: Schedule) -> str:
    return getattr(schedule, "timezone", "UTC")


@lru_cache(maxsize=2_048)
def _rule(schedule: Schedule) -> str:
    if isinstance(schedule, Cron):
        return describe(schedule.expression)  # the moment that follows tells the zone
    return explain_schedule(schedule).partition(",")[0]


def moment(at: Instant, zone: str = "UTC") -> str:
    """Return an instant in words, in the time zone *zone*."""
    return _moment(at, zone)


def _moment(at: Instant, zone: str) -> str:
    local = datetime.fromtimestamp(at / SECOND, UTC).astimezone(load_zone(zone))
    seconds = f":{local:%S}" if local.second else ""
    return f"{local:%a} {local.day} {local:%b %Y %H:%M}{seconds} {local:%Z}"


def _in_words(wait_ms: int) -> str:
    if wait_ms < -_LATE_MS:
        return "which is past"
    if wait_ms < SECOND // 2:
        return "now"
    for unit, word in _UNITS:
        count = round(wait_ms / unit)
        if count >= _ENOUGH or (count == 1 and abs(wait_ms - unit) <= unit // 20):
            return f"in {count} {word}{'s' if count > 1 else ''}"
    return "in 1 second"
