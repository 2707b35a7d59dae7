"""The naive twin of luad.store, made of dicts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from luad.core.events import (
    AddMessage,
    ClaimRun,
    ExtendSkip,
    InstallJob,
    RecordSkip,
    RememberKey,
    RemoveJob,
    SaveProgress,
    SaveRun,
    SaveStanding,
    StoredJob,
)
from luad.core.installed import IN_FORCE
from luad.core.messaging import Message
from luad.core.model import OPEN_STATES, Instant, Job, Run, Skip, Trigger
from luad.core.requests import AnswerKey

UNIQUE = {Trigger.SCHEDULE, Trigger.CATCHUP}
RECORDS = (
    InstallJob,
    RemoveJob,
    SaveProgress,
    SaveStanding,
    ClaimRun,
    SaveRun,
    RecordSkip,
    ExtendSkip,
    RememberKey,
    AddMessage,
)


def key_of(row: StoredJob) -> str:
    """The name, or the id of a job that does not hold it."""
    return row.name if row.standing.holds_name else row.job_id


@dataclass
class DictStore:
    """A store made of dicts."""

    jobs: dict[str, StoredJob] = field(default_factory=dict)
    definitions: dict[str, Job] = field(default_factory=dict)  # revision -> job
    runs: dict[str, Run] = field(default_factory=dict)
    skips: dict[str, tuple[RecordSkip, Skip]] = field(default_factory=dict)
    taken: dict[tuple[str, Instant], str] = field(default_factory=dict)  # row ids
    refused: set[str] = field(default_factory=set)
    keys: dict[AnswerKey, str] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    last_seen: Instant | None = None

    def apply(self, records: list[object], now: Instant) -> tuple[str, ...]:
        refused = [run_id for each in records if (run_id := self._write(each))]
        self.last_seen = now
        return tuple(refused)

    def _write(self, record: object) -> str | None:  # noqa: PLR0912 - one case a record
        match record:
            case InstallJob(job_id, job, origin, at, creation, holds_name):
                old = self.jobs.get(job_id)
                self.removed.discard(job_id)  # taken out and put back within a millisecond
                standing = old.standing if old else IN_FORCE
                assert standing.holds_name is holds_name, "a job keeps its standing"
                if holds_name:
                    self._has_the_name(job.name, job_id)
                progress = old.progress if old else SaveProgress(job_id, at, at, 0, None)
                self.definitions[job.revision] = job
                first_at = old.installed_at if old else at
                self.jobs[job_id] = StoredJob(
                    job_id,
                    job.name,
                    "{}",
                    job.revision,
                    origin,
                    first_at,
                    progress,
                    creation,
                    standing,
                )
            case RemoveJob(job_id):
                del self.jobs[job_id]
                self.removed.add(job_id)
            case SaveProgress(job_id):
                self.jobs[job_id] = replace(self.jobs[job_id], progress=record)
            case SaveStanding(job_id, name, standing):
                if standing.holds_name:
                    self._has_the_name(name, job_id)
                self.jobs[job_id] = replace(self.jobs[job_id], standing=standing)
            case ClaimRun(run):
                key = (run.job_id, run.scheduled_for)
                if run.trigger in UNIQUE and key in self.taken:
                    self.refused.add(run.id)
                    return run.id
                if run.trigger in UNIQUE:
                    self.taken[key] = run.id
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
                if row_id in self.skips:  # from an earlier life that began at the same instant
                    return None
                if (job_id, skip.last) in self.taken:
                    self.refused.add(row_id)
                    return row_id
                self.taken[job_id, skip.last] = row_id
                self.skips[row_id] = (record, skip)
            case ExtendSkip(row_id, skip):
                if row_id in self.refused:
                    return None
                first, old_skip = self.skips[row_id]
                if self.taken.get((first.job_id, skip.last), row_id) != row_id:
                    return None
                del self.taken[first.job_id, old_skip.last]
                self.taken[first.job_id, skip.last] = row_id
                self.skips[row_id] = (first, skip)
            case RememberKey(key, subject):
                self.keys.setdefault(key, subject)
            case AddMessage(message):
                self.messages.setdefault(message.id, message)
            case _:
                raise AssertionError(record)
        return None

    def _has_the_name(self, name: str, job_id: str) -> None:
        holders = [each for each in self.jobs.values() if each.name == name]
        others = [each for each in holders if each.standing.holds_name and each.job_id != job_id]
        assert not others, "a name is held once"

    def open_runs(self) -> list[Run]:
        return [run for run in self.runs.values() if run.state in OPEN_STATES]
