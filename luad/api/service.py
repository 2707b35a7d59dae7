"""The interface of the daemon that the API uses.

Rule: a contract and the values that cross it; the daemon implements it, the tests do too. The
API never touches the engine: it hands a request over, and waits for the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from luad.config.jobs.reserved_names import reserved_file
from luad.config.settings.allowed_handlers import (
    OWN_HANDLERS,
    Refusal,
    is_named,
    missing_function,
    own_modules,
    refusal_of,
)
from luad.errors import Severity
from luad.suggestions import close_to

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from luad.clock import Clock
    from luad.config.jobs.reserved_names import Reserved
    from luad.core.concurrency import UnservedRuns
    from luad.core.events import Log, Reply
    from luad.core.messaging import Delivery, Message, User
    from luad.core.model import JSON, Instant, Run
    from luad.core.requests import Request
    from luad.errors import Problem
    from luad.live.event_ring import EventRing
    from luad.live.job_choice import Found, JobChoice, JobCounts
    from luad.live.job_state import JobStateView
    from luad.live.log_followers import LogFollowers
    from luad.live.recent_runs import RecentRuns
    from luad.runner.import_check import Checked
    from luad.store import Store
    from luad.store.query_types import Cluster


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """The changes that a reload made, or would make. *replaced*: names, each with the fields that changed; *stale*:
    the paths of files that are broken and whose last good version is in force. Of a node of a cluster: *in_force*, whether
    its files count, and *nodes_behind*, the nodes that have other files."""

    added: tuple[str, ...] = ()
    replaced: tuple[tuple[str, tuple[str, ...]], ...] = ()
    removed: tuple[str, ...] = ()
    kept: int = 0
    problems: tuple[Problem, ...] = ()
    stale: tuple[str, ...] = ()
    in_force: bool = True
    nodes_behind: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Problems:
    """Problems, the number of errors among them, and the sorted paths that have an error."""

    every: tuple[Problem, ...] = ()
    error_count: int = 0
    broken_files: tuple[str, ...] = ()

    @classmethod
    def of(cls, problems: tuple[Problem, ...]) -> Self:
        """Return *problems* with their numbers."""
        errors = [each for each in problems if each.severity is Severity.ERROR]
        return cls(problems, len(errors), tuple(sorted({each.path for each in errors})))


@dataclass(frozen=True, slots=True)
class Health:
    """The health of the daemon. *faults*: one sentence for each failure (the store cannot be
    written, the loop stands still); empty when it is well. *is_ready*: jobs are loaded and run.
    *comparing*: how far the comparison of files is, empty when none is under way."""

    is_ready: bool = True
    faults: tuple[str, ...] = ()
    comparing: str = ""


@dataclass(frozen=True, slots=True)
class DynamicRules:
    """The settings of dynamic jobs.

    *handlers*: patterns of `luad.config.settings.allowed_handlers` a handler must match one of, *handlers_path* the
    folder that ``handlers/*`` means. *timezone* is that of schedules that name none. A job may not run
    more often than *min_interval_ms*, and a token may make *creates_per_minute* jobs over TCP. *queues*: those
    that a worker serves; None means all.
    """

    handlers: tuple[str, ...]
    handlers_path: Path
    timezone: str = "UTC"
    min_interval_ms: int = 0
    creates_per_minute: int = 60
    queues: frozenset[str] | None = None

    def allows(self, handler: str) -> bool:
        """Say whether a job that is made at run time may name *handler*."""
        return self.refusal(handler) is None

    def refusal(self, handler: str) -> Refusal | None:
        """Return why a job that is made at run time may not name *handler*; None when it may."""
        return refusal_of(handler, self.handlers, self.handlers_path)

    def reason(self, handler: str) -> str:
        """Say why a job that is made at run time may not name *handler*; nothing when it may."""
        refusal = self.refusal(handler)
        return refusal.reason if refusal is not None else ""

    def names(self, handler: str) -> bool:
        """Say whether the settings name *handler* by another pattern than ``handlers/*``."""
        return is_named(handler, self.handlers)

    def reserved(self, handler: str) -> Reserved | None:
        """Return the file that *handler* means, when its name is reserved: it is never imported."""
        module, colon, _ = handler.partition(":")
        top = module.partition(".")[0]
        return reserved_file(top, [str(self.handlers_path)]) if colon else None

    def missing_function(self, handler: str) -> tuple[str, ...] | None:
        """Return the functions that there are, when *handler*'s is certainly not; else None."""
        return missing_function(handler, self.handlers_path)

    def handlers_like(self, handler: str) -> tuple[str, ...]:
        """Return the handlers that *handler*, whose module is not in the folder, may misspell."""
        module, colon, function = handler.partition(":")
        top, dot, rest = module.partition(".")
        modules = own_modules(self.handlers_path) if OWN_HANDLERS in self.handlers else []
        if not colon or top in {"luad", *modules}:
            return ()
        near = close_to(top, modules)
        return tuple(f"{each}{dot}{rest}:{function}" for each in near)


class Users(Protocol):
    """The users: those of files, and those added at run time."""

    def all(self) -> Sequence[User]:
        """Return all users, in order of ids."""
        ...

    def page(self, after: str, limit: int) -> Sequence[User]:
        """Return the first *limit* users whose ids come after *after*, in order of ids."""
        ...

    def ids(self) -> Collection[str]:
        """Return the ids of all users."""
        ...

    def ids_near(self, user_id: str) -> Sequence[str]:
        """Return ids that *user_id* may have been meant to be."""
        ...

    def get(self, user_id: str) -> User | None:
        """Return a user by the whole id."""
        ...

    def find(self, *, email: str | None = None, phone: str | None = None) -> User | None:
        """Return a user by an address (case does not count) or a number (only digits count)."""
        ...

    async def add(
        self, definition: Mapping[str, JSON], *, if_exists: Literal["error", "keep", "replace"]
    ) -> User:
        """Add a user at run time, durably. Raises `ValidationError`, `ConflictError`."""
        ...

    async def change(self, user_id: str, values: Mapping[str, JSON]) -> User:
        """Merge *values* into the definition of a user added at run time (null removes a key).

        Raises `NotFoundError`, `ValidationError`, `ConflictError` (`file_owned`).
        """
        ...

    async def remove(self, user_id: str) -> None:
        """Remove a user added at run time, and the data. Raises as `change` does."""
        ...


class MessageService(Protocol):
    """Sends messages to users."""

    async def send(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        """Store *messages*, try each of their channels once, and return the deliveries.

        All of them go to one user. Raises `NotFoundError` (no such user, no such channel) before
        anything is sent. Never takes longer than the time limits of the channels.
        """
        ...


class Installed(Protocol):
    """Questions about the installed jobs; each costs what it returns, or what it is told to look at.

    A *place* is the place of a job in the order of names (`luad.core.job_index`).
    """

    def id_at(self, place: str) -> str | None:
        """Return the id of the job at that place in the order of names."""
        ...

    def at(self, place: str) -> JobStateView | None:
        """Return the job at that place in the order of names."""
        ...

    def counts(self, now: Instant) -> JobCounts:
        """Return the numbers of all jobs and open runs."""
        ...

    def count(self, choice: JobChoice) -> int | None:
        """Return the number of jobs of *choice*; None if that takes a look at each of them."""
        ...

    def search(self, choice: JobChoice, after: str, most: int) -> Found:
        """Look at up to *most* jobs behind the place *after*; return those of *choice*."""
        ...

    def stale_files(self) -> tuple[str, ...]:
        """Return the broken files whose last good version is in force, in order."""
        ...

    def self_deleted(self, most: int) -> list[JobStateView]:
        """Return the first *most* static jobs that are paused until their file changes."""
        ...

    @property
    def is_behind(self) -> bool:
        """True while jobs that are due are fired in portions: `nearest` leaves them out until then."""
        ...

    def nearest(self, start: Instant, most: int, until: Instant | None = None) -> list[str]:
        """Return the keys of the active jobs that fire before *start*, and of the next *most* from then
        until *until*."""
        ...

    def first_to_fire(
        self, choice: JobChoice, start: Instant, most: int
    ) -> list[tuple[Instant, str]] | None:
        """Return the fire times and places of at least *most* jobs of *choice*, from *start* on.

        All jobs of the last instant are among them. None if that takes a look at very many jobs.
        """
        ...

    def begun_name(self, prefix: str, most: int) -> tuple[list[str], int]:
        """Return the first *most* names that begin with *prefix*, and the number of all of them."""
        ...

    def begun_id(self, prefix: str, most: int) -> tuple[list[str], int]:
        """Return the keys of the first *most* jobs whose id begins so, and the number of all of them."""
        ...

    def names_near(self, name: str) -> list[str]:
        """Return names that *name* may have been meant to be."""
        ...


class Handlers(Protocol):
    """Looks at handlers, in a process apart."""

    async def look(self, handler: str) -> Checked:
        """Return what an import of *handler* finds. Raises `UnavailableError`."""
        ...


class Service(Protocol):
    """The daemon, as the API sees it. All of it is called on the daemon's own event loop.

    *recent_runs* is fed by the daemon with the records of every committed batch (`RecentRuns.observe`), *followers*
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
    def recent_runs(self) -> RecentRuns:
        """The latest runs."""
        ...

    @property
    def followers(self) -> LogFollowers:
        """Lines of runs, live."""
        ...

    @property
    def ring(self) -> EventRing:
        """The latest events."""
        ...

    @property
    def users(self) -> Users:
        """The users."""
        ...

    @property
    def delivery(self) -> MessageService:
        """The sender of messages."""
        ...

    @property
    def dynamic(self) -> DynamicRules:
        """The settings of dynamic jobs."""
        ...

    @property
    def handlers(self) -> Handlers:
        """Looks at handlers."""
        ...

    def new_request_id(self) -> str:
        """Return a unique id for a request."""
        ...

    async def request(self, event: Request) -> Reply:
        """Hand *event* to the engine; return its answer once the records of it are durable."""
        ...

    @property
    def installed(self) -> Installed:
        """Questions about the installed jobs."""
        ...

    def job(self, name_or_id: str) -> JobStateView | None:
        """One installed job, by its whole name or id."""
        ...

    def open_run(self, run_id: str) -> Run | None:
        """The run of that id, while it goes on."""
        ...

    @property
    def unserved(self) -> UnservedRuns:
        """The runs that wait because no worker serves their queue."""
        ...

    async def reload(self, *, check_only: bool) -> ReloadResult:
        """Read the job folders now; with *check_only* only say what would change."""
        ...

    async def publish(self) -> bool:
        """Put the files of this node in force on all nodes; return False without a cluster."""
        ...

    def problems(self) -> Problems:
        """Return the problems of the files at their last reading; the same object until one changes."""
        ...

    async def delete_stored_job(self, name_or_id: str) -> bool:
        """Delete a stored job that is not in force (a problem says why); return False without one."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Return the state of the daemon, with the keys of `GET /v1/status`; instants as RFC 3339.

        ``jobs``, ``runs``, ``problems`` and ``status`` are filled in by the API where missing.
        """
        ...

    async def cluster(self) -> Cluster | None:
        """Return who shares the store; None for a store of its own. Raises `StoreUnavailableError`."""
        ...

    def health(self) -> Health:
        """Return the health of the daemon."""
        ...

    def lag_ms(self) -> float:
        """Return the longest lag of the event loop in the last minute."""
        ...

    def log(self, line: Log) -> None:
        """Write a line to the daemon's log."""
        ...
