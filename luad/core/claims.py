"""Claims: each occurrence gets one row, a run or a skip with its reason.

Rule: `policy` decides, and this module records the decision. No other module claims a run or records a skip.
"""

from __future__ import annotations

from luad.core import alerts
from luad.core.events import ExtendSkip, RecordSkip, logged
from luad.core.ids import make_id
from luad.core.model import Instant, Job, Occurrence, Reason, Run, RunState, Skip, Trigger
from luad.core.policy import ON_TIME_MS, Due, Start, skip_range, when_due
from luad.core.state import Entry, State
from luad.core.values import replace


class Claims:
    """Claims runs and records skips for one engine."""

    def __init__(self, state: State) -> None:
        self._state = state

    def apply(self, entry: Entry, due: Due, now: Instant) -> None:
        """Give every occurrence of *due* its row."""
        if due.handled_until is None:
            return
        entry.handled_until = due.handled_until
        self._state.mark_changed(entry)
        if entry.halt is not None:
            self._skip_paused(entry, due, now)
            return
        entry.open_skip = None
        for skip in due.skips:
            self.record_skip(entry, skip, now)
        is_backlog = len(due.runs) > 1
        for occurrence in due.runs:
            is_last = occurrence is due.runs[-1]
            is_late = is_backlog or due.skips or now - occurrence.fire_at > ON_TIME_MS
            self.offer(
                entry,
                occurrence,
                Trigger.CATCHUP if is_late else Trigger.SCHEDULE,
                now,
                missed_count=due.skipped_count if is_last else 0,
                is_backlog=is_backlog,
            )

    def offer(
        self,
        entry: Entry,
        occurrence: Occurrence,
        trigger: Trigger,
        now: Instant,
        *,
        missed_count: int,
        is_backlog: bool,
    ) -> None:
        """Claim a run for one occurrence, or record a skip, as the overlap policy decides."""
        start = self.may_start(entry, is_backlog=is_backlog)
        if start is Start.NEVER:
            at = occurrence.scheduled_for
            self.record_skip(entry, Skip(RunState.SKIPPED, Reason.OVERLAP, at, at), now)
            return
        run = self.new_run(entry, trigger, occurrence, now, missed_count=missed_count)
        self.claim(entry, run, start, now)

    def may_start(self, entry: Entry, *, is_backlog: bool = False) -> Start:
        """Return what the overlap policy decides about one more run of a job."""
        return when_due(
            entry.job.overlap,
            open_count=self._state.runs.open_count(entry.job_id),
            waiting_count=self._state.runs.blocked_count(entry.job_id),
            max_running=entry.job.max_running,
            is_backlog=is_backlog,
        )

    def claim(
        self, entry: Entry, run: Run, start: Start, now: Instant, *, job: Job | None = None
    ) -> Run:
        """Claim *run*, start it as *start* says, and return it in its new state.

        *job* is the definition that the run executes; the default is the definition in force.
        """
        if start is Start.INSTEAD:
            for other in self._state.runs.of_job(entry.job_id):
                self._state.runs.cancel(other, Reason.REPLACED, now, self._state.timetable)
        is_behind = start is not Start.NOW and self._state.runs.open_count(entry.job_id) > 0
        return self._state.runs.claim(run, job or entry.current, behind_others=is_behind)

    def new_run(
        self,
        entry: Entry,
        trigger: Trigger,
        occurrence: Occurrence,
        now: Instant,
        *,
        cause: str = "occurrence",
        missed_count: int = 0,
    ) -> Run:
        """Return a run that is not claimed yet; *cause* makes ids of one occurrence differ."""
        named = (entry.job_id, occurrence.scheduled_for, cause, self._state.elapsed)
        run_id = make_id("run", now, *named)
        if (
            self._state.runs.get(run_id) is not None
        ):  # its job was declared anew in this millisecond
            run_id = make_id("run", now, *named, "again")
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
            user=entry.job.user,
        )

    def record_skip(self, entry: Entry, skip: Skip, now: Instant) -> str:
        """Record occurrences that did not run, and return the id of the row."""
        row_id = make_id("run", now, entry.job_id, skip.last, skip.reason, self._state.elapsed)
        name = entry.job.name
        self._state.out.append(
            RecordSkip(row_id, name, entry.job_id, entry.job.revision, skip, now)
        )
        fields = {
            "scheduled_for": logged(skip.last),
            "reason": skip.reason.value,
            "count": skip.count,
        }
        is_missed = skip.state is RunState.MISSED
        level = "warning" if is_missed else "info"
        self._state.log(f"run.{skip.state}", level=level, job=name, run_id=row_id, **fields)
        if is_missed:
            alerts.missed(self._state, entry, skip, row_id, now)
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
            entry.open_skip = (self.record_skip(entry, skip, now), skip)
            return
        row_id, skip = entry.open_skip
        skip = replace(
            skip,
            last=due.handled_until,
            count=skip.count + count,
            is_count_capped=skip.is_count_capped or is_capped,
        )
        entry.open_skip = (row_id, skip)
        self._state.out.append(ExtendSkip(row_id, skip))

    def refused(self, row_ids: frozenset[str]) -> None:
        """Start new skip rows for paused jobs whose skip rows the store refused.

        The store already had rows for these occurrences. The cost grows with the number of jobs, so pass
        ids of skip rows only: there may be many refused runs.
        """
        for entry in self._state.entries.values():
            if entry.open_skip is not None and entry.open_skip[0] in row_ids:
                entry.earlier_skip = entry.earlier_skip or entry.open_skip[1]
                entry.open_skip = None

    def skip_rest(self, entry: Entry, state: RunState, reason: Reason, now: Instant) -> None:
        """Record a skip for the occurrences of *entry* that came due and will not run."""
        if not entry.job.enabled:
            return
        after = entry.handled_until
        for skip in skip_range(entry.job, entry.grid_at, after, now, state, reason):
            self.record_skip(entry, skip, now)
