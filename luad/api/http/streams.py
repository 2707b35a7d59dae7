"""Answers that are sent piece by piece: long lists, and log lines as they come.

Rule: the source is always closed, however the answer ends: sent, hung up on, or cut at shutdown.
Between two pieces the loop does what else is due.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeVar

from starlette.responses import Response

from luad.json_text import to_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence

    from starlette.types import Receive, Scope, Send


R = TypeVar("R")

PORTION: Final = 25
"""Rows that are written at one go; between two portions the loop does what else is due."""
_LEAST_BYTES: Final = 1 << 16
"""The pieces of a list are sent together once they have so many: each call to the kernel wakes the client."""


class StreamResponse(Response):
    """Sends what *pieces* yields, until it ends or the client hangs up.

    Starlette's own leaves a generator that waits when the client goes to the garbage collector; a
    follower of logs would keep its subscription until then.
    """

    least_bytes = 0
    """Pieces are sent once they have so many bytes."""

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        media_type: str,
        headers: Mapping[str, str] | None = None,
        status_code: int = 200,
    ) -> None:
        self.pieces = pieces
        self.status_code = status_code
        self.media_type = media_type
        self.background = None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        async with aclosing(self.pieces):
            sending = asyncio.create_task(
                self._send_all(send, is_head=scope["method"] == "HEAD"), name="api-stream"
            )
            leaving = asyncio.create_task(_hung_up(receive), name="api-stream-end")
            tasks = {sending, leaving}
            watch = self.watch(scope)
            if watch is not None:
                tasks.add(asyncio.create_task(watch, name="api-stream-token"))
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if not sending.done() and not leaving.done():  # the watch is over
                    scope["state"]["hang_up"]()
                    await leaving
            finally:
                for each in tasks:
                    each.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        if not sending.cancelled():
            sending.result()

    def watch(self, scope: Scope) -> Coroutine[None, None, None] | None:
        """Return a task that ends when the client may not continue; None if it always may."""
        del scope
        return None

    async def _send_all(self, send: Send, *, is_head: bool) -> None:
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        await send(start)
        unsent, size = list[bytes](), 0
        if not is_head:
            async for piece in self.pieces:
                unsent.append(piece)
                size += len(piece)
                if size >= self.least_bytes:
                    body = b"".join(unsent)
                    unsent, size = [], 0
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                await asyncio.sleep(0)
        last = b"".join(unsent)
        await send({"type": "http.response.body", "body": last, "more_body": False})


class ListResponse(StreamResponse):
    """Sends a list, whose pieces need not reach the client one by one."""

    least_bytes = _LEAST_BYTES


async def rows_of(
    lead: str, rows: Sequence[R], show: Callable[[R], str], end: str
) -> AsyncGenerator[bytes, None]:
    """Yield a JSON object with a list in it: *lead*, each of *rows* as `show` writes it, and *end*."""
    for start in range(0, len(rows), PORTION):
        part = rows[start : start + PORTION]
        yield to_bytes(lead + ",".join(map(show, part)))
        lead = ","
    yield to_bytes(end if rows else lead + end)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
