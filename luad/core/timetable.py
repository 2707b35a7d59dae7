"""The timetable: due jobs and alarms.

Rule: the wheel holds groups of jobs with the same schedule. A job is in exactly one group, and a group is in
the wheel exactly while it has a next occurrence. Decides nothing about lateness.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from luad.core.model import Instant, Job, Occurrence
from luad.core.schedule import fire_at, next_occurrence, schedule_key
from luad.core.values import dataclass
from luad.core.wheel import Wheel


@dataclass(slots=True)
class Group:
    """Jobs that are due at the same instants. *pending* is their next occurrence.

    A group of one job stores its name without a dict, to save memory.
    """

    key: Hashable
    job: Job  # any member: they agree on everything that decides the instants
    grid_at: Instant
    after: Instant  # `pending` is the first occurrence after this
    pending: Occurrence | None = None
    _names: str | dict[str, None] = ""

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the jobs, in the order of `add`."""
        names = self._names
        return (names,) if isinstance(names, str) else tuple(names)

    def add(self, name: str) -> None:
        """Add a job."""
        if not self._names:
            self._names = name
        elif isinstance(self._names, str):
            self._names = {self._names: None, name: None}
        else:
            self._names[name] = None

    def discard(self, name: str) -> bool:
        """Remove a job; return whether members are left."""
        if isinstance(self._names, str):
            return False
        del self._names[name]
        return bool(self._names)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A timer of another kind: the next attempt of a run, or the end of a pause."""

    kind: str
    name: str


class Timetable:
    """Due jobs and alarms, by wall time in milliseconds."""

    def __init__(self, now: Instant) -> None:
        self._wheel: Wheel[Hashable] = Wheel(now)
        self._groups: dict[Hashable, Group] = {}
        self._group_of: dict[str, Group] = {}
        self._begun: Group | None = None
        self._joined: list[str] = []  # since the group was begun

    def add(self, job: Job, grid_at: Instant, after: Instant, name: str = "") -> None:
        """Add *job*; its next occurrence is the first one after *after*. *name* is its key, or the job's name.

        A group waits for the earliest occurrence of any member; members whose `handled_until` is later
        skip it.
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
        if group is self._begun:
            self._joined.append(name)

    def discard(self, name: str) -> None:
        """Remove a job, if present."""
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

    def begin(self, group: Group) -> tuple[str, ...]:
        """Return the members of a due group, and note who joins it until `finish`."""
        self._begun = group
        self._joined.clear()
        return group.members

    def take_joined(self) -> list[str]:
        """Return the jobs that have joined the group since `begin`, or since the previous call."""
        joined, self._joined = self._joined, []
        return joined

    def finish(self, group: Group, after: Instant) -> bool:
        """Arm a group again, as `rearm` does; False if all of its members have gone."""
        self._begun = None
        if self._groups.get(group.key) is not group:
            return False
        self.rearm(group, after)
        return True

    def set_alarm(self, alarm: Alarm, at: Instant) -> None:
        """Set *alarm* to *at*, or move it there."""
        self._wheel.insert(alarm, at)

    def cancel_alarm(self, alarm: Alarm) -> None:
        """Cancel *alarm*, if it is set."""
        self._wheel.cancel(alarm)

    def pending(self, name: str) -> Occurrence | None:
        """Return the next occurrence of the job of that name."""
        group = self._group_of.get(name)
        return group.pending if group else None

    def due(self, now: Instant) -> Iterable[Group | Alarm]:
        """Remove and yield the groups and alarms that are due by *now*, earliest first.

        The caller must `begin` and `finish` a group. After a small step back of the clock, nothing is due until the clock
        reaches its earlier instant again.
        """
        if now < self._wheel.now:
            return  # the wheel does not turn back
        for _, key in self._wheel.advance(now):
            if isinstance(key, Alarm):
                yield key
            elif key in self._groups:  # else an alarm of the same batch has removed its last member
                yield self._groups[key]

    def ascending(self, start: Instant = 0) -> Iterator[Group]:
        """Yield the groups that are due from *start* on, earliest first; nothing may change meanwhile."""
        for _, key in self._wheel.ascending(start):
            group = None if isinstance(key, Alarm) else self._groups.get(key)
            if group is not None:
                yield group

    def next_wake_up(self) -> Instant | None:
        """Return the instant of the next call of `due`, which may find nothing then."""
        return self._wheel.next_due()
