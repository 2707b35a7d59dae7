"""The spawner: a warm interpreter that forks a keeper for every attempt, in about a millisecond.

Run as ``python -P -m luad.runner.spawner SOCKET``, with ``runs.lock`` open. Rule: only light modules of the
standard library, because each loaded module makes every fork slower. It parses nothing: the daemon sends
the `LaunchSpec` to the keeper over the attempt's own socket.
"""

from __future__ import annotations

import asyncio
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

from luad.runner import child, prctl
from luad.runner.frames import encode
from luad.runner.leftovers import UNKNOWN, end_unknown_children
from luad.runner.practice import practise
from luad.runner.prefork import failed_frame, run_keeper
from luad.runner.processes import children_of, read_stat

if TYPE_CHECKING:
    from collections.abc import Iterable

READY: Final = b"ready"
LAUNCH: Final = b"launch"
SWEEP: Final = b"sweep"
"""Asks the spawner to end the processes of dead keepers; the answer begins with `SWEPT`."""
SWEPT: Final = b"swept"

_QUIET_MS: Final = 10
_MOST_REPORTED: Final = 500  # leftovers in one answer, which must fit into a packet
_LAST_LOOK_S: Final = 0.05
_MANY_KEEPERS: Final = 64

_PENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals to the whole service that must not reach runs, because the daemon decides which runs end.

They are blocked and not ignored, so that a handler's process loses none before it has set up its signal
handlers.
"""


def main(arguments: list[str]) -> None:
    """Serve until the daemon closes its end of the socket."""
    control = socket.socket(fileno=int(arguments[0]))
    prctl.set_name("luad-runner")  # keepers inherit it
    prctl.become_subreaper()  # the spawner reaps the processes of dead keepers
    signal.pthread_sigmask(signal.SIG_SETMASK, _PENDING)
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
        if len(self._ticks) > 2 * _MANY_KEEPERS:
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
    asyncio.run(asyncio.sleep(0))
    practise()
    json.dumps(json.loads('{"a": [1.5, null]}'))
    gc.collect()
    gc.disable()
    gc.freeze()


def _serve(control: socket.socket, keepers: _Keepers) -> None:
    """Pre-fork one keeper, which saves several milliseconds of each start.

    The next keeper is forked in a quiet moment, so that it does not compete with the run that has just
    started. When many runs start at once, each keeper is forked on demand.
    """
    spare: socket.socket | OSError | None = None
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        if spare is None and not poll.poll(_QUIET_MS):
            spare = _fork_spare(keepers, control)
        message, descriptors, _flags, _address = socket.recv_fds(control, 64, 1)
        if not message:
            return
        if message == SWEEP:
            _sweep(control, keepers)
            continue
        for descriptor in descriptors:
            with socket.socket(fileno=descriptor) as channel:
                if not isinstance(spare, socket.socket):
                    spare = _fork_spare(keepers, control, channel)
                _hand_over(channel, spare)
        spare = None


def _fork_spare(keepers: _Keepers, *ours_alone: socket.socket) -> socket.socket | OSError:
    """Return the socket to a new keeper that waits for an attempt, or the error of the fork.

    The keeper inherits the lock and its end of the socket, but not *ours_alone*.
    """
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
    except OSError as error:
        return error
    if pid == 0:
        for inherited in (*ours_alone, ours):
            inherited.close()
        run_keeper(theirs)
    theirs.close()
    keepers.add(pid)
    return ours


def _sweep(control: socket.socket, keepers: _Keepers) -> None:
    """End the processes that dead keepers have left, and report them to the daemon."""
    ended = end_unknown_children(keepers.known())
    values = [astuple(each) for each in ended[:_MOST_REPORTED]]
    control.send(SWEPT + json.dumps(values).encode())


def _hand_over(channel: socket.socket, spare: socket.socket | OSError) -> None:
    # If the daemon or the keeper has just died, the daemon sees the channel close, and tries again.
    with suppress(OSError):
        if isinstance(spare, OSError):
            channel.sendall(encode(failed_frame(spare)))
            return
        with spare:
            socket.send_fds(spare, [LAUNCH], [channel.fileno()])


if __name__ == "__main__":
    main(sys.argv[1:])
