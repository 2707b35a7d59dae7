"""The daemon's connection to a spawner: it starts it, asks it for keepers, and notices its end.

Rule: one spawner process per link; `spawning` decides about the next one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from luad.clock import elapsed_ms
from luad.runner.frames import CHUNK
from luad.runner.keepers import Keepers
from luad.runner.leftovers import Leftover
from luad.runner.processes import read_stat
from luad.runner.spawner import LAUNCH, READY, SWEEP, SWEPT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luad.runner.attempt import Attempt
    from luad.runner.keeper_link import KeeperLink

_CLOSE_TIMEOUT_S: Final = 5
_SWEEP_TIMEOUT_S: Final = 5


class SpawnerLink:
    """One spawner process. *on_ready* and *on_gone* are called on the loop, each at most once."""

    def __init__(
        self,
        *,
        on_ready: Callable[[SpawnerLink], None],
        on_gone: Callable[[SpawnerLink], None],
        on_frame: Callable[[Attempt, dict[str, Any]], None],
        on_keeper_gone: Callable[[KeeperLink], None],
    ) -> None:
        self.keepers = Keepers(self, on_frame=on_frame, on_gone=on_keeper_gone)
        self.is_ready = False
        self.ready_ms = 0  # monotonic
        self.attempt_count = 0  # attempts that it received and that have not ended
        self._sweeps: deque[asyncio.Future[list[Leftover]]] = deque()
        self._on_ready = on_ready
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._exited = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The spawner's process id."""
        return self._process.pid if self._process is not None else None

    def start(self, *, environ: Mapping[str, str], lock: int) -> None:
        """Start the process. Raises ``OSError`` if that is impossible.

        *environ* is its whole environment. All keepers inherit *lock*.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
                    [sys.executable, "-P", "-m", "luad.runner.spawner", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=dict(environ),
                    cwd="/",
                    pass_fds=(theirs.fileno(), lock),
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        self._socket = ours
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(ours.fileno(), self._on_readable)
        self._loop.add_reader(self._pidfd, self._on_exit)

    def send_keeper(self, channel: socket.socket, taken: int) -> None:
        """Ask the spawner to fork a keeper for *channel* and the shared memory *taken*.

        Raises ``OSError`` if it is busy or gone.
        """
        if self._socket is None:
            raise BrokenPipeError
        socket.send_fds(self._socket, [LAUNCH], [channel.fileno(), taken])

    async def sweep(self) -> list[Leftover]:
        """Let the spawner end the processes of dead keepers; return them. Empty if it is gone."""
        if self._socket is None:
            return []
        answer: asyncio.Future[list[Leftover]] = self._loop.create_future()
        self._sweeps.append(answer)
        try:
            async with asyncio.timeout(_SWEEP_TIMEOUT_S):
                await self._loop.sock_sendall(self._socket, SWEEP)
                return await answer
        except (TimeoutError, OSError):
            return []

    def wake(self) -> None:
        """Send SIGCONT to a spawner that another process has stopped, because launches wait for it."""
        stat = read_stat(self.pid) if self.pid is not None else None
        if stat is not None and stat.state == "T" and self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill a spawner that does not answer; `on_gone` follows."""
        if self._process is not None:
            self._process.kill()

    async def close(self) -> None:
        """Let keepers and spawner end, and wait for the spawner; `on_gone` is not called."""
        self._on_gone = _ignore
        self.keepers.close()
        self._hang_up()
        if self._process is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._exited.wait()
        except TimeoutError:
            self._process.kill()
            await self._exited.wait()

    def _on_readable(self) -> None:
        try:
            message = self._socket.recv(CHUNK) if self._socket is not None else b""
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._hang_up()  # `_on_exit` follows
        elif message == READY:
            self.is_ready, self.ready_ms = True, elapsed_ms()
            self._on_ready(self)
        elif message.startswith(SWEPT) and self._sweeps:
            self._answer(json.loads(message.removeprefix(SWEPT)))

    def _on_exit(self) -> None:
        self._hang_up()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        assert self._process is not None, "only a started process exits"
        self._process.wait()
        self._exited.set()
        self._on_gone(self)

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        while self._sweeps:
            self._answer([])

    def _answer(self, values: list[list[Any]]) -> None:
        answer = self._sweeps.popleft()
        if not answer.done():  # `sweep` may have timed out
            answer.set_result([Leftover(*each) for each in values])


def _ignore(_link: SpawnerLink) -> None:
    """Do nothing, because the end of this spawner is expected."""
