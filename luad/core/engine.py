"""Events and time in, effects out.

Room rule: the only owner of mutable scheduling state (with `timetable` and `runs`, which it owns). Time
is handled before anything else in a batch: what is due comes first, under the definitions that were in
force until now; then the events, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from luad.core.clockwork import ClockWatch
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    ClaimsRefused,
    ConfigLoaded,
    DrainRequested,
    Effect,
    Event,
    ExtendSkip,
    InstallJob,
    Log,
    PauseRequested,
    RecordSkip,
    RemoveJob,
    Reply,
    Restored,
    ResumeRequested,
    RetryRequested,
    SaveProgress,
    StoredJob,
    Ticked,
    TriggerRequested,
)
from luad.core.ids import make_id
from luad.core.model import (
    CATCH_UP_CAP,
    Instant,
    Interval,
    Job,
    JobStatus,
    Now,
    Occurrence,
    Once,
    Pause,
    Reason,
    Run,
    RunState,
    Skip,
    Trigger,
    Wanted,
)
from luad.core.plan import Plan, make_plan
from luad.core.policy import (
    ON_TIME_MS,
    Due,
    Start,
    due_until,
    last_fired,
    pauses_after,
    skip_range,
    when_due,
)
from luad.core.runs import OpenRuns
from luad.core.schedule import fire_at, next_occurrence, occurrences
from luad.core.timetable import Alarm, Group, Timetable

_PAUSED_BY_LUAD: Final = "luad"


@dataclass(slots=True)
class Entry:
    """One installed job and what the engine must remember of it."""

    job_id: str
    wanted: Wanted
    installed_at: Instant
    grid_at: Instant
    handled_until: Instant
    consecutive_failures: int = 0
    pause: Pause | None = None
    open_skip: tuple[str, Skip] | None = None  # the row that further paused occurrences extend

    @property
    def job(self) -> Job:
        """The definition in force."""
        return self.wanted.job

    @property
    def status(self) -> JobStatus:
        """Is the job scheduled at all."""
        schedule = self.job.schedule
        if isinstance(schedule, Once) and self.handled_until >= schedule.execute_at:
            return JobStatus.COMPLETED
        is_paused = self.pause is not None or not self.job.enabled
        return JobStatus.PAUSED if is_paused else JobStatus.ACTIVE


class Engine:
    """The scheduler's mind: feed it with `handle`, wake it at `next_wake_up`."""

    def __init__(self, capacity: int, now: Now) -> None:
        self.entries: dict[str, Entry] = {}
        self.is_draining = False
        self._is_loaded = False
        self._out: list[Effect] = []
        self._dirty: dict[str, Entry] = {}
        self._timetable = Timetable(now.wall)
        self._clock = ClockWatch(now)
        self.runs = OpenRuns(capacity, self._job_in_force, self._out)

    # --- the border ---

    def restore(self, stored: Iterable[tuple[StoredJob, Job]], before: Restored, now: Now) -> None:
        """Take over what the previous daemon left; nothing starts before the first `ConfigLoaded`."""
        assert not self.entries, "restore comes first"
        is_clock_behind = before.last_seen is not None and self._clock.is_behind(
            before.last_seen, now.wall
        )
        if is_clock_behind:
            self._log("clock.behind", level="warning", last_seen=before.last_seen)
        for row, job in stored:
            progress = row.progress
            entry = Entry(
                row.job_id,
                Wanted(job, row.origin),
                row.installed_at,
                progress.grid_at,
                progress.handled_until,
                progress.consecutive_failures,
                progress.pause,
            )
            if is_clock_behind:
                self._follow_clock_back(entry, now.wall)
            self.entries[job.name] = entry
        for run in before.open_runs:
            self.runs.restore(run, self._timetable)

    def handle(self, events: Sequence[Event], now: Now) -> list[Effect]:
        """Take in what has happened by *now* and return what follows, in order."""
        step_ms = self._clock.notice(now)
        if step_ms:
            self._step_clock(step_ms, now.wall)
        if self._is_loaded and not self.is_draining:
            self._handle_time(now.wall, self._clock.cause_of_lateness(now, step_ms))
        for event in events:
            self._handle_event(event, now)
        self.runs.dispatch()
        self._out += (
            SaveProgress(
                each.job_id,
                each.grid_at,
                each.handled_until,
                each.consecutive_failures,
                each.pause,
            )
            for each in self._dirty.values()
        )
        self._dirty.clear()
        effects = self._out[:]
        self._out.clear()
        return effects

    def next_wake_up(self) -> Instant | None:
        """Return the instant by which `handle` must be called again, None if nothing is ever due."""
        if self.is_draining or not self._is_loaded:
            return None
        return self._timetable.next_wake_up()

    def plan(self, wanted: Mapping[str, Wanted]) -> Plan:
        """Say what a reload with *wanted* would do."""
        return make_plan({name: each.wanted for name, each in self.entries.items()}, wanted)

    def next_occurrence_of(self, name: str) -> Occurrence | None:
        """Return the occurrence a job waits for; None while it is paused or when there is none."""
        entry = self.entries.get(name)
        if entry is None or entry.status is not JobStatus.ACTIVE:
            return None
        return self._timetable.pending(name)

    # --- events ---

    def _handle_event(self, event: Event, now: Now) -> None:
        match event:
            case Ticked():
                pass  # time is handled for every batch
            case ConfigLoaded():
                self._load(event, now)
            case AttemptStarted():
                self.runs.started(event)
            case AttemptEnded():
                self._note_end(self.runs.ended(event, self._timetable), now.wall)
            case ClaimsRefused():
                for run_id in event.run_ids:
                    self.runs.refused(run_id)
            case DrainRequested():
                self.is_draining = True
                self.runs.may_start = False
                self._log("daemon.draining", running=self.runs.slots.taken_count)
            case TriggerRequested():
                self._trigger(event, now.wall)
            case RetryRequested():
                self._retry(event, now.wall)
            case CancelRequested():
                self._cancel(event, now.wall)
            case PauseRequested():
                self._pause(event, now.wall)
            case ResumeRequested():
                self._resume(event, now.wall)
            case _ as unreachable:
                assert_never(unreachable)

    # --- time ---

    def _handle_time(self, now: Instant, cause: Reason) -> None:
        for due in self._timetable.due(now):
            if isinstance(due, Alarm):
                self._ring(due, now)
            else:
                self._fire(due, now, cause)

    def _ring(self, alarm: Alarm, now: Instant) -> None:
        if alarm.kind == "retry":
            self.runs.retry_due(alarm.name)
            return
        entry = self.entries.get(alarm.name)
        if entry is not None and entry.pause is not None:
            self._end_pause(entry, now, author=_PAUSED_BY_LUAD)

    def _fire(self, group: Group, now: Instant, cause: Reason) -> None:
        first = group.pending
        assert first is not None
        following = next_occurrence(group.job.schedule, group.grid_at, first.scheduled_for)
        is_single = following is None or fire_at(group.job, group.grid_at, following) > now
        last = first if is_single else last_fired(
            group.job, group.grid_at, first.scheduled_for - 1, now
        )
        assert last is not None
        for name in tuple(group.members):
            entry = self.entries[name]
            if entry.handled_until >= last.scheduled_for:
                continue
            lateness = now - first.fire_at
            if is_single and lateness <= min(ON_TIME_MS, entry.job.catch_up_window_ms):
                due = Due((first,), (), first.scheduled_for)
            else:
                due = due_until(entry.job, entry.grid_at, entry.handled_until, now, cause)
            self._apply(entry, due, now)
        self._timetable.rearm(group, last.scheduled_for)

    def _apply(self, entry: Entry, due: Due, now: Instant) -> None:
        """Give every occurrence of *due* its row."""
        if due.handled_until is None:
            return
        entry.handled_until = due.handled_until
        self._dirty[entry.job.name] = entry
        if entry.pause is not None:
            self._skip_paused(entry, due, now)
            return
        entry.open_skip = None
        for skip in due.skips:
            self._record_skip(entry, skip, now)
        is_backlog = len(due.runs) > 1
        for occurrence in due.runs:
            is_last = occurrence is due.runs[-1]
            is_late = is_backlog or due.skips or now - occurrence.fire_at > ON_TIME_MS
            self._offer(
                entry,
                occurrence,
                Trigger.CATCHUP if is_late else Trigger.SCHEDULE,
                now,
                missed_count=due.skipped_count if is_last else 0,
                is_backlog=is_backlog,
            )

    def _offer(
        self,
        entry: Entry,
        occurrence: Occurrence,
        trigger: Trigger,
        now: Instant,
        *,
        missed_count: int,
        is_backlog: bool,
    ) -> None:
        """Let the overlap policy decide about one occurrence, and do as it says."""
        start = self._may_start(entry, is_backlog=is_backlog)
        if start is Start.NEVER:
            at = occurrence.scheduled_for
            self._record_skip(entry, Skip(RunState.SKIPPED, Reason.OVERLAP, at, at), now)
            return
        run = self._new_run(entry, trigger, occurrence, now, missed_count=missed_count)
        self._claim(entry, run, start, now)

    def _may_start(self, entry: Entry, *, is_backlog: bool = False) -> Start:
        return when_due(
            entry.job.overlap,
            open_count=self.runs.open_count(entry.job_id),
            waiting_count=self.runs.blocked_count(entry.job_id),
            max_running=entry.job.max_running,
            is_backlog=is_backlog,
        )

    def _claim(self, entry: Entry, run: Run, start: Start, now: Instant) -> Run:
        if start is Start.INSTEAD:
            for other in self.runs.of_job(entry.job_id):
                self.runs.cancel(other, Reason.REPLACED, now, self._timetable)
        is_behind = start is not Start.NOW and self.runs.open_count(entry.job_id) > 0
        return self.runs.claim(run, entry.job, behind_others=is_behind)

    def _new_run(
        self,
        entry: Entry,
        trigger: Trigger,
        occurrence: Occurrence,
        now: Instant,
        *,
        cause: str = "occurrence",
        missed_count: int = 0,
    ) -> Run:
        run_id = make_id("run", now, entry.job_id, occurrence.scheduled_for, cause)
        return Run(
            run_id,
            entry.job.name,
            entry.job_id,
            entry.job.revision,
            trigger,
            occurrence.scheduled_for,
            occurrence.fire_at,
            now,
            missed_count=missed_count,
        )

    # --- what did not run ---

    def _record_skip(self, entry: Entry, skip: Skip, now: Instant) -> str:
        row_id = make_id("run", now, entry.job_id, skip.last, skip.reason)
        name = entry.job.name
        self._out.append(
            RecordSkip(row_id, name, entry.job_id, entry.job.revision, skip, now)
        )
        fields = {"scheduled_for": skip.last, "reason": skip.reason.value, "count": skip.count}
        is_missed = skip.state is RunState.MISSED
        level = "warning" if is_missed else "info"
        self._log(f"run.{skip.state}", level=level, job=name, run_id=row_id, **fields)
        return row_id

    def _skip_paused(self, entry: Entry, due: Due, now: Instant) -> None:
        firsts = [each.first for each in due.skips] + [each.scheduled_for for each in due.runs]
        assert due.handled_until is not None
        count = due.skipped_count + len(due.runs)
        is_capped = any(each.is_count_capped for each in due.skips)
        if entry.open_skip is None:
            skip = Skip(
                RunState.SKIPPED, Reason.PAUSED, min(firsts), due.handled_until, count, is_capped
            )
            entry.open_skip = (self._record_skip(entry, skip, now), skip)
            return
        row_id, skip = entry.open_skip
        skip = replace(
            skip,
            last=due.handled_until,
            count=skip.count + count,
            is_count_capped=skip.is_count_capped or is_capped,
        )
        entry.open_skip = (row_id, skip)
        self._out.append(ExtendSkip(row_id, skip))

    def _settle(self, entry: Entry, state: RunState, reason: Reason, now: Instant) -> None:
        """Give a row to the occurrences that *entry* will not come to any more."""
        if not entry.job.enabled:
            return
        after = entry.handled_until
        for skip in skip_range(entry.job, entry.grid_at, after, now, state, reason):
            self._record_skip(entry, skip, now)

    # --- the job set ---

    def _load(self, event: ConfigLoaded, now: Now) -> None:
        is_first, self._is_loaded = not self._is_loaded, True
        plan = self.plan(event.wanted)
        for name in plan.remove:
            self._remove(self.entries[name], now.wall)
        for change in plan.replace:
            self._replace(self.entries[change.name], change.new, now.wall, is_first=is_first)
        for wanted in plan.add:
            self._install(wanted, now.wall)
        for name in plan.keep:
            entry = self.entries[name]
            new = event.wanted[name]
            if entry.wanted is not new:
                entry.wanted = Wanted(entry.job, new.origin, new.stale)
            if is_first:
                self._arm(entry)
        self._log(
            "config.installed",
            added=len(plan.add),
            replaced=len(plan.replace),
            removed=len(plan.remove),
            kept=len(plan.keep),
            problems=event.problem_count,
        )
        if event.request_id is not None:
            self._out.append(Reply(event.request_id, plan))
        self.runs.may_start = not self.is_draining
        if not self.is_draining:
            cause = Reason.DOWNTIME if is_first else Reason.OVERLOAD
            self._handle_time(now.wall, cause)

    def _install(self, wanted: Wanted, now: Instant) -> None:
        job = wanted.job
        job_id = make_id("job", now, job.name)
        handled_until = now
        if isinstance(job.schedule, Once):  # in the past: once, or `missed`, by its window
            handled_until = min(now, job.schedule.execute_at - 1)
        entry = Entry(job_id, wanted, now, _grid(job, now), handled_until)
        self.entries[job.name] = entry
        self._dirty[job.name] = entry
        self._out.append(InstallJob(job_id, job, wanted.origin, now))
        self._arm(entry)

    def _replace(self, entry: Entry, new: Wanted, now: Instant, *, is_first: bool) -> None:
        old = entry.job
        self._timetable.discard(old.name)
        if old.schedule != new.job.schedule or old.enabled != new.job.enabled:
            missed = (RunState.MISSED, Reason.DOWNTIME)
            self._settle(entry, *(missed if is_first else (RunState.SKIPPED, Reason.REMOVED)), now)
            entry.handled_until = now
            entry.grid_at = _grid(new.job, now)
            entry.open_skip = None
        entry.wanted = new
        self._dirty[old.name] = entry
        self._out.append(InstallJob(entry.job_id, new.job, new.origin, now))
        self._arm(entry)

    def _remove(self, entry: Entry, now: Instant) -> None:
        name = entry.job.name
        self._settle(entry, RunState.SKIPPED, Reason.REMOVED, now)
        self._timetable.discard(name)
        self._timetable.cancel_alarm(Alarm("resume", name))
        del self.entries[name]
        self._dirty.pop(name, None)
        for run in self.runs.of_job(entry.job_id):
            if run.state is not RunState.RUNNING:  # what runs may end; nothing new starts
                self.runs.cancel(run, Reason.REMOVED, now, self._timetable)
        self._out.append(RemoveJob(entry.job_id, name, now))

    def _arm(self, entry: Entry) -> None:
        if entry.job.enabled:
            self._timetable.add(entry.job, entry.grid_at, entry.handled_until)
        if entry.pause is not None and entry.pause.until is not None:
            self._timetable.set_alarm(Alarm("resume", entry.job.name), entry.pause.until)

    def _job_in_force(self, name: str) -> Job | None:
        entry = self.entries.get(name)
        return entry.job if entry else None

    # --- requests ---

    def _find(self, request_id: str, name: str) -> Entry | None:
        """Return the entry of that name; without one, or while draining, answer the request."""
        entry = self.entries.get(name)
        if self.is_draining:
            self._refuse(request_id, "draining", "luad is shutting down and starts nothing more")
            return None
        if entry is None:
            self._refuse(request_id, "not_found", f"no job named `{name}`")
        return entry

    def _refuse(self, request_id: str, error: str, message: str, hint: str = "") -> None:
        self._out.append(Reply(request_id, None, error, message, hint))

    def _trigger(self, event: TriggerRequested, now: Instant) -> None:
        entry = self._find(event.request_id, event.job_name)
        if entry is None:
            return
        start = Start.NOW if event.force else self._may_start(entry)
        if start is Start.NEVER:
            self._refuse_overlap(event.request_id, entry)
            return
        run = self._new_run(
            entry, event.trigger, Occurrence(now, now), now, cause=event.request_id
        )
        run = self._claim(entry, replace(run, metadata=event.metadata), start, now)
        self._out.append(Reply(event.request_id, run))

    def _retry(self, event: RetryRequested, now: Instant) -> None:
        entry = self._find(event.request_id, event.run.job_name)
        if entry is None:
            return
        start = self._may_start(entry)
        if start is Start.NEVER:
            self._refuse_overlap(event.request_id, entry)
            return
        again = Occurrence(event.run.scheduled_for, now)
        run = self._new_run(entry, Trigger.RETRY, again, now, cause=event.request_id)
        run = replace(run, retry_of=event.run.id, metadata=event.run.metadata)
        self._out.append(Reply(event.request_id, self._claim(entry, run, start, now)))

    def _refuse_overlap(self, request_id: str, entry: Entry) -> None:
        first = self.runs.of_job(entry.job_id)[0]
        self._refuse(
            request_id,
            "already_running",
            f"{entry.job.name} is running already ({first.id}), and its overlap policy is "
            f"`{entry.job.overlap}`",
            f"wait for it, or stop it: luad cancel {first.id}",
        )

    def _cancel(self, event: CancelRequested, now: Instant) -> None:
        run = self.runs.get(event.run_id)
        if run is None:
            self._refuse(event.request_id, "conflict", f"{event.run_id} is over already")
            return
        ended = self.runs.cancel(
            run, Reason.REQUESTED, now, self._timetable, kill=event.kill
        )
        self._out.append(Reply(event.request_id, ended or run))

    def _pause(self, event: PauseRequested, now: Instant) -> None:
        entry = self._find(event.request_id, event.job_name)
        if entry is None:
            return
        self._start_pause(entry, Pause(now, event.reason, event.author, event.until))
        self._out.append(Reply(event.request_id))

    def _start_pause(self, entry: Entry, pause: Pause) -> None:
        name = entry.job.name
        entry.pause = pause
        self._dirty[name] = entry
        self._timetable.cancel_alarm(Alarm("resume", name))
        if pause.until is not None:
            self._timetable.set_alarm(Alarm("resume", name), pause.until)
        self._log(
            "job.paused", job=name, reason=pause.reason, author=pause.author, until=pause.until
        )

    def _resume(self, event: ResumeRequested, now: Instant) -> None:
        entry = self._find(event.request_id, event.job_name)
        if entry is None:
            return
        if entry.pause is None and not entry.job.enabled:
            self._refuse(
                event.request_id,
                "conflict",
                f"{event.job_name} is switched off in its file (`enabled: false`)",
                "change the file; luad loads it as soon as it is saved",
            )
            return
        self._end_pause(entry, now, catch_up=event.catch_up)
        self._out.append(Reply(event.request_id))

    def _end_pause(
        self, entry: Entry, now: Instant, *, catch_up: str = "none", author: str = ""
    ) -> None:
        if entry.pause is None:
            return
        skipped, entry.open_skip, entry.pause = entry.open_skip, None, None
        entry.consecutive_failures = 0  # else the next failure would pause it again at once
        self._dirty[entry.job.name] = entry
        self._timetable.cancel_alarm(Alarm("resume", entry.job.name))
        count = skipped[1].count if skipped else 0
        self._log("job.resumed", job=entry.job.name, author=author, skipped=count)
        if skipped is None or catch_up == "none":
            return
        first, last = skipped[1].first, skipped[1].last
        wanted = [last]
        if catch_up == "all" and count <= CATCH_UP_CAP:
            wanted = occurrences(entry.job.schedule, entry.grid_at, first - 1, last, CATCH_UP_CAP)
        for nominal in wanted:  # their rows say `paused`; these runs are asked for by hand
            occurrence = Occurrence(nominal, now)
            start = self._may_start(entry, is_backlog=len(wanted) > 1)
            if start is not Start.NEVER:
                run = self._new_run(entry, Trigger.MANUAL, occurrence, now, cause="resume")
                self._claim(entry, run, start, now)

    def _note_end(self, run: Run | None, now: Instant) -> None:
        """Count failures in a row, once a run is over."""
        entry = self.entries.get(run.job_name) if run else None
        if run is None or entry is None or run.state is RunState.CANCELLED:
            return
        failures = 0 if run.state is RunState.SUCCEEDED else entry.consecutive_failures + 1
        if failures == entry.consecutive_failures:
            return
        entry.consecutive_failures = failures
        self._dirty[entry.job.name] = entry
        if pauses_after(entry.job, failures) and entry.pause is None:
            reason = f"{failures} failures in a row, the last in {run.id}"
            self._start_pause(entry, Pause(now, reason, _PAUSED_BY_LUAD))

    # --- the wall clock is stepped ---

    def _step_clock(self, step_ms: int, now: Instant) -> None:
        """Follow a step of the wall clock: intervals keep their cadence, civil time its instants."""
        self._log("clock.stepped", level="warning", step_ms=step_ms)
        self._timetable = Timetable(now)
        self.runs.shift_retries(step_ms, self._timetable)
        for entry in self.entries.values():
            if isinstance(entry.job.schedule, Interval):
                # One more millisecond on the way back: no instant is ever used a second time.
                shift = step_ms + (1 if step_ms < 0 else 0)
                entry.grid_at += shift
                entry.handled_until += shift
                self._dirty[entry.job.name] = entry
            if step_ms < 0:
                self._follow_clock_back(entry, now)
            if self._is_loaded:
                self._arm(entry)

    def _follow_clock_back(self, entry: Entry, now: Instant) -> None:
        """Look at the occurrences after *now* again; those with a row are refused by the store."""
        schedule = entry.job.schedule
        if isinstance(schedule, Once) or entry.handled_until <= now:
            return
        entry.handled_until = now
        if isinstance(schedule, Interval):
            entry.grid_at = now
        self._dirty[entry.job.name] = entry

    # --- logging ---

    def _log(self, event: str, *, level: str = "info", **fields: object) -> None:
        self._out.append(Log(event, fields, level))  # type: ignore[arg-type] # levels are literals


def _grid(job: Job, now: Instant) -> Instant:
    """Return the instant that the grid of *job* passes through when it is installed *now*."""
    schedule = job.schedule
    if isinstance(schedule, Interval) and schedule.start_at is not None:
        return schedule.start_at
    return now
