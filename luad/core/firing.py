"""Fires what is due, in portions.

Rule: one call of `fire` makes some hundred decisions at most, so that a herd does not hold the loop; what is left is due
at once. Until the rest is fired, the jobs must stay as they are: `Engine` lets requests wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from luad.core.claims import Claims
from luad.core.model import Instant, Occurrence, Reason
from luad.core.names import PAUSED_BY_LUAD
from luad.core.policy import Due, due_until, is_on_time, last_fired
from luad.core.run_requests import RunRequests
from luad.core.schedule import fire_at, next_occurrence
from luad.core.state import Entry, State
from luad.core.timetable import Alarm, Group
from luad.core.values import dataclass


@dataclass(slots=True)
class _Round:
    """A group in the middle of its due occurrences: *first* to *last* for the members in *names*."""

    group: Group
    first: Occurrence
    last: Occurrence
    names: deque[str]
    is_single: bool  # `first` is `last`, and the only one that is due


class Firing:
    """Handles due occurrences and alarms of one engine, at most *portion* of them in a call."""

    def __init__(self, state: State, claims: Claims, requests: RunRequests, portion: int) -> None:
        self._state: Final = state
        self._claims: Final = claims
        self._requests: Final = requests
        self._portion: Final = portion
        self.forget()

    @property
    def is_behind(self) -> bool:
        """True while something is left that was due at an earlier call."""
        return self._round is not None or self._next is not None

    def forget(self) -> None:
        """Forget what is left; a new timetable, or the next daemon, has it still."""
        self._due: Iterator[Group | Alarm] = iter(())
        self._next: Group | Alarm | None = None
        self._round: _Round | None = None
        self._cause = Reason.OVERLOAD

    def fire(self, now: Instant, cause: Reason) -> None:
        """Handle a portion of what is due; *cause*: why occurrences are late that become due now."""
        left = self._portion
        while left > 0:
            if not self.is_behind and not self._take_due(now, cause):
                return
            left -= self._step(now, left)
        if not self.is_behind:  # so that `is_behind` tells whether something is due
            self._take_due(now, cause)

    def settle(self, entry: Entry, now: Instant) -> None:
        """Handle the occurrences of one job now, if some of them are left."""
        pending = self._state.timetable.pending(entry.key) if self.is_behind else None
        if pending is not None and pending.fire_at <= now:
            self._apply(entry, now)

    def _take_due(self, now: Instant, cause: Reason) -> bool:
        self._cause = cause
        self._due = iter(self._state.timetable.due(now))
        self._next = next(self._due, None)
        return self._next is not None

    def _step(self, now: Instant, left: int) -> int:
        """Do a part of what is left, and return how many decisions it took, about."""
        if self._round is not None:
            return self._fire_members(self._round, now, left)
        due, self._next = self._next, next(self._due, None)
        if isinstance(due, Alarm):
            self._ring(due, now)
        elif due is not None:
            self._round = self._begin(due, now)
        return 0 if self._round is not None else 1

    def _ring(self, alarm: Alarm, now: Instant) -> None:
        if alarm.kind == "retry":
            run = self._state.runs.get(alarm.name)
            if run is not None and run.retry_at is not None and run.retry_at <= now:
                self._state.runs.retry_due(alarm.name)
            return
        entry = self._state.entries.get(alarm.name)
        if (
            entry is not None
            and _is_pause_over(entry, now)
            and not self._state.uncompared.hold(entry.job_id)
        ):
            self._requests.end_pause(entry, now, author=PAUSED_BY_LUAD)

    def _begin(self, group: Group, now: Instant) -> _Round | None:
        """Begin a group; None if it waits for a later instant by now."""
        first = group.pending
        if first is None or first.fire_at > now:
            return None  # another one has armed the group again
        following = next_occurrence(group.job.schedule, group.grid_at, first.scheduled_for)
        is_single = following is None or fire_at(group.job, group.grid_at, following) > now
        last = first
        if not is_single:
            latest = last_fired(group.job, group.grid_at, first.scheduled_for - 1, now)
            assert latest is not None
            last = latest
        names = self._state.timetable.begin(group)
        return _Round(group, first, last, deque(names), is_single)

    def _fire_members(self, begun: _Round, now: Instant, left: int) -> int:
        """Apply the due occurrences of at most *left* members; arm the group again after the last one."""
        first, last, count = begun.first, begun.last, 0
        while begun.names and count < left:
            entry = self._state.entries.get(begun.names.popleft())
            count += 1
            if entry is None or self._state.uncompared.hold(entry.job_id):
                continue  # removed, or it has another key since
            if _is_pause_over(entry, now):
                self._end_overdue_pause(entry, now)
            if entry.handled_until >= last.scheduled_for:
                continue
            if begun.is_single and is_on_time(entry.job, now - first.fire_at):
                self._claims.apply(entry, Due((first,), (), first.scheduled_for), now)
            else:
                count += self._apply(entry, now)
        if not begun.names:
            self._finish(begun)
        return count

    def _finish(self, begun: _Round) -> None:
        """Arm the group again, once the jobs that have joined it meanwhile are handled too."""
        joined = self._state.timetable.take_joined()
        if joined:
            begun.names.extend(joined)
            begun.is_single = False  # what they have left may begin before `first`
            return
        self._round = None
        group = begun.group
        if not self._state.timetable.finish(group, begun.last.scheduled_for):
            return
        if group.pending is None:
            for name in group.members:
                self._state.log_if_stuck(name, group.job.schedule)

    def _apply(self, entry: Entry, now: Instant) -> int:
        """Decide about all due occurrences of a job, and return the number of its new runs."""
        if self._state.uncompared.hold(entry.job_id):
            return 0
        due = due_until(entry.job, entry.grid_at, entry.handled_until, now, self._cause)
        self._claims.apply(entry, due, now)
        return len(due.runs)

    def _end_overdue_pause(self, entry: Entry, now: Instant) -> None:
        """End a pause that was over before *now*; occurrences after its end are not skipped."""
        pause = entry.pause
        assert pause is not None, "the caller has looked"
        assert pause.until is not None, "the caller has looked"
        until = pause.until - 1
        due = due_until(entry.job, entry.grid_at, entry.handled_until, until, self._cause)
        self._claims.apply(entry, due, now)
        self._requests.end_pause(entry, now, author=PAUSED_BY_LUAD)


def _is_pause_over(entry: Entry, now: Instant) -> bool:
    pause = entry.pause
    return pause is not None and pause.until is not None and pause.until <= now
