"""A keeper's connection to a forker: the handlers that wait for a run, and the ends of the others.

Rule: passes messages; the keeper decides. Nothing here blocks.
"""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from luad.runner.forker import MAKE_TEMPLATE, run_forker
from luad.runner.processes import read_stat

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.runner.spec import LaunchSpec

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


class Request:
    """A run that waits for a handler. *grace_ms* is the grace period of a stop that came meanwhile."""

    def __init__(self, number: int, spec: LaunchSpec) -> None:
        self.number = number
        self.spec = spec
        self.is_stopped = False
        self.grace_ms: int | None = None


class ForkerLink:
    """A forker of this keeper. *on_end* gets pid, status, and the processes left by ended runs."""

    def __init__(
        self, link: socket.socket, on_end: Callable[[int, int | None, list[int]], None]
    ) -> None:
        self.pid = 0
        self.ticks = 0
        self.is_ready = True
        self.refusal = ""
        self.requests: deque[Request] = deque()
        self.errors: deque[list[str]] = deque()  # of forks that runs have needed
        self.waiting: deque[Handler] = deque()
        self._on_end = on_end
        self._asked = 0
        self._ended: list[int] = []
        self._has_news = False
        self._socket = link
        self._socket.setblocking(False)

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
        """Send what was asked for; return False if the forker does not take it now.

        If it is gone, the next `receive` shows it.
        """
        if not self._has_news or not self.is_ready:
            return True
        message = json.dumps({"asked": self._asked, "ended": self._ended}).encode()
        try:
            self._socket.send(message)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self._ended, self._has_news = [], False
        return True

    def make_template(self, order: bytes) -> ForkerLink | None:
        """Let the forker make a template that imports what *order* says; None if it is busy."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                socket.send_fds(self._socket, [MAKE_TEMPLATE], [theirs.fileno()])
                ours.send(order)
            except OSError:
                ours.close()
                return None
        link = ForkerLink(ours, self._on_end)
        link.is_ready = False
        return link

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
        elif "ended" in news:
            for pid, status in news["ended"]:
                self._on_end(pid, status, news["others"])
        elif "begun" in news:
            self.pid, self.ticks = news["begun"]
        elif "refused" in news:
            self.refusal = news["refused"]
        else:
            self.is_ready = True

    def close(self) -> None:
        """Close the connection: the forker ends, and with it the handlers that wait."""
        for handler in self.waiting:
            with suppress(OSError):
                handler.close()
        self.waiting.clear()
        self._socket.close()


def make_forker(on_end: Callable[[int, int | None, list[int]], None]) -> ForkerLink:
    """Fork the forker of this process, which must not hold anything of a run yet."""
    parent = os.getpid()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        run_forker(theirs, parent)
    theirs.close()
    link = ForkerLink(ours, on_end)
    stat = read_stat(pid)
    link.pid, link.ticks = pid, stat.start_ticks if stat else 0
    return link
