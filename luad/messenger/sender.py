"""The daemon's connection to the sender process: it starts it, passes messages, and limits the wait.

Rule: it reports outcomes and does not interpret them; it never raises for a failure of a service. It starts
the process for the first message, and ends it after `IDLE_S` without messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from luad.wire import format_instant

if TYPE_CHECKING:
    from luad.core.messaging import Channel, Message

AT_ONCE: Final = 64
AT_ONCE_EACH: Final = 4
"""Limits of simultaneous deliveries, in all and to one host, so that a slow host does not delay others."""

SPARE_S: Final = 2.0
"""The time for which the daemon waits for an outcome beyond the delivery's own limit."""

IDLE_S: Final = 300.0
_MAX_LINE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a delivery. *error* is empty if it arrived; neither text holds a secret.

    *is_silent*: the service did not answer in time, so a further message to it would wait as well.
    """

    error: str = ""
    answer: str = ""
    is_degraded: bool = False
    is_silent: bool = False


class DeliveryLimits:
    """Limits the number of simultaneous deliveries, to one host and in all."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(AT_ONCE)
        self._of: dict[str, tuple[asyncio.Semaphore, int]] = {}  # with the number of its users

    @contextlib.asynccontextmanager
    async def take(self, place: str, patience_s: float) -> AsyncIterator[None]:
        """Wait until a delivery to *place* may start, and count it meanwhile. Raises TimeoutError."""
        own, count = self._of.get(place, (asyncio.Semaphore(AT_ONCE_EACH), 0))
        self._of[place] = own, count + 1
        try:
            async with contextlib.AsyncExitStack() as held:
                async with asyncio.timeout(patience_s):
                    await held.enter_async_context(own)
                    await held.enter_async_context(self._all)
                yield
        finally:
            own, count = self._of.pop(place)
            if count > 1:
                self._of[place] = own, count - 1


class Sender:
    """Sends messages through one sender process. *allow_private*: webhooks may reach private addresses."""

    def __init__(self, *, allow_private: bool = False, permit_insecure: bool = False) -> None:
        self._allow_private = allow_private
        self._permit_insecure = permit_insecure
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._limits = DeliveryLimits()
        self._write_lock = asyncio.Lock()
        self._count = 0
        self._stuck = 0
        self._is_closed = False
        self._idle: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None if no process runs."""
        return self._process.pid if self._process else None

    async def deliver(self, message: Message, channel: Channel) -> Outcome:
        """Send *message* by *channel*, and return the outcome.

        The delivery waits for its turn at most as long as sending may take.
        """
        limit_s = channel.timeout_ms / 1_000 + SPARE_S
        try:
            async with self._limits.take(_place(channel.url), limit_s):
                return await self._deliver(message, channel, limit_s)
        except TimeoutError:
            return Outcome("too many messages wait for this service", is_silent=True)

    async def _deliver(self, message: Message, channel: Channel, limit_s: float) -> Outcome:
        if self._is_closed:
            return Outcome("luad is stopping")
        self._count += 1
        number = self._count
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._write(self._order(number, message, channel))
            async with asyncio.timeout(limit_s):
                return await future
        except TimeoutError:
            self._stuck += 1
            text = f"no answer within {channel.timeout_ms / 1_000:g} s"
            return Outcome(text, is_silent=True)
        except OSError as error:
            return Outcome(f"luad's sender cannot be started: {error.strerror or error}")
        finally:
            self._waiting.pop(number, None)
            self._end_if_idle()

    def _order(self, number: int, message: Message, channel: Channel) -> bytes:
        order = {
            "id": number,
            "kind": channel.kind.value,
            "url": channel.url,
            "headers": [list(each) for each in channel.headers],
            "timeout_ms": channel.timeout_ms,
            "allow_private": channel.allow_private or self._allow_private,
            "permit_insecure": self._permit_insecure,
            "message": wire(message),
        }
        return json.dumps(order).encode() + b"\n"

    async def _write(self, line: bytes) -> None:
        async with self._write_lock:
            if self._process is None:
                await self._start()
            assert self._process is not None
            assert self._process.stdin is not None
            self._process.stdin.write(line)
            with contextlib.suppress(ConnectionError):  # `_read` reports the end of the process
                await self._process.stdin.drain()

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "luad.messenger.sender_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            limit=_MAX_LINE,
        )
        self._stuck = 0
        self._reader = asyncio.create_task(self._read(self._process), name="sender")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError, ConnectionError):
            async for line in process.stdout:
                self._on_outcome(json.loads(line))
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        if self._process is process:
            self._process = None
            for future in self._waiting.values():
                if not future.done():
                    future.set_result(Outcome("luad's sender has died while it was sending"))

    def _on_outcome(self, found: dict[str, Any]) -> None:
        future = self._waiting.get(found["id"])
        if future is not None and not future.done():
            keys = ("error", "answer", "is_degraded", "is_silent")
            future.set_result(Outcome(*(found[key] for key in keys)))

    def _end_if_idle(self) -> None:
        """End an idle process after `IDLE_S`, and at once if threads of it hang."""
        if self._idle is not None:
            self._idle.cancel()
        if self._waiting or self._process is None:
            return
        if self._stuck:
            self._end()
        else:
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._end)

    def _end(self) -> None:
        process = self._process
        if process is not None and not self._waiting:
            self._process = None
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def close(self) -> None:
        """Kill the process; later deliveries are refused."""
        self._is_closed = True
        if self._idle is not None:
            self._idle.cancel()
        process, reader = self._process, self._reader
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        if reader is not None:
            await reader


def _place(url: str) -> str:
    """Return scheme and host of an address; the whole address if the host is a reference."""
    scheme, colon, rest = url.partition("://")
    host = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return url if not colon or not host or "$" in host else f"{scheme}://{host.lower()}"


def wire(message: Message) -> dict[str, object]:
    """Return a message in the form that services get."""
    return {
        "id": message.id,
        "user": message.user,
        "kind": message.kind,
        "title": message.title,
        "parts": [dict(part) for part in message.parts],
        "priority": message.priority,
        "job": message.job_name,
        "run_id": message.run_id,
        "at": format_instant(message.at),
        "dedupe_key": message.dedupe_key,
    }
