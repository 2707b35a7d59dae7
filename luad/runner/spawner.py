"""The spawner: a warm interpreter that forks a keeper for every attempt, in about a millisecond.

Run as ``python -P -m luad.runner.spawner SOCKET``, with ``runs.lock`` open besides. Rule: only light modules of the
standard library; whatever is loaded here is paid for by every fork. It parses nothing: what is
to be run comes over the attempt's own socket, straight to the keeper.
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
from luad.runner.leftovers import UNKNOWN, end_strangers
from luad.runner.prefork import failed_frame, keep
from luad.runner.processes import children_of, read_stat

if TYPE_CHECKING:
    from collections.abc import Iterable

READY: Final = b"ready"
LAUNCH: Final = b"launch"
SWEEP: Final = b"sweep"
"""Asks the spawner to end what dead keepers have left behind; the answer begins with `SWEPT`."""
SWEPT: Final = b"swept"

_QUIET_MS: Final = 10
_TOLD: Final = 500  # leftovers in one answer: it has to fit into a packet
_LAST_LOOK_S: Final = 0.05
_MANY_KEEPERS: Final = 64

_PENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals to the daemon's whole service are not meant for runs: the daemon says what ends.

They are blocked, not ignored, so that a handler's process cannot lose one before it has set up
what to do with it.
"""


def main(arguments: list[str]) -> None:
    """Serve until the daemon closes its end of the socket."""
    control = socket.socket(fileno=int(arguments[0]))
    prctl.set_name("luad-runner")  # keepers inherit it
    prctl.become_subreaper()  # whoever loses a keeper is reaped here, also where nobody else does
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
    # When luad has ended no process of it is left: keepers end by themselves once the daemon is
    # gone, and the spawner ends what a dead keeper has left behind.
    while children_of(os.getpid()):
        end_strangers(keepers.known())
        select.select([], [], [], _LAST_LOOK_S)


class _Keepers:
    """The keepers that this spawner has forked; every other child of it comes from a dead one."""

    def __init__(self) -> None:
        self._ticks: dict[int, int] = {}

    def add(self, pid: int) -> None:
        """Note a keeper that was forked just now."""
        stat = read_stat(pid)
        self._ticks[pid] = UNKNOWN if stat is None else stat.start_ticks
        if len(self._ticks) > 2 * _MANY_KEEPERS:
            self.known()

    def known(self) -> dict[int, int]:
        """The pids and start times of those that live."""
        for pid in list(self._ticks):
            stat = read_stat(pid)
            if stat is None or self._ticks[pid] not in {UNKNOWN, stat.start_ticks}:
                del self._ticks[pid]  # its pid may be another process's by now
        return self._ticks


def _resettable() -> Iterable[int]:
    """The signals that whoever started us may have had ignored; Python's own two stay so."""
    fixed = {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}
    return [signum for signum in signal.valid_signals() if signum not in fixed]


def _warm_up() -> None:
    """Run once through what every run does, then keep the collector away from all of it."""
    child.warm_up()
    asyncio.run(asyncio.sleep(0))
    json.dumps(json.loads('{"a": [1.5, null]}'))
    gc.collect()
    gc.disable()
    gc.freeze()


def _serve(control: socket.socket, keepers: _Keepers) -> None:
    """Keep one keeper in reserve: it saves several milliseconds of lateness.

    The next one is made in a quiet moment, so that it does not compete with the run just handed
    over; in a herd there is none, and each is made when it is needed.
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
    """A keeper that waits for an attempt, as the socket to it; or why there is none.

    It inherits the lock and its end of the socket, but not *ours_alone*.
    """
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
    except OSError as error:
        return error
    if pid == 0:
        for inherited in (*ours_alone, ours):
            inherited.close()
        keep(theirs)
    theirs.close()
    keepers.add(pid)
    return ours


def _sweep(control: socket.socket, keepers: _Keepers) -> None:
    """End what dead keepers have left behind, and tell the daemon."""
    ended = end_strangers(keepers.known())
    values = [astuple(each) for each in ended[:_TOLD]]
    control.send(SWEPT + json.dumps(values).encode())


def _hand_over(channel: socket.socket, spare: socket.socket | OSError) -> None:
    # If daemon or keeper have just died: the daemon sees the channel close, and asks again.
    with suppress(OSError):
        if isinstance(spare, OSError):
            channel.sendall(encode(failed_frame(spare)))
            return
        with spare:
            socket.send_fds(spare, [LAUNCH], [channel.fileno()])


if __name__ == "__main__":
    main(sys.argv[1:])
