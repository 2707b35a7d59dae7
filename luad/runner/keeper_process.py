"""The process of a keeper: from its fork by the spawner to its end.

Rule: nothing leaves `run_keeper`; it never returns.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

from luad.runner import prctl
from luad.runner.forker import BLOCKED
from luad.runner.frames import encode
from luad.runner.keeper import MOST_RUNS, Keeper
from luad.runner.processes import kill_descendants
from luad.runner.supply import ForkerGoneError

if TYPE_CHECKING:
    import socket

NAME: Final = "luad-keeper"


def run_keeper(channel: socket.socket, taken: int) -> NoReturn:
    """Run this forked process as a keeper, with the daemon at the other end of *channel*.

    *taken* is shared memory, with one byte for each number of a run. The keeper sets it just before the
    handler gets the run, so that the daemon knows whether a run of a dead keeper may have begun.

    The keeper and its forker inherit the lock on ``runs.lock`` and hold it, so that a later daemon knows that
    a run may be alive.
    """
    try:
        os.setsid()
        prctl.become_subreaper()
        prctl.set_name(NAME)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            keeper = Keeper(channel)
        except OSError as error:  # no process for its forker
            report_no_keeper(channel, error)
            os._exit(1)
        _prepare_for_commands()
        gc.enable()
        keeper.run(mmap.mmap(taken, MOST_RUNS))
    except ForkerGoneError:
        os._exit(1)  # the daemon ends and names what the runs have left
    except BaseException:  # noqa: BLE001 - nothing may leave this function
        traceback.print_exc(file=sys.__stderr__)
        os._exit(1)
    kill_descendants(os.getpid())
    os._exit(0)


def report_no_keeper(channel: socket.socket, error: OSError) -> None:
    """Tell the daemon on *channel* that the system refuses the processes of a keeper."""
    with suppress(OSError):  # if the daemon has just died, nothing is lost
        channel.sendall(encode({"t": "no keeper", "error": [type(error).__name__, str(error), ""]}))


def _prepare_for_commands() -> None:
    """Let commands start with the usual signals, which they would inherit."""
    for signum in BLOCKED:
        signal.signal(signum, _do_nothing)  # a program that is executed gets the default
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _do_nothing(_signum: int, _frame: object) -> None:
    """Do nothing: the daemon decides which runs end."""
