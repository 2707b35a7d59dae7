"""The context of a run: what a handler is called with.

Room rule: imports nothing of luad; whoever runs a handler makes the `Job` from plain values.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from luad.sdk.readonly import ReadOnlyDict, freeze, thaw

TYPE_CHECKING = False  # `typing` and `logging` cost 20 ms, which every handler would pay
if TYPE_CHECKING:
    from collections.abc import Mapping
    from logging import Logger
    from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)


class Cancelled(BaseException):
    """Raised inside a blocking handler when its run is stopped: cancelled, replaced or out of time.

    ``finally`` blocks and context managers run; whatever still runs after the grace period is
    killed. An ``async def`` handler gets `asyncio.CancelledError` instead.
    """


class NoJobError(RuntimeError):
    """`current_job` was asked outside of a run."""


class Job:
    """One run of a job, as its handler sees it. All instants are aware datetimes in UTC.

    *scheduled_for* is the instant the schedule names, *fire_at* that plus jitter; after
    *deadline* the run is stopped (year 9999 when it has no time limit). *missed_count* says how
    many older occurrences this run stands for besides its own. *attempt* counts from 1.
    """

    __slots__ = (
        "_is_cancelled",
        "attempt",
        "deadline",
        "description",
        "fire_at",
        "id",
        "max_attempts",
        "metadata",
        "missed_count",
        "name",
        "revision",
        "run_id",
        "scheduled_for",
        "started_at",
        "tags",
        "trigger",
    )

    def __init__(
        self,
        *,
        name: str,
        run_id: str,
        scheduled_for_ms: int,
        started_at_ms: int,
        id: str = "",  # noqa: A002 - the argument is the attribute
        description: str = "",
        metadata: Mapping[str, Any] | None = None,
        fire_at_ms: int | None = None,
        deadline_ms: int | None = None,
        attempt: int = 1,
        max_attempts: int = 1,
        trigger: str = "manual",
        missed_count: int = 0,
        revision: str = "",
        tags: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.id = id
        self.description = description
        self.metadata: ReadOnlyDict = freeze(dict(metadata or {}))
        self.scheduled_for = _instant(scheduled_for_ms)
        self.fire_at = _instant(scheduled_for_ms if fire_at_ms is None else fire_at_ms)
        self.started_at = _instant(started_at_ms)
        self.deadline = _NEVER if deadline_ms is None else _instant(deadline_ms)
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.run_id = run_id
        self.trigger = trigger
        self.missed_count = missed_count
        self.revision = revision
        self.tags = tuple(tags)
        self._is_cancelled = False

    @property
    def log(self) -> Logger:
        """The logger ``luad.job.<name>``; its records join the log of the run."""
        import logging  # noqa: PLC0415 - see the module's head

        logger = logging.getLogger(f"luad.job.{self.name}")
        # `logging.config.dictConfig` in a handler silences all loggers made before it.
        logger.disabled = False
        return logger

    @property
    def cancelled(self) -> bool:
        """Has this run been told to stop."""
        return self._is_cancelled

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON; instants as RFC 3339."""
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "run_id": self.run_id,
            "trigger": self.trigger,
            "attempt": self.attempt,
            "max_attempts": self.max_attempts,
            "scheduled_for": _rfc3339(self.scheduled_for),
            "fire_at": _rfc3339(self.fire_at),
            "started_at": _rfc3339(self.started_at),
            "deadline": None if self.deadline == _NEVER else _rfc3339(self.deadline),
            "missed_count": self.missed_count,
            "revision": self.revision,
            "tags": list(self.tags),
            "metadata": thaw(self.metadata),
        }

    def __repr__(self) -> str:
        return f"<Job {self.name} {self.run_id} attempt {self.attempt}>"


_current: Job | None = None


def current_job() -> Job:
    """The job whose handler is running in this process.

    Raises `NoJobError` where none is.
    """
    if _current is None:
        raise NoJobError(
            "no job is running in this process; try the handler with `luad test NAME`",
        )
    return _current


def set_current_job(job: Job | None) -> None:
    """Say whose handler is running; for whoever runs handlers, not for handlers."""
    global _current  # noqa: PLW0603 - a process runs one job at a time, by design
    _current = job


def mark_cancelled(job: Job) -> None:
    """Let *job* say that it is being stopped; for whoever runs handlers, not for handlers."""
    job._is_cancelled = True  # noqa: SLF001 - read-only to handlers, written here


def _instant(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _rfc3339(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
