"""Reads job and user files after a change, and merges requests to do so.

A notification of the kernel, SIGHUP and `luad reload` all request a reading. Requests that arrive during a
reading are merged into the next one.

Rule: this module reads (in a thread) and compares; the engine decides which jobs are installed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from luad.core.plan import Plan
from luad.daemon.file_reading import ConfigReader, Reading
from luad.errors import Problem
from luad.watcher import Hints

_MIN_RECHECK_S: Final = 0.05
_MIN_RESCAN_S: Final = 1.0
_PORTION: Final = 300  # files of the slow rescan, in some milliseconds

Answer = asyncio.Future[Plan]


class Reloader:
    """Merges all requests for a reload into readings, one at a time.

    *apply* gets each reading that is new or was asked for, and returns a future for the changes in force.
    *on_failure* gets each unexpected exception; the clients that asked get it as well.
    """

    def __init__(
        self,
        reader: ConfigReader,
        apply: Callable[[Reading], Answer],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._reader = reader
        self._apply = apply
        self._on_failure = on_failure
        self._requested = asyncio.Event()
        self._asking: list[asyncio.Future[tuple[Reading, Answer]]] = []
        self._hints: set[str] = set()
        self._must_read_all = False
        self._portions: deque[list[str]] = deque()  # of the slow rescan
        self._recheck: asyncio.TimerHandle | None = None

    def request(self, hints: Hints = None) -> None:
        """Ask for a reading soon of the files *hints*, or of all files."""
        if hints is None:
            self._must_read_all = True
        else:
            self._hints.update(hints)
        self._requested.set()

    def ask(self) -> asyncio.Future[tuple[Reading, Answer]]:
        """Read and apply now, even if nothing has changed; return a future for both results."""
        future: asyncio.Future[tuple[Reading, Answer]]
        future = asyncio.get_running_loop().create_future()
        self._asking.append(future)
        self._requested.set()
        return future

    async def run(self, rescan_s: float | None) -> None:
        """Serve requests until cancelled; look at all files every *rescan_s* seconds, None for never."""
        patience_s = None if rescan_s is None else max(_MIN_RESCAN_S, rescan_s)
        while True:
            try:
                await asyncio.wait_for(self._requested.wait(), 0 if self._portions else patience_s)
                self._requested.clear()
                await self._serve()
            except TimeoutError:
                await self._rescan()

    async def _serve(self) -> None:
        """Read what was requested since the previous time."""
        asking, self._asking = self._asking, []
        hints, self._hints = self._hints, set()
        must_read_all, self._must_read_all = self._must_read_all, False
        is_whole = bool(must_read_all or asking)
        if is_whole:
            self._portions.clear()
        try:
            await self._read(asking, None if is_whole else hints)
        except Exception as error:  # noqa: BLE001 - the next reading may go well again
            self._on_failure(error)
            for future in asking:
                if not future.done():
                    future.set_exception(error)

    async def _rescan(self) -> None:
        """Look at the next portion of all files, because a notification may have been lost.

        A portion is short, so that a change that is notified need not wait for the rescan.
        """
        try:
            if not self._portions:
                paths = await asyncio.to_thread(self._reader.paths)
                every = range(0, len(paths), _PORTION)
                self._portions.extend(paths[start : start + _PORTION] for start in every)
            hints = self._portions.popleft() if self._portions else []
            await self._read((), hints, is_portion=bool(self._portions))
        except Exception as error:  # noqa: BLE001 - the next reading may go well again
            self._portions.clear()
            self._on_failure(error)

    async def _read(
        self,
        asking: Sequence[asyncio.Future[tuple[Reading, Answer]]],
        hints: Hints,
        *,
        is_portion: bool = False,
    ) -> None:
        reading = await asyncio.to_thread(
            self._reader.read, is_settled=bool(asking), hints=hints, is_portion=is_portion
        )
        self.recheck_after(reading)
        if not (reading.is_news or asking or reading.to_save or reading.to_drop):
            return
        answer = self._apply(replace(reading, is_news=reading.is_news or bool(asking)))
        for future in asking:
            if not future.done():
                future.set_result((reading, answer))

    def recheck_after(self, reading: Reading) -> None:
        """Schedule another reading, for files that had just changed at *reading*."""
        if self._recheck is not None:
            self._recheck.cancel()
            self._recheck = None
        if reading.recheck_in_ms is not None:
            delay_s = max(_MIN_RECHECK_S, reading.recheck_in_ms / 1_000)
            self._recheck = asyncio.get_running_loop().call_later(delay_s, self.request, ())


def log_fields(problem: Problem) -> dict[str, str]:
    """Return a problem as the fields of its log line."""
    place = f"{problem.path}:{problem.line}:{problem.column}" if problem.line else problem.path
    fields = {"place": place, "code": problem.code, "message": problem.message}
    return fields | {"help": problem.help} if problem.help else fields
