"""Tells how far a long first reading of the files is.

Rule: it waits and tells; the reader counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from luad.logs import Logging
    from luad.notify import Notifier

T = TypeVar("T")

TELL_EVERY_S: Final = 1.0
_LOGGED_EVERY: Final = 5
_PATIENCE_US: Final = 60_000_000  # as long as `TimeoutStartSec=` of the unit


class LoadProgress:
    """Tells systemd at each call of `tell`, and the log at each fifth one."""

    def __init__(self, notifier: Notifier, logs: Logging) -> None:
        self._notifier = notifier
        self._logs = logs
        self._latest = 0, 0
        self._count = 0

    def tell(self, progress: tuple[int, int]) -> None:
        """Tell how many files are loaded and known; systemd waits longer while these numbers grow."""
        loaded, known = progress
        self._notifier.status(f"reading files: {loaded} of {known}")
        if progress != self._latest:
            self._latest = progress
            self._notifier.extend_timeout(_PATIENCE_US)
        self._count += 1
        if not self._count % _LOGGED_EVERY:
            self._logs.emit("info", "daemon.loading", {"files": loaded, "of": known})


@asynccontextmanager
async def told(
    tell: Callable[[T], None], count: Callable[[], T], every_s: float = TELL_EVERY_S
) -> AsyncIterator[None]:
    """Call *tell* with the current *count* every second during the block; a context manager."""

    async def tell_again_and_again() -> None:
        while True:
            await asyncio.sleep(every_s)
            tell(count())

    task = asyncio.create_task(tell_again_and_again())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
