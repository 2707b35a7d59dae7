"""Which jobs, and which alarms, are due.

Room rule: the wheel holds distinct schedules, jobs hang on them as members; a job appears in exactly
one group, a group in the wheel exactly while it has a next occurrence. Decides nothing about lateness.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from luad.core.model import Instant, Job, Occurrence
from luad.core.schedule import fire_at, next_occurrence, schedule_key
from luad.core.wheel import Wheel


@dataclass(slots=True)
class Group:
    """Jobs that are due at the same instants. *pending* is their next occurrence.

    A name alone stands for itself, as with most reminders: a dict weighs more than all the rest.
    """

    key: Hashable
    job: Job  # any member: they agree on everything that decides when
    grid_at: Instant
    after: Instant  # `pending` is the first occurrence after this
    pending: Occurrence | None = None
    _names: str | dict[str, None] = ""

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the jobs, in the order in which they came."""
        names = self._names
        return (names,) if isinstance(names, str) else tuple(names)

    def add(self, name: str) -> None:
        """Take a job in."""
        if not self._names:
            self._names = name
        elif isinstance(self._names, str):
            self._names = {self._names: None, name: None}
        else:
            self._names[name] = None

    def discard(self, name: str) -> bool:
        """Take a job out; say whether anybody is left."""
        if isinstance(self._names, str):
            return False
        del self._names[name]
        return bool(self._names)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something else that has its time: the next attempt of a run, the end of a pause."""

    kind: str
    name: str


class Timetable:
    """Due jobs and alarms, by wall time in milliseconds."""

    def __init__(self, now: Instant) -> None:
        self._wheel: Wheel[Hashable] = Wheel(now)
        self._groups: dict[Hashable, Group] = {}
        self._group_of: dict[str, Group] = {}

    def add(self, job: Job, grid_at: Instant, after: Instant, name: str = "") -> None:
        """Put *job* in; its next occurrence is the first one after *after*. *name* is its key here,
        by default its own name.

        A group waits for the earliest occurrence that any member waits for; a member that is ahead
        of it is expected to let that one pass.
        """
        name = name or job.name
        assert name not in self._group_of, f"{name} is on the timetable already"
        key = schedule_key(job, grid_at)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key, job, grid_at, after)
            self.rearm(group, after)
        elif after < group.after:
            self.rearm(group, after)
        group.add(name)
        self._group_of[name] = group

    def discard(self, name: str) -> None:
        """Take a job out; one that is not in is fine."""
        group = self._group_of.pop(name, None)
        if group is None:
            return
        if not group.discard(name):
            del self._groups[group.key]
            self._wheel.cancel(group.key)

    def rearm(self, group: Group, after: Instant) -> None:
        """Let *group* wait for its first occurrence after *after*, or for none."""
        group.after = after
        nominal = next_occurrence(group.job.schedule, group.grid_at, after)
        if nominal is None:
            group.pending = None
            self._wheel.cancel(group.key)
            return
        group.pending = Occurrence(nominal, fire_at(group.job, group.grid_at, nominal))
        self._wheel.insert(group.key, group.pending.fire_at)

    def set_alarm(self, alarm: Alarm, at: Instant) -> None:
        """Let *alarm* go off at *at*; one that is set already is moved."""
        self._wheel.insert(alarm, at)

    def cancel_alarm(self, alarm: Alarm) -> None:
        """Forget *alarm*; one that is not set is fine."""
        self._wheel.cancel(alarm)

    def pending(self, name: str) -> Occurrence | None:
        """Return the occurrence that the job of that name waits for."""
        group = self._group_of.get(name)
        return group.pending if group else None

    def due(self, now: Instant) -> Iterable[Group | Alarm]:
        """Take out everything whose time has come by *now*, earliest first.

        A group that comes out is not armed any more: call `rearm`. A clock that went back a little finds
        nothing until it is again where it was.
        """
        if now < self._wheel.now:
            return  # what had come by then is out already, and the wheel does not turn back
        for _, key in self._wheel.advance(now):
            if isinstance(key, Alarm):
                yield key
            elif (
                key in self._groups
            ):  # else an alarm of the same batch has taken its last member out
                yield self._groups[key]

    def next_wake_up(self) -> Instant | None:
        """Return an instant by which `due` must be asked again; it may find nothing then."""
        return self._wheel.next_due()
