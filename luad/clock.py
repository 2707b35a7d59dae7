"""Wall and monotonic time.

Rule: the only module that asks the machine for the time (ruff bans the calls elsewhere); other
modules get the time as an argument.
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
    """A source of the time; tests have a virtual one that they move."""

    def now(self) -> Now:
        """Read both clocks at once."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Now:
        """Read both clocks at once."""
        return Now(wall_ms(), elapsed_ms())


def elapsed_ms() -> int:
    """Return milliseconds of CLOCK_BOOTTIME, which never steps and goes on during suspend."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000  # noqa: TID251 - this module


def wall_ms() -> Instant:
    """Return the wall clock, rounded down, so that a wait for an instant never ends early."""
    return time.time_ns() // 1_000_000  # noqa: TID251 - this module


def monotonic_us() -> int:
    """Return microseconds of CLOCK_MONOTONIC, the clock of systemd's messages."""
    return time.monotonic_ns() // 1_000  # noqa: TID251 - this module


def machine_zone() -> str | None:
    """Return the IANA name of the machine's own zone; None if it has no such name."""
    name = os.environ.get("TZ", "").removeprefix(":")
    if not name:
        try:
            name = str(_LOCALTIME.readlink()).rpartition("zoneinfo/")[2]
        except OSError:  # not a link but a copy, which has no name
            return None
    from luad.core.cron.zones import ZoneError, load_zone  # noqa: PLC0415 - most commands need none

    try:
        load_zone(name)
    except ZoneError:
        return None
    return name
