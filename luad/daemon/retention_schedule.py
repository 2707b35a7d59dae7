"""Schedules retention: removes old history every ten minutes, and reports failures.

Rule: a failed pass is logged, and the next one comes at its time. Two failures in a row are a fault of the daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from luad.clock import Clock
from luad.config.settings.daemon_settings import Retention
from luad.core.events import Event, ForgetCompleted
from luad.errors import LuadError
from luad.logs import Logging
from luad.store import Store

_EVERY_S: Final = 600.0
_FIRST_S: Final = 30.0
_BETWEEN_SLICES_S: Final = 0.05
_PERSISTS: Final = 2


class RetentionSchedule:
    """Removes history beyond the limits of *keep*, slice by slice.

    *fault* is the reason why passes fail, once two in a row have failed.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        keep: Retention,
        post: Callable[[Event], None],
        logs: Logging,
    ) -> None:
        self.fault: str | None = None
        self._store = store
        self._clock = clock
        self._keep = keep
        self._post = post
        self._logs = logs
        self._failed = 0

    async def run(self) -> None:
        """Run passes until cancelled."""
        delay_s = _FIRST_S
        while True:
            await asyncio.sleep(delay_s)
            delay_s = _EVERY_S
            await self.once()

    async def once(self) -> None:
        """Run one pass over the history."""
        try:
            self._post(ForgetCompleted(self._clock.now().wall - self._keep.history_ms))
            is_done = await self._slice()
            while not is_done:
                await asyncio.sleep(_BETWEEN_SLICES_S)
                is_done = await self._slice()
        except Exception as error:  # noqa: BLE001 - else the history would grow until a restart
            why = error.message if isinstance(error, LuadError) else _in_words(error)
            self._logs.emit("warning", "store.retention_failed", {"error": why})
            self._failed += 1
            if self._failed >= _PERSISTS:
                self.fault = f"old history was not removed {self._failed} times in a row: {why}"
        else:
            self._failed, self.fault = 0, None

    async def _slice(self) -> bool:
        part = await self._store.prune(
            self._clock.now().wall,
            history_ms=self._keep.history_ms,
            runs_per_job=self._keep.runs_per_job,
            logs_ms=self._keep.logs_ms,
        )
        return part.is_done


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
