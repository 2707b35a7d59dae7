"""The open runs: claimed, started, retried, ended.

Rule: part of the engine's state. Each change of a run goes through `lifecycle.step` and adds a record. The
action that starts a run is in the same batch as its record, or in a later one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from luad.core.concurrency import Slots, UnservedRuns
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    ClaimRun,
    Effect,
    Log,
    ReleaseOutput,
    SaveRun,
    StartAttempt,
    StopAttempt,
    logged,
)
from luad.core.lifecycle import RunEvent, step
from luad.core.model import Ending, EndKind, Instant, Job, Reason, Run, RunError, RunState
from luad.core.policy import after_ending
from luad.core.timetable import Alarm, Timetable
from luad.core.values import replace


class OpenRuns:
    """The open runs, and the runs among them that may start.

    *job_in_force* returns the current job of a run, None once it is removed (even if a later job has its
    name). *out* is the list that collects effects. A run whose queue is not one of *queues* waits until its job
    has another queue.
    """

    def __init__(
        self,
        capacity: int,
        job_in_force: Callable[[Run], Job | None],
        out: list[Effect],
        queues: frozenset[str] | None = None,
    ) -> None:
        self.slots = Slots(capacity)
        self._queues = queues
        self.unserved = UnservedRuns()
        self.may_start = False
        self.changed: dict[str, None] = {}  # job ids whose open runs have become more or fewer
        self._job_in_force = job_in_force
        self._out = out
        self._runs: dict[str, Run] = {}
        self._of_job: dict[str, dict[str, None]] = {}  # job id -> run ids
        self._blocked: dict[str, list[str]] = {}  # job id -> run ids that wait for another's end
        self._stopping: dict[str, Reason] = {}
        self.pinned: dict[str, Job] = {}  # by run id: what it executes, whatever is in force

    # --- reading ---

    def get(self, run_id: str) -> Run | None:
        """Return the open run of that id."""
        return self._runs.get(run_id)

    def of_job(self, job_id: str) -> list[Run]:
        """Return the open runs of a job, oldest claim first."""
        return [self._runs[run_id] for run_id in self._of_job.get(job_id, ())]

    def open_count(self, job_id: str) -> int:
        """Return the number of open runs of the job."""
        return len(self._of_job.get(job_id, ()))

    @property
    def open_count_of_all(self) -> int:
        """The number of open runs of all jobs."""
        return len(self._runs)

    @property
    def is_any_waiting(self) -> bool:
        """True if a run waits for a slot, or for another run of its job."""
        return bool(self._blocked) or self.slots.is_any_waiting

    def blocked_count(self, job_id: str) -> int:
        """Return the number of runs that wait for another run of the job to end."""
        return len(self._blocked.get(job_id, ()))

    @property
    def count(self) -> int:
        """The number of open runs."""
        return len(self._runs)

    def all(self) -> list[Run]:
        """Return every open run, oldest claim first."""
        return list(self._runs.values())

    # --- claiming and starting ---

    def claim(self, run: Run, job: Job, *, behind_others: bool = False) -> Run:
        """Claim *run*: start it, or let it wait for a slot or for the job's other runs."""
        self.changed[run.job_id] = None
        if run.is_pinned:
            self.pinned[run.id] = job
        self._of_job.setdefault(run.job_id, {})[run.id] = None
        if behind_others:
            self._blocked.setdefault(run.job_id, []).append(run.id)
        elif self.may_start and self._has_worker(job) and self.slots.take(run.id):
            run = replace(run, state=step(run.state, RunEvent.START))
            self._out += (ClaimRun(run), StartAttempt(run, job))
            self._runs[run.id] = run
            return run
        else:
            self._wait(run, job)
        self._runs[run.id] = run
        self._out.append(ClaimRun(run))
        return run

    def _has_worker(self, job: Job) -> bool:
        return self._queues is None or job.queue in self._queues

    def _wait(self, run: Run, job: Job | None) -> None:
        """Let *run* wait for a slot, or for a worker of its queue."""
        if job is None or self._has_worker(job):
            self.slots.wait(run.id, run.job_name)
        else:
            self.unserved.add(run.id, job.queue)

    def queue_changed(self, job_id: str) -> None:
        """Let the runs of a job that has another queue now wait there."""
        for run in self.of_job(job_id):
            if self.unserved.discard(run.id):
                self._wait(run, self._job_of(run))

    def dispatch(self) -> None:
        """Start waiting runs as long as there are slots."""
        while self.may_start and (run_id := self.slots.next()) is not None:
            self._start(self._runs[run_id], RunEvent.START)

    def _start(self, run: Run, event: RunEvent) -> None:
        job = self._job_of(run)
        assert job is not None, "what waits is cancelled when its job is removed"
        run = replace(run, state=step(run.state, event), revision=job.revision)
        self._save(run)
        self._out.append(StartAttempt(run, job))

    def retry_due(self, run_id: str) -> None:
        """Start the next attempt of a run, or queue it for a slot."""
        run = self._runs.get(run_id)
        if run is None:
            return  # another event of the same batch has cancelled it
        run = replace(run, attempt=run.attempt + 1, retry_at=None, identity=None)
        job = self._job_of(run)
        has_worker = job is None or self._has_worker(job)
        if self.may_start and has_worker and self.slots.take(run_id):
            self._start(run, RunEvent.START)
            return
        self._save(replace(run, state=step(run.state, RunEvent.WAIT)))
        self._wait(run, job)

    # --- what the runner reports ---

    def started(self, event: AttemptStarted) -> None:
        """Save the process of an attempt."""
        run = self._current(event.run_id, event.attempt)
        if run is None:
            return
        first_start = run.started_at if run.started_at is not None else event.at
        self._save(replace(run, started_at=first_start, identity=event.identity), is_start=True)
        fields: dict[str, object] = {"pid": event.identity.pid, "trigger": run.trigger.value}
        if run.attempt == 1:
            fields["late_ms"] = event.at - run.fire_at
        self._log("run.started", run, **fields)
        self._out.append(ReleaseOutput(run.id))

    def ended(self, event: AttemptEnded, timetable: Timetable) -> Run | None:
        """Save the end of an attempt; return the run if it is over, None otherwise."""
        run = self._current(event.run_id, event.attempt)
        if run is None:
            return None
        ending = event.ending
        reason = self._stopping.pop(run.id, None)
        if reason is Reason.STOPPED and ending.kind is EndKind.CANCELLED:
            if run.identity is None:
                self._requeue(run)
                return None
            ending = replace(ending, kind=EndKind.LOST, error=_by_the_stop(ending.error))
        verdict = after_ending(self._job_of(run), run.attempt, ending, stopped_for=reason)
        state = step(run.state, verdict.event)
        if verdict.event is RunEvent.RETRY:
            assert verdict.retry_at is not None
            self._wait_for_retry(run, ending, verdict.retry_at, timetable)
            return None
        run = replace(
            run,
            state=state,
            ending=ending,
            ended_at=ending.at,
            reason=reason if _keeps_reason(state, reason) else None,
            retry_at=None,
        )
        self._close(run)
        return run

    def _wait_for_retry(
        self, run: Run, ending: Ending, retry_at: Instant, timetable: Timetable
    ) -> None:
        run = replace(
            run,
            state=step(run.state, RunEvent.RETRY),
            retry_at=retry_at,
            ending=ending,
            identity=None,
            reason=None,
        )
        self._save(run)
        self.slots.free(run.id, run.job_name)
        timetable.set_alarm(Alarm("retry", run.id), retry_at)
        self._log("run.retrying", run, "warning", retry_at=logged(retry_at), **_why(ending))

    def _requeue(self, run: Run) -> None:
        """Queue a run again whose process did not start; the next daemon starts it."""
        run = replace(run, state=step(run.state, RunEvent.REQUEUE), reason=None)
        self._save(run)
        self.slots.free(run.id, run.job_name)
        self.slots.wait(run.id, run.job_name)
        self._log("run.requeued", run)

    def refused(self, run_id: str) -> bool:
        """Drop a run whose occurrence already had a row; False if no open run has this id."""
        run = self._runs.get(run_id)
        if run is not None:
            self._forget(run)
            self._log("run.refused", run, scheduled_for=logged(run.scheduled_for))
        return run is not None

    # --- stopping ---

    def cancel(
        self, run: Run, reason: Reason, now: Instant, timetable: Timetable, *, kill: bool = False
    ) -> Run | None:
        """Stop an open run; return it if it is over, None if its process must end first."""
        if run.state is RunState.RUNNING:
            self._stop(run, reason, kill=kill)
            return None
        timetable.cancel_alarm(Alarm("retry", run.id))
        run = replace(
            run,
            state=step(run.state, RunEvent.CANCEL),
            ended_at=now,
            reason=reason,
            retry_at=None,
        )
        self._close(run)
        return run

    def end_all(self) -> None:
        """Stop each run that has a process, because the daemon stops; the next daemon starts the others."""
        for run in self.all():
            if run.state is RunState.RUNNING and run.id not in self._stopping:
                self._stop(run, Reason.STOPPED)

    def _stop(self, run: Run, reason: Reason, *, kill: bool = False) -> None:
        # The row has the reason before the process gets the signal: if the daemon is killed in between, the
        # next daemon does not restart a run that a client cancelled.
        self._stopping[run.id] = reason
        self._save(replace(run, reason=reason))
        self._out.append(StopAttempt(run.id, run.attempt, kill))
        self._log("run.stopping", run, reason=reason.value)

    # --- start-up and clock steps ---

    def restore(self, runs: Iterable[Run], timetable: Timetable) -> None:
        """Restore the open runs of the previous daemon.

        Runs that had started come before runs that had not, whatever the order of their claims.
        """
        for run in sorted(runs, key=lambda run: run.state is RunState.QUEUED and run.attempt == 1):
            self._restore(run, timetable)

    def _restore(self, run: Run, timetable: Timetable) -> None:
        others = self.open_count(run.job_id)
        self._runs[run.id] = run
        self._of_job.setdefault(run.job_id, {})[run.id] = None
        if run.state is RunState.RUNNING and run.reason is not None:
            self._stopping[run.id] = run.reason
        if run.state is RunState.RETRYING:
            assert run.retry_at is not None
            timetable.set_alarm(Alarm("retry", run.id), run.retry_at)
        elif run.state is RunState.QUEUED and others:
            self._blocked.setdefault(run.job_id, []).append(run.id)
        elif run.state is RunState.QUEUED:
            self._wait(run, self._job_of(run))

    def shift_retries(self, delta_ms: int, timetable: Timetable) -> None:
        """Shift the next attempts by a step of the wall clock, so that delays stay the same."""
        for run in list(self._runs.values()):
            if run.retry_at is not None:
                shifted = run.retry_at + delta_ms
                self._save(replace(run, retry_at=shifted))
                timetable.set_alarm(Alarm("retry", run.id), shifted)

    # --- inside ---

    def _current(self, run_id: str, attempt: int) -> Run | None:
        run = self._runs.get(run_id)
        if run is None or run.attempt != attempt or run.state is not RunState.RUNNING:
            return None  # a late report of an attempt that is over
        return run

    def _save(self, run: Run, *, is_start: bool = False) -> None:
        self._runs[run.id] = run
        self._out.append(SaveRun(run, is_start=is_start))

    def _close(self, run: Run) -> None:
        self._save(run)
        is_well = run.state in {RunState.SUCCEEDED, RunState.CANCELLED}
        has_lost_result = run.ending is not None and run.ending.result_omitted
        level = "info" if is_well and not has_lost_result else "warning"
        fields: dict[str, object] = {"status": run.state.value}
        if run.started_at is not None and run.ended_at is not None:
            fields["duration_ms"] = run.ended_at - run.started_at
        if run.reason is not None:
            fields["reason"] = run.reason.value
        if run.ending is not None:
            fields |= _why(run.ending)
        self._out.append(ReleaseOutput(run.id, is_last=True))
        self._log("run.ended", run, level, **fields)
        self._forget(run)

    def _job_of(self, run: Run) -> Job | None:
        """Return the definition that *run* executes; None once its job is removed."""
        job = self._job_in_force(run)
        return None if job is None else self.pinned.get(run.id, job)

    def _forget(self, run: Run) -> None:
        self.pinned.pop(run.id, None)
        self.changed[run.job_id] = None
        del self._runs[run.id]
        self._stopping.pop(run.id, None)
        self.unserved.discard(run.id)
        self.slots.free(run.id, run.job_name)
        siblings = self._of_job[run.job_id]
        del siblings[run.id]
        blocked = self._blocked.get(run.job_id, [])
        if run.id in blocked:
            blocked.remove(run.id)
        if blocked and len(siblings) == len(blocked):  # no run is ahead of them any more
            following = self._runs[blocked.pop(0)]
            self._wait(following, self._job_of(following))
        if not blocked:
            self._blocked.pop(run.job_id, None)
        if not siblings:
            del self._of_job[run.job_id]

    def _log(self, event: str, run: Run, level: str = "info", /, **fields: object) -> None:
        known: dict[str, object] = {"job": run.job_name, "run_id": run.id, "attempt": run.attempt}
        self._out.append(Log(event, known | fields, level))  # type: ignore[arg-type]


def _keeps_reason(state: RunState, reason: Reason | None) -> bool:
    """Return whether *reason*, for which luad stopped a run, explains its *state*."""
    if state is RunState.LOST:
        return reason is Reason.STOPPED
    return state is RunState.CANCELLED


def _by_the_stop(error: RunError | None) -> RunError:
    """Return the error of a run that a stop of the daemon ended."""
    killed = "; it had to be killed" if error and error.message.endswith("had to be killed") else ""
    message = f"luad was stopped while this ran, and ended it{killed}"
    return RunError("Stopped", message, error.traceback if error else "")


def _why(ending: Ending) -> dict[str, object]:
    """Return the log fields about the end of an attempt, without empty ones."""
    fields: dict[str, object] = {"ending": ending.kind.value}
    if ending.exit_code:
        fields["exit_code"] = ending.exit_code
    if ending.signal is not None:
        fields["signal"] = ending.signal
    if ending.error is not None:
        fields["error"] = f"{ending.error.type}: {ending.error.message}"
    if not ending.is_retryable:
        fields["retryable"] = False
    if ending.result_omitted:
        fields["result_omitted"] = ending.result_omitted
    return fields
