"""The threads of a shared process: a pool for plain functions, and the thread of the event loop.

Rule: no handler runs in the main thread, so none can replace the process's signal handlers.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from luad.clock import elapsed_ms
from luad.runner.shared.calling import task_factory
from luad.runner.shared.run import current_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.runner.shared.run import SharedRun

GROW_MS: Final = 5
"""The pool grows if runs wait, and its threads need longer than this for a run on average."""

_MOST_THREADS: Final = 256


class ThreadPool:
    """Threads that call *work* with each submitted run. It grows while runs wait."""

    def __init__(self, work: Callable[[SharedRun], None]) -> None:
        self._work = work
        self._queue: SimpleQueue[SharedRun] = SimpleQueue()
        self._idle = 0
        self._lock = threading.Lock()
        self._count = 0
        self._taken = 0  # runs since the last look
        self._looked_ms = 0

    def submit(self, run: SharedRun) -> None:
        """Execute *run* in the next free thread."""
        self._queue.put(run)
        if not self._count:
            self.grow()

    @property
    def is_behind(self) -> bool:
        """True if runs wait and more threads may help."""
        return self._count < _MOST_THREADS and self._queue.qsize() > self._idle

    def grow(self) -> None:
        """Add threads if runs wait and the present threads are slow."""
        now = elapsed_ms()
        if self._count and now - self._looked_ms < GROW_MS:
            return
        taken, self._taken, self._looked_ms = self._taken, 0, now
        if not self.is_behind or (self._count and taken >= self._count):
            return
        waiting = self._queue.qsize() - self._idle
        for _ in range(min(waiting, max(1, self._count), _MOST_THREADS - self._count)):
            self._count += 1
            name = f"luad-handler-{self._count}"
            threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._add_idle(1)
            run = self._queue.get()
            self._add_idle(-1)
            self._taken += 1
            try:
                self._work(run)
            except BaseException:  # noqa: BLE001 - a thread that ends would lose its place in the pool
                traceback.print_exc()
            del run

    def _add_idle(self, change: int) -> None:
        with self._lock:
            self._idle += change


class LoopThread:
    """An event loop in a thread of its own; *start* is called on it with each submitted run."""

    def __init__(self, start: Callable[[asyncio.AbstractEventLoop, SharedRun], None]) -> None:
        self._start = start
        self._waiting: deque[SharedRun] = deque()
        self._is_woken = False
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(task_factory)
        self._thread = threading.Thread(target=self._serve, name="luad-loop", daemon=True)
        self._asked_ms: int | None = None

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, run: SharedRun) -> None:
        """Execute *run* as a task."""
        self._waiting.append(run)
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._start_waiting)

    def blocked_ms(self) -> int:
        """Ask the loop for a sign of life; return the time since a question without an answer."""
        now, asked_ms = elapsed_ms(), self._asked_ms
        if asked_ms is None:
            self._asked_ms = asked_ms = now
            self._loop.call_soon_threadsafe(self._answer)
        return now - asked_ms

    def current_task(self) -> asyncio.Task[object] | None:
        """Return the task that the loop executes now."""
        return asyncio.current_task(self._loop)

    def stack(self) -> list[traceback.FrameSummary]:
        """Return what the thread of the loop does now."""
        return stack_of(self._thread.ident)

    def _answer(self) -> None:
        self._asked_ms = None

    def _start_waiting(self) -> None:
        self._is_woken = False
        while self._waiting:
            self._start(self._loop, self._waiting.popleft())

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        while True:
            try:
                self._loop.run_forever()
            except BaseException:  # noqa: BLE001 - `SystemExit` of a task that a handler has started
                traceback.print_exc()


def stack_of(thread_id: int | None) -> list[traceback.FrameSummary]:
    """Return the current stack of a thread, outermost call first."""
    frame = sys._current_frames().get(thread_id or 0)  # noqa: SLF001 - the documented way
    return [] if frame is None else list(traceback.extract_stack(frame))


def note_threads() -> None:
    """Let each run know the threads that its handler starts."""
    start = threading.Thread.start

    def noted_start(thread: threading.Thread) -> None:
        run = current_run.get()
        if run is not None and not run.is_over:
            run.threads.append(thread)
        start(thread)

    threading.Thread.start = noted_start  # type: ignore[method-assign, assignment]
