"""The daemon's end of the sender: starts it, hands over, waits, and gives up in time.

Rule: outcomes are reported, never interpreted; nothing here raises for what a service does. The
process is started when there is something to send, and ended when there has been nothing for a while.
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
"""So many messages to one host go on together, so that a slow one keeps no other waiting."""

SPARE_S: Final = 2.0
"""How much longer than its own limit a delivery may be silent."""

IDLE_S: Final = 300.0
_MAX_LINE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a delivery. *error* is empty when it arrived; neither text holds a secret.
    *is_silent*: nobody answered in time, so that the next message there would only wait as well."""

    error: str = ""
    answer: str = ""
    is_degraded: bool = False
    is_silent: bool = False


class Slots:
    """Room for so many deliveries at once: to one place, and in all."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(AT_ONCE)
        self._of: dict[str, tuple[asyncio.Semaphore, int]] = {}  # and how many have to do with it

    @contextlib.asynccontextmanager
    async def take(self, place: str, patience_s: float) -> AsyncIterator[None]:
        """Wait for room on the way to *place*, and hold it. Raises TimeoutError."""
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
    """One sender's process, when there is one. *allow_private*: every webhook may reach private
    addresses."""

    def __init__(self, *, allow_private: bool = False, permit_insecure: bool = False) -> None:
        self._allow_private = allow_private
        self._permit_insecure = permit_insecure
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._slots = Slots()
        self._gate = asyncio.Lock()
        self._count = 0
        self._stuck = 0
        self._is_closed = False
        self._idle: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process else None

    async def deliver(self, message: Message, channel: Channel) -> Outcome:
        """Send *message* by *channel*, and say what became of it.

        It waits for its turn as long as sending may take, and then takes no longer than that.
        """
        limit_s = channel.timeout_ms / 1_000 + SPARE_S
        try:
            async with self._slots.take(_place(channel.url), limit_s):
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
            await self._hand_over(self._order(number, message, channel))
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
            self._rest()

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

    async def _hand_over(self, line: bytes) -> None:
        async with self._gate:
            if self._process is None:
                await self._start()
            assert self._process is not None
            assert self._process.stdin is not None
            self._process.stdin.write(line)
            with contextlib.suppress(ConnectionError):  # the reader tells those who wait
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
                self._take(json.loads(line))
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        if self._process is process:
            self._process = None
            for future in self._waiting.values():
                if not future.done():
                    future.set_result(Outcome("luad's sender has died while it was sending"))

    def _take(self, told: dict[str, Any]) -> None:
        future = self._waiting.get(told["id"])
        if future is not None and not future.done():
            texts, marks = (told["error"], told["answer"]), (told["is_degraded"], told["is_silent"])
            future.set_result(Outcome(*texts, *marks))

    def _rest(self) -> None:
        """With nothing left to do: end a process with threads that hang, and any one after a while."""
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
        """End the process, and whatever it is doing. Nothing is sent any more."""
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
    """Return where an address leads, as far as that can be told without its secrets."""
    scheme, colon, rest = url.partition("://")
    host = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return url if not colon or not host or "$" in host else f"{scheme}://{host.lower()}"


def wire(message: Message) -> dict[str, Any]:
    """Return a message as services get it."""
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
