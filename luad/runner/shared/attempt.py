"""An attempt in a shared process as the daemon knows it, and the endings that the daemon itself decides.

Rule: values only; `pool` decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from luad.clock import wall_ms
from luad.core.model import EndKind
from luad.runner.attempt import failed_ending
from luad.runner.shared.messages import stopped_error

if TYPE_CHECKING:
    from luad.core.events import StartAttempt
    from luad.core.model import Ending
    from luad.runner.attempt import Key
    from luad.runner.shared.link import ProcessLink


@dataclass(slots=True, eq=False)
class SharedAttempt:
    """An attempt from `launch` to its ending. Times are monotonic."""

    start: StartAttempt
    link: ProcessLink | None = None
    is_started: bool = False
    overdue_ms: int | None = None
    tries: int = 1
    is_stopping: bool = False
    is_guilty: bool = False  # its process is killed because it does not end

    @property
    def key(self) -> Key:
        """The key of the attempt in the engine."""
        return self.start.run.id, self.start.run.attempt


def cancelled() -> Ending:
    """Return the ending of an attempt that was stopped before it began."""
    message = "the run was cancelled before its handler was called"
    return failed_ending(EndKind.CANCELLED, wall_ms(), "Cancelled", message)


def killed(attempt: SharedAttempt) -> Ending:
    """Return the ending of a run for which the daemon has killed the process."""
    cause = "cancelled" if attempt.is_stopping else "timed_out"
    name, message, _ = stopped_error(cause, attempt.start.job.timeout_ms, was_killed=True)
    return failed_ending(EndKind(cause), wall_ms(), name, message)


def lost(why: str) -> Ending:
    """Return the ending of an attempt whose process has ended, for the reason *why*."""
    message = f"the end of the run was not seen: {why}"
    return failed_ending(EndKind.LOST, wall_ms(), "Lost", message)
