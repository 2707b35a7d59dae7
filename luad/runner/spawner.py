"""The spawner: a warm interpreter that forks keepers, and ends what dead ones have left.

Run as ``python -P -m luad.runner.spawner SOCKET``, with ``runs.lock`` open. Rule: only light modules of the
standard library, because each loaded module makes every fork slower. It parses nothing: the daemon talks to
each keeper over a socket of its own.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import astuple
from typing import TYPE_CHECKING, Final

from luad.runner import child, forker, prctl, streams
from luad.runner.keeper_process import report_no_keeper, run_keeper
from luad.runner.leftovers import UNKNOWN, end_unknown_children
from luad.runner.practice import practise
from luad.runner.processes import children_of, read_stat
from luad.runner.warmth import remember_modules

if TYPE_CHECKING:
    from collections.abc import Iterable

READY: Final = b"ready"
LAUNCH: Final = b"launch"
SWEEP: Final = b"sweep"
"""Asks the spawner to end the processes of dead keepers; the answer begins with `SWEPT`."""
SWEPT: Final = b"swept"

_MOST_REPORTED: Final = 500  # leftovers in one answer, which must fit into a packet
_LAST_LOOK_S: Final = 0.05
_MANY_KEEPERS: Final = 64


def main(arguments: list[str]) -> None:
    """Serve until the daemon closes its end of the socket."""
    control = socket.socket(fileno=int(arguments[0]))
    prctl.set_name("luad-runner")
    prctl.become_subreaper()  # the spawner reaps the processes of dead keepers
    signal.pthread_sigmask(signal.SIG_SETMASK, forker.BLOCKED)
    for signum in _resettable():
        signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are reaped by the kernel
    _warm_up()
    child.yield_to_daemon()
    keepers = _Keepers()
    with suppress(OSError):
        control.send(READY)
        _serve(control, keepers)
    # No process of luad may outlive it: keepers end on their own once the daemon is gone, and the
    # spawner ends the processes of dead keepers.
    while children_of(os.getpid()):
        end_unknown_children(keepers.known())
        select.select([], [], [], _LAST_LOOK_S)


class _Keepers:
    """The keepers that this spawner has forked; its other children come from dead keepers."""

    def __init__(self) -> None:
        self._ticks: dict[int, int] = {}

    def add(self, pid: int) -> None:
        """Add a keeper that was just forked."""
        stat = read_stat(pid)
        self._ticks[pid] = UNKNOWN if stat is None else stat.start_ticks
        if len(self._ticks) > _MANY_KEEPERS:
            self.known()

    def known(self) -> dict[int, int]:
        """Return the pids and start times of the living keepers."""
        for pid in list(self._ticks):
            stat = read_stat(pid)
            if stat is None or self._ticks[pid] not in {UNKNOWN, stat.start_ticks}:
                del self._ticks[pid]  # its pid may be another process's by now
        return self._ticks


def _resettable() -> Iterable[int]:
    """Return the signals to reset, because the parent may have ignored them; except Python's two."""
    fixed = {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}
    return [signum for signum in signal.valid_signals() if signum not in fixed]


def _warm_up() -> None:
    """Do once what every run does, then exclude all objects from garbage collection."""
    child.warm_up()
    _open_streams()
    practise()
    remember_modules()
    json.dumps(json.loads('{"a": [1.5, null]}'))
    gc.collect()
    gc.disable()
    gc.freeze()


def _open_streams() -> None:
    """Make the streams of all runs, which replace only what descriptors 1 and 2 are."""
    outputs = [os.dup(number) for number in (1, 2)]
    ends = os.pipe()  # as in a run: the streams ask once what they write to
    for number in (1, 2):
        os.dup2(ends[1], number)
    streams.open_streams()
    for number, output in zip((1, 2), outputs, strict=True):
        os.dup2(output, number)
    for descriptor in (*ends, *outputs):
        os.close(descriptor)


def _serve(control: socket.socket, keepers: _Keepers) -> None:
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(control, 64, 2)
        if not message:
            return
        if message == SWEEP:
            _sweep(control, keepers)
        elif len(descriptors) == 2:
            _launch(control, keepers, descriptors)
        else:  # no room for them: the daemon sees that its socket is closed
            for descriptor in descriptors:
                os.close(descriptor)


def _launch(control: socket.socket, keepers: _Keepers, descriptors: list[int]) -> None:
    """Fork a keeper for the socket and the shared memory of *descriptors*."""
    with socket.socket(fileno=descriptors[0]) as channel:
        try:
            pid = os.fork()
        except OSError as error:
            report_no_keeper(channel, error)
            pid = -1
        if pid == 0:
            control.close()
            run_keeper(channel, descriptors[1])
    os.close(descriptors[1])
    if pid > 0:
        keepers.add(pid)


def _sweep(control: socket.socket, keepers: _Keepers) -> None:
    """End the processes that dead keepers have left, and report them to the daemon."""
    ended = end_unknown_children(keepers.known())
    ended = [each for each in ended if each.name != forker.NAME]
    values = [astuple(each) for each in ended[:_MOST_REPORTED]]
    control.send(SWEPT + json.dumps(values).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
