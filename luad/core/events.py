"""Events, which go into the engine, and its effects: records and actions.

Rule: frozen values only.

The daemon passes events to the engine and gets effects. It first stores all records of the batch in one
transaction, and then carries out the actions: claim, then start.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field
from typing import Any, Literal, TypeAlias

from luad.core.installed import (
    IN_FORCE,
    NO_ALERT,
    NO_OVERLAY,
    AlertState,
    JobStatus,
    Overlay,
    Pause,
    Standing,
)
from luad.core.messaging import Message
from luad.core.model import (
    JSON,
    Creation,
    Ending,
    Instant,
    Job,
    Origin,
    ProcessIdentity,
    Run,
    Skip,
    Wanted,
)
from luad.core.requests import AnswerKey, Request
from luad.core.values import dataclass

# --- events: into the engine -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class ConfigLoaded:
    """The complete set of static jobs that the files declare, with last good versions.

    *problem_count* is only for the log line and the reply.
    """

    wanted: Mapping[str, Wanted]
    problem_count: int = 0
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class JobsRestored:
    """The static jobs of the previous daemon are in force, although not all files were compared yet.

    *compared* are the names whose files are as they were; they must have all jobs with open runs. The others
    start nothing before `FilesCompared`.
    """

    compared: Collection[str]


@dataclass(frozen=True, slots=True)
class FilesCompared:
    """The files of the jobs *names* are as they were; None: all files are compared, and their changes in force."""

    names: Collection[str] | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """Static jobs that the files declare otherwise than before, None for those that no file declares now.

    A large change comes in several events; only the last one has a *request_id*.
    """

    items: Mapping[str, Wanted | None]
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """The runner has started the process of an attempt."""

    run_id: str
    attempt: int
    at: Instant
    identity: ProcessIdentity


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt has ended; with `EndKind.LOST`, the runner cannot see its end."""

    run_id: str
    attempt: int
    ending: Ending


@dataclass(frozen=True, slots=True)
class ClaimsRefused:
    """The store already had rows for these occurrences: the runs and skips are void."""

    run_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForgetCompleted:
    """Remove the dynamic `once` jobs that were over before the instant *before*."""

    before: Instant


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """Start no more runs, and let running runs end. The next daemon handles later occurrences.

    *is_impatient*: end the running runs too.
    """

    is_impatient: bool = False


Event: TypeAlias = (
    Ticked
    | ConfigLoaded
    | JobsRestored
    | FilesCompared
    | ConfigChanged
    | AttemptStarted
    | AttemptEnded
    | ClaimsRefused
    | ForgetCompleted
    | DrainRequested
    | Request
)


# --- records: what one transaction writes ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InstallJob:
    """Install a job: new, with a new revision, or declared in another file.

    The store replaces the whole row, except the instant of the first installation.
    """

    job_id: str
    job: Job
    origin: Origin | None
    at: Instant
    creation: Creation | None = None
    holds_name: bool = True


@dataclass(frozen=True, slots=True)
class RemoveJob:
    """Remove a job from the installed jobs; its history stays.

    *status*: `deleted`, or `completed` if luad removed the job after its success. *origin* and
    *creation*: where the job came from.
    """

    job_id: str
    job_name: str
    at: Instant
    status: JobStatus = JobStatus.DELETED
    origin: Origin | None = None
    creation: Creation | None = None


@dataclass(frozen=True, slots=True)
class SaveProgress:
    """Save the state of a job that the engine needs after a restart.

    *grid_at*: the instant an interval's grid passes through. *handled_until*: every occurrence up to
    and including this `scheduled_for` has its row. *consecutive_stops*: so many of the failures in a
    row are runs that a stop of the daemon had to end.
    """

    job_id: str
    grid_at: Instant
    handled_until: Instant
    consecutive_failures: int
    pause: Pause | None
    overlay: Overlay = NO_OVERLAY
    alert: AlertState = NO_ALERT
    consecutive_stops: int = 0


@dataclass(frozen=True, slots=True)
class SaveStanding:
    """Save the standing of a job. A job that takes a name takes it from the job that holds it."""

    job_id: str
    job_name: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class ClaimRun:
    """Insert a new run. For the triggers `schedule` and `catchup` the row is unique by
    (job_id, scheduled_for), together with the rows of `RecordSkip`; a refusal is reported."""

    run: Run


@dataclass(frozen=True, slots=True)
class SaveRun:
    """Save the state, attempt, identity and ending of a run; a terminal row never changes.

    *is_start*: only the process is new, that is `identity` and `started_at`.
    """

    run: Run
    is_start: bool = False


@dataclass(frozen=True, slots=True)
class RecordSkip:
    """Insert a row for occurrences that never became a run. *row_id* has the form of a run id.

    If (job_id, `skip.last`) already has a row, the store writes nothing and reports the refusal.
    """

    row_id: str
    job_name: str
    job_id: str
    revision: str
    skip: Skip
    at: Instant


@dataclass(frozen=True, slots=True)
class ExtendSkip:
    """Extend a skipped row to more occurrences: new *last*, *count*, *is_count_capped*."""

    row_id: str
    skip: Skip


@dataclass(frozen=True, slots=True)
class RememberKey:
    """Store that a request with this key was granted at *at*; *subject* is a job id or run id."""

    key: AnswerKey
    subject: str
    at: Instant


@dataclass(frozen=True, slots=True)
class AddMessage:
    """Insert a message that is not delivered yet; an existing message of that id stays."""

    message: Message


Record: TypeAlias = (
    InstallJob
    | RemoveJob
    | SaveProgress
    | SaveStanding
    | ClaimRun
    | SaveRun
    | RecordSkip
    | ExtendSkip
    | RememberKey
    | AddMessage
)


# --- actions: carried out once the records are durable -----------------------------------------


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Start a process for this attempt of *run*; *job* is the definition in force now.

    *is_bound*: the handler must be one that dynamic jobs may use. *refusal*: why the handler must not be
    called at all.
    """

    run: Run
    job: Job
    is_bound: bool = False
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class StopAttempt:
    """Stop an attempt: TERM, grace period, KILL of all processes that it started."""

    run_id: str
    attempt: int
    kill: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request; sent once the records of the same batch are durable.

    *error* is one of the codes of the HTTP error table; *value* is what the request yields (a `Run`
    for trigger and retry, a `Plan` for a reload, one `Created` a job for a creation, a job's metadata
    for a change of it, None otherwise).
    """

    request_id: str
    value: Any = None
    error: str | None = None
    message: str = ""
    hint: str = ""


class LoggedInstant(int):
    """An instant among the fields of a `Log`; the log shows it as RFC 3339."""

    __slots__ = ()


def logged(at: Instant | None) -> LoggedInstant | None:
    """Return *at* as a field of a `Log`."""
    return None if at is None else LoggedInstant(at)


@dataclass(frozen=True, slots=True)
class Log:
    """One log line about a decision: a dotted event name and fields."""

    event: str
    fields: Mapping[str, JSON] = field(default_factory=dict)
    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True)
class ReleaseOutput:
    """Log the output of a run that the daemon held back until the log announced the run.

    *is_last*: the run is over, and the line that says so comes next.
    """

    run_id: str
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Deliver:
    """Deliver a stored message to its user."""

    message: Message


Action: TypeAlias = StartAttempt | StopAttempt | Deliver | Reply | ReleaseOutput | Log
Effect: TypeAlias = Record | Action


# --- what the store gives back at start-up -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredJob:
    """An installed job as stored. *definition* is its document, as JSON text."""

    job_id: str
    name: str
    definition: str
    revision: str
    origin: Origin | None
    installed_at: Instant
    progress: SaveProgress
    creation: Creation | None = None
    standing: Standing = IN_FORCE


@dataclass(frozen=True, slots=True)
class Restored:
    """Everything that start-up needs from the store.

    *last_seen*: the latest instant at which the previous daemon was alive, None on a fresh store.
    *pinned*: run id, revision and definition of each open run that executes a fixed revision.
    """

    jobs: tuple[StoredJob, ...] = ()
    open_runs: tuple[Run, ...] = ()
    last_seen: Instant | None = None
    pinned: tuple[tuple[str, str, str], ...] = ()
