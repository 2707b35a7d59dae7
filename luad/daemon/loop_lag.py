"""The lag of the event loop: how much later than asked a sleeping task wakes up.

Rule: measures only. `GET /v1/status` and the metrics show the worst lag of the last minute, and a histogram of
all lags since the start.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from itertools import accumulate
from typing import Final

from luad.clock import monotonic_us

SAMPLE_S: Final = 0.5
WINDOW_US: Final = 60_000_000
BOUNDS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
"""The upper bounds of the histogram; the rule of luad's own work is 5 ms."""


class LoopLag:
    """Lags of the last minute; each sample is kept until a later one is at least as large."""

    def __init__(self) -> None:
        self._worst: deque[tuple[int, float]] = deque()  # lags fall from left to right
        self._counts = [0] * (len(BOUNDS_MS) + 1)
        self._sum_ms = 0.0

    async def measure(self) -> None:
        """Sample the lag twice a second, until this is cancelled."""
        while True:
            before = monotonic_us()
            await asyncio.sleep(SAMPLE_S)
            now = monotonic_us()
            self.note(now, max(0.0, (now - before) / 1_000 - SAMPLE_S * 1_000))

    def note(self, now_us: int, lag_ms: float) -> None:
        """Add a sample that was taken at *now_us*."""
        self._counts[bisect_left(BOUNDS_MS, lag_ms)] += 1
        self._sum_ms += lag_ms
        while self._worst and self._worst[-1][1] <= lag_ms:
            self._worst.pop()
        self._worst.append((now_us, lag_ms))

    def worst_ms(self, now_us: int) -> float:
        """Return the longest lag of the minute before *now_us*, in milliseconds; 0 without samples."""
        while self._worst and self._worst[0][0] < now_us - WINDOW_US:
            self._worst.popleft()
        return self._worst[0][1] if self._worst else 0.0

    def histogram(self) -> dict[str, object]:
        """Return the counts of lags up to each bound, the count of all, and their sum."""
        totals = list(accumulate(self._counts))
        buckets = [
            {"le_ms": bound, "count": total}
            for bound, total in zip(BOUNDS_MS, totals, strict=False)
        ]
        return {"buckets": buckets, "count": totals[-1], "sum_ms": round(self._sum_ms, 1)}
