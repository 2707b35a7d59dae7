"""Requests about runs and pauses: run, retry, cancel, pause, resume.

Rule: each request gets exactly one `Reply`.
"""

from __future__ import annotations

from luad.core import alerts
from luad.core.claims import Claims
from luad.core.events import RememberKey, Reply, logged
from luad.core.installed import Acknowledgement, JobStatus, Pause
from luad.core.jobset import JobSet
from luad.core.model import (
    CATCH_UP_CAP,
    OPEN_RUNS_CAP,
    Instant,
    Occurrence,
    Reason,
    Run,
    RunState,
    Trigger,
)
from luad.core.names import PAUSED_BY_LUAD, is_over
from luad.core.overlays import lay_over
from luad.core.policy import Start, pauses_after
from luad.core.requests import (
    AcknowledgeRequested,
    CancelRequested,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    TriggerRequested,
)
from luad.core.schedule import occurrences
from luad.core.state import Entry, State
from luad.core.timetable import Alarm
from luad.core.values import replace


class RunRequests:
    """Answers requests, and pauses jobs that fail too often."""

    def __init__(self, state: State, claims: Claims, jobset: JobSet) -> None:
        self._state = state
        self._claims = claims
        self._jobset = jobset

    def _find(self, request_id: str, name: str, *, to_start: bool = False) -> Entry | None:
        """Return the entry of that name; without one, refuse the request.

        While draining, luad refuses requests *to_start* a run; handlers of running runs may make the others.
        """
        entry = self._state.find(name)
        if to_start and self._state.is_draining:
            self._refuse(request_id, "draining", "luad is shutting down and starts nothing more")
            return None
        if entry is None:
            self._refuse(request_id, "not_found", f"no job named `{name}`")
        return entry

    def _refuse(self, request_id: str, error: str, message: str, hint: str = "") -> None:
        self._state.out.append(Reply(request_id, None, error, message, hint))

    def trigger(self, event: TriggerRequested, now: Instant) -> None:
        """Run a job now."""
        entry = self._find(event.request_id, event.job_name, to_start=True)
        if entry is None:
            return
        start = Start.NOW if event.force else self._claims.may_start(entry)
        if start is Start.NEVER:
            self._refuse_overlap(event.request_id, entry)
            return
        if self._state.runs.open_count(entry.job_id) >= OPEN_RUNS_CAP:
            self._refuse(
                event.request_id,
                "too_many_runs",
                f"{entry.job.name} already has {OPEN_RUNS_CAP} open runs (the limit)",
                f"wait, or find out what starts them: luad history {entry.job.name}",
            )
            return
        run = self._claims.new_run(
            entry, event.trigger, Occurrence(now, now), now, cause=event.request_id
        )
        is_remote = event.is_remote and bool(
            event.metadata
        )  # without any, the client changes nothing
        run = replace(run, metadata=event.metadata, is_remote=is_remote)
        earlier = event.earlier
        if earlier is not None:
            earlier = replace(earlier, metadata=lay_over(earlier, entry.overlay))
            run = replace(run, revision=earlier.revision, is_pinned=True)
        run = self._claims.claim(entry, run, start, now, job=earlier)
        self._grant(event, run, now)

    def _grant(self, event: TriggerRequested | RetryRequested, run: Run, now: Instant) -> None:
        if event.key is not None:
            self._state.out.append(RememberKey(event.key, run.id, now))
        self._state.out.append(Reply(event.request_id, run))

    def retry(self, event: RetryRequested, now: Instant) -> None:
        """Run the occurrence of an ended run again."""
        own = self._state.by_id(event.run.job_id)  # else a later job of the same name
        name = event.run.job_name if own is None else own.key
        entry = self._find(event.request_id, name, to_start=True)
        if entry is None:
            return
        start = self._claims.may_start(entry)
        if start is Start.NEVER:
            self._refuse_overlap(event.request_id, entry)
            return
        again = Occurrence(event.run.scheduled_for, now)
        run = self._claims.new_run(entry, Trigger.RETRY, again, now, cause=event.request_id)
        run = replace(
            run, retry_of=event.run.id, metadata=event.run.metadata, is_remote=event.run.is_remote
        )
        self._grant(event, self._claims.claim(entry, run, start, now), now)

    def _refuse_overlap(self, request_id: str, entry: Entry) -> None:
        first = self._state.runs.of_job(entry.job_id)[0]
        self._refuse(
            request_id,
            "already_running",
            f"{entry.job.name} is already running ({first.id}), and its overlap policy is "
            f"`{entry.job.overlap}`",
            f"wait for it, or stop it: luad cancel {first.id}",
        )

    def cancel(self, event: CancelRequested, now: Instant) -> None:
        """Stop an open run."""
        run = self._state.runs.get(event.run_id)
        if run is None:
            self._refuse(event.request_id, "conflict", f"{event.run_id} is already over")
            return
        ended = self._state.runs.cancel(
            run, Reason.REQUESTED, now, self._state.timetable, kill=event.kill
        )
        self._state.out.append(Reply(event.request_id, ended or run))

    def pause(self, event: PauseRequested, now: Instant) -> None:
        """Stop scheduling a job."""
        entry = self._find(event.request_id, event.job_name)
        if entry is None:
            return
        self._start_pause(entry, _asked_for(entry, event, now))
        self._state.out.append(Reply(event.request_id))

    def _start_pause(self, entry: Entry, pause: Pause) -> None:
        alarm = Alarm("resume", entry.key)
        entry.pause = pause
        self._state.mark_changed(entry)
        self._state.timetable.cancel_alarm(alarm)
        if pause.until is not None:
            self._state.timetable.set_alarm(alarm, pause.until)
        name = entry.job.name
        self._state.log(
            "job.paused",
            job=name,
            reason=pause.reason,
            author=pause.author,
            until=logged(pause.until),
        )

    def acknowledge(self, event: AcknowledgeRequested, now: Instant) -> None:
        """Keep alerts about a job back until it has succeeded."""
        entry = self._find(event.request_id, event.job_name)
        if entry is None:
            return
        known = Acknowledgement(now, event.author, event.note, event.until)
        alerts.acknowledge(self._state, entry, known)
        until = logged(event.until)
        job = entry.job.name
        self._state.log("job.acknowledged", job=job, author=event.author, until=until)
        self._state.out.append(Reply(event.request_id))

    def resume(self, event: ResumeRequested, now: Instant) -> None:
        """Schedule a paused job again."""
        entry = self._find(event.request_id, event.job_name)
        if entry is None:
            return
        displaced = entry.standing.displaced
        if displaced is not None:
            self._refuse(
                event.request_id,
                "conflict",
                f"{entry.job.name} ({entry.job_id}) is paused: {displaced.reason}",
                "luad resumes it when the file no longer declares that name; rename the job in the file, "
                f"or remove this one: luad delete {entry.job_id}",
            )
            return
        if entry.pause is None and not entry.job.enabled:
            self._refuse(
                event.request_id,
                "conflict",
                f"{entry.job.name} is disabled in its file (`enabled: false`)",
                "change the file; luad loads it as soon as you save it",
            )
            return
        self.end_pause(entry, now, catch_up=event.catch_up)
        self._state.out.append(Reply(event.request_id))

    def end_pause(
        self, entry: Entry, now: Instant, *, catch_up: str = "none", author: str = ""
    ) -> None:
        """End the pause of a job, if it has one; *catch_up*: which skipped occurrences run."""
        if entry.pause is None:
            return
        skips = [entry.earlier_skip] if entry.earlier_skip else []
        skips += [entry.open_skip[1]] if entry.open_skip else []
        entry.pause = entry.open_skip = entry.earlier_skip = None
        # Otherwise the next failure would pause it again at once.
        entry.clear_failures()
        self._state.mark_changed(entry)
        self._state.timetable.cancel_alarm(Alarm("resume", entry.key))
        if entry.handled_until > now:  # the clock went back meanwhile
            self._state.follow_clock_back(entry, now)
            self._state.arm(entry)
        count = sum(skip.count for skip in skips)
        self._state.log("job.resumed", job=entry.job.name, author=author, skipped=count)
        if not skips or catch_up == "none":
            return
        first, last = skips[0].first, skips[-1].last
        wanted = [last]
        if catch_up == "all" and count <= CATCH_UP_CAP:
            wanted = occurrences(entry.job.schedule, entry.grid_at, first - 1, last, CATCH_UP_CAP)
        for nominal in wanted:  # the skip row of the pause stays their only guarded row
            occurrence = Occurrence(nominal, now)
            start = self._claims.may_start(entry, is_backlog=len(wanted) > 1)
            if start is Start.NEVER:
                start = Start.WHEN_ENDED  # the client has asked for it
            run = self._claims.new_run(entry, Trigger.RESUME, occurrence, now, cause="resume")
            self._claims.claim(entry, run, start, now)

    def note_end(self, run: Run | None, now: Instant) -> None:
        """Count failures in a row at the end of a run, alert, and pause a failing job."""
        if run is None or run.state is RunState.CANCELLED:
            return
        entry = self._state.by_id(run.job_id)
        if entry is None:
            return  # the job is removed; a later job of that name is another job
        failures = self._count(entry, run)
        alerts.ended(self._state, entry, run, now)
        own = failures - entry.consecutive_stops  # a stop of the daemon is not the job's failure
        is_own = run.reason is not Reason.STOPPED
        if failures and is_own and pauses_after(entry.job, own) and entry.pause is None:
            reason = f"{own} failures in a row, the last in {run.id}"
            self._start_pause(entry, Pause(now, reason, PAUSED_BY_LUAD))
        if not failures and leaves_after_success(self._state, entry):
            self._state.log("job.done", job=entry.job.name, run_id=run.id)
            self._jobset.remove(entry, now, JobStatus.COMPLETED)

    def _count(self, entry: Entry, run: Run) -> int:
        """Count the end of a run, and return the failures in a row."""
        if run.state is not RunState.SUCCEEDED:
            entry.consecutive_failures += 1
            entry.consecutive_stops += run.reason is Reason.STOPPED
            self._state.mark_changed(entry)
        elif entry.consecutive_failures:
            entry.clear_failures()
            self._state.mark_changed(entry)
        return entry.consecutive_failures


def leaves_after_success(state: State, entry: Entry) -> bool:
    """Return whether luad removes the job after its success: a dynamic `once` without `keep`."""
    return entry.wanted.is_dynamic and not entry.job.keep and is_over(state, entry)


def _asked_for(entry: Entry, event: PauseRequested, now: Instant) -> Pause:
    revision = entry.job.revision if event.ends_with_revision else ""
    return Pause(now, event.reason, event.author, event.until, revision)
