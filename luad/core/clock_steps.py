"""Two clocks compared: was the wall clock stepped, and why is something late.

Room rule: compares readings that it is given; knows no jobs.
"""

from __future__ import annotations

from typing import Final

from luad.core.model import MINUTE, Instant, Now, Reason

STEP_MS: Final = 1_000
"""A change of the wall clock against the steady one is a step from here on; below, it is noise."""

GAP_MS: Final = 2 * MINUTE
"""The daemon looks at the clock at least every 30 s. A longer gap: it was suspended, or stopped."""

BEHIND_MS: Final = 5 * MINUTE
"""A clock that is this far behind the last sign of life of the previous daemon is not to be trusted."""


class ClockWatch:
    """Remembers the last reading."""

    def __init__(self, now: Now) -> None:
        self._last = now
        self._offset = now.wall - now.elapsed

    def notice(self, now: Now) -> int:
        """Return by how many milliseconds the wall clock was stepped since it was last noticed."""
        step_ms = now.wall - now.elapsed - self._offset
        if abs(step_ms) < STEP_MS:
            return 0
        self._offset += step_ms
        return step_ms

    def cause_of_lateness(self, now: Now, step_ms: int) -> Reason:
        """Say why what is late at *now* is late, and remember the reading."""
        gap_ms = now.elapsed - self._last.elapsed
        self._last = now
        if step_ms > 0:
            return Reason.CLOCK
        return Reason.DOWNTIME if gap_ms > GAP_MS else Reason.OVERLOAD

    @staticmethod
    def is_behind(last_seen: Instant, now: Instant) -> bool:
        """Say whether the clock must have gone back while nobody ran."""
        return now < last_seen - BEHIND_MS
