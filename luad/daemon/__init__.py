"""The daemon: wiring, the one loop, carrying out effects, shutting down.

Room rule: no rule of scheduling lives here. What happens becomes an event, what is decided becomes a
record and then a deed.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luad.config.settings.daemon_settings import Settings

__all__ = ["main"]


def main(settings: Settings) -> int:
    """Run the daemon until it is told to stop; return the exit code of the process.

    Raises `LuadError` when it cannot start at all.
    """
    _heed_orders_to_stop()
    # Whoever has just changed a file need not wait until luad can be told so: it reads them anyway.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _leave_no_core()
    _adopt_orphans()
    gc.disable()  # importing and loading make no garbage; the daemon switches it on once it is ready
    from luad.daemon.launch import run_daemon  # noqa: PLC0415 - the command line reads settings without it

    return run_daemon(settings)


def _heed_orders_to_stop() -> None:
    """Make SIGTERM and SIGINT end the start, also where the parent has them ignored.

    The kernel delivers to PID 1 only signals that have a handler.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    elif signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _adopt_orphans() -> None:
    """Become the parent of what loses both its keeper and its spawner: so it can be found and named."""
    from luad.runner import prctl  # noqa: PLC0415 - the command line has no use for ctypes

    with suppress(OSError):
        prctl.become_subreaper()


def _leave_no_core() -> None:
    """A file with the memory of whoever crashes, luad or one of its runs, would hold every secret it knew.

    A handler that wants one for itself may raise the limit again.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
