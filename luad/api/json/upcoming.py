"""The next occurrences of one job or of many, merged by time.

Rule: pure, and bounded by a question that it asks before every piece of work: sparse schedules
and far dates cost real time, so it runs in a thread and stops when told.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from luad.core.model import MINUTE, Instant, Interval, Schedule
from luad.core.schedule import fire_at, next_occurrence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from luad.live.job_state import JobStateView

CLIENT_LAG_MS: Final = MINUTE


@dataclass(frozen=True, slots=True)
class Fire:
    """One planned occurrence of a job."""

    state: JobStateView
    scheduled_for: Instant
    fire_at: Instant


def upcoming(
    states: Iterable[JobStateView],
    now: Instant,
    start: Instant,
    until: Instant | None,
    limit: int,
    must_stop: Callable[[], bool],
) -> tuple[list[Fire], bool]:
    """Return what fires from *start* on and before *until*, at most *limit*, earliest first, and
    whether that is all of it (False: it was stopped, later ones may be missing)."""
    heap: list[tuple[Instant, str, Fire]] = []
    firsts: dict[tuple[Schedule, Instant], Instant | None] = {}
    is_complete = True

    def push(state: JobStateView, scheduled_for: Instant | None) -> None:
        if scheduled_for is None:
            return
        at = fire_at(state.job, state.grid_at, scheduled_for)
        if until is None or at < until:
            heapq.heappush(heap, (at, state.key, Fire(state, scheduled_for, at)))

    for state in states:
        if must_stop():
            is_complete = False
            break
        push(state, _first(state, now, start, firsts))
    found: list[Fire] = []
    while heap and len(found) < limit:
        if must_stop():
            is_complete = False
            break
        _, _, fire = heapq.heappop(heap)
        found.append(fire)
        job, grid_at = fire.state.job, fire.state.grid_at
        push(fire.state, next_occurrence(job.schedule, grid_at, fire.scheduled_for))
    return found, is_complete


def _first(
    state: JobStateView,
    now: Instant,
    start: Instant,
    known: dict[tuple[Schedule, Instant], Instant | None],
) -> Instant | None:
    """The first occurrence from *start* on; the engine has computed it already, nearly always."""
    planned, planned_fire = state.next_scheduled_for, state.next_fire_at
    # A client's "now" is a little older than ours; between the two nothing is planned.
    if planned_fire is not None and now - CLIENT_LAG_MS <= start <= planned_fire:
        return planned
    schedule = state.job.schedule
    key = (schedule, state.grid_at if isinstance(schedule, Interval) else 0)
    if key not in known:
        known[key] = next_occurrence(schedule, state.grid_at, start - 1)
    return known[key]
