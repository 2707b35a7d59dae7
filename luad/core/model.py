"""The nouns of luad: jobs, schedules, runs, and how a run can end.

Room rule: frozen values only; whatever has a default has it here, and nowhere else.

Units: an ``Instant`` is an ``int`` of milliseconds since 1970-01-01T00:00:00Z; every duration
is an ``int`` of milliseconds and says so with the suffix ``_ms``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

Instant: TypeAlias = int
"""Milliseconds since the Unix epoch, UTC."""

JSON: TypeAlias = Any
"""A value that ``json.dumps`` takes: null, bool, number, string, array, object."""

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

CATCH_UP_CAP: Final = 100
"""``catch_up: all`` runs at most this many late occurrences; beyond it, only the latest."""

OPEN_RUNS_CAP: Final = 1_000
"""Runs of one job that may be open at once, also when they are asked for by force."""

METADATA_LIMIT: Final = 64 * 1024
"""Bytes of a job's metadata as JSON."""


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of both clocks, taken together.

    *wall*: the instant it is, as far as the machine knows; may be stepped. *elapsed*: milliseconds of
    a clock that never steps and goes on during suspend; its zero means nothing.
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
    """Due once, at *execute_at*. *timezone* is only for showing it to people."""

    execute_at: Instant
    timezone: str = "UTC"


Schedule: TypeAlias = Cron | Interval | Once


# --- policies ----------------------------------------------------------------------------------


class Overlap(StrEnum):
    """What to do with an occurrence that is due while a run of the same job is open."""

    SKIP = "skip"
    QUEUE = "queue"  # one waits; a second one is skipped
    REPLACE = "replace"  # the open run is cancelled, the new one starts once it has ended
    ALLOW = "allow"  # up to `max_running` at once


class CatchUp(StrEnum):
    """Which late occurrences still run, within `catch_up_window_ms`."""

    LATEST = "latest"
    ALL = "all"
    NONE = "none"


class OnLost(StrEnum):
    """What follows a run whose end nobody saw."""

    FAIL = "fail"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how late a failed attempt is repeated. *max_attempts* counts the first."""

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
    """What alerts at once, besides failures that add up."""

    TIMEOUT = "timeout"
    DELIVERY_FAILED = "delivery_failed"
    MISSED = "missed"
    STALE_CONFIG = "stale_config"


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """Whom to tell that a job is in trouble, and when: one message on entering, one on leaving.

    *to* are user ids. *after_failures*: so many in a row; *failures_in_24h*: so many within a day;
    either may be None. *also* are causes that need no second time. *recovery*: tell the end as well.
    """

    to: tuple[str, ...]
    after_failures: int | None = 3
    failures_in_24h: int | None = None
    recovery: bool = True
    also: tuple[AlertCause, ...] = ()


# --- jobs --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """What a YAML document or an API call declares.

    *user* is the id of the person it is for. *keep*: a dynamic `once` job stays in the list after
    its success.

    *handler* is ``package.module:function`` or the name of an entry point. *metadata* is JSON and
    must not be changed in place. *revision* is the hash of the declaring document's content: two
    jobs with the same name and revision are the same job. *definition* is that document as JSON.
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
    pause_after_failures: int | None = None
    tags: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    nice: int = 0
    log_level: str = "info"
    limits: Limits = Limits()
    user: str | None = None
    keep: bool = False
    alert: AlertPolicy | None = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    definition: Mapping[str, JSON] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a static job was declared: *path* as shown to people, *line* counted from 1."""

    path: str
    line: int = 1


@dataclass(frozen=True, slots=True)
class Creation:
    """How a dynamic job came to be: when, by whom, and in which run, if a handler made it."""

    at: Instant
    author: str = ""
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job that the files, or the API, ask for. A static one has an *origin*, a dynamic one a
    *creation*. *stale*: its file is broken now, this is its last good version."""

    job: Job
    origin: Origin | None = None
    stale: bool = False
    creation: Creation | None = None

    @property
    def is_dynamic(self) -> bool:
        """Was it made at run time."""
        return self.creation is not None


# --- runs --------------------------------------------------------------------------------------


class RunState(StrEnum):
    """States of a row of the history; what may follow what stands in `core/lifecycle`."""

    QUEUED = "queued"  # claimed; its process has certainly not been started
    RUNNING = "running"  # claimed; its process was started, or was about to be
    RETRYING = "retrying"  # an attempt ended badly, the next one has its time
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
    PAST = "past"  # it was past when the job was installed, or asked for
    REPLACED = "replaced"  # `overlap: replace` cancelled it
    REQUESTED = "requested"  # a client asked for the cancellation
    STOPPED = "stopped"  # a stop of the daemon had to end the run


class Trigger(StrEnum):
    """What caused a run."""

    SCHEDULE = "schedule"
    CATCHUP = "catchup"  # an occurrence that was started late, by the catch-up policy
    MANUAL = "manual"  # `luad run`
    API = "api"
    RETRY = "retry"  # `luad retry`: a new run, for the same occurrence
    RESUME = "resume"  # `luad resume --catch-up`: a run for an occurrence that a pause has skipped


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One due point: the instant the rule names, and that plus jitter."""

    scheduled_for: Instant
    fire_at: Instant


@dataclass(frozen=True, slots=True)
class Skip:
    """A row for occurrences that never became a run: *count* of them, from *first* to *last*.

    *is_count_capped*: there were at least *count*, counting further would have cost too much.
    """

    state: RunState  # SKIPPED or MISSED
    reason: Reason
    first: Instant
    last: Instant
    count: int = 1
    is_count_capped: bool = False


class EndKind(StrEnum):
    """How an attempt ended, as the runner saw it; never interpreted there."""

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
    """What went wrong in a handler, fit for showing: bounded, redacted, trimmed."""

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one attempt. *result_json* is the handler's return value as JSON text.

    *result_omitted*: why there is no result although the handler returned one. *is_retryable* is
    false for a failure that a repetition cannot cure.
    """

    kind: EndKind
    at: Instant
    exit_code: int | None = None
    signal: int | None = None
    error: RunError | None = None
    result_json: str | None = None
    is_result_truncated: bool = False
    dropped_bytes: int = 0  # output between the kept head and the kept tail
    result_omitted: str = ""
    is_retryable: bool = True
    left_processes: int = 0  # the handler left them running, and luad ended them
    left_tasks: int = 0  # the same for asyncio tasks


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """Names a process for good: a pid alone is reused, these three together are not.

    *start_ticks* is field 22 of ``/proc/PID/stat``.
    """

    pid: int
    start_ticks: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a job, as it stands now. An open run is replaced, never changed in place.

    *first_scheduled_for*, *missed_count*: with catch-up, the occurrences this run stands for
    besides its own. *attempt* counts from 1 and fences late results.
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
    reason: Reason | None = None  # why cancelled or lost; of a running one: why it is being ended
    ending: Ending | None = None  # of the last attempt
    retry_of: str | None = None  # run id
    user: str | None = None  # whom the job was for when this was claimed
    is_pinned: bool = False  # it executes `revision`, whatever is in force when it starts
