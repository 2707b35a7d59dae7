"""The clock of the store: the machine's steady clock, and what the pulses returned.

The machine's wall clock has no part in it: whoever sets it changes nothing.

Rule: never early. All owners use the clock of one PostgreSQL.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from luad.core.model import Now

if TYPE_CHECKING:
    from luad.clock import Clock
    from luad.core.model import Instant

_PULSES: Final = 60
"""The pulses that count: the largest offset of the last minute is the one that waited least."""

_DRIFT_MS: Final = 50
"""Two clocks differ by less than this after a minute; more is a step of the store's clock."""


class StoreClock:
    """A clock that shows the time of the store."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offsets: deque[int] = deque(maxlen=_PULSES)
        self._offset: int | None = None

    @property
    def offset_ms(self) -> int:
        """The milliseconds that the store's clock is ahead of the machine's wall clock."""
        now = self._clock.now()
        return self.now().wall - now.wall

    def note(self, store_wall: Instant, sent: Now, arrived: Now) -> None:
        """Note the store's time in the answer to a pulse, and the machine's time around it.

        The answer was on its way for a while, so an offset is never too large. An offset that is larger than the
        store's time allows is from before a step back of the store's clock.
        """
        most = store_wall - sent.elapsed + _DRIFT_MS
        if self._offsets and max(self._offsets) > most:
            self._offsets.clear()
        self._offsets.append(store_wall - arrived.elapsed)
        self._offset = max(self._offsets)

    def forget(self) -> None:
        """Forget the earlier pulses: another server may answer from now on."""
        self._offsets.clear()

    def machine_now(self) -> Now:
        """Return the time of the machine's own clocks."""
        return self._clock.now()

    def now(self) -> Now:
        """Return the time of the store and the machine's steady clock."""
        now = self._clock.now()
        return now if self._offset is None else Now(now.elapsed + self._offset, now.elapsed)
