"""What may happen (events), what is to be remembered (records) and what is to be done (deeds).

Room rule: says what may happen and what may be asked for; does neither.

The daemon hands events to the engine and gets effects back. It first stores every record of the
batch in one transaction, and only then carries out the deeds: claim, then start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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

# --- events: into the engine -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed; nothing else is said."""


@dataclass(frozen=True, slots=True)
class ConfigLoaded:
    """The complete set of static jobs that the files ask for, last good versions included.

    *problem_count* is only passed on into the log line and the reply.
    """

    wanted: Mapping[str, Wanted]
    problem_count: int = 0
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
    """The runner saw an attempt end, or knows that nobody ever will (`EndKind.LOST`)."""

    run_id: str
    attempt: int
    ending: Ending


@dataclass(frozen=True, slots=True)
class ClaimsRefused:
    """The store already had rows for these occurrences: the runs must not start, the skips are none."""

    run_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForgetCompleted:
    """Remove the dynamic `once` jobs that were over *before*, whatever became of them."""

    before: Instant


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """Start nothing more; let what runs end. Occurrences from here on are left for the next start.

    *is_impatient*: end what runs as well.
    """

    is_impatient: bool = False


Event: TypeAlias = (
    Ticked
    | ConfigLoaded
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
    """A job is in force from now on: new, with a new revision, or declared in another file. The row
    is written whole, but for the instant of the first installation."""

    job_id: str
    job: Job
    origin: Origin | None
    at: Instant
    creation: Creation | None = None
    holds_name: bool = True


@dataclass(frozen=True, slots=True)
class RemoveJob:
    """A job is out of force; its history stays. *status*: `deleted`, or `completed` when the job left
    by itself. *origin* and *creation* tell where it came from."""

    job_id: str
    job_name: str
    at: Instant
    status: JobStatus = JobStatus.DELETED
    origin: Origin | None = None
    creation: Creation | None = None


@dataclass(frozen=True, slots=True)
class SaveProgress:
    """What the engine must know of a job after a restart.

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
    """How a job stands among the others has changed. A job that takes a name takes it from any other."""

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
    """A run has changed: state, attempt, identity, ending. Never touches a terminal row."""

    run: Run


@dataclass(frozen=True, slots=True)
class RecordSkip:
    """Insert a row for occurrences that never became a run. When (job_id, `skip.last`) already has
    a row, nothing is written, which is reported. *row_id* has the form of a run id."""

    row_id: str
    job_name: str
    job_id: str
    revision: str
    skip: Skip
    at: Instant


@dataclass(frozen=True, slots=True)
class ExtendSkip:
    """A skipped row now stands for more occurrences: its new *last*, *count*, *is_count_capped*."""

    row_id: str
    skip: Skip


@dataclass(frozen=True, slots=True)
class RememberKey:
    """A request with this key was granted at *at*; *subject* is the id of the job or the run."""

    key: AnswerKey
    subject: str
    at: Instant


@dataclass(frozen=True, slots=True)
class AddMessage:
    """Insert a message that is still to be delivered; one of that id that is there already stays."""

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


# --- deeds: what is done once the records are durable ------------------------------------------


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Start a process for this attempt of *run*, of *job* as it is in force now.

    *is_bound*: the handler has to be one that jobs made at run time may have, under whatever name.
    *refusal*: why it may not be called at all.
    """

    run: Run
    job: Job
    is_bound: bool = False
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class StopAttempt:
    """Stop the process of an attempt: TERM, grace, KILL of everything it started."""

    run_id: str
    attempt: int
    kill: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to whoever asked; sent once the records of the same batch are durable.

    *error* is one of the codes of the HTTP error table; *value* is what the request yields (a `Run`
    for trigger and retry, a `Plan` for a reload, one `Created` a job for a creation, a job's metadata
    for a change of it, None otherwise).
    """

    request_id: str
    value: Any = None
    error: str | None = None
    message: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """One decision, for the log: a dotted event name and fields."""

    event: str
    fields: Mapping[str, JSON] = field(default_factory=dict)
    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True)
class Deliver:
    """Bring a posted message to its user."""

    message: Message


Action: TypeAlias = StartAttempt | StopAttempt | Deliver | Reply | Log
Effect: TypeAlias = Record | Action


# --- what the store gives back at start-up -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredJob:
    """An installed job as the store remembers it. *definition* is its document, as JSON text."""

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
    """Everything that start-up needs from the store. *last_seen*: the latest instant at which the
    previous daemon is known to have been alive, None on a fresh store. *pinned*: run id, revision and
    definition of the open runs that execute a certain revision."""

    jobs: tuple[StoredJob, ...] = ()
    open_runs: tuple[Run, ...] = ()
    last_seen: Instant | None = None
    pinned: tuple[tuple[str, str, str], ...] = ()
