"""The jobs in force: installed, replaced, removed.

Rule: carries out a plan, and leaves unchanged jobs as they are. An edit is never retroactive: a changed
schedule has no occurrences before the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from luad.core import alerts, names
from luad.core.claims import Claims
from luad.core.events import (
    ConfigChanged,
    ConfigLoaded,
    FilesCompared,
    InstallJob,
    JobsRestored,
    RemoveJob,
    Reply,
)
from luad.core.ids import make_id
from luad.core.installed import NO_ALERT, JobStatus
from luad.core.model import Instant, Interval, Job, Once, Reason, RunState, Skip, Trigger, Wanted
from luad.core.plan import Plan, Replacement, make_plan
from luad.core.policy import is_too_late, never_starts
from luad.core.schedule import fire_at
from luad.core.state import Entry, State
from luad.core.timetable import Alarm

_BY_SCHEDULE: Final = frozenset({Trigger.SCHEDULE, Trigger.CATCHUP})


class JobSet:
    """Installs, replaces and removes jobs."""

    def __init__(self, state: State, claims: Claims) -> None:
        self._state = state
        self._claims = claims

    def load(self, event: ConfigLoaded, now: Instant) -> None:
        """Make *event.wanted* the installed static jobs, and reply if a client asked for the reload."""
        is_first, self._state.is_loaded = not self._state.is_loaded, True
        plan = self.plan(event.wanted)
        self._carry_out(plan, event.wanted, now, is_first=is_first)
        if is_first:
            for name in (*plan.keep, *self._state.dynamic):
                self._state.arm(self._state.entries[name])
            self._cancel_leftovers(now)
        names.update_displaced(self._state, tuple(self._state.nameless))
        self._state.log(
            "config.installed",
            added=len(plan.add),
            replaced=len(plan.replace),
            removed=len(plan.remove),
            kept=len(plan.keep),
            problems=event.problem_count,
        )
        if event.request_id is not None:
            self._state.out.append(Reply(event.request_id, plan))
        self._state.runs.may_start = not self._state.is_draining

    def restore(self, event: JobsRestored, now: Instant) -> None:
        """Put the jobs of the previous daemon in force; those that are not compared start nothing yet."""
        self._state.is_loaded = True
        for name, entry in self._state.entries.items():
            if not entry.wanted.is_dynamic and name not in event.compared:
                assert not self._state.runs.open_count(entry.job_id), "their files come first"
                self._state.uncompared.add(entry.job_id)
            self._state.arm(entry)
        self._cancel_leftovers(now)
        names.update_displaced(self._state, tuple(self._state.nameless))
        self._state.runs.may_start = not self._state.is_draining

    def compare(self, event: FilesCompared, now: Instant) -> None:
        """Let the jobs of *event* start runs; their files are compared."""
        entries: Iterable[Entry | None]
        if event.names is None:
            entries = map(self._state.by_id, tuple(self._state.uncompared))
        else:
            entries = map(self._state.entries.get, event.names)
        self._end_waiting(entries, now)
        if event.request_id is not None:
            self._state.out.append(Reply(event.request_id))

    def _end_waiting(self, entries: Iterable[Entry | None], now: Instant) -> None:
        for entry in entries:
            if entry is None or entry.job_id not in self._state.uncompared:
                continue
            if entry.alert is not NO_ALERT:  # the user may have corrected the file meanwhile
                alerts.stale(self._state, entry, is_stale=entry.wanted.stale, now=now)
            if self._state.uncompared.discard(entry.job_id):
                self._state.arm(entry)

    def change(self, event: ConfigChanged, now: Instant) -> None:
        """Install, replace and remove the jobs of *event*; other jobs are not looked at."""
        plan = self.plan_of_change(event.items)
        wanted = {name: item for name, item in event.items.items() if item is not None}
        self._carry_out(plan, wanted, now, is_first=False)
        if self._state.uncompared:
            self._end_waiting(map(self._state.entries.get, event.items), now)
        names.update_displaced(self._state, event.items)
        if event.request_id is not None:
            self._state.out.append(Reply(event.request_id, plan))

    def _carry_out(
        self, plan: Plan, wanted: Mapping[str, Wanted], now: Instant, *, is_first: bool
    ) -> None:
        for name in plan.remove:
            self.remove(self._state.entries[name], now)
        for change in plan.replace:
            is_late = self._state.entries[change.name].job_id in self._state.uncompared
            self._edit(change, now, is_first=is_first or is_late)
        for each in plan.add:
            self._clear_name(each, now)
            self.install(each, now)
        for name in plan.keep:
            entry = self._state.entries[name]
            if entry.wanted is not wanted[name] or (is_first and entry.alert is not NO_ALERT):
                self._move(entry, wanted[name], now)

    def plan(self, wanted: Mapping[str, Wanted]) -> Plan:
        """Return the changes that a load of *wanted* would make; dynamic jobs do not count."""
        installed = {
            name: each.wanted
            for name, each in self._state.entries.items()
            if not each.wanted.is_dynamic
        }
        return make_plan(installed, wanted)

    def plan_of_change(self, items: Mapping[str, Wanted | None]) -> Plan:
        """Return the changes that a `ConfigChanged` with *items* would make."""
        entries = self._state.entries
        there = ((name, entries[name].wanted) for name in items if name in entries)
        installed = {name: wanted for name, wanted in there if not wanted.is_dynamic}
        return make_plan(
            installed, {name: item for name, item in items.items() if item is not None}
        )

    def _clear_name(self, wanted: Wanted, now: Instant) -> None:
        """Take the name of a new static job from the dynamic job that holds it."""
        holder = self._state.entries.get(wanted.job.name)
        if holder is None:
            return
        if holder.makes_room:
            names.release_name(self._state, holder)
        else:
            names.displace(self._state, holder, wanted.origin, now)

    def install(self, wanted: Wanted, now: Instant, *, cause: str = "") -> Entry:
        """Install a new job; *cause* makes ids of the same name and instant differ."""
        job = wanted.job
        job_id = make_id("job", now, job.name, *([cause] if cause else []))
        entry = Entry(job_id, wanted, now, _grid(job, now), _before_first(job, now))
        self._state.add(entry)
        self._state.mark_changed(entry)
        self._state.out.append(InstallJob(job_id, job, wanted.origin, now, wanted.creation))
        self._miss_the_past(entry, now)
        if self._state.is_loaded:
            self._state.arm(entry)
        return entry

    def _miss_the_past(self, entry: Entry, now: Instant, *, is_edit: bool = False) -> None:
        """Record the occurrence of a `once` that was declared too late to run; an edit never runs it."""
        job, schedule = entry.job, entry.job.schedule
        if not isinstance(schedule, Once) or not job.enabled:
            return
        at = schedule.execute_at
        if entry.handled_until >= at or at > now:
            return
        if is_edit or never_starts(job, now - fire_at(job, entry.grid_at, at)):
            entry.handled_until = at
            self._state.mark_changed(entry)
            self._claims.record_skip(entry, Skip(RunState.MISSED, Reason.PAST, at, at), now)

    def redeclare(self, entry: Entry, new: Wanted, now: Instant) -> None:
        """Give a dynamic job another definition.

        Unlike in an edited file, a `once` whose instant has passed still fires, because the client asks for
        it now. The same holds if the job was disabled at that instant.
        """
        old, handled_until = entry.job, entry.handled_until
        self._replace(entry, new, now, is_first=False)
        if not isinstance(new.job.schedule, Once):
            return
        if old.schedule != new.job.schedule:
            handled_until = _before_first(new.job, now)
        elif old.enabled:
            return
        entry.handled_until = handled_until
        self._miss_the_past(entry, now)
        self._state.arm(entry)

    def _edit(self, change: Replacement, now: Instant, *, is_first: bool) -> None:
        """Give a static job another definition. A `once` in the past gets a row, but no run."""
        entry, old, new = self._state.entries[change.name], change.old.job, change.new.job
        handled_until = entry.handled_until
        self._replace(entry, change.new, now, is_first=is_first)
        if not isinstance(new.schedule, Once) or new.schedule.execute_at > now:
            return
        at, is_other = new.schedule.execute_at, old.schedule != new.schedule
        if is_other or (not old.enabled and handled_until < at):
            entry.handled_until = at - 1
            self._miss_the_past(entry, now, is_edit=True)

    def _replace(self, entry: Entry, new: Wanted, now: Instant, *, is_first: bool) -> None:
        old = entry.job
        self._state.timetable.discard(entry.key)
        is_other = old.schedule != new.job.schedule
        if is_other or old.enabled != new.job.enabled:
            missed = (RunState.MISSED, Reason.DOWNTIME)
            self._claims.skip_rest(
                entry, *(missed if is_first else (RunState.SKIPPED, Reason.REMOVED)), now
            )
            entry.handled_until = now
            if is_other:
                entry.grid_at = _grid(new.job, now)
            entry.open_skip = entry.earlier_skip = None
            if entry.pause is not None:
                entry.pause = replace(entry.pause, schedule_since=now)
        self._state.redeclare(entry, new)
        self._end_pause_of_revision(entry)
        self._state.mark_changed(entry)
        has_name = entry.standing.holds_name
        record = InstallJob(entry.job_id, new.job, new.origin, now, new.creation, has_name)
        self._state.out.append(record)
        self._state.arm(entry)
        if not new.stale:
            alerts.stale(self._state, entry, is_stale=False, now=now)

    def _end_pause_of_revision(self, entry: Entry) -> None:
        """End a pause that was for an earlier revision only; its skipped occurrences do not run."""
        pause = entry.pause
        if pause is None or pause.revision in {"", entry.job.revision}:
            return
        entry.pause = entry.open_skip = entry.earlier_skip = None
        entry.clear_failures()
        self._state.timetable.cancel_alarm(Alarm("resume", entry.key))
        self._state.log("job.resumed", job=entry.job.name, author=names.PAUSED_BY_LUAD)

    def _move(self, entry: Entry, new: Wanted, now: Instant) -> None:
        """Note that an unchanged job moved, or that its file is broken or good again."""
        old, was_stale = entry.wanted.origin, entry.wanted.stale
        self._state.set_wanted(entry, Wanted(entry.job, new.origin, new.stale))
        if (
            new.stale is not was_stale or not new.stale
        ):  # the user may have corrected it while luad was down
            alerts.stale(self._state, entry, is_stale=new.stale, now=now)
        if old and new.origin and old.path != new.origin.path:
            # After a restart, luad looks for the last good version under the stored path.
            self._state.out.append(InstallJob(entry.job_id, entry.job, new.origin, now))

    def _cancel_leftovers(self, now: Instant) -> None:
        """Cancel waiting runs of the previous daemon that must not start any more."""
        for run in self._state.runs.all():
            if run.state is RunState.RUNNING:
                continue
            job = self._state.job_in_force(run)
            if job is None:  # the job could not be restored
                self._state.runs.cancel(run, Reason.REMOVED, now, self._state.timetable)
            elif (
                run.state is RunState.QUEUED
                and run.attempt == 1
                and run.trigger in _BY_SCHEDULE
                and is_too_late(job, now - run.fire_at)
            ):
                self._state.runs.cancel(run, Reason.DOWNTIME, now, self._state.timetable)

    def remove(self, entry: Entry, now: Instant, status: JobStatus = JobStatus.DELETED) -> None:
        """Uninstall a job; running runs finish, waiting ones are cancelled.

        A dynamic job that this job displaced is scheduled again. *status* of the removed job: `deleted`, or
        `completed` if luad removed it after its success.
        """
        name, key, made = entry.job.name, entry.key, entry.wanted
        self._claims.skip_rest(entry, RunState.SKIPPED, Reason.REMOVED, now)
        self._state.timetable.discard(key)
        self._state.timetable.cancel_alarm(Alarm("resume", key))
        self._state.forget(entry)
        for run in self._state.runs.of_job(entry.job_id):
            if run.state is not RunState.RUNNING:
                self._state.runs.cancel(run, Reason.REMOVED, now, self._state.timetable)
        record = RemoveJob(entry.job_id, name, now, status, made.origin, made.creation)
        self._state.out.append(record)
        names.give_to_heir(self._state, name)


def _before_first(job: Job, now: Instant) -> Instant:
    """Return the instant after which a job that is installed *now* has occurrences."""
    if isinstance(job.schedule, Once):  # in the past: once, or `missed`, by its window
        return min(now, job.schedule.execute_at - 1)
    return now


def _grid(job: Job, now: Instant) -> Instant:
    """Return the instant that the grid of *job* passes through when it is installed *now*."""
    schedule = job.schedule
    if isinstance(schedule, Interval) and schedule.start_at is not None:
        return schedule.start_at
    return now
