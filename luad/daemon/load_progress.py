"""Log lines that tell how far a long first reading of the files is.

Rule: it counts and waits; the caller writes the lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

TELL_EVERY_S: Final = 5.0


@asynccontextmanager
async def told(
    tell: Callable[[int], None], count: Callable[[], int], every_s: float = TELL_EVERY_S
) -> AsyncIterator[None]:
    """Call *tell* with the current *count* every few seconds during the block; a context manager."""

    async def tell_again_and_again() -> None:
        while True:
            await asyncio.sleep(every_s)
            tell(count())

    task = asyncio.create_task(tell_again_and_again())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
