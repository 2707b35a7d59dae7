"""``runs.lock``: is a process of any run still alive, also of a daemon that is gone.

Rule: knows flock(2) and nothing of runs. A lock belongs to an *open file description*, which
is shared by everybody who inherited it: the daemon opens the file once, and the spawner and all
its keepers share that one description. As long as one of them lives, another daemon's description
cannot be locked exclusively.
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
    """Holds ``runs.lock`` in *folder*, shared, from its making until `close`."""

    def __init__(self, folder: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.path = folder / "runs.lock"
        self.descriptor = os.open(self.path, flags, 0o600)
        self._share()

    async def wait_for_others(self, timeout_ms: int) -> bool:
        """Wait until nobody else holds the lock; False when somebody does after *timeout_ms*.

        Our own runs do not count, and do not mind.
        """
        until = elapsed_ms() + timeout_ms
        while not self._is_alone():
            if elapsed_ms() >= until:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def close(self) -> None:
        """Let go; keepers that still live go on holding it."""
        os.close(self.descriptor)

    def _is_alone(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            # A failed change of the lock has dropped it; a successful one is too much.
            self._share()
        return True

    def _share(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_SH)
