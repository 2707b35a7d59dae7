"""A run in a shared process, and the run to which the current code belongs.

A context variable names the current run. Tasks and `asyncio.to_thread` inherit it; a thread that a handler
starts itself does not, so that its output is never taken for that of another run.

Rule: values and their locks; it calls no handler.
"""

from __future__ import annotations

import logging
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

from luad.clock import elapsed_ms, wall_ms
from luad.runner.capture import Output, system_line
from luad.runner.thread_interrupt import ThreadInterrupt
from luad.sdk.job import Job
from luad.sdk.pending import Calls

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from luad.runner.capture import Line
    from luad.runner.shared.begun import Begun
    from luad.runner.shared.messages import EndMessage, RunMessage, SetupMessage
    from luad.sdk.job import JobCore

current_run: ContextVar[SharedRun | None] = ContextVar("luad_run", default=None)

_LEVELS = {name: getattr(logging, name.upper()) for name in ("debug", "info", "warning", "error")}


class SharedRun:
    """One run. *on_output* is called when it has new lines that nothing has fetched yet."""

    __slots__ = (
        "_begun",
        "_on_output",
        "calls",
        "cause",
        "deadline_ms",
        "end",
        "has_told_blocked",
        "interrupt",
        "is_noted",
        "is_over",
        "is_start_told",
        "job",
        "key",
        "kill_at_ms",
        "level",
        "lock",
        "message",
        "output",
        "root",
        "started_at",
        "tasks",
        "threads",
        "timeout_ms",
    )

    def __init__(
        self,
        message: RunMessage,
        setup: SetupMessage,
        on_output: Callable[[SharedRun], None],
        begun: Begun,
    ) -> None:
        job = message["job"]
        self.key: tuple[str, int] = (job["run_id"], job["attempt"])
        self.message = message
        self.timeout_ms = message["timeout_ms"]
        self.level: int = _LEVELS.get(message["log_level"], logging.CRITICAL)
        self.lock = threading.Lock()
        self.output = Output(setup["output_limit"], setup["line_limit"])
        self.calls = Calls()
        self.interrupt = ThreadInterrupt()
        self.job: JobCore | None = None
        self.root: asyncio.Task[None] | None = None
        self.tasks: set[asyncio.Task[object]] = set()
        self.threads: list[threading.Thread] = []
        self.started_at: int | None = None
        self.deadline_ms: int | None = None
        self.kill_at_ms: int | None = None
        self.cause = ""
        self.end: EndMessage | None = None
        self.is_over = False
        self.is_start_told = False
        self.is_noted = False  # it has lines that the courier will fetch
        self.has_told_blocked = False
        self._on_output = on_output
        self._begun = begun

    def begin(self) -> JobCore | None:
        """Mark the run as started, and return its job; None if it was stopped before."""
        with self.lock:
            if self.is_over or self.cause:
                return None
            self._begun.mark(self.message["slot"])
            self.started_at = started_at = wall_ms()
        deadline = None
        if self.timeout_ms is not None:
            self.deadline_ms = elapsed_ms() + self.timeout_ms
            deadline = started_at + self.timeout_ms
        values = self.message["job"]
        self.job = Job(**values, started_at_ms=started_at, deadline_ms=deadline)
        return self.job

    def write(self, stream: str, data: bytes) -> bool:
        """Add *data* of *stream* to the output; False once the run is over."""
        with self.lock:
            if self.is_over:
                return False
            self.output.feed(stream, data, wall_ms())
        self._note()
        return True

    def write_record(self, line: Line) -> bool:
        """Add a log record to the output; False once the run is over."""
        size = len(line["message"]) + _RECORD_BYTES
        for key in ("exception", "stack", "extras"):
            if key in line:
                size += len(str(line[key]))
        with self.lock:
            if self.is_over:
                return False
            self.output.feed_record(line, size)
        self._note()
        return True

    def warn(self, message: str) -> None:
        """Add a warning of luad to the output."""
        self.write_record(system_line(message, wall_ms(), level="warning"))

    def take_lines(self) -> list[Line]:
        """Return the lines since the previous call."""
        with self.lock:
            self.is_noted = False
            return self.output.take()

    def show_partial(self) -> bool:
        """Complete lines that have waited for their end; return True if one still waits."""
        with self.lock:
            self.output.show_partial(wall_ms())
            return self.output.has_partial

    def close(self, end: EndMessage) -> bool:
        """End the run; False if it is over already."""
        with self.lock:
            if self.is_over:
                return False
            self.is_over = True
        if self.output.dropped_bytes:
            end["dropped_bytes"] = self.output.dropped_bytes
        self.end = end
        return True

    def _note(self) -> None:
        if not self.is_noted:
            self.is_noted = True
            self._on_output(self)


_RECORD_BYTES = 80  # of the other keys of a record as JSON


def job_of_context() -> JobCore | None:
    """Return the job of the current run; None outside of all runs."""
    run = current_run.get()
    return None if run is None or run.is_over else run.job


def calls_of_context() -> Calls | None:
    """Return the calls of the current run that nothing has awaited; None outside of all runs."""
    run = current_run.get()
    return None if run is None else run.calls
