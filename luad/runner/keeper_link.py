"""The daemon's connection to one keeper: it sends runs, reads reports, and knows which runs have begun.

Rule: one keeper process per link. `keepers` makes links and chooses one; `runner` decides about runs.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
from typing import TYPE_CHECKING, Any

from luad.clock import elapsed_ms
from luad.core.model import ProcessIdentity
from luad.runner.frames import CHUNK, FrameBuffer, encode
from luad.runner.keeper import MOST_RUNS
from luad.runner.processes import boot_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.runner.attempt import Attempt
    from luad.runner.spawner_link import SpawnerLink


class KeeperLink:
    """A keeper. *on_frame* gets its frames with their attempts, *on_gone* is called once, at its end."""

    def __init__(
        self,
        spawner: SpawnerLink,
        *,
        on_frame: Callable[[Attempt, dict[str, Any]], None],
        on_gone: Callable[[KeeperLink], None],
    ) -> None:
        self.spawner = spawner
        self.process: ProcessIdentity | None = None  # once it has said hello
        self.forkers: list[ProcessIdentity] = []  # the first one has made the others
        self.error: list[str] | None = None  # the reason why it could not be made
        self.attempts: dict[int, Attempt] = {}  # by number
        self._on_frame = on_frame
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._free: list[int] = []
        self._buffer = FrameBuffer()
        self._outbox = bytearray()
        self._is_writing = False
        self._socket, theirs = socket.socketpair()
        try:
            taken = os.memfd_create("luad-taken")
            try:
                os.ftruncate(taken, MOST_RUNS)
                self._taken = mmap.mmap(taken, MOST_RUNS)
                spawner.send_keeper(theirs, taken)
            finally:
                os.close(taken)
        except OSError:
            self._socket.close()
            raise
        finally:
            theirs.close()
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket.fileno(), self._on_readable)

    @property
    def is_open(self) -> bool:
        """True until the keeper is gone, or `close` was called."""
        return self._socket.fileno() >= 0

    @property
    def pids(self) -> set[int]:
        """The process ids of the keeper, its forker and its templates, as far as they are known."""
        return {each.pid for each in self.processes}

    @property
    def processes(self) -> list[ProcessIdentity]:
        """The keeper, its forker and its templates, as far as they are known."""
        return [] if self.process is None else [self.process, *self.forkers]

    def start(self, attempt: Attempt, spec: bytes) -> None:
        """Send the attempt, whose encoded `LaunchSpec` is *spec*."""
        number = self._free.pop() if self._free else len(self.attempts)
        self._taken[number] = 0
        self.attempts[number] = attempt
        attempt.keeper, attempt.number, attempt.sent_ms = self, number, elapsed_ms()
        self._outbox += b'{"t":"run","n":%d,"spec":%s}\n' % (number, spec.rstrip(b"\n"))
        self._push_out()

    def stop(self, attempt: Attempt, *, kill: bool) -> None:
        """Ask the keeper to end the attempt."""
        self._outbox += encode({"t": "stop", "n": attempt.number, "kill": kill})
        self._push_out()

    def has_begun(self, attempt: Attempt) -> bool:
        """Return True if the handler of the attempt has got the run, so that a new try is not safe."""
        return self._taken[attempt.number] != 0

    def forget(self, attempt: Attempt) -> None:
        """Drop an attempt that has ended."""
        del self.attempts[attempt.number]
        self._free.append(attempt.number)
        attempt.keeper = None

    def close(self) -> None:
        """Close the connection: the keeper ends its runs, and then itself. `on_gone` is not called."""
        self._hang_up()
        self._taken.close()  # not left to the garbage collector, which may be late

    def _hang_up(self) -> None:
        if self.is_open:
            self._loop.remove_reader(self._socket.fileno())
            self._stop_writing()
            self._socket.close()

    def _push_out(self) -> None:
        try:
            while self._outbox:
                # Nothing else in the daemon uses this call, so tests can find the hand-over of a run.
                del self._outbox[: os.writev(self._socket.fileno(), [self._outbox])]
        except BlockingIOError:
            if not self._is_writing:
                self._loop.add_writer(self._socket.fileno(), self._push_out)
                self._is_writing = True
            return
        except OSError:
            self._outbox.clear()  # the keeper is gone; the next read shows it
        self._stop_writing()

    def _stop_writing(self) -> None:
        if self._is_writing:
            self._loop.remove_writer(self._socket.fileno())
            self._is_writing = False

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            self._on_gone(self)
            self._taken.close()
            return
        for frame in self._buffer.feed(data):
            self._take(frame)

    def _take(self, frame: dict[str, Any]) -> None:
        if "n" in frame:
            if (attempt := self.attempts.get(frame["n"])) is not None:
                self._on_frame(attempt, frame)
        elif frame["t"] == "hello":
            self.process = _identity(frame["keeper"])
        elif frame["t"] == "forkers":
            self.forkers = [_identity(each) for each in frame["forkers"]]
        else:
            self.error = frame["error"]


def _identity(pid_and_ticks: list[int]) -> ProcessIdentity:
    pid, ticks = pid_and_ticks
    return ProcessIdentity(pid, ticks, boot_id())
