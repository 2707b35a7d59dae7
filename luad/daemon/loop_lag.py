"""The lag of the event loop: how much later than asked a sleeping task wakes up.

Rule: measures only; the worst lag of the last minute is what `GET /v1/status` and the metrics show.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from luad.clock import monotonic_us

SAMPLE_S: Final = 0.5
WINDOW_US: Final = 60_000_000


class LoopLag:
    """Lags of the last minute; each sample is kept until a later one is at least as large."""

    def __init__(self) -> None:
        self._worst: deque[tuple[int, float]] = deque()  # lags fall from left to right

    async def measure(self) -> None:
        """Sample the lag twice a second, until this is cancelled."""
        while True:
            before = monotonic_us()
            await asyncio.sleep(SAMPLE_S)
            now = monotonic_us()
            self.note(now, max(0.0, (now - before) / 1_000 - SAMPLE_S * 1_000))

    def note(self, now_us: int, lag_ms: float) -> None:
        """Add a sample that was taken at *now_us*."""
        while self._worst and self._worst[-1][1] <= lag_ms:
            self._worst.pop()
        self._worst.append((now_us, lag_ms))

    def worst_ms(self, now_us: int) -> float:
        """Return the longest lag of the minute before *now_us*, in milliseconds; 0 without samples."""
        while self._worst and self._worst[0][0] < now_us - WINDOW_US:
            self._worst.popleft()
        return self._worst[0][1] if self._worst else 0.0
