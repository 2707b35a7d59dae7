"""Wall and monotonic time.

Room rule: the only room that asks the machine for the time (ruff bans the calls elsewhere);
everybody else is told.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, Protocol

from luad.core.model import Instant, Now

__all__ = [
    "Clock", "Now", "SystemClock", "elapsed_ms", "machine_zone", "monotonic_us", "wall_ms",
]  # fmt: skip

_LOCALTIME: Final = Path("/etc/localtime")


class Clock(Protocol):
    """Where the time comes from; tests move a virtual one."""

    def now(self) -> Now:
        """Read both clocks at once."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Now:
        """Read both clocks at once."""
        return Now(wall_ms(), elapsed_ms())


def elapsed_ms() -> int:
    """Milliseconds of the clock that never steps and goes on during suspend (CLOCK_BOOTTIME)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000  # noqa: TID251 - this room


def wall_ms() -> Instant:
    """The wall clock, rounded down, so that nothing that waits for an instant is early."""
    return time.time_ns() // 1_000_000  # noqa: TID251 - this room


def monotonic_us() -> int:
    """Microseconds of CLOCK_MONOTONIC, which is what systemd wants to be told."""
    return time.monotonic_ns() // 1_000  # noqa: TID251 - this room


def machine_zone() -> str | None:
    """Return the name of the machine's own zone, None when it has no name that others would know."""
    name = os.environ.get("TZ", "").removeprefix(":")
    if not name:
        try:
            name = str(_LOCALTIME.readlink()).rpartition("zoneinfo/")[2]
        except OSError:  # no link: a copy, which does not say of what
            return None
    from luad.core.cron.zones import ZoneError, load_zone  # noqa: PLC0415 - most commands need none

    try:
        load_zone(name)
    except ZoneError:
        return None
    return name
