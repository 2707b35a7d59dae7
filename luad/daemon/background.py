"""What goes on beside the loop: tasks that may fail without taking the daemon with them.

Room rule: a failure is told, and remembered when the task was to stand as long as the daemon does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from luad.logs import Logging

_STANDING: Final = frozenset({"pump", "reloader", "beat", "gone", "lag", "retention"})


class BackgroundTasks:
    """The tasks of one daemon. *ended*: the names of those that should not have."""

    def __init__(self, logs: Logging) -> None:
        self.ended: set[str] = set()
        self._logs = logs
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Let *work* go on beside the loop; if it fails, the daemon goes on and says so."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.note_failure(task.get_name(), error)
            if task.get_name() in _STANDING:
                self.ended.add(task.get_name())

    def note_failure(self, name: str, error: BaseException) -> None:
        """Tell that a part has failed."""
        fields = {"task": name, "error": f"{type(error).__name__}: {error}"}
        self._logs.emit("error", "daemon.task_failed", fields)

    def cancel(self, *, but: str = "") -> None:
        """Ask all to end, *but* the one of that name."""
        for task in self._tasks:
            if task.get_name() != but:
                task.cancel()

    async def end(self) -> None:
        """Ask all to end, and wait until they have."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
