"""The state of an installed job: pause, overlay, standing, alerts, status, health.

Rule: frozen values only; the engine replaces them, nothing changes them in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from luad.core.model import JSON, Instant


@dataclass(frozen=True, slots=True)
class Overlay:
    """What was written to a job's metadata since it was declared: *values* win over the declared
    ones, *removed* hides declared keys. *remote*: the keys that a client was the last to change or to
    remove over TCP, also where they are as declared again."""

    values: Mapping[str, JSON] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()


NO_OVERLAY: Final = Overlay()


@dataclass(frozen=True, slots=True)
class AlertState:
    """*cause*: why the last alert was sent, empty while all is well. *failed_at*: the failures of the
    last day, oldest first. Both, and *succeeded_at*, are kept for jobs with an alert policy only."""

    cause: str = ""
    failed_at: tuple[Instant, ...] = ()
    succeeded_at: Instant | None = None


NO_ALERT: Final = AlertState()


@dataclass(frozen=True, slots=True)
class Pause:
    """A job stays installed, its occurrences are skipped. *until* ``None`` means: until resumed.

    *revision*: the pause also ends when the job gets another revision than this one; empty: it does not.
    """

    at: Instant
    reason: str = ""
    author: str = ""
    until: Instant | None = None
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands among the others.

    *holds_name*: the job is found by its name; a job that does not hold it is found by its id alone.
    *over_at*: since when a `once` job is over, which means that no occurrence can follow and no run is
    open. *displaced*: the pause of a dynamic job whose name a file declares.
    """

    holds_name: bool = True
    over_at: Instant | None = None
    displaced: Pause | None = None


IN_FORCE: Final = Standing()


class JobStatus(StrEnum):
    """Is the job scheduled at all."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"  # a `once` that has fired
    DELETED = "deleted"  # it is gone; only its history is there


class JobHealth(StrEnum):
    """How the job has been doing lately."""

    OK = "ok"
    FAILING = "failing"
    STALE = "stale"
    NEVER_RUN = "never_run"
