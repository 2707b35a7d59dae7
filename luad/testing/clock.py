"""A clock that stands still until it is moved.

Rule: moves forward, and only when it is told to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.core.model import Instant, Now

if TYPE_CHECKING:
    from collections.abc import Callable


class VirtualClock:
    """Implements `luad.clock.Clock`. Starts at *wall*."""

    def __init__(self, wall: Instant) -> None:
        self._began = wall
        self._wall = wall

    def now(self) -> Now:
        """Both clocks: nothing steps them."""
        return Now(self._wall, self._wall - self._began)

    def move_to(self, wall: Instant) -> None:
        """Let it be *wall*."""
        assert wall >= self._wall, "time goes forward"
        self._wall = wall


class VirtualAlarm:
    """Never rings: whoever moves the clock asks when it should have."""

    def __init__(self, _ring: Callable[[], None]) -> None:
        self.at: Instant | None = None

    def set(self, at: Instant | None) -> None:
        """Take note of when the loop wants to be woken."""
        self.at = at

    def close(self) -> None:
        """Take note of nothing more."""
        self.at = None
