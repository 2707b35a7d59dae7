"""Steps of the wall clock, and the causes of lateness.

Rule: compares the readings that the caller passes; knows no jobs.
"""

from __future__ import annotations

from typing import Final

from luad.core.model import MINUTE, Instant, Now, Reason

STEP_MS: Final = 1_000
"""The smallest change of the wall clock against the steady clock that counts as a step."""

GAP_MS: Final = 2 * MINUTE
"""The longest gap between two readings of a running daemon, which reads the clock every 30 s.

After a longer gap, the daemon or the machine was suspended.
"""

BEHIND_MS: Final = 5 * MINUTE
"""A clock that is this far behind the last reading of the previous daemon has gone back."""


class ClockWatch:
    """Compares each reading of the clocks with the one before."""

    def __init__(self, now: Now) -> None:
        self.last = now
        self._offset = now.wall - now.elapsed

    def notice(self, now: Now) -> int:
        """Return by how many milliseconds the wall clock was stepped since the previous call."""
        step_ms = now.wall - now.elapsed - self._offset
        if abs(step_ms) < STEP_MS:
            return 0
        self._offset += step_ms
        return step_ms

    def cause_of_lateness(self, now: Now, step_ms: int) -> Reason:
        """Return the cause of lateness at *now*, and store the reading."""
        gap_ms = now.elapsed - self.last.elapsed
        self.last = now
        if step_ms > 0:
            return Reason.CLOCK
        return Reason.DOWNTIME if gap_ms > GAP_MS else Reason.OVERLOAD

    @staticmethod
    def is_behind(last_seen: Instant, now: Instant) -> bool:
        """Return whether the clock went back between the previous daemon and this one."""
        return now < last_seen - BEHIND_MS
