"""A history as plain data: the log of a world or of a real daemon, and the rows that were left.

Room rule: frozen values only. Nothing here knows a World, an engine or a database; `checker` decides
whether a history keeps the promises, `stored` reads one from the database of a real daemon.

Every fact says when it was: *wall* is what the clock on the wall showed, *steady* is a clock that never
steps. Where there is only one clock (a real daemon whose clock nobody steps), both are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from luad.core.model import EndKind, Instant, Job
from luad.store.query_types import RunRow


@dataclass(frozen=True, slots=True)
class _Fact:
    wall: Instant
    steady: int


# --- the daemon and its world ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Booted(_Fact):
    """A daemon is up from here on."""


@dataclass(frozen=True, slots=True)
class Stopped(_Fact):
    """It is gone: killed, or at its own pace."""


@dataclass(frozen=True, slots=True)
class Draining(_Fact):
    """It was told to stop: what comes due from here on is the next one's."""


@dataclass(frozen=True, slots=True)
class Stepped(_Fact):
    """The clock on the wall was set; *wall* is what it shows now, *by* how much that is more."""

    by: int


@dataclass(frozen=True, slots=True)
class Slept(_Fact):
    """For *ms* the machine was suspended, or the daemon stood still; this is when it went on."""

    ms: int


@dataclass(frozen=True, slots=True)
class StoreFailed(_Fact):
    """From here on nothing can be written ..."""


@dataclass(frozen=True, slots=True)
class StoreHealed(_Fact):
    """... until here."""


@dataclass(frozen=True, slots=True)
class Healed(_Fact):
    """From here on nothing goes wrong any more."""


# --- jobs ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Installed(_Fact):
    """A definition came into force, durably. *grid_at*: where the grid of its interval is, when it is
    known to be elsewhere than the rule says."""

    job_id: str
    job: Job
    is_dynamic: bool = False
    grid_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Removed(_Fact):
    """A job is out of force, and whoever asked for that was told."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Kept:
    """How an installed job stands, as far as another one's file must not matter to it."""

    revision: str
    waits_for: Instant | None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Loaded(_Fact):
    """The files were loaded: *wanted* are the revisions they ask for (last good ones of broken files
    included), *before* and *after* how the static jobs stood on both sides of it."""

    wanted: Mapping[str, str]
    before: Mapping[str, Kept]
    after: Mapping[str, Kept]


# --- what was said ---------------------------------------------------------------------------------

Key: TypeAlias = tuple[str, str]
"""A name, and what of it: ``("backup", "definition")``, ``("backup", "metadata")``, ``("run_…", "run")``."""


@dataclass(frozen=True, slots=True)
class Acknowledged(_Fact):
    """Somebody was told that this is so now. *value* None: it is gone."""

    key: Key
    value: Any


@dataclass(frozen=True, slots=True)
class Overtaken(_Fact):
    """It may have changed since it was acknowledged, and nobody was told of that yet."""

    key: Key


@dataclass(frozen=True, slots=True)
class Found(_Fact):
    """The findings of a daemon at its start; a missing key is gone."""

    values: Mapping[Key, Any]


@dataclass(frozen=True, slots=True)
class Settled(_Fact):
    """A row of the history was seen to be over, as *facts* say."""

    run_id: str
    facts: tuple[Any, ...]


# --- processes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started(_Fact):
    """An attempt's process was started. *revision*: of the definition it was started with, "" where nobody
    knows; *is_forced*: somebody asked for it whatever its overlap policy says; *waited*: since when it was
    decided, because nothing could be written meanwhile; *within*: or it was decided at some time in so many
    ms before, and nobody knows when."""

    run_id: str
    attempt: int
    job_id: str
    revision: str
    is_forced: bool = False
    waited: int = 0
    within: int = 0


@dataclass(frozen=True, slots=True)
class Ended(_Fact):
    """It is gone, and everything it had started with it."""

    run_id: str
    attempt: int
    kind: EndKind


@dataclass(frozen=True, slots=True)
class Sampled(_Fact):
    """How much of everything there is: memory, file descriptors, threads, rows, alarms."""

    values: Mapping[str, float]


Fact: TypeAlias = (
    Booted
    | Stopped
    | Draining
    | Stepped
    | Slept
    | StoreFailed
    | StoreHealed
    | Healed
    | Installed
    | Removed
    | Loaded
    | Acknowledged
    | Overtaken
    | Found
    | Settled
    | Started
    | Ended
    | Sampled
)


@dataclass(frozen=True, slots=True)
class Limit:
    """What a sampled value is held to: never above *most*; and *growth* at most, between the second
    and the last quarter of the samples (medians; the first quarter is for warming up)."""

    most: float | None = None
    growth: float | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Everything that the checker looks at. *log* is in the order in which things happened.

    *alive*: ids of the runs that have processes at the end. *on_time_ms*: how late a row may be when
    nothing stood in its way, None where nobody knows what did; *grace_ms*: what a process is given beyond
    its timeout; *recovery_ms*: how long after everything is well again it may take until the schedule is on
    time. *handled_until*: of jobs, up to where every occurrence must have its row at the end, if that is
    known; *uncertain*: jobs that may have had other definitions in between than the log says. *witnessed*: runs and
    attempts whose handlers told that they started; the row of a start is missing if the disk failed then.
    """

    log: tuple[Fact, ...]
    rows: tuple[RunRow, ...]
    wall: Instant  # at the end
    steady: int
    alive: frozenset[str] = frozenset()
    limits: Mapping[str, Limit] = field(default_factory=dict)
    handled_until: Mapping[str, Instant] = field(default_factory=dict)
    uncertain: frozenset[str] = frozenset()
    on_time_ms: int | None = 2_000
    grace_ms: int = 10_000
    recovery_ms: int = 60_000
    witnessed: frozenset[tuple[str, int]] = frozenset()
