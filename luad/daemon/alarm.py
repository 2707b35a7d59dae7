"""Wakes the loop at an instant of the wall clock.

Rule: this module waits; the engine decides which jobs are due.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import time
from collections.abc import Callable

from luad.clock import wall_ms
from luad.core.model import Instant


class Alarm:
    """Calls *ring* on the running loop when the wall clock reaches an instant, or is stepped.

    Linux's timerfd wakes within a tenth of a millisecond (the timers of an event loop round up to a
    whole one) and reports at once that the clock was set. Without timerfd, the timers of the loop are
    used, and a step is noticed within `MAX_SLEEP_MS`.
    """

    MAX_SLEEP_MS = 30_000

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._set_for: Instant | None = None
        self._timer = _TimerFd.make()
        if self._timer is not None:
            self._loop.add_reader(self._timer.fd, self._read_timer)

    def set(self, at: Instant | None) -> None:
        """Ring at *at*, or after `MAX_SLEEP_MS` if that is sooner."""
        now = wall_ms()
        latest = now + self.MAX_SLEEP_MS
        at = latest if at is None else min(max(at, 0), latest)
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if at <= now:
            self._handle = self._loop.call_later(0, self._ring)
        elif self._timer is not None:
            if at != self._set_for:
                if not self._timer.set(at):
                    self._handle = self._loop.call_later(0, self._ring)
                self._set_for = at
        else:
            self._handle = self._loop.call_later((at - now) / 1_000, self._ring)

    def close(self) -> None:
        """Cancel the alarm, and release the timer."""
        if self._handle is not None:
            self._handle.cancel()
        if self._timer is not None:
            self._loop.remove_reader(self._timer.fd)
            self._timer.close()
            self._timer = None

    def _read_timer(self) -> None:
        assert self._timer is not None
        self._timer.clear()
        self._set_for = None
        self._ring()


class _TimerFd:
    """An absolute timerfd of CLOCK_REALTIME, which is cancelled when the clock is set.

    `os.timerfd_create` needs Python 3.13; this class calls the C library for 3.11 and 3.12.
    """

    _NONBLOCK, _CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
    _ABSTIME, _CANCEL_ON_SET = 1, 2

    class _ITimerSpec(ctypes.Structure):
        _fields_ = (
            ("interval_seconds", ctypes.c_long),
            ("interval_ns", ctypes.c_long),
            ("value_seconds", ctypes.c_long),
            ("value_ns", ctypes.c_long),
        )

    def __init__(self, libc: ctypes.CDLL, fd: int) -> None:
        self._libc = libc
        self.fd = fd

    @classmethod
    def make(cls) -> _TimerFd | None:
        """Return a timer; None if the C library has no timerfd."""
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "timerfd_create"):
            return None
        fd = libc.timerfd_create(time.CLOCK_REALTIME, cls._NONBLOCK | cls._CLOEXEC)
        return cls(libc, fd) if fd >= 0 else None

    def set(self, at: Instant) -> bool:
        """Arm the timer for *at*; False when the clock was set since the last read of the timer."""
        seconds, ms = divmod(at, 1_000)
        spec = self._ITimerSpec(0, 0, seconds, ms * 1_000_000)
        flags = self._ABSTIME | self._CANCEL_ON_SET
        if self._libc.timerfd_settime(self.fd, flags, ctypes.byref(spec), None) == 0:
            return True
        if ctypes.get_errno() == errno.ECANCELED:  # the timer is armed all the same
            return False
        raise OSError(ctypes.get_errno(), "timerfd_settime")

    def clear(self) -> None:
        # ECANCELED: the clock was set. EAGAIN: the timer was read already.
        with contextlib.suppress(BlockingIOError, OSError):
            os.read(self.fd, 8)

    def close(self) -> None:
        os.close(self.fd)
