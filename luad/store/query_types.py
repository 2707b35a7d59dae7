"""What the store's questions are asked with, and answered with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from luad.core.installed import JobStatus
from luad.core.model import (
    JSON,
    Creation,
    EndKind,
    Instant,
    Origin,
    Reason,
    Run,
    RunError,
    RunState,
    Trigger,
)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One row of the history.

    A row that never became a run (`skipped`, `missed`) stands for *count* occurrences, from
    *first_scheduled_for* to ``run.scheduled_for``; *is_count_capped*: for that many at least.
    """

    run: Run
    first_scheduled_for: Instant | None = None
    count: int = 1
    is_count_capped: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a run. *started_at* ``None``: its process never started."""

    run_id: str
    attempt: int
    started_at: Instant | None = None
    ended_at: Instant | None = None
    pid: int | None = None
    kind: EndKind | None = None
    exit_code: int | None = None
    signal: int | None = None
    error: RunError | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """A definition that a job was installed with."""

    job_id: str
    revision: str
    name: str
    definition: Mapping[str, JSON]
    first_seen_at: Instant
    last_installed_at: Instant


@dataclass(frozen=True, slots=True)
class GoneJob:
    """A job that is not installed any more, as its last revision and its history tell of it.

    *definition* is the document as JSON text. *at*: since when it is gone, None where a luad before 0.2
    removed it; *status* is a guess by its last run then.
    """

    job_id: str
    name: str
    revision: str
    definition: str
    installed_at: Instant
    status: JobStatus
    at: Instant | None = None
    origin: Origin | None = None
    creation: Creation | None = None


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which rows of the history are asked for; an empty field excludes nothing.

    *job* is a job's name (all jobs that ever had it), *job_id* one job. *since* (inclusive) and
    *until* (exclusive) bound `claimed_at`. *user* is whom the job was for; *q* is part of the job's
    name or of the error. *has_arrived*: every message that the run sent has arrived, or one has not.
    """

    job: str | None = None
    job_id: str | None = None
    statuses: frozenset[RunState] = frozenset()
    triggers: frozenset[Trigger] = frozenset()
    since: Instant | None = None
    until: Instant | None = None
    user: str | None = None
    q: str | None = None
    has_arrived: bool | None = None


class RecentRun(NamedTuple):
    """A row of the history in short. Ids sort by time. *reason*: why it is not a run, or was ended."""

    id: str
    state: RunState
    started_at: Instant | None
    ended_at: Instant | None
    reason: Reason | None = None


class LogLine(NamedTuple):
    """A line of a run's log; *seq* counts from 1 within the run and never changes."""

    run_id: str
    seq: int
    line: dict[str, JSON]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one slice of retention removed; *pages* of the file were given back to the disk.
    *is_done*: nothing is left to remove."""

    is_done: bool
    runs: int = 0
    log_chunks: int = 0
    revisions: int = 0
    pages: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(
            self.is_done and other.is_done,
            self.runs + other.runs,
            self.log_chunks + other.log_chunks,
            self.revisions + other.revisions,
            self.pages + other.pages,
        )


@dataclass(frozen=True, slots=True)
class Retention:
    """How long history is kept, in ms, and how many rows a job may have."""

    history_ms: int
    runs_per_job: int
    logs_ms: int


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What `luad status` says of the store. *last_error*: of the last write that failed, empty once
    a write has worked again."""

    path: Path
    size_bytes: int
    jobs: int
    runs: int
    open_runs: int
    is_writable: bool
    last_error: str
