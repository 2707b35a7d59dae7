"""Answers that are kept for some seconds, because they cost much and change little.

Rule: requests for the same answer at the same time share one computation; a failed one is not kept.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from luad.clock import elapsed_ms

if TYPE_CHECKING:
    from collections.abc import Coroutine, Hashable

T = TypeVar("T")

KEPT_MS: Final = 10_000
MOST_KEPT: Final = 256


class KeptAnswers(Generic[T]):
    """The answers of the last `KEPT_MS`, at most `MOST_KEPT` of them."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[int, asyncio.Task[T]]] = {}

    async def get(self, key: Hashable, work: Coroutine[None, None, T], keep_ms: int = KEPT_MS) -> T:
        """Return the kept answer of *key*, or the result of *work*, which is then kept."""
        now = elapsed_ms()
        known = self._known.get(key)
        if known is not None and now < known[0] and not _has_failed(known[1]):
            work.close()
            return await asyncio.shield(known[1])
        self._known.pop(key, None)
        while len(self._known) >= MOST_KEPT:
            del self._known[next(iter(self._known))]
        task = asyncio.create_task(work, name="api-kept-answer")
        self._known[key] = now + keep_ms, task
        return await asyncio.shield(task)

    def forget(self, key: Hashable) -> None:
        """Compute the answer of *key* anew for the next request."""
        self._known.pop(key, None)


def _has_failed(task: asyncio.Task[T]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
