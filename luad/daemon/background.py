"""Background tasks, which may fail without ending the daemon.

Rule: each failure is logged; the failure of a permanent task is also a fault of the daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from luad.logs import Logging

_PERMANENT: Final = frozenset(
    {"pump", "reloader", "beat", "gone", "lag", "retention", "mirror", "files in force"}
)


class BackgroundTasks:
    """The background tasks of one daemon. *ended*: names of permanent tasks that have failed."""

    def __init__(self, logs: Logging) -> None:
        self.ended: set[str] = set()
        self._logs = logs
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Start *work* as a task of that name; a failure is logged, and the daemon goes on."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.note_failure(task.get_name(), error)
            if task.get_name() in _PERMANENT:
                self.ended.add(task.get_name())

    def note_failure(self, name: str, error: BaseException) -> None:
        """Log the failure of a task."""
        fields = {"task": name, "error": f"{type(error).__name__}: {error}"}
        self._logs.emit("error", "daemon.task_failed", fields)

    def cancel(self, *, but: str = "") -> None:
        """Cancel all tasks except those named *but*."""
        for task in self._tasks:
            if task.get_name() != but:
                task.cancel()

    async def end(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
