"""Stops a handler that runs in a thread beside others.

Rule: it raises only while the handler runs, because the thread goes on to other work.
"""

from __future__ import annotations

import ctypes
import threading
from contextlib import suppress
from typing import Final

from luad.runner.execution import Interrupt
from luad.sdk.job import Cancelled, mark_cancelled

_STEPS_UNTIL_RAISED: Final = 1_000
"""Python raises an exception for a thread at its next backward jump; a few jumps suffice."""


class ThreadInterrupt(Interrupt):
    """Stops a handler that runs in another thread."""

    def __init__(self) -> None:
        super().__init__()
        self.thread_id = 0
        self._has_raised = False
        self._lock = threading.Lock()

    def fire(self, *_signal: object) -> None:
        """Cancel an async handler's task; raise `Cancelled` in a blocking one at its next step."""
        if self._task is not None or self.is_fired:
            super().fire()
            return
        self.is_fired = True
        with self._lock:
            if self._job is not None:
                mark_cancelled(self._job)
                self._has_raised = True
                self._raise_in_thread()

    def close(self) -> None:
        """Let later calls of `fire` only set `is_fired`. The handler's own thread calls this.

        If an exception for a thread is set and withdrawn, CPython 3.11 still looks for it, and a profiler
        or a coverage tool of the process hangs. So this method raises and catches it.
        """
        with suppress(Cancelled):
            with self._lock:
                super().close()
            if self._has_raised:
                self._raise_in_thread()
                for _ in range(_STEPS_UNTIL_RAISED):
                    pass

    def _raise_in_thread(self) -> None:
        if self.thread_id:
            error = ctypes.py_object(Cancelled)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread_id), error)
