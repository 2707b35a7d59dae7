"""The lag of the event loop: the worst of the last minute, and no older one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from support.cost import turns

from luad.clock import monotonic_us
from luad.daemon.loop_lag import SAMPLE_S, LoopLag

SECOND_US = 1_000_000


def test_the_worst_lag_of_the_last_minute_is_kept_and_no_older_one() -> None:
    lag = LoopLag()
    assert lag.worst_ms(0) == 0
    for second, lag_ms in ((0, 3.0), (1, 900.0), (2, 5.0), (30, 40.0), (31, 7.0)):
        lag.note(second * SECOND_US, lag_ms)
    assert lag.worst_ms(60 * SECOND_US) == 900.0
    assert lag.worst_ms(62 * SECOND_US) == 40.0
    assert lag.worst_ms(91 * SECOND_US) == 7.0
    assert lag.worst_ms(200 * SECOND_US) == 0


def test_every_lag_is_counted_up_to_its_bound() -> None:
    lag = LoopLag()
    for lag_ms in (0.0, 1.0, 1.5, 5.0, 639.0, 2_000.0):
        lag.note(0, lag_ms)
    found: Any = lag.histogram()
    counts = {each["le_ms"]: each["count"] for each in found["buckets"]}
    assert (counts[1], counts[2], counts[5], counts[500], counts[1_000]) == (2, 3, 4, 4, 5)
    assert (found["count"], found["sum_ms"]) == (6, 2_646.5)


async def test_a_loop_that_is_held_shows_it() -> None:
    lag = LoopLag()
    task = asyncio.create_task(lag.measure())
    await asyncio.sleep(SAMPLE_S / 2)
    began = monotonic_us()
    while monotonic_us() - began < 2 * SAMPLE_S * SECOND_US:
        turns(lambda: None, tries=1)  # holds the loop beyond the moment at which the sample is due
    await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert lag.worst_ms(monotonic_us()) >= SAMPLE_S * 1_000 / 2
