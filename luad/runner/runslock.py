"""``runs.lock`` shows if a process of any run is alive, even of a daemon that is gone.

Rule: knows flock(2) and nothing of runs. A lock belongs to an *open file description*, which all
processes share that inherit it: the daemon opens the file once, and the spawner and all its keepers
share that description. While one of them lives, another daemon cannot lock the file exclusively.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from typing import TYPE_CHECKING, Final

from luad.clock import elapsed_ms

if TYPE_CHECKING:
    from pathlib import Path

_POLL_S: Final = 0.01  # flock(2) cannot be awaited, and a thread for it could not be cancelled


class RunsLock:
    """Holds a shared lock on ``runs.lock`` in *folder*, from its creation until `close`."""

    def __init__(self, folder: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.path = folder / "runs.lock"
        self.descriptor = os.open(self.path, flags, 0o600)
        self._share()

    async def wait_for_others(self, timeout_ms: int) -> bool:
        """Wait until no other daemon's process holds the lock; False after *timeout_ms*.

        Runs of this daemon do not count.
        """
        until = elapsed_ms() + timeout_ms
        while not self._is_alone():
            if elapsed_ms() >= until:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def close(self) -> None:
        """Close this daemon's descriptor; keepers that still live hold the lock."""
        os.close(self.descriptor)

    def _is_alone(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            # A failed change has released the lock; a successful one has made it exclusive.
            self._share()
        return True

    def _share(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_SH)
