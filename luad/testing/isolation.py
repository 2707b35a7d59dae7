"""Undoes a handler's changes to the process of a test, and finds the threads that it leaves running.

Rule: it wraps one call of a handler, and leaves other threads of the test alone.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import thread as executors
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Self

from luad.clock import elapsed_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATIENCE_MS: Final = 5_000
"""The longest wait for threads after their handler, because a test must not wait for minutes."""


@contextmanager
def process_of_a_run(variables: Mapping[str, str]) -> Iterator[None]:
    """Set *variables* as the only `LUAD_*` ones; restore environment, folder, umask and arguments.

    The test's own `LUAD_*` variables could lead a handler to a real daemon.
    """
    environ, argv = dict(os.environ), list(sys.argv)
    umask = os.umask(0)
    os.umask(umask)
    folder = os.open(".", os.O_PATH | os.O_DIRECTORY)  # the handler may rename or delete it
    for name in [name for name in environ if name.startswith("LUAD_")]:
        del os.environ[name]
    os.environ.update(variables)
    time.tzset()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environ)
        time.tzset()
        sys.argv[:] = argv
        os.umask(umask)
        with suppress(OSError):
            os.fchdir(folder)
        os.close(folder)


class Threads:
    """The threads that a handler starts, and their own threads. A context around its call."""

    def __init__(self) -> None:
        self._family = {threading.current_thread()}

    def __enter__(self) -> Self:
        family, start = self._family, threading.Thread.start
        self._start = start

        def noted_start(thread: threading.Thread) -> None:
            if threading.current_thread() in family:
                family.add(thread)
            start(thread)

        threading.Thread.start = noted_start  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *_: object) -> None:
        threading.Thread.start = self._start  # type: ignore[method-assign]

    def wait(self, timeout_ms: int | None) -> list[str]:
        """Wait for the threads that delay the end of a run; return the names of those still alive."""
        patience_ms = _PATIENCE_MS if timeout_ms is None else min(timeout_ms, _PATIENCE_MS)
        until = elapsed_ms() + max(0, patience_ms)
        mine = self._family - {threading.current_thread()}
        for thread in mine:
            while _is_working(thread) and (left_ms := until - elapsed_ms()) > 0:
                thread.join(min(left_ms, 20) / 1_000)
        return sorted(thread.name for thread in mine if _is_working(thread))


def _is_working(thread: threading.Thread) -> bool:
    """Return True if a run would wait for *thread*: alive, not a daemon, and not an idle worker."""
    if not thread.is_alive() or thread.daemon:
        return False
    if thread not in executors._threads_queues:  # noqa: SLF001 - as Python does at its end
        return True
    frame: Any = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - the current frame of the thread
    return frame is not None and frame.f_code is not executors._worker.__code__  # noqa: SLF001 - waits for work
