"""The process that forks the handlers of one keeper, and does nothing else.

Its memory holds nothing of any run, so a handler inherits no value of another one, and a fork copies little.
It is a subreaper: a child that it has not made is left over from a run that has ended, because a handler is
the subreaper of its own descendants. It also forks templates, which are forkers with imported packages.

Rule: it decides nothing. It keeps some handlers waiting, and answers the keeper, who asks for each end.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

from luad.clock import elapsed_ms
from luad.runner import child, prctl
from luad.runner.processes import children_of, read_stat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAKE_TEMPLATE: Final = b"template"
"""Asks for a template at the other end of the descriptor that comes with it."""

RESERVE: Final = 3
"""The number of handlers that wait for a run."""

NAME: Final = "luad-forker"
"""The name of this process, and of each handler that waits for a run."""

BLOCKED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals to the whole service that must not reach runs, because the daemon decides which runs end.

They are blocked and not ignored, so that a handler's process loses none before it has set up its signal
handlers.
"""

_REFILL_MS: Final = 10  # a fork at once would compete with the run that has just started
_AFTER_ERROR_MS: Final = 1_000
_PACKET: Final = 65_536
_MOST_NAMED: Final = 500  # processes in one answer, which must fit into a packet


def run_forker(link: socket.socket, parent: int) -> NoReturn:
    """Run this forked process as the forker of the keeper *parent*, at the other end of *link*."""
    run_below_keeper(parent, lambda: Forker(link, RESERVE).serve())


def run_below_keeper(parent: int, serve: Callable[[], None]) -> NoReturn:
    """Set this process up, which *parent* has forked, call *serve*, and end it with its handlers."""
    code = 1
    try:
        os.setsid()
        prctl.die_with_parent(signal.SIGKILL)
        if os.getppid() == parent:
            prctl.become_subreaper()
            prctl.set_name(NAME)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve()
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        pass  # the keeper has ended, or has closed the link
    except BaseException:  # noqa: BLE001 - nothing may leave this function
        traceback.print_exc(file=sys.__stderr__)
    os._exit(code)  # the kernel ends the handlers


class Forker:
    """Forks handlers for the keeper at the other end of *link*; *reserve* is how many may wait."""

    def __init__(self, link: socket.socket, reserve: int) -> None:
        self._link = link
        self._reserve = reserve
        self._templates: set[int] = set()
        self._made = 0  # handlers, and failures that were reported instead of one
        self._asked = 0  # handlers that runs have needed so far
        self._children: set[int] = set()
        self._refill_at = 0

    def serve(self) -> None:
        """Fork and answer until the keeper closes its end."""
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        while True:
            if poll.poll(self._patience()):
                message, descriptors, _flags, _address = socket.recv_fds(self._link, _PACKET, 1)
                if not message:
                    return
                if descriptors:
                    self._make_template(descriptors[0])
                elif (
                    message != MAKE_TEMPLATE
                ):  # without room for its descriptor the keeper sees an end
                    self._answer(json.loads(message))
            if self._made < self._asked or self._is_refill_due():
                self._fork()

    def _patience(self) -> int | None:
        if self._made < self._asked:
            return 0
        if self._made < self._asked + self._reserve:
            return max(0, self._refill_at - elapsed_ms())
        return None

    def _is_refill_due(self) -> bool:
        return self._made < self._asked + self._reserve and elapsed_ms() >= self._refill_at

    def _answer(self, request: dict[str, Any]) -> None:
        """Take the number of handlers that were needed so far; reap the processes that have ended."""
        if request["asked"] > self._asked:
            self._asked = request["asked"]
            self._refill_at = elapsed_ms() + _REFILL_MS
        if request["ended"]:
            statuses = [[pid, self._reap(pid)] for pid in request["ended"]]
            others = self._others()
            self._link.send(json.dumps({"ended": statuses, "others": others}).encode())

    def _reap(self, pid: int) -> int | None:
        """Return the status of the child *pid*; None if it was reaped before."""
        if pid not in self._children:
            return None
        found, status = os.waitpid(pid, os.WNOHANG)
        if found == 0:
            return None
        self._children.discard(pid)
        return status

    def _others(self) -> list[int]:
        """Return the living children that this process has not made, and reap the dead ones."""
        living = []
        for pid in children_of(os.getpid()):
            if pid in self._children:
                continue
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    self._templates.discard(pid)
                elif pid not in self._templates:
                    living.append(pid)
        return living[:_MOST_NAMED]

    def _make_template(self, descriptor: int) -> None:
        """Fork a template for the keeper, at the other end of *descriptor*; close it if that fails."""
        parent = os.getpid()
        with socket.socket(fileno=descriptor) as link, suppress(OSError):
            pid = os.fork()
            if pid == 0:
                self._link.close()
                # Handlers inherit no module that only templates need.
                from luad.runner.template import run_template  # noqa: PLC0415

                run_template(link, parent)
            self._templates.add(pid)

    def _fork(self) -> None:
        is_needed = self._made < self._asked
        opened: list[int] = []
        try:
            message, pid = _fork_handler(opened)
        except OSError as error:
            self._refill_at = elapsed_ms() + _AFTER_ERROR_MS
            if is_needed:
                self._made += 1
                text = json.dumps({"error": [type(error).__name__, str(error), ""]})
                self._link.send(text.encode())
            return
        finally:
            for descriptor in opened[4:]:
                os.close(descriptor)
        self._made += 1
        self._children.add(pid)
        self._refill_at = elapsed_ms() + _REFILL_MS
        try:
            socket.send_fds(self._link, [message], opened[:4])
        finally:
            _close_all(opened[:4])


def _fork_handler(opened: list[int]) -> tuple[bytes, int]:
    """Return the message about a new handler, and its pid.

    *opened* gets the keeper's four descriptors (control, stdout, stderr, pidfd), then this process's.
    Raises ``OSError`` with *opened* empty.
    """
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened += [ours.detach(), theirs.detach()]
        opened += [*os.pipe(), *os.pipe()]
        parent = os.getpid()
        pid = os.fork()
    except OSError:
        _close_all(opened)
        opened.clear()
        raise
    control, theirs_number, out_read, out_write, err_read, err_write = opened
    if pid == 0:
        child.run_child(parent, (out_write, err_write, theirs_number))
    opened[:] = [control, out_read, err_read]
    try:
        opened.append(os.pidfd_open(pid))
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        _close_all([*opened, theirs_number, out_write, err_write])
        opened.clear()
        raise
    opened += [theirs_number, out_write, err_write]
    stat = read_stat(pid)
    return json.dumps({"pid": pid, "ticks": stat.start_ticks if stat else 0}).encode(), pid


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
