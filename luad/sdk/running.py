"""The running job of this process, or of the current task or thread.

Rule: cheap to import, because every handler's process pays for it. The runner sets it, not handlers.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs 9 ms, which every handler's process would pay
if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.sdk.job_core import JobCore

_current: JobCore | None = None
_find: Callable[[], JobCore | None] | None = None


def set_current_job(job: JobCore | None) -> None:
    """Set the only running job of this process."""
    global _current  # noqa: PLW0603 - the job of a process of its own
    _current = job


def find_job_by(find: Callable[[], JobCore | None] | None) -> None:
    """Let *find* return the running job, where a process has several; None undoes it."""
    global _find  # noqa: PLW0603 - set once, by a shared process
    _find = find


def running_job() -> JobCore | None:
    """Return the job whose handler is running in this process, or None."""
    return _current if _find is None else _find()
