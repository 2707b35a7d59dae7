"""Jobs, schedules, runs, and the endings of runs.

Rule: frozen values only; defaults of fields stand here, and in no other place.

Units: an ``Instant`` is milliseconds since 1970-01-01T00:00:00Z; a duration is milliseconds: ``_ms``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Final, TypeAlias

from luad.core.values import dataclass

Instant: TypeAlias = int
"""Milliseconds since the Unix epoch, UTC."""

JSON: TypeAlias = Any
"""A JSON value: null, bool, number, string, array, object."""

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

CATCH_UP_CAP: Final = 100
"""``catch_up: all`` runs at most this many late occurrences; beyond it, only the latest."""

OPEN_RUNS_CAP: Final = 1_000  # open runs of one job, also with `force`
METADATA_LIMIT: Final = 64 * 1024  # bytes of a job's metadata as JSON
DEFAULT_QUEUE: Final = "default"


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of both clocks, taken together.

    *wall*: the machine's current instant; the clock may be stepped. *elapsed*: milliseconds of a clock that
    never steps and goes on during suspend; its zero has no meaning.
    """

    wall: Instant
    elapsed: int


# --- schedules ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cron:
    """Due whenever the civil time of *timezone* matches *expression*.

    *expression* is kept as the user wrote it, stripped; five fields, or six with seconds first,
    or an ``@`` alias. *timezone* is an IANA name, never empty.
    """

    expression: str
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Interval:
    """Due every *every_ms* milliseconds, on a fixed grid.

    The grid passes through *start_at*, or, when that is ``None``, through the instant at which
    the job was first installed (which is then not itself an occurrence).
    """

    every_ms: int
    start_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Once:
    """Due once, at *execute_at*. *timezone* is only for display."""

    execute_at: Instant
    timezone: str = "UTC"


Schedule: TypeAlias = Cron | Interval | Once


# --- policies ----------------------------------------------------------------------------------


class Overlap(StrEnum):
    """The policy for an occurrence that is due while a run of the same job is open."""

    SKIP = "skip"
    QUEUE = "queue"  # one waits; a second one is skipped
    REPLACE = "replace"  # the open run is cancelled, the new one starts once it has ended
    ALLOW = "allow"  # up to `max_running` at once


class CatchUp(StrEnum):
    """The late occurrences that still run, within `catch_up_window_ms`."""

    LATEST = "latest"
    ALL = "all"
    NONE = "none"


class OnLost(StrEnum):
    """The policy for a run whose end the daemon did not see."""

    FAIL = "fail"
    RETRY = "retry"


class Isolation(StrEnum):
    """The process of a run: one of its own, or a persistent one that executes other runs as well."""

    PROCESS = "process"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Retry:
    """The number and the delays of attempts. *max_attempts* includes the first."""

    max_attempts: int = 1
    backoff_ms: int = 0
    multiplier: float = 1.0
    max_backoff_ms: int = DAY


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of one run; ``None`` means the daemon's own."""

    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    open_files: int | None = None
    processes: int | None = None


class AlertCause(StrEnum):
    """A cause that alerts at its first occurrence."""

    TIMEOUT = "timeout"
    DELIVERY_FAILED = "delivery_failed"
    MISSED = "missed"
    STALE_CONFIG = "stale_config"


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """The users that luad alerts about a failing job, and the conditions.

    *to* are user ids. *after_failures* counts failures in a row, *failures_in_24h* failures within a day;
    either may be None. *also*: causes that alert at once. *recovery*: send a message on recovery too.
    """

    to: tuple[str, ...]
    after_failures: int | None = 3
    failures_in_24h: int | None = None
    recovery: bool = True
    also: tuple[AlertCause, ...] = ()


# --- jobs --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """A job as a YAML document or an API call declares it.

    *user* is the id of the user that the job is for. *keep*: a dynamic `once` job stays after its success.
    *handler* is ``package.module:function`` or the name of an entry point. *metadata* is JSON; code must
    not change it in place. *revision* is the hash of the document's content: two jobs with the same name
    and revision are the same job. *definition* is the document as JSON.
    """

    name: str
    handler: str
    schedule: Schedule
    revision: str = ""
    description: str = ""
    enabled: bool = True
    timeout_ms: int | None = 300 * SECOND
    retry: Retry = Retry()
    overlap: Overlap = Overlap.SKIP
    max_running: int = 10
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_window_ms: int = HOUR
    jitter_ms: int = 0
    on_lost: OnLost = OnLost.FAIL
    isolation: Isolation = Isolation.PROCESS
    queue: str = DEFAULT_QUEUE
    pause_after_failures: int | None = None
    tags: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    nice: int = 0
    warm: bool = True  # a template may import the packages of the handler
    log_level: str = "info"
    limits: Limits = Limits()
    user: str | None = None
    keep: bool = False
    alert: AlertPolicy | None = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    definition: Mapping[str, JSON] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of a declaration: *path* for display, *line* counted from 1."""

    path: str
    line: int = 1


@dataclass(frozen=True, slots=True)
class Creation:
    """The creation of a dynamic job: time, author, and the run if a handler created it."""

    at: Instant
    author: str = ""
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job that the files or the API ask for.

    A static job has an *origin*, a dynamic job a *creation*. *stale*: the last good version of a broken file.
    """

    job: Job
    origin: Origin | None = None
    stale: bool = False
    creation: Creation | None = None

    @property
    def is_dynamic(self) -> bool:
        """True if the job was created at run time."""
        return self.creation is not None


# --- runs --------------------------------------------------------------------------------------


class RunState(StrEnum):
    """States of a row of the history; `core.lifecycle` has the transitions."""

    QUEUED = "queued"  # claimed; its process has certainly not been started
    RUNNING = "running"  # claimed; its process has started, or was about to start
    RETRYING = "retrying"  # an attempt failed, and the next one is scheduled
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"
    SKIPPED = "skipped"  # never became a run, on purpose
    MISSED = "missed"  # never became a run, too late


OPEN_STATES: Final = frozenset({RunState.QUEUED, RunState.RUNNING, RunState.RETRYING})
TERMINAL_STATES: Final = frozenset(RunState) - OPEN_STATES


class Reason(StrEnum):
    """Why an occurrence did not become a run, or why a run was cancelled or lost."""

    OVERLAP = "overlap"
    PAUSED = "paused"
    COALESCED = "coalesced"
    REMOVED = "removed"
    DRAINING = "draining"
    DOWNTIME = "downtime"
    CLOCK = "clock"
    OVERLOAD = "overload"
    PAST = "past"  # its instant was past when the job was installed or requested
    REPLACED = "replaced"  # `overlap: replace` cancelled it
    REQUESTED = "requested"  # a client asked for the cancellation
    STOPPED = "stopped"  # a stop of the daemon had to end the run


class Trigger(StrEnum):
    """The cause of a run."""

    SCHEDULE = "schedule"
    CATCHUP = "catchup"  # a late occurrence that the catch-up policy started
    MANUAL = "manual"  # `luad run`
    API = "api"
    RETRY = "retry"  # `luad retry`: a new run, for the same occurrence
    RESUME = "resume"  # `luad resume --catch-up`: a run for an occurrence that a pause skipped


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One due point: the instant the rule names, and that plus jitter."""

    scheduled_for: Instant
    fire_at: Instant


@dataclass(frozen=True, slots=True)
class Skip:
    """A row for occurrences that never became a run: *count* of them, from *first* to *last*.

    *is_count_capped*: there were at least *count*; luad stopped counting there.
    """

    state: RunState  # SKIPPED or MISSED
    reason: Reason
    first: Instant
    last: Instant
    count: int = 1
    is_count_capped: bool = False


class EndKind(StrEnum):
    """The end of an attempt as the runner saw it; the runner does not interpret it."""

    RETURNED = "returned"
    RAISED = "raised"
    EXITED = "exited"  # without returning: sys.exit, os._exit; see `exit_code`
    SIGNALLED = "signalled"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    NOT_STARTED = "not_started"  # no process, or the handler could not be imported
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class RunError:
    """The error of a handler, ready for display: bounded, redacted, trimmed."""

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one attempt. *result_json* is the handler's return value as JSON text.

    *result_omitted*: why the result is missing although the handler returned one. *is_retryable*: a
    retry may succeed.
    """

    kind: EndKind
    at: Instant
    exit_code: int | None = None
    signal: int | None = None
    error: RunError | None = None
    result_json: str | None = None
    is_result_truncated: bool = False
    dropped_bytes: int = 0  # bytes of output between the stored head and tail
    result_omitted: str = ""
    is_retryable: bool = True
    left_processes: int = 0  # processes that the handler left running; luad ended them
    left_tasks: int = 0  # asyncio tasks that it left running


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """The identity of a process: the system reuses a pid, but not these three together.

    *start_ticks* is field 22 of ``/proc/PID/stat``.
    """

    pid: int
    start_ticks: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a job. The engine replaces an open run, and never changes it in place.

    *missed_count*: with catch-up, the occurrences that this run replaces besides its own. *attempt* counts
    from 1, and the engine ignores results of earlier attempts.
    """

    id: str
    job_name: str
    job_id: str
    revision: str
    trigger: Trigger
    scheduled_for: Instant
    fire_at: Instant
    claimed_at: Instant
    state: RunState = RunState.QUEUED
    attempt: int = 1
    missed_count: int = 0
    metadata: Mapping[str, JSON] | None = None  # overlay for this run only
    is_remote: bool = False  # that overlay came over TCP
    started_at: Instant | None = None  # of the first attempt
    retry_at: Instant | None = None
    identity: ProcessIdentity | None = None
    ended_at: Instant | None = None
    reason: Reason | None = None  # why cancelled or lost; of a running run: why luad stops it
    ending: Ending | None = None  # of the last attempt
    retry_of: str | None = None  # run id
    user: str | None = None  # the job's user at the claim
    is_pinned: bool = False  # it executes `revision`, even if another one is in force
