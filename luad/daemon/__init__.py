"""The daemon: wiring, the one loop, carrying out effects, shutting down.

Rule: this package holds no rule of scheduling. It turns what happens into events for the engine, stores the
records of the engine, and then carries out its other effects.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luad.config.settings.daemon_settings import Settings

__all__ = ["main"]


def main(settings: Settings, *, is_worker: bool = False) -> int:
    """Run the daemon, or a worker alone, until a signal stops it; return the exit code of the process.

    Raises `LuadError` when the daemon cannot start.
    """
    _heed_stop_signals()
    # A SIGHUP before the daemon is ready is ignored: the daemon reads the files at its start anyway.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _leave_no_core()
    _adopt_orphans()
    gc.disable()  # importing and loading make no garbage; the daemon enables it once it is ready
    from luad.daemon.launch import run_daemon  # noqa: PLC0415 - the command line reads settings without it

    return run_daemon(settings, is_worker=is_worker)


def _heed_stop_signals() -> None:
    """Make SIGTERM and SIGINT end the start, even if the parent process ignores them.

    The kernel delivers to PID 1 only signals that have a handler. An import may swallow an exception of
    such a handler, so it ends the process at once, as the default action does.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    elif signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _adopt_orphans() -> None:
    """Become the parent of processes that lose both keeper and spawner, so that luad can report them."""
    from luad.runner import prctl  # noqa: PLC0415 - the command line has no use for ctypes

    with suppress(OSError):
        prctl.become_subreaper()


def _leave_no_core() -> None:
    """Disable core dumps of luad and its runs: such a file would hold every secret of the process.

    A handler may raise the limit again for itself.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
