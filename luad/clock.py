"""Wall and monotonic time.

Room rule: the only room that asks the machine for the time (ruff bans the calls elsewhere);
everybody else is told.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from luad.core.model import Instant


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of both clocks, taken together.

    *wall*: milliseconds since the epoch, UTC; may be stepped. *elapsed*: milliseconds of a clock
    that never steps and goes on during suspend (CLOCK_BOOTTIME); its zero means nothing.
    """

    wall: Instant
    elapsed: int


class Clock(Protocol):
    """Where the time comes from; tests move a virtual one."""

    def now(self) -> Now:
        """Read both clocks at once."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Now:
        """Read both clocks at once."""
        return Now(time.time_ns() // 1_000_000, elapsed_ms())


def elapsed_ms() -> int:
    """Milliseconds of the clock that never steps and goes on during suspend."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall_ms() -> Instant:
    """The wall clock, for stamping what just happened (logs, a process' start and end)."""
    return time.time_ns() // 1_000_000
