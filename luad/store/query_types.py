"""The types of the store's queries: filters and results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
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

    A row that never became a run (`skipped`, `missed`) is for *count* occurrences, from
    *first_scheduled_for* to ``run.scheduled_for``; *is_count_capped*: for at least that many.
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
    """A removed job, from its last revision and its history.

    *definition* is the document as JSON text. *at*: the instant of its removal; None if a luad before 0.2
    removed it, and then *status* is a guess from its last run.
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
    """A filter for rows of the history; an empty field excludes nothing.

    *job* is a name (of all jobs that ever had it), *job_id* one job. *since* (inclusive) and *until*
    (exclusive) bound `claimed_at`. *user* is the job's user at the claim; *q* is part of the job's name or of
    the error. *has_arrived*: all messages of the run have arrived, or at least one has not. *tags*: at least one
    of the job's tags is among them; *not_jobs* and *not_tags* exclude. *min_duration_ms*: the run took, or until
    *now* takes, at least so long.
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
    reasons: frozenset[Reason] = frozenset()
    tags: frozenset[str] = frozenset()
    not_jobs: frozenset[str] = frozenset()
    not_tags: frozenset[str] = frozenset()
    min_duration_ms: int | None = None
    now: Instant | None = None


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of the history. *cursor*: of the next page; None at the end.

    *is_complete*: the page ends because it is full, or because no more rows match. Otherwise the time for the
    search was over, and *cursor* goes on with it.
    """

    rows: list[RunRow]
    cursor: str | None = None
    is_complete: bool = True


class RecentRun(NamedTuple):
    """A row of the history in short; ids sort by time. *reason*: of a skip, or of the end of a run."""

    id: str
    state: RunState
    started_at: Instant | None
    ended_at: Instant | None
    reason: Reason | None = None


class FileJob(NamedTuple):
    """A job in force that a file declares, in its last good version."""

    job_id: str
    name: str
    revision: str
    line: int | None
    definition: Mapping[str, JSON]


class Software(NamedTuple):
    """The versions of luad and Python that a daemon had."""

    luad: str
    python: str


class LogLine(NamedTuple):
    """A line of a run's log; *seq* counts from 1 within the run and never changes."""

    run_id: str
    seq: int
    line: dict[str, JSON]


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of a run's log, oldest line first. *before*: for the page before it; None at the beginning.

    *is_complete*: False if the time was over before the page was full.
    """

    lines: list[LogLine]
    before: int | None = None
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class Pruned:
    """The counts of one slice of retention. *pages*: pages of the file given back to the disk.

    *is_done*: nothing is left to remove.
    """

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
    """The limits of retention: ages in ms, and rows of a job."""

    history_ms: int
    runs_per_job: int
    logs_ms: int


class NodeStatus(StrEnum):
    """The state of a node: *behind* has older files than the others, *gone* ended without a word."""

    STARTING = "starting"
    ACTIVE = "active"
    BEHIND = "behind"
    DRAINING = "draining"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """A node of the store. *shards*: the number of those that it owns; *offset_ms*: the store's clock minus its own."""

    name: str
    version: str
    status: NodeStatus
    shards: int
    files_digest: str | None
    offset_ms: int | None
    seen_at: Instant


@dataclass(frozen=True, slots=True)
class ClusterWorker:
    """A life of a worker. *node*: the node that it is a part of; None for one that is alone.

    *code_digest*: of its handlers.
    """

    life: str
    name: str
    node: str | None
    queues: tuple[str, ...]
    version: str
    started_at: Instant
    seen_at: Instant
    code_digest: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterLoad:
    """What waits: *rows* of the inbox, *failed* ones, the age of the oldest; by queue, the runs that no worker has taken.

    A worker that was not seen for *lost_after_ms* is gone.
    """

    rows: int
    failed: int
    oldest_ms: int
    waiting: Mapping[str, int]
    lost_after_ms: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """The nodes and workers at *now*, an instant of the store's clock. *shards*: the number of all shards.

    *load*: None from a node that does not count for all. *code_digest*: of the handlers that the jobs in force need.
    """

    now: Instant
    shards: int
    nodes: tuple[ClusterNode, ...]
    workers: tuple[ClusterWorker, ...]
    load: ClusterLoad | None = None
    code_digest: str | None = None
