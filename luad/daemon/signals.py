"""Which signals the daemon minds.

Room rule: says what comes in; what it means is the daemon's business.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


def mind(on_stop: Callable[[], None], on_hangup: Callable[[], None]) -> None:
    """Have signals handled on the running loop; what others end a process with does nothing."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, on_stop)
    loop.add_signal_handler(signal.SIGINT, on_stop)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    for ignored in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(ignored, signal.SIG_IGN)
