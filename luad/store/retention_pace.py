"""The size of a slice of retention, from the times of the slices before.

Rule: numbers in, numbers out; it reads no clock. A row may cost a hundred times as much as the next one (pages
on a slow disk). So a slice begins with one row, and continues with as many as fit into its time at the measured
pace. A slice that held the writer for too long, commit included, halves the time of the next one.
"""

from __future__ import annotations

from typing import Final

AIM_MS: Final = 25
"""The time in ms that a slice may hold the writer, from its beginning to the end of its commit."""

MOST_MS: Final = 10
"""The largest time in ms of the work of a slice; the last batch and the commit come on top."""

LEAST_MS: Final = 1

BATCH: Final = 20
"""The largest number of rows, or of free pages, between two readings of the clock."""


def next_batch(done: int, spent_ms: int, left_ms: int) -> int:
    """Return the number of rows of the next batch, after *done* rows of the same kind took *spent_ms*.

    It is at least one, so that each slice progresses, and at most *done*.
    """
    if done == 0:
        return 1
    fitting = BATCH if spent_ms <= 0 else done * max(0, left_ms) // spent_ms
    return max(1, min(BATCH, done, fitting))


def next_budget(budget_ms: int, took_ms: int) -> int:
    """Return the time of the next slice, after one with *budget_ms* held the writer for *took_ms*."""
    if took_ms > AIM_MS:
        return max(LEAST_MS, budget_ms // 2)
    return min(MOST_MS, budget_ms + 1)
