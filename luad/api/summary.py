"""A job in one sentence, for somebody who has to repeat it to somebody else.

Room rule: pure; says what will happen, with the zone in which it is meant.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from luad.core.model import DAY, HOUR, MINUTE, SECOND, Instant, JobStatus, Once, Schedule
from luad.core.schedule import describe_schedule
from luad.core.zones import load_zone

if TYPE_CHECKING:
    from luad.api.service import JobStateView

_UNITS: Final = ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second"))
_ENOUGH: Final = 2
"""From two of a unit on, the next smaller one does not matter to anybody."""


def summarize(state: JobStateView, now: Instant | None = None) -> str:
    """Return the sentence. With *now* it also says how long it is until then."""
    job = state.job
    whom = f", for {job.user}" if job.user else ""
    if state.status is JobStatus.COMPLETED:
        return f"Has run, and will not run again{whom}."
    if state.status is JobStatus.PAUSED:
        reason = f": {state.pause.reason}" if state.pause and state.pause.reason else ""
        return f"Paused{reason}{whom}."
    at = state.next_fire_at
    if at is None:
        return f"Will not run again{whom}."
    wait = "" if now is None else f", {_in_words(at - now)}"
    moment = _moment(at, _zone_of(job.schedule))
    if isinstance(job.schedule, Once):
        return f"Runs once on {moment}{wait}{whom}."
    return f"Runs {_rule(job.schedule)}, next on {moment}{wait}{whom}."


def _zone_of(schedule: Schedule) -> str:
    return getattr(schedule, "timezone", "UTC")


@lru_cache(maxsize=512)
def _rule(schedule: Schedule) -> str:
    return describe_schedule(schedule)


def _moment(at: Instant, zone: str) -> str:
    local = datetime.fromtimestamp(at / SECOND, UTC).astimezone(load_zone(zone))
    seconds = f":{local:%S}" if local.second else ""
    return f"{local:%a} {local.day} {local:%b %Y %H:%M}{seconds} {local:%Z}"


def _in_words(wait_ms: int) -> str:
    if wait_ms < SECOND // 2:
        return "now"
    for unit, word in _UNITS:
        count = round(wait_ms / unit)
        if count >= _ENOUGH or (count == 1 and abs(wait_ms - unit) <= unit // 20):
            return f"in {count} {word}{'s' if count > 1 else ''}"
    return "in 1 second"
