"""A keeper's connection to its forker: the handlers that wait for a run, and the ends of the others.

Rule: passes messages; the keeper decides. Nothing here blocks.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from luad.runner.forker import run_forker
from luad.runner.processes import read_stat

if TYPE_CHECKING:
    from collections.abc import Callable

_PACKET: Final = 65_536


class Handler(NamedTuple):
    """A process that waits for a run, and the keeper's ends of its pipes. *watch* is a pidfd."""

    pid: int
    ticks: int
    control: int
    stdout: int
    stderr: int
    watch: int

    def close(self) -> None:
        """Close all descriptors. A command has no *control*, which is then -1."""
        for descriptor in self[2:]:
            if descriptor >= 0:
                os.close(descriptor)


class ForkerLink:
    """The forker of this keeper. *on_end* gets pid, status, and the processes left by ended runs."""

    def __init__(self, on_end: Callable[[int, int | None, list[int]], None]) -> None:
        self.errors: deque[list[str]] = deque()  # of forks that runs have needed
        self.waiting: deque[Handler] = deque()
        self._on_end = on_end
        self._asked = 0
        self._ended: list[int] = []
        self._has_news = False
        parent = os.getpid()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            run_forker(theirs, parent)
        theirs.close()
        self._socket.setblocking(False)
        stat = read_stat(self.pid)
        self.ticks = stat.start_ticks if stat else 0

    def fileno(self) -> int:
        """Return the descriptor that becomes readable with news."""
        return self._socket.fileno()

    def need(self, count: int) -> None:
        """Ask for *count* handlers more, with the next `send`."""
        self._asked += count
        self._has_news = True

    def ask_end(self, pid: int) -> None:
        """Ask for the end of the handler *pid*, with the next `send`; `on_end` gets the answer."""
        self._ended.append(pid)
        self._has_news = True

    def send(self) -> bool:
        """Send what was asked for; return False if the forker does not take it now."""
        if not self._has_news:
            return True
        message = json.dumps({"asked": self._asked, "ended": self._ended}).encode()
        try:
            self._socket.send(message)
        except BlockingIOError:
            return False
        self._ended, self._has_news = [], False
        return True

    def receive(self) -> bool:
        """Take all news; return False if the forker is gone."""
        while True:
            try:
                data, descriptors, _flags, _address = socket.recv_fds(self._socket, _PACKET, 4)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self._take(json.loads(data), descriptors)

    def _take(self, news: dict[str, Any], descriptors: list[int]) -> None:
        if "pid" in news:
            self.waiting.append(Handler(news["pid"], news["ticks"], *descriptors))
        elif "error" in news:
            self.errors.append(news["error"])
        else:
            for pid, status in news["ended"]:
                self._on_end(pid, status, news["others"])

    def kill(self) -> None:
        """Kill the forker, and so its handlers."""
        os.kill(self.pid, signal.SIGKILL)
