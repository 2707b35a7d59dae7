"""systemd: ready, reloading, status, watchdog.

Room rule: best effort; never raises, never waits longer than a moment, reads no clock.

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

SEND_LIMIT_US: Final = 50_000  # the manager's socket is never full for longer; the loop must turn


class Notifier:
    """Speaks to the manager that *environ* names.

    *watchdog_interval_s*: how often `watchdog` is to be called, or None when nobody waits for it.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._socket = _open_socket() if path.startswith(("/", "@")) else None
        self.watchdog_interval_s = _watchdog_interval_s(environ) if self._socket else None

    @property
    def is_supervised(self) -> bool:
        """Is there a manager that listens."""
        return self._socket is not None

    def ready(self, status: str = "") -> bool:
        """Start-up, or a reload, is done."""
        return self._send("READY=1", *_status(status))

    def status(self, text: str) -> bool:
        """One line for ``systemctl status``."""
        return self._send(*_status(text))

    def reloading(self, monotonic_usec: int, status: str = "") -> bool:
        """A reload has begun at *monotonic_usec* of CLOCK_MONOTONIC; `ready` ends it."""
        # One datagram: systemd 253 and later wait for ever for a time stamp that comes separately.
        return self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_usec}", *_status(status))

    def stopping(self, status: str = "") -> bool:
        """The daemon is on its way out."""
        return self._send("STOPPING=1", *_status(status))

    def watchdog(self) -> bool:
        """The loop has turned; to be called by the loop itself."""
        return self._send("WATCHDOG=1") if self.watchdog_interval_s else False

    def extend_timeout(self, usec: int) -> bool:
        """Starting or stopping takes up to *usec* longer, counted from now."""
        return self._send(f"EXTEND_TIMEOUT_USEC={usec}")

    def close(self) -> None:
        """Give the socket back."""
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
    """A newline would end the status and begin another message."""
    return (f"STATUS={' '.join(text.split())}",) if text else ()


def _open_socket() -> socket.socket | None:
    with suppress(OSError):
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        wait = struct.pack("@ll", 0, SEND_LIMIT_US)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        return opened
    return None


def _watchdog_interval_s(environ: Mapping[str, str]) -> float | None:
    """Half of what systemd allows, as it recommends; None when the watchdog is another process."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or int(usec) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(usec) / 2_000_000
