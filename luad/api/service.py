"""What the API needs of the daemon.

Room rule: a contract and the values that cross it; the daemon implements it, the tests do too. The
API never touches the engine: it hands a request over, and waits for the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from luad.core.model import JobStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luad.api.board import Board
    from luad.api.hub import LogHub
    from luad.clock import Clock
    from luad.core.events import Log, Reply, Request
    from luad.core.model import Instant, Job, Origin, Pause
    from luad.errors import Problem
    from luad.store import Store


class JobStateView(NamedTuple):
    """One installed job as it stands at a moment. Cheap to make and to compare: every look at the
    list makes all of them anew, and shows those that are as they were from memory.

    *grid_at*: the instant an interval's grid passes through (as the engine has it). *next_fire_at*
    is *next_scheduled_for* plus jitter; both None while nothing is planned. *running*: run ids.
    *queued*: runs that are claimed and wait. *stale*: its file is broken, this is the last good
    version.
    """

    job: Job
    job_id: str
    installed_at: Instant
    grid_at: Instant
    origin: Origin | None = None
    stale: bool = False
    status: JobStatus = JobStatus.ACTIVE
    pause: Pause | None = None
    consecutive_failures: int = 0
    next_scheduled_for: Instant | None = None
    next_fire_at: Instant | None = None
    running: tuple[str, ...] = ()
    queued: int = 0
    is_dynamic: bool = False


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What a reload did, or would do. *replaced*: names, each with the fields that changed; *stale*:
    the paths of files that are broken and whose last good version is in force."""

    added: tuple[str, ...] = ()
    replaced: tuple[tuple[str, tuple[str, ...]], ...] = ()
    removed: tuple[str, ...] = ()
    kept: int = 0
    problems: tuple[Problem, ...] = ()
    stale: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """*faults*: sentences about what keeps the daemon from doing its work (the store cannot be
    written, the loop stands still); empty when it is well. *is_ready*: jobs are loaded and run."""

    is_ready: bool = True
    faults: tuple[str, ...] = ()


class Service(Protocol):
    """The daemon, as the API sees it. All of it is called on the daemon's own event loop.

    *board* is fed by the daemon with the records of every committed batch (`Board.observe`), *hub*
    with every line that a run says, and with `end_run` for what `observe` returns.
    """

    @property
    def store(self) -> Store:
        """The history, for questions."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def board(self) -> Board:
        """The latest runs."""
        ...

    @property
    def hub(self) -> LogHub:
        """Lines of runs, live."""
        ...

    def new_request_id(self) -> str:
        """Return a name for a request that no other ever had."""
        ...

    async def request(self, event: Request) -> Reply:
        """Hand *event* to the engine; return its answer once the records of it are durable."""
        ...

    def jobs(self) -> Sequence[JobStateView]:
        """Every installed job, in order of names. Must be cheap: a list may be asked for often."""
        ...

    def job(self, name_or_id: str) -> JobStateView | None:
        """One installed job, by its whole name or id."""
        ...

    async def reload(self, *, check_only: bool) -> ReloadResult:
        """Read the job folders now; with *check_only* only say what would change."""
        ...

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the files as they were last read."""
        ...

    def status(self) -> Mapping[str, Any]:
        """What the daemon knows of itself, with the keys of `GET /v1/status`; instants as RFC 3339.

        ``jobs``, ``runs``, ``problems`` and ``status`` are filled in by the API where missing.
        """
        ...

    def health(self) -> Health:
        """Whether it does its work."""
        ...

    def log(self, line: Log) -> None:
        """Write a line to the daemon's log."""
        ...
