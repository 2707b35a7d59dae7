"""Work whose size a client chooses: in two threads beside the loop, with a budget and a short queue.

The loop goes on with everything else meanwhile. What a budget cannot bound (reading a body, judging it)
is bounded by the size of the body.

Rule: requests over the Unix socket come first, and have a queue of their own: no client over TCP
can fill it.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from luad.api.http.api_problems import ApiError
from luad.clock import elapsed_ms

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

THREADS: Final = 2
BUDGET_MS: Final = 100
MOST_NEAR: Final = 64
"""As many as there are connections: handlers that make jobs at the same moment wait for each other."""

MOST_FAR: Final = 8
SWITCH_S: Final = 0.001
"""So long a thread computes before the loop gets its turn; Python's own 5 ms are what a loop may lag."""


@dataclass(slots=True)
class Budget:
    """How long a piece of work may still take."""

    ends_at: int

    def is_over(self) -> bool:
        """Return whether nothing is left of it."""
        return elapsed_ms() >= self.ends_at


class WorkPool:
    """Two threads, and the requests that wait for them."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="luad-api-work")
        self._waiting: dict[bool, deque[asyncio.Future[None]]] = {False: deque(), True: deque()}
        self._running = 0
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_S))

    async def run(
        self, work: Callable[[Budget], T], *, is_far: bool, budget_ms: int | None = None
    ) -> T:
        """Do *work* in a thread and return what it returns. *budget_ms*: default `BUDGET_MS`.

        Raises `ApiError` (overloaded) when too much waits already.
        """
        loop = asyncio.get_running_loop()
        if self._running >= THREADS:
            await self._wait(loop, is_far=is_far)
        else:
            self._running += 1
        budget_ms = BUDGET_MS if budget_ms is None else budget_ms
        future = self._executor.submit(lambda: work(Budget(elapsed_ms() + budget_ms)))
        future.add_done_callback(lambda _: self._over(loop, future))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the threads end; what they do now is left to itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _wait(self, loop: asyncio.AbstractEventLoop, *, is_far: bool) -> None:
        """Wait for a thread. The one that frees it hands it over: it counts as running all the while."""
        queue = self._waiting[is_far]
        if len(queue) >= (MOST_FAR if is_far else MOST_NEAR):
            raise ApiError(
                "overloaded",
                "too many requests that need computing are waiting",
                hint="ask again in a moment, for less at once",
                headers={"retry-after": "1"},
            )
        turn: asyncio.Future[None] = loop.create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()  # this request has the turn, and does not use it
            raise

    def _over(self, loop: asyncio.AbstractEventLoop, _: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nothing waits any more
            loop.call_soon_threadsafe(self._next)

    def _next(self) -> None:
        for queue in (self._waiting[False], self._waiting[True]):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._running -= 1


def too_long(hint: str) -> ApiError:
    """Return the error for work that its budget was not enough for."""
    return ApiError(
        "overloaded",
        f"this takes luad longer than the {BUDGET_MS} ms that one request may",
        hint=hint,
        headers={"retry-after": "1"},
    )
