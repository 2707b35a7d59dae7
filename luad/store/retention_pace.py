"""How much a slice of retention may do, from how long the last ones took.

Rule: numbers in, numbers out; it looks at no clock. A row may cost a hundred times what its
neighbour did (pages that have to be fetched from a slow disk), so a slice begins with one row and goes on
with as many as the measured pace fits into its time; and a slice that held the writer for too long, its
commit included, halves the time of the next one.
"""

from __future__ import annotations

from typing import Final

AIM_MS: Final = 25
"""How long a slice may hold the writer, from its beginning to the end of its commit."""

MOST_MS: Final = 10
"""The time of a slice when all is well: what is begun is ended, and then it has to be committed."""

LEAST_MS: Final = 1

BATCH: Final = 20
"""Rows, or free pages, between two looks at the clock, at most."""


def next_batch(done: int, spent_ms: int, left_ms: int) -> int:
    """Return how many rows to take next, after *done* rows of the same kind took *spent_ms*.

    At least one, so that each slice gets somewhere, and never more at once than all before together.
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
