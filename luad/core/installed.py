"""The state of an installed job: pause, overlay, standing, alerts, status, health.

Rule: frozen values only; the engine replaces them, nothing changes them in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Final

from luad.core.model import JSON, Instant
from luad.core.values import dataclass


@dataclass(frozen=True, slots=True)
class Overlay:
    """Changes of a job's metadata since its declaration.

    *values* win over the declared values, and *removed* hides declared keys. *remote*: the keys whose
    latest change or removal came over TCP, even if their values are as declared again.
    """

    values: Mapping[str, JSON] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()


NO_OVERLAY: Final = Overlay()


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A client knows of trouble: no alert is sent until *until*; None: until the trouble is over."""

    at: Instant
    author: str = ""
    note: str = ""
    until: Instant | None = None

    def counts_at(self, now: Instant) -> bool:
        """Return whether it still counts at *now*."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class AlertState:
    """The alert of a job. *cause*: why luad sent the last alert; empty without an open alert.

    *failed_at*: the failures of the last day, oldest first. The engine keeps *failed_at* and
    *succeeded_at* only for jobs with an alert policy. *acknowledged*: the author, until the job has succeeded.
    """

    cause: str = ""
    failed_at: tuple[Instant, ...] = ()
    succeeded_at: Instant | None = None
    acknowledged: Acknowledgement | None = None

    def is_acknowledged(self, now: Instant) -> bool:
        """Return whether an acknowledgement keeps alerts back at *now*."""
        return self.acknowledged is not None and self.acknowledged.counts_at(now)


NO_ALERT: Final = AlertState()


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause: the job stays installed, and its occurrences are skipped. *until* None: until resumed.

    *revision*: the pause also ends when the job gets another revision; empty: a revision does not end it.
    *schedule_since*: the last instant in the pause at which the job's schedule changed, or the job was enabled or
    disabled; None if that did not happen. What was skipped before it is not caught up.
    """

    at: Instant
    reason: str = ""
    author: str = ""
    until: Instant | None = None
    revision: str = ""
    schedule_since: Instant | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """The standing of a job: does it hold its name, is it over, is it displaced.

    *holds_name*: requests find the job by its name; without it, by its id alone. *over_at*: since when a
    `once` job is over: no occurrence can follow and no run is open. *displaced*: the pause of a dynamic
    job whose name a file declares.
    """

    holds_name: bool = True
    over_at: Instant | None = None
    displaced: Pause | None = None


IN_FORCE: Final = Standing()


class JobStatus(StrEnum):
    """The status of a job: does luad schedule it."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"  # a `once` that has fired
    DELETED = "deleted"  # removed; only its history is left


class JobHealth(StrEnum):
    """The health of a job, from its latest runs and its file."""

    OK = "ok"
    FAILING = "failing"
    STALE = "stale"
    NEVER_RUN = "never_run"
