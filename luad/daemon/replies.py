"""Brings the engine's replies to the requests that wait for them.

Rule: a reply whose client has gone is dropped without an error.
"""

from __future__ import annotations

import asyncio

from luad.core.events import Reply


class Replies:
    """The requests that still wait for their reply, by request id."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Reply]] = {}

    def expect(self, request_id: str) -> asyncio.Future[Reply]:
        """Return a future for the reply to a request that the caller is about to post."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        future.add_done_callback(lambda _: self._waiting.pop(request_id, None))
        return future

    def answer(self, reply: Reply) -> None:
        """Hand *reply* to the request that waits for it."""
        future = self._waiting.get(reply.request_id)
        if future is not None and not future.done():
            future.set_result(reply)
