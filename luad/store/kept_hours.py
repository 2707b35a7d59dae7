"""The outcomes of past hours, kept between two questions.

Rule: an hour is kept once it has been over for `SETTLED` and holds no open run. Only retention, or a row that is
written late, changes such an hour, so each question also counts the hour again that was counted longest ago.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from threading import Lock
from typing import Final

from luad.core.model import HOUR, MINUTE, OPEN_STATES, Instant, RunState

SETTLED: Final = 5 * MINUTE
"""Until then, a row of the hour may still be written, also by another node with another clock."""

MOST: Final = 2_400
"""Hours that are kept: a hundred days."""

Counts = Counter[RunState]


class KeptHours:
    """The hours by their first instant, those that were counted longest ago first; several threads may ask."""

    def __init__(self) -> None:
        self._known: dict[Instant, Counts] = {}
        self._lock = Lock()

    def since(self, since: Instant, now: Instant) -> dict[Instant, Counts]:
        """Return the kept hours from *since* on, without the one that is to be counted again."""
        with self._lock:
            for hour in [each for each in self._known if not _is_settled(each, now)]:
                del self._known[hour]  # the clock was set back
            found = {hour: counts for hour, counts in self._known.items() if hour >= since}
        if found:
            del found[next(iter(found))]
        return found

    def keep(self, hours: Mapping[Instant, Counts], now: Instant) -> None:
        """Keep those of *hours*, which were just counted, that will not change any more."""
        with self._lock:
            for hour, counts in hours.items():
                self._known.pop(hour, None)
                if _is_settled(hour, now) and not any(counts[state] for state in OPEN_STATES):
                    self._known[hour] = counts
            while len(self._known) > MOST:
                del self._known[min(self._known)]


def _is_settled(hour: Instant, now: Instant) -> bool:
    return hour + HOUR + SETTLED <= now
