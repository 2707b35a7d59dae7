"""Events and time in, effects out.

Rule: the only owner of the mutable scheduling state. In each batch, the engine first handles the
occurrences that are due, under the definitions in force until now; then the events, in their order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, assert_never

from luad.core.claims import Claims
from luad.core.clock_steps import ClockWatch
from luad.core.dynamic_jobs import DynamicJobs
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    ClaimsRefused,
    ConfigChanged,
    ConfigLoaded,
    DrainRequested,
    Effect,
    Event,
    FilesCompared,
    ForgetCompleted,
    JobsRestored,
    Restored,
    StoredJob,
    Ticked,
    logged,
)
from luad.core.firing import Firing
from luad.core.installed import JobStatus
from luad.core.job_index import JobIndex
from luad.core.jobset import JobSet
from luad.core.model import (
    Instant,
    Interval,
    Job,
    Now,
    Occurrence,
    Reason,
    Run,
    RunState,
    Skip,
    Wanted,
)
from luad.core.names import mark_over, mark_over_restored
from luad.core.plan import Plan
from luad.core.policy import skip_range
from luad.core.requests import (
    AcknowledgeRequested,
    CancelRequested,
    ChangeRequested,
    CreateRequested,
    DeleteRequested,
    MetadataRequested,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    TriggerRequested,
)
from luad.core.run_requests import RunRequests
from luad.core.runs import OpenRuns
from luad.core.state import Bounds, Entry, State
from luad.core.stored_entry import stored_entry
from luad.core.timetable import Timetable

_AT_ONCE: Final = (
    Ticked,
    ClaimsRefused,
    AttemptStarted,
    AttemptEnded,
    CancelRequested,
    DrainRequested,
)
"""Events that do not change what is due."""


class Engine:
    """Decides what runs and when. Call `handle` with events, and again at `next_wake_up`.

    *bounds* may be just the number of runs at once.
    """

    def __init__(self, bounds: Bounds | int, now: Now) -> None:
        bounds = Bounds(bounds) if isinstance(bounds, int) else bounds
        self._state = State(bounds, now.wall)
        self._clock = ClockWatch(now)
        self._claims = Claims(self._state)
        self._jobset = JobSet(self._state, self._claims)
        self._run_requests = RunRequests(self._state, self._claims, self._jobset)
        self._dynamic_jobs = DynamicJobs(self._state, self._jobset)
        self._firing = Firing(self._state, self._claims, self._run_requests, bounds.portion)
        self._waiting: list[Event] = []  # until everything is fired that was due before them
        self._held: list[Event] = []  # until the files of their jobs are compared

    # --- the border ---

    def restore(
        self,
        stored: Iterable[tuple[StoredJob, Job]],
        before: Restored,
        now: Now,
        pinned: Mapping[str, Job] | None = None,
    ) -> None:
        """Restore jobs and open runs of the previous daemon.

        Nothing starts before `ConfigLoaded` or `JobsRestored`.

        *pinned*: by run id, the definitions that open runs execute instead of those in force.
        """
        assert not self._state.entries, "restore comes first"
        is_behind = before.last_seen is not None and self._clock.is_behind(
            before.last_seen, now.wall
        )
        if is_behind:
            self._state.log("clock.behind", level="warning", last_seen=logged(before.last_seen))
        for row, job in stored:
            entry = stored_entry(row, job)
            entry.earlier_skip = _skipped_since_pause(entry)
            if is_behind:
                self._state.follow_clock_back(entry, now.wall)
            self._state.add(entry)
        self._state.runs.pinned.update(pinned or {})
        self._state.runs.restore(before.open_runs, self._state.timetable)
        mark_over_restored(self._state)
        self._state.file_changed()

    def handle(self, events: Sequence[Event], now: Now) -> list[Effect]:
        """Return the effects of *events* and of the time *now*, in order."""
        self._state.elapsed = now.elapsed
        step_ms = self._clock.notice(now)
        if step_ms:
            self._step_clock(step_ms, now.wall)
        cause = self._clock.cause_of_lateness(now, step_ms)
        # Before time goes on: it would count into rows that the store has refused.
        for event in events:
            if isinstance(event, ClaimsRefused):
                self._forget(event.run_ids)
        if self._state.is_loaded and not self._state.is_draining:
            self._firing.fire(now.wall, cause)
        self._waiting += events
        self._handle_events(now.wall)
        self._state.runs.dispatch()
        mark_over(self._state, now.wall)
        self._dynamic_jobs.make_room(now.wall)
        return self._state.take_effects()

    def next_wake_up(self) -> Instant | None:
        """Return the instant by which `handle` must be called again; None if nothing is due."""
        if self._state.is_draining or not self._state.is_loaded:
            return None
        if self._firing.is_behind:
            return self._clock.last.wall
        return self._state.timetable.next_wake_up()

    # --- reading, for the API ---

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The installed jobs by key (`Entry.key`); callers must not change the mapping."""
        return self._state.entries

    def find(self, name_or_id: str) -> Entry | None:
        """Return the installed job that holds that name, or has that id."""
        return self._state.find(name_or_id)

    @property
    def index(self) -> JobIndex:
        """The jobs in order of names, and by status, tag, user and handler; callers must not change it."""
        return self._state.index

    @property
    def nameless(self) -> Mapping[str, Collection[str]]:
        """The ids of the jobs that do not hold their name, by that name; callers must not change it."""
        return self._state.nameless

    @property
    def runs(self) -> OpenRuns:
        """The open runs; callers must not change them."""
        return self._state.runs

    @property
    def is_behind(self) -> bool:
        """True while something that was due is left for the next call of `handle`, which is due at once."""
        return self._firing.is_behind

    @property
    def is_draining(self) -> bool:
        """True once the engine starts no more runs."""
        return self._state.is_draining

    def plan(self, items: Mapping[str, Wanted | None]) -> Plan:
        """Return the changes that a change of the static jobs *items* would make."""
        return self._jobset.plan_of_change(items)

    @property
    def held(self) -> Collection[str]:
        """The ids of the jobs that would start, but whose files are not compared yet."""
        return self._state.uncompared.held

    @property
    def uncompared(self) -> Collection[str]:
        """The ids of the jobs whose files are not compared yet."""
        return self._state.uncompared

    @property
    def static_count(self) -> int:
        """The number of installed static jobs."""
        return len(self._state.entries) - len(self._state.dynamic)

    def next_occurrence_of(self, name: str) -> Occurrence | None:
        """Return the next occurrence of a job; None while the job is paused or has none."""
        entry = self._state.find(name)
        if entry is None or entry.status is not JobStatus.ACTIVE:
            return None
        return self.pending_of(entry)

    def pending_of(self, entry: Entry) -> Occurrence | None:
        """Return the next occurrence of an active job."""
        return self._state.timetable.pending(entry.key)

    def soonest(self, start: Instant = 0) -> Iterator[tuple[Instant, Collection[str]]]:
        """Yield the fire times from *start* on with the keys of their jobs, paused ones as well.

        Each job comes once, with its next occurrence; nothing may change meanwhile.
        """
        for group in self._state.timetable.ascending(start):
            if group.pending is not None:
                yield group.pending.fire_at, group.members

    # --- events ---

    def _forget(self, row_ids: Sequence[str]) -> None:
        """Drop the runs and skips that the store refused."""
        skips = [each for each in row_ids if not self._state.runs.refused(each)]
        if skips:
            self._claims.refused(frozenset(skips))

    def _handle_events(self, now: Instant) -> None:
        """Handle the waiting events in order; while occurrences are left that are due, only reports."""
        taken, self._waiting = self._waiting, []
        for event in taken:
            if self.is_behind and not isinstance(event, _AT_ONCE):
                self._waiting.append(event)
            elif self._must_wait(event):
                self._held.append(event)
            else:
                self._handle_event(event, now)
        if self._waiting and not self.is_behind:  # a drain has come, or files are compared
            self._handle_events(now)

    def _must_wait(self, event: Event) -> bool:
        """Return whether *event* may start a run of a job whose file is not compared yet."""
        entry = None
        if not self._state.uncompared or self._state.is_draining:
            return False
        if isinstance(event, (TriggerRequested, ResumeRequested)):
            entry = self._state.find(event.job_name)
        elif isinstance(event, RetryRequested):
            entry = self._state.by_id(event.run.job_id) or self._state.find(event.run.job_name)
        return entry is not None and self._state.uncompared.hold(entry.job_id)

    def _change_jobs(
        self, event: JobsRestored | FilesCompared | ConfigChanged, now: Instant
    ) -> None:
        """Change which jobs are in force or may start, and fire what that makes due."""
        cause = Reason.DOWNTIME
        match event:
            case JobsRestored():
                self._jobset.restore(event, now)
            case FilesCompared():
                self._jobset.compare(event, now)
            case ConfigChanged():
                cause = Reason.DOWNTIME if self._state.uncompared else Reason.OVERLOAD
                self._jobset.change(event, now)
        self._release()
        if not self._state.is_draining:
            self._firing.fire(now, cause)

    def _release(self) -> None:
        """Let the requests that were held be handled again; some may be held once more."""
        self._waiting += self._held
        self._held.clear()

    def _handle_event(  # noqa: C901, PLR0912 - one case an event; the set is closed
        self, event: Event, now: Instant
    ) -> None:
        match event:
            case Ticked() | ClaimsRefused():
                pass  # `handle` has handled both
            case ConfigLoaded():
                is_first = not self._state.is_loaded
                self._jobset.load(event, now)
                if not self._state.is_draining:
                    self._firing.fire(now, Reason.DOWNTIME if is_first else Reason.OVERLOAD)
            case JobsRestored() | FilesCompared() | ConfigChanged():
                self._change_jobs(event, now)
            case AttemptStarted():
                self._state.runs.started(event)
            case AttemptEnded():
                self._note_end(self._state.runs.ended(event, self._state.timetable), now)
            case DrainRequested():
                self._drain(event)
            case TriggerRequested():
                self._run_requests.trigger(event, now)
            case RetryRequested():
                self._run_requests.retry(event, now)
            case CancelRequested():
                self._run_requests.cancel(event, now)
            case PauseRequested():
                self._run_requests.pause(event, now)
            case AcknowledgeRequested():
                self._run_requests.acknowledge(event, now)
            case ResumeRequested():
                self._run_requests.resume(event, now)
            case CreateRequested():
                self._dynamic_jobs.create(event, now)
            case ChangeRequested():
                self._dynamic_jobs.change(event, now)
            case DeleteRequested():
                self._dynamic_jobs.delete(event, now)
            case MetadataRequested():
                self._dynamic_jobs.write_metadata(event, now)
            case ForgetCompleted():
                self._dynamic_jobs.forget(event, now)
            case _ as unreachable:
                assert_never(unreachable)

    def _note_end(self, run: Run | None, now: Instant) -> None:
        entry = None if run is None else self._state.by_id(run.job_id)
        if entry is not None:
            self._firing.settle(entry, now)  # its end may pause or remove the job
        self._run_requests.note_end(run, now)

    def _drain(self, event: DrainRequested) -> None:
        runs = self._state.runs
        if not self._state.is_draining:
            self._state.log("daemon.draining", running=runs.slots.taken_count)
        self._state.is_draining = True
        self._firing.forget()
        self._release()
        runs.may_start = False
        if event.is_impatient:
            runs.end_all()

    # --- the wall clock is stepped ---

    def _step_clock(self, step_ms: int, now: Instant) -> None:
        """Follow a step of the wall clock: intervals keep their cadence, cron keeps civil time."""
        self._state.log("clock.stepped", level="warning", step_ms=step_ms)
        self._state.timetable = Timetable(now)
        self._firing.forget()
        self._state.runs.shift_retries(step_ms, self._state.timetable)
        for entry in self._state.entries.values():
            if isinstance(entry.job.schedule, Interval):
                if not entry.is_before_start(now - step_ms):
                    self._state.move_grid(entry, step_ms, now)
            elif step_ms < 0 and entry.halt is None:  # a paused one has its rows already
                self._state.follow_clock_back(entry, now)
            if self._state.is_loaded:
                self._state.arm(entry)


def _skipped_since_pause(entry: Entry) -> Skip | None:
    """Return the occurrences that a paused job skipped under earlier daemons, for a catch-up."""
    if entry.pause is None or not entry.job.enabled:
        return None
    since, until = entry.pause.schedule_since or entry.pause.at, entry.handled_until
    why = (RunState.SKIPPED, Reason.PAUSED)
    return next(iter(skip_range(entry.job, entry.grid_at, since, until, *why)), None)
