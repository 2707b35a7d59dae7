"""The shared process, from the fork of its keeper to its end.

Rule: it sets the process up, and leaves the work to the courier.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from luad.runner import prctl
from luad.runner.leftovers import shared_mark
from luad.runner.loading import prepare_imports
from luad.runner.processes import read_stat
from luad.runner.shared.begun import Begun
from luad.runner.shared.channel import Channel
from luad.runner.shared.courier import Courier
from luad.runner.shared.life import Life
from luad.runner.shared.output import route_output
from luad.runner.shared.run import calls_of_context, job_of_context
from luad.runner.shared.run_link import RunLink
from luad.runner.shared.sources import Sources
from luad.runner.shared.threads import note_threads
from luad.runner.spec import DEFAULT_ENVIRONMENT
from luad.sdk.link import set_link
from luad.sdk.pending import find_calls_by
from luad.sdk.running import find_job_by

if TYPE_CHECKING:
    from luad.runner.shared.messages import SetupMessage

_HELD: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals to the whole service that must not end runs. A handler function and not SIG_IGN, because programs
that handlers start would inherit the latter."""


def run_process(descriptor: int, memory: int) -> NoReturn:
    """Execute the runs that arrive on *descriptor*, until the daemon closes it.

    *memory* is the descriptor of `Begun`.
    """
    begun = Begun(memory)
    channel = Channel(socket.socket(fileno=descriptor))
    os.set_inheritable(descriptor, False)
    os.set_inheritable(memory, False)
    for signum in _HELD:
        signal.signal(signum, _do_nothing)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    setup = _wait_for_setup(channel)
    sources = Sources(setup["handlers_path"])
    pid, ticks = _identify()
    _set_up(setup, sources)
    channel.send({"t": "ready", "pid": pid, "ticks": ticks})
    gc.freeze()
    Courier(channel, setup, Life(sources), begun).serve()


def _wait_for_setup(channel: Channel) -> SetupMessage:
    while True:
        frames = channel.wait()
        if frames is None:
            os._exit(0)
        if frames:
            setup: SetupMessage = frames[0]["setup"]
            return setup


def _identify() -> tuple[int, int]:
    """Mark the environment, so that what this process starts can be found after its end."""
    pid = os.getpid()
    stat = read_stat(pid)
    ticks = 0 if stat is None else stat.start_ticks
    name, _, value = shared_mark(pid, ticks).partition("=")
    os.environ[name] = value
    return pid, ticks


def _set_up(setup: SetupMessage, sources: Sources) -> None:
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        del os.environ[name]  # variables for this interpreter
    os.environ.update(DEFAULT_ENVIRONMENT)
    prctl.set_name("luad-shared")
    os.chdir(setup["cwd"])
    setup["cwd"] = os.getcwd()
    sys.argv = ["luad-shared"]
    route_output()
    faulthandler.enable(2, all_threads=True)
    prepare_imports(
        setup["handlers_path"],
        setup["code_cache"],
        permit_insecure=setup["permit_insecure"],
        before_read=sources.before_read,
    )
    find_job_by(job_of_context)
    find_calls_by(calls_of_context)
    set_link(RunLink())
    note_threads()


def _do_nothing(_signum: int, _frame: object) -> None:
    """Let the signal pass."""
