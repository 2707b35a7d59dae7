"""Passes the output of handlers to the log, to the store, and to log followers.

Rule: nothing here blocks, or raises into the runner. Lines that the store cannot take yet wait up to a limit;
beyond it they are dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from luad.core.events import AttemptEnded, AttemptStarted, Event
from luad.core.model import Instant, RunError
from luad.errors import LuadError

if TYPE_CHECKING:
    from luad.core.engine import Engine
    from luad.daemon.masking import SecretMask
    from luad.logs import Logging

_MAX_WAITING_LINES: Final = 200_000
_CHUNK_LINES: Final = 2_000
_RETRY_S: Final = 1.0

Line = dict[str, Any]
AppendLogs = Callable[[Sequence[tuple[str, Sequence[Line]]]], Any]


class LineOrder:
    """Holds the output of a run back until the line `run.started` is logged.

    Output arrives at once. The engine announces a run only when its record is durable, some
    milliseconds later, and then releases the output by the effect `ReleaseOutput`.
    """

    def __init__(self, write: Callable[[str, str, Sequence[Line]], None]) -> None:
        self._write = write
        self._released: set[str] = set()
        self._held: dict[str, list[tuple[str, Sequence[Line]]]] = {}

    def put(self, run_id: str, job_name: str, lines: Sequence[Line]) -> None:
        """Log *lines* now, or when the output of the run is released."""
        if run_id in self._released:
            self._write(run_id, job_name, lines)
        else:
            self._held.setdefault(run_id, []).append((job_name, lines))

    def release(self, run_id: str, *, is_last: bool) -> None:
        """Log the lines of a run that were held back; with *is_last*, the run is over."""
        self._released.add(run_id)
        for job_name, lines in self._held.pop(run_id, ()):
            self._write(run_id, job_name, lines)
        if is_last:
            self._released.discard(run_id)


class OutputPump:
    """Writes lines to the store, in order, in a background task.

    The store's writer prefers records of runs to lines. *append* is the store's `append_logs_of`;
    *publish* hands lines to the log followers.
    """

    def __init__(
        self, append: AppendLogs, publish: Callable[[str, str, Sequence[Line]], None]
    ) -> None:
        self._append = append
        self._publish = publish
        self._waiting: deque[tuple[str, Line]] = deque()
        self._work = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self.dropped = 0

    def put(self, run_id: str, job_name: str, lines: Sequence[Line]) -> None:
        """Queue lines of a run."""
        self._publish(run_id, job_name, lines)
        free = max(0, _MAX_WAITING_LINES - len(self._waiting))
        self.dropped += max(0, len(lines) - free)
        self._waiting.extend((run_id, line) for line in lines[:free])
        self._is_idle.clear()
        self._work.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                await self._write_chunk()
            self._is_idle.set()

    async def flush(self, timeout_s: float) -> None:
        """Wait until every line is written, at most *timeout_s*."""
        try:
            await asyncio.wait_for(self._is_idle.wait(), timeout_s)
        except TimeoutError:
            self.dropped += len(self._waiting)

    async def _write_chunk(self) -> None:
        found: dict[str, list[Line]] = {}
        count = min(len(self._waiting), _CHUNK_LINES)
        for run_id, line in islice(self._waiting, count):
            found.setdefault(run_id, []).append(line)
        try:
            await self._append(list(found.items()))
        except LuadError:
            await asyncio.sleep(_RETRY_S)
            return
        for _ in range(count):
            self._waiting.popleft()


def last_lines(event: AttemptEnded) -> list[Line]:
    """Return what the end of an attempt adds to the run's log."""
    ending = event.ending
    if ending.error is not None:
        return [_error_line(ending.error, ending.at, event.attempt)]
    if ending.result_omitted:
        return [omission_line(ending.result_omitted, ending.at, event.attempt)]
    return []


def _error_line(error: RunError, at: Instant, attempt: int) -> Line:
    """Return *error* as the last line of the run's log."""
    line: Line = {
        "ts": at,
        "stream": "system",
        "level": "error",
        "logger": "luad",
        "message": f"{error.type}: {error.message}" if error.message else error.type,
        "attempt": attempt,
    }
    if error.traceback:
        line["exception"] = error.traceback
    return line


def omission_line(omitted: str, at: Instant, attempt: int) -> Line:
    """Return the line of the run's log that says why its result was left out."""
    return {
        "ts": at,
        "stream": "system",
        "level": "warning",
        "logger": "luad",
        "message": f"the run succeeded, but its result was left out: {omitted}",
        "attempt": attempt,
    }


class RunReports:
    """Passes reports and output of runs on, with masked secrets.

    Output goes to the log, the store and the log followers, reports go to the engine. *order* holds
    output back until the engine releases it.
    """

    def __init__(
        self,
        engine: Engine,
        logs: Logging,
        pump: OutputPump,
        post: Callable[[Event], None],
        secrets: SecretMask,
    ) -> None:
        self._engine = engine
        self._secrets = secrets
        self._logs = logs
        self._pump = pump
        self._post = post
        self.order = LineOrder(self.write)

    def take_event(self, event: AttemptStarted | AttemptEnded) -> None:
        """Append the error of an attempt to the run's log, and post the report to the engine."""
        if isinstance(event, AttemptEnded):
            event = replace(event, ending=self._secrets.mask_ending(event.run_id, event.ending))
            self._secrets.forget(event.run_id)
        run = self._engine.runs.get(event.run_id)
        if run is not None and isinstance(event, AttemptEnded):
            lines = last_lines(event)
            if lines:
                self._pump.put(event.run_id, run.job_name, lines)
        self._post(event)

    def take_lines(
        self, run_id: str, attempt: int, job_name: str, lines: list[dict[str, object]]
    ) -> None:
        """Pass on lines of an attempt."""
        for line in lines:
            line["attempt"] = attempt
            self._secrets.mask_line(run_id, line)
        self.order.put(run_id, job_name, lines)
        self._pump.put(run_id, job_name, lines)

    def write(self, run_id: str, job_name: str, lines: Sequence[dict[str, Any]]) -> None:
        """Write lines to the daemon's log."""
        for line in lines:
            fields = {key: value for key, value in line.items() if key not in {"ts", "level"}}
            fields |= {"job": job_name, "run_id": run_id}
            self._logs.emit(line.get("level", "info"), "run.output", fields)
