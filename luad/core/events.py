"""What may happen (events), what is to be remembered (records) and what is to be done (deeds).

Room rule: says what may happen and what may be asked for; does neither.

The daemon hands events to the engine and gets effects back. It first stores every record of the
batch in one transaction, and only then carries out the deeds: claim, then start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from luad.core.messaging import Message
from luad.core.model import (
    IN_FORCE,
    JSON,
    NO_ALERT,
    NO_OVERLAY,
    AlertState,
    Creation,
    Ending,
    Instant,
    Job,
    JobStatus,
    Origin,
    Overlay,
    Pause,
    ProcessIdentity,
    Run,
    Skip,
    Standing,
    Trigger,
    Wanted,
)

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
class AnswerKey:
    """The `Idempotency-Key` of a request and the hash of what it asks for."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class TriggerRequested:
    """Run a job now, whatever its schedule says. *metadata* is laid over the job's, once. *earlier* is
    the definition of an earlier revision, to be executed in place of the one in force."""

    request_id: str
    job_name: str
    trigger: Trigger
    metadata: Mapping[str, JSON] | None = None
    force: bool = False  # start even where the overlap policy says no
    key: AnswerKey | None = None
    earlier: Job | None = None
    is_remote: bool = False  # the client asked over TCP


@dataclass(frozen=True, slots=True)
class RetryRequested:
    """Run the occurrence of an ended run again, as a new run."""

    request_id: str
    run: Run
    key: AnswerKey | None = None


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Stop an open run; *kill* skips the grace period."""

    request_id: str
    run_id: str
    kill: bool = False


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """Stop scheduling a job, until *until* or until it is resumed. *ends_with_revision*: the pause also
    ends when the job gets another revision."""

    request_id: str
    job_name: str
    reason: str = ""
    author: str = ""
    until: Instant | None = None
    ends_with_revision: bool = False


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    """Schedule a paused job again. *catch_up*: which of the skipped occurrences run after all."""

    request_id: str
    job_name: str
    catch_up: Literal["none", "one", "all"] = "none"


@dataclass(frozen=True, slots=True)
class NewJob:
    """A dynamic job that somebody asks for. *if_exists*: what to do when there is a dynamic job of
    that name. *pause_reason*: install it paused, for that reason."""

    wanted: Wanted
    if_exists: Literal["error", "keep", "replace"] = "error"
    pause_reason: str | None = None


@dataclass(frozen=True, slots=True)
class CreateRequested:
    """Install dynamic jobs; each one is answered for by a `Created`, and none depends on another."""

    request_id: str
    jobs: tuple[NewJob, ...]
    key: AnswerKey | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """What became of one `NewJob`. *error* is a code of the HTTP table when it was `refused`.
    *earlier_id*: the job of that name that is over, and made room for a new one."""

    job_name: str
    outcome: Literal["created", "kept", "replaced", "refused"]
    job_id: str = ""
    error: str | None = None
    message: str = ""
    hint: str = ""
    earlier_id: str = ""


@dataclass(frozen=True, slots=True)
class ChangeRequested:
    """Give a dynamic job a new definition, made from the one of revision *based_on*.

    Refused with `conflict` when another one is in force by now, with `precondition_failed` when
    *if_match* is not its `version`.
    """

    request_id: str
    job_name: str
    job: Job
    based_on: str
    if_match: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteRequested:
    """Remove a dynamic job. What runs ends normally."""

    request_id: str
    job_name: str
    if_match: str | None = None


@dataclass(frozen=True, slots=True)
class MetadataRequested:
    """Write to a job's metadata. `merge` sets the keys of *values*; `patch` is RFC 7396; `replace`
    leaves nothing else. The reply's value is the metadata then."""

    request_id: str
    job_name: str
    values: Mapping[str, JSON]
    mode: Literal["merge", "patch", "replace"] = "merge"
    if_match: str | None = None
    is_remote: bool = False  # the client asked over TCP


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


Request: TypeAlias = (
    TriggerRequested
    | RetryRequested
    | CancelRequested
    | PauseRequested
    | ResumeRequested
    | CreateRequested
    | ChangeRequested
    | DeleteRequested
    | MetadataRequested
)
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
class PostMessage:
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
    | PostMessage
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
