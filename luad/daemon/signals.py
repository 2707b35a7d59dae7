"""The signals that the daemon handles, from its start to its last moment.

Rule: this module reports signals; the daemon decides what they mean.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Final

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)


def handle(on_stop: Callable[[], None], on_hangup: Callable[[], None]) -> None:
    """Call *on_stop* and *on_hangup* on the running loop; ignore SIGUSR1 and SIGUSR2."""
    loop = asyncio.get_running_loop()
    for signum in _STOPS:
        loop.add_signal_handler(signum, on_stop)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    for ignored in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(ignored, signal.SIG_IGN)


def ignore_further() -> None:
    """Ignore further signals to stop: the shutdown is nearly done, and its exit code is 0."""
    loop = asyncio.get_running_loop()
    for signum in (*_STOPS, signal.SIGHUP):
        loop.remove_signal_handler(
            signum
        )  # else the closing loop would restore the default action, which ends the process
        signal.signal(signum, signal.SIG_IGN)
