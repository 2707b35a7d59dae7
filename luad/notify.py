"""Messages to systemd: ready, reloading, status, watchdog.

Rule: best effort; it never raises, never waits longer than `SEND_LIMIT_US`, and reads no clock.

The protocol is one datagram of ``NAME=value`` lines for each message (sd_notify(3)). Outside
systemd every method does nothing.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

SEND_LIMIT_US: Final = 50_000  # the manager's socket is never full for longer; the loop cannot wait


class Notifier:
    """Sends messages to the service manager that *environ* names.

    *watchdog_interval_s* is the time between calls of `watchdog`; None if the watchdog is off.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._socket = _open_socket() if path.startswith(("/", "@")) else None
        self.watchdog_interval_s = _watchdog_interval_s(environ) if self._socket else None

    @property
    def is_supervised(self) -> bool:
        """True if a service manager receives the messages."""
        return self._socket is not None

    def ready(self, status: str = "") -> bool:
        """Report that start-up, or a reload, has ended."""
        return self._send("READY=1", *_status(status))

    def status(self, text: str) -> bool:
        """Report one line for ``systemctl status``."""
        return self._send(*_status(text))

    def reloading(self, monotonic_usec: int, status: str = "") -> bool:
        """Report a reload that began at *monotonic_usec* of CLOCK_MONOTONIC; `ready` ends it."""
        # One datagram: systemd 253 and later wait for ever for a time stamp that comes separately.
        return self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_usec}", *_status(status))

    def stopping(self, status: str = "") -> bool:
        """Report that the daemon shuts down."""
        return self._send("STOPPING=1", *_status(status))

    def watchdog(self) -> bool:
        """Report that the loop is alive; only the loop calls this."""
        return self._send("WATCHDOG=1") if self.watchdog_interval_s else False

    def extend_timeout(self, usec: int) -> bool:
        """Ask for up to *usec* more, counted from now, to start or to stop."""
        return self._send(f"EXTEND_TIMEOUT_USEC={usec}")

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> bool:
        if self._socket is None or not lines:
            return False
        with suppress(OSError):
            data = "\n".join(lines).encode("utf-8", "replace")
            return self._socket.sendto(data, self._address) == len(data)
        return False


def _status(text: str) -> tuple[str, ...]:
    """Return *text* as one line, because a newline would begin another assignment."""
    return (f"STATUS={' '.join(text.split())}",) if text else ()


def _open_socket() -> socket.socket | None:
    with suppress(OSError):
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        wait = struct.pack("@ll", 0, SEND_LIMIT_US)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        return opened
    return None


def _watchdog_interval_s(environ: Mapping[str, str]) -> float | None:
    """Return half of systemd's limit, as it recommends; None if it watches another process."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or int(usec) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(usec) / 2_000_000
