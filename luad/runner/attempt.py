"""One attempt in the daemon, and the keeper's reports about it.

Rule: values and bytes; `runner` decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from luad.clock import wall_ms
from luad.core.model import Ending, EndKind, ProcessIdentity, RunError

if TYPE_CHECKING:
    from luad.core.events import StartAttempt
    from luad.core.model import Instant
    from luad.runner.keeper_link import KeeperLink

Key: TypeAlias = tuple[str, int]
"""Run id and number of the attempt."""


@dataclass(slots=True, eq=False)
class Attempt:
    """An attempt from `launch` to its ending. *sent_ms* and *overdue_ms* are monotonic times."""

    start: StartAttempt
    keeper: KeeperLink | None = None  # while it supervises the run
    number: int = -1  # of the run, for that keeper
    tries: int = 0
    sent_ms: int = 0
    overdue_ms: int | None = None
    handler: ProcessIdentity | None = None
    is_stopping: bool = False
    is_lost: bool = False  # its keeper is gone, and luad ends what is left

    @property
    def key(self) -> Key:
        """The key of the attempt in the engine."""
        return self.start.run.id, self.start.run.attempt


def ending_of(frame: dict[str, Any]) -> Ending:
    """Return the `Ending` that an ``ended`` frame reports."""
    return Ending(
        kind=EndKind(frame["kind"]),
        at=frame["ts"],
        exit_code=frame["exit_code"],
        signal=frame["signal"],
        error=error_of(frame["error"]),
        result_json=frame["result"],
        is_result_truncated=frame["is_result_truncated"],
        result_omitted=frame["result_omitted"],
        is_retryable=frame["is_retryable"],
        dropped_bytes=frame["dropped_bytes"],
        left_processes=frame["left_processes"],
        left_tasks=frame["left_tasks"],
    )


def error_of(texts: list[str] | None) -> RunError | None:
    """Return the `RunError` of three texts; None without them."""
    return RunError(*texts) if texts else None


def failed_ending(
    kind: EndKind, at: Instant, name: str, message: str, *, is_retryable: bool = True
) -> Ending:
    """Return an ending that no keeper has reported."""
    return Ending(kind=kind, at=at, error=RunError(name, message), is_retryable=is_retryable)


def cancelled_early() -> Ending:
    """Return the ending of an attempt that was stopped before it had a process."""
    message = "the run was cancelled before its process was started"
    return failed_ending(EndKind.CANCELLED, wall_ms(), "Cancelled", message)
