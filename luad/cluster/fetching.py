"""Keeps a fetcher running: starts it, listens to it, and starts another one when it dies, hangs or is deaf.

Rule: runs are not the fetcher's; whatever happens to it, they go on. A row that a dead fetcher had is told to the
next one once its run is over.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

PING_S: Final = 5.0
SILENT_S: Final = 15.0
START_S: Final = 60.0
"""A fetcher imports and connects before it answers."""

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0

_DEAF_S: Final = 10.0
"""A row that waits longer, although the fetcher has room, is one that the fetcher does not see."""

Emit = Callable[[str, str, Mapping[str, object]], None]


class Fetched(NamedTuple):
    """An attempt that a fetcher handed up. *row*: the id of its row; *fetcher*: the number of the fetcher."""

    run_id: str
    attempt: int
    row: int
    fetcher: int


class Fetching:
    """The fetcher of a worker.

    *settings* are the first line that it gets; *on_fetched* is called for each attempt, *emit* writes a log line.
    """

    def __init__(
        self, settings: Mapping[str, Any], on_fetched: Callable[[Fetched], None], emit: Emit
    ) -> None:
        self._settings = settings
        self._on_fetched = on_fetched
        self.emit = emit
        self._number = 0
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._unfinished: set[int] = set()  # rows of earlier fetchers whose runs are over
        self._is_stopping = False
        self._heard_at = 0.0
        self._ready_at: float | None = None
        self._waits_since: tuple[int, float] | None = None  # a row, and when it was seen first

    def ready_for_s(self) -> float:
        """Return the seconds since the fetcher has begun to fetch; 0 while none fetches."""
        return 0.0 if self._ready_at is None else asyncio.get_running_loop().time() - self._ready_at

    @property
    def pid(self) -> int | None:
        """The process id of the fetcher; None while none runs."""
        return None if self._process is None else self._process.pid

    @property
    def number(self) -> int:
        """The number of fetchers so far."""
        return self._number

    async def run(self) -> None:
        """Keep a fetcher running until `stop`, or until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while not self._is_stopping:
            began = asyncio.get_running_loop().time()
            try:
                await self._live()
            except OSError as error:
                self.emit("error", "worker.fetcher_failed", {"error": str(error)})
            lasted = asyncio.get_running_loop().time() - began
            pause_s = _FIRST_PAUSE_S if lasted > SILENT_S else min(2 * pause_s, _LONGEST_PAUSE_S)
            await self._wait_to_replace(pause_s)

    async def _wait_to_replace(self, pause_s: float) -> None:
        if not self._is_stopping:
            self.emit("warning", "worker.refetched", {"fetchers": self._number})
            await asyncio.sleep(pause_s)

    async def _live(self) -> None:
        """Run one fetcher until it ends."""
        mine, its = socket.socketpair()
        self._number += 1
        try:
            command = [sys.executable, "-m", "luad.cluster.fetcher", str(its.fileno())]
            self._process = process = await asyncio.create_subprocess_exec(
                *command, pass_fds=[its.fileno()], stdin=asyncio.subprocess.DEVNULL
            )
        except BaseException:
            mine.close()
            raise
        finally:
            its.close()
        try:
            await self._listen_to(mine)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await _end_of(process)
            self._process = None

    async def _listen_to(self, mine: socket.socket) -> None:
        """Listen to the fetcher at the other end of *mine* until it ends."""
        try:
            reader, self._writer = await asyncio.open_connection(sock=mine)
        except BaseException:
            mine.close()
            raise
        self._heard_at = asyncio.get_running_loop().time() + START_S - SILENT_S
        self._send(self._settings)
        pinging = asyncio.create_task(self._ping())
        try:
            await self._listen(reader, self._number)
        finally:
            pinging.cancel()
            self._ready_at = None
            self._writer.close()
            self._writer = None

    async def _listen(self, reader: asyncio.StreamReader, number: int) -> None:
        while line := await reader.readline():
            self._heard_at = asyncio.get_running_loop().time()
            try:
                word = json.loads(line)
            except ValueError:
                return  # it died in the middle of a line
            if "took" in word and isinstance(word["run"], str) and isinstance(word["n"], int):
                self._on_fetched(Fetched(word["run"], word["n"], word["took"], number))
            elif "took" in word:
                self._send({"done": word["took"]})  # not a row of luad's
            elif "ready" in word:
                self._ready_at = asyncio.get_running_loop().time()
                for row in self._unfinished:
                    self._send({"finish": row})
                self._unfinished.clear()

    async def _ping(self) -> None:
        """Ask for a sign of life again and again; end a fetcher that gives none."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(PING_S)
            if loop.time() - self._heard_at > SILENT_S:
                self.replace()
            self._send({"ping": 1})

    def replace(self) -> None:
        """End the fetcher; another one is started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, 9)

    def note_oldest(self, row: int | None) -> None:
        """Replace a fetcher that leaves *row* waiting for a while, the oldest one that it has room for."""
        now = asyncio.get_running_loop().time()
        if row is None:
            self._waits_since = None
        elif self._waits_since is None or self._waits_since[0] != row:
            self._waits_since = (row, now)
        elif min(now - self._waits_since[1], self.ready_for_s()) > _DEAF_S:
            self.emit("warning", "worker.fetcher_deaf", {"row": row})
            self._waits_since = None
            self.replace()

    def finish(self, fetched: Fetched) -> None:
        """Let the row of an attempt end, because the attempt is over or left to others."""
        if self._writer is None:
            self._unfinished.add(fetched.row)
        elif fetched.fetcher == self._number:
            self._send({"done": fetched.row})
        else:
            self._send({"finish": fetched.row})

    def stop(self) -> None:
        """Fetch no more; the fetcher ends once the rows that it has are over."""
        self._is_stopping = True
        self._send({"stop": 1})

    def _send(self, order: Mapping[str, object]) -> None:
        if self._writer is not None:
            self._writer.write(json.dumps(order).encode() + b"\n")


async def _end_of(process: asyncio.subprocess.Process) -> None:
    """Wait until a killed process has ended, also if the task is cancelled meanwhile."""
    waiting, is_cancelled = asyncio.ensure_future(process.wait()), False
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        raise asyncio.CancelledError
