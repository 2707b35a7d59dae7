"""Measure what a call costs in turns of a fixed loop, not in seconds.

A busy or slow machine slows the loop and the call alike, so their ratio says the same everywhere.
One turn takes about one millisecond of processor time on a machine of 2026.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LOOPS_IN_A_TURN = 40_000
SAMPLED_PART = 4  # a sample is a quarter of a turn
SAMPLES = 3


def turn_s() -> float:
    """Return the processor seconds that one turn takes now: the median of a few."""
    samples = sorted(_sample() for _ in range(SAMPLES))
    return samples[SAMPLES // 2]


def turns(call: Callable[[], object], tries: int = 3) -> float:
    """Return the cheapest of *tries* calls, in turns measured around each of them."""
    return min(_try(call) for _ in range(tries))


def _try(call: Callable[[], object]) -> float:
    before = turn_s()
    began = time.thread_time()
    call()
    spent = time.thread_time() - began
    return spent / ((before + turn_s()) / 2)


def _sample() -> float:
    began = time.thread_time()
    total = 0
    for number in range(LOOPS_IN_A_TURN // SAMPLED_PART):
        total += number & 7
    assert total
    return (time.thread_time() - began) * SAMPLED_PART
