"""What a store promises, said with dicts; and the times in which each definition was in force."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

from luad.core.events import (
    AnswerKey,
    ClaimRun,
    ExtendSkip,
    InstallJob,
    PostMessage,
    RecordSkip,
    RememberKey,
    RemoveJob,
    Restored,
    SaveProgress,
    SaveRun,
    StoredJob,
)
from luad.core.model import OPEN_STATES, Instant, Job, Once, Run, Skip, Trigger
from luad.core.people import Message

UNIQUE = {Trigger.SCHEDULE, Trigger.CATCHUP}
RECORDS = (
    InstallJob,
    RemoveJob,
    SaveProgress,
    ClaimRun,
    SaveRun,
    RecordSkip,
    ExtendSkip,
    RememberKey,
    PostMessage,
)


@dataclass
class Period:
    """A job was in force with one schedule, from just after *after* to *until*."""

    job_id: str
    job: Job
    after: Instant
    until: Instant | None = None
    grid_at: Instant = 0
    handled_until: Instant = 0

    def note(self, jobs: dict[str, StoredJob]) -> None:
        row = jobs.get(self.job_id)
        if row is not None and self.until is None:
            self.grid_at = row.progress.grid_at
            self.handled_until = row.progress.handled_until


@dataclass
class DictStore:
    """What a store promises, said with dicts."""

    jobs: dict[str, StoredJob] = field(default_factory=dict)
    definitions: dict[str, Job] = field(default_factory=dict)  # revision -> job
    runs: dict[str, Run] = field(default_factory=dict)
    skips: dict[str, tuple[RecordSkip, Skip]] = field(default_factory=dict)
    taken: set[tuple[str, Instant]] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    keys: dict[AnswerKey, str] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    last_seen: Instant | None = None
    periods: dict[str, list[Period]] = field(default_factory=lambda: defaultdict(list))

    def apply(self, records: list[object], now: Instant) -> tuple[str, ...]:
        refused = [run_id for each in records if (run_id := self._write(each))]
        self.last_seen = now
        for periods in self.periods.values():
            periods[-1].note(self.jobs)
        return tuple(refused)

    def _write(self, record: object) -> str | None:  # noqa: PLR0912 - one case a record
        match record:
            case InstallJob(job_id, job, origin, at, creation):
                old = self.jobs.get(job_id)
                self.removed.discard(job_id)  # taken out and put back within a millisecond
                taken = [each for each in self.jobs.values() if each.name == job.name]
                assert all(each.job_id == job_id for each in taken), "a name is used once"
                progress = old.progress if old else SaveProgress(job_id, at, at, 0, None)
                self.definitions[job.revision] = job
                self._note_period(job_id, job, at, is_dynamic=creation is not None)
                self.jobs[job_id] = StoredJob(
                    job_id, job.name, "{}", job.revision, origin, at, progress, creation
                )
            case RemoveJob(job_id, _, at):
                del self.jobs[job_id]
                self.removed.add(job_id)
                self.periods[job_id][-1].until = at
            case SaveProgress(job_id):
                self.jobs[job_id] = replace(self.jobs[job_id], progress=record)
            case ClaimRun(run):
                key = (run.job_id, run.scheduled_for)
                if run.trigger in UNIQUE and key in self.taken:
                    self.refused.add(run.id)
                    return run.id
                if run.trigger in UNIQUE:
                    self.taken.add(key)
                assert run.id not in self.runs, "an id is used once"
                self.runs[run.id] = run
            case SaveRun(run):
                if run.id in self.refused:
                    return None
                old_run = self.runs[run.id]
                assert old_run.state in OPEN_STATES, "a terminal row never changes"
                assert old_run.attempt <= run.attempt
                self.runs[run.id] = run
            case RecordSkip(row_id, _, job_id, _, skip):
                if (job_id, skip.last) in self.taken:
                    self.refused.add(row_id)
                    return None
                self.taken.add((job_id, skip.last))
                self.skips[row_id] = (record, skip)
            case ExtendSkip(row_id, skip):
                if row_id in self.refused:
                    return None
                first, old_skip = self.skips[row_id]
                self.taken.discard((first.job_id, old_skip.last))
                self.taken.add((first.job_id, skip.last))
                self.skips[row_id] = (first, skip)
            case RememberKey(key, subject):
                self.keys.setdefault(key, subject)
            case PostMessage(message):
                self.messages.setdefault(message.id, message)
            case _:
                raise AssertionError(record)
        return None

    def _note_period(self, job_id: str, job: Job, at: Instant, *, is_dynamic: bool) -> None:
        periods = self.periods[job_id]
        if periods and periods[-1].job.schedule == job.schedule:
            return
        after = at
        if periods:
            periods[-1].until = at
        if isinstance(job.schedule, Once) and (is_dynamic or not periods):
            after = min(at, job.schedule.execute_at - 1)
        periods.append(Period(job_id, job, after))

    def restore(self) -> tuple[list[tuple[StoredJob, Job]], Restored]:
        jobs = [(each, self.definitions[each.revision]) for each in self.jobs.values()]
        open_runs = tuple(run for run in self.runs.values() if run.state in OPEN_STATES)
        return jobs, Restored(tuple(each for each, _ in jobs), open_runs, self.last_seen)
