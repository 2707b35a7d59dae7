"""A virtual clock, which only the test moves.

Rule: it moves forward, and only by `move_to`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.core.model import Instant, Now

if TYPE_CHECKING:
    from collections.abc import Callable


class VirtualClock:
    """A `luad.clock.Clock` that starts at *wall*."""

    def __init__(self, wall: Instant) -> None:
        self._began = wall
        self._wall = wall

    def now(self) -> Now:
        """Return both clocks, which never step."""
        return Now(self._wall, self._wall - self._began)

    def move_to(self, wall: Instant) -> None:
        """Set the time to *wall*."""
        assert wall >= self._wall, "the clock only moves forward"
        self._wall = wall


class VirtualAlarm:
    """An alarm that never rings; the code that moves the clock reads its time."""

    def __init__(self, _ring: Callable[[], None]) -> None:
        self.at: Instant | None = None

    def set(self, at: Instant | None) -> None:
        """Record the time of the loop's next wake-up."""
        self.at = at

    def close(self) -> None:
        """Forget the recorded time."""
        self.at = None
