"""A long first reading tells how far it is, and stops telling when it is over."""

from __future__ import annotations

import asyncio

from luad.daemon.load_progress import told


async def test_a_reading_is_told_while_it_lasts_and_not_afterwards() -> None:
    counts = iter(range(1_000_000))
    seen: list[int] = []
    enough = asyncio.Event()

    def tell(count: int) -> None:
        seen.append(count)
        if len(seen) == 3:
            enough.set()

    async with told(tell, lambda: next(counts), every_s=0):
        await enough.wait()
    assert seen[:3] == [0, 1, 2]
    told_by_then = len(seen)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(seen) == told_by_then


async def test_a_short_reading_is_not_told() -> None:
    seen: list[int] = []
    async with told(seen.append, lambda: 1, every_s=3_600):
        await asyncio.sleep(0)
    assert seen == []
