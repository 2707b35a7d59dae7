"""Answers that are sent piece by piece: long lists, and log lines as they come.

Room rule: the source is always closed, however the answer ends: sent, hung up on, or cut at shutdown.
Between two pieces the loop does what else is due.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeVar

from starlette.responses import Response

from luad.api.http.api_problems import ApiError
from luad.core.events import Log
from luad.json_text import to_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence

    from starlette.types import Receive, Scope, Send

    from luad.api.context import Context
    from luad.api.transport.connection_limits import Shares

R = TypeVar("R")

PORTION: Final = 25
"""Rows that are written at one go; between two portions the loop does what else is due."""

LOOK_S: Final = 1.0
"""The token of every open stream is looked at that often."""


class StreamResponse(Response):
    """Sends what *pieces* yields, until it ends or the client hangs up.

    Starlette's own leaves a generator that waits when the client goes to the garbage collector; a
    follower of logs would keep its subscription until then.
    """

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
        """Return what comes to its end when the client may not go on; None without such an end."""
        del scope
        return None

    async def _send_all(self, send: Send, *, is_head: bool) -> None:
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        await send(start)
        if not is_head:
            async for piece in self.pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def rows_of(
    lead: str, rows: Sequence[R], show: Callable[[R], str], end: str
) -> AsyncGenerator[bytes, None]:
    """Yield a JSON object with a list in it: *lead*, each of *rows* as `show` writes it, and *end*."""
    for start in range(0, len(rows), PORTION):
        part = rows[start : start + PORTION]
        yield to_bytes(lead + ",".join(map(show, part)))
        lead = ","
    yield to_bytes(end if rows else lead + end)


class FollowResponse(StreamResponse):
    """A stream without an end of its own. It has a place as long as it lasts: the streams of one token
    have a share, and those of the Unix socket places apart. When the token is not valid any more, the
    connection is cut: an orderly end would say that everything was sent."""

    def __init__(
        self,
        context: Context,
        pieces: AsyncGenerator[bytes, None],
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(pieces, media_type, headers)
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it. Raises `ApiError` (overloaded) when there is no place."""
        state = scope["state"]
        shares = self._context.far_streams if state.get("is_tcp") else self._context.near_streams
        owner: str = state.get("actor", "")
        if not shares.take(owner):
            await self.pieces.aclose()
            raise _too_many(shares, owner)
        # A client that does not keep up misses some and is told so; it is not hung up on.
        state["is_stream"] = True
        try:
            await super().__call__(scope, receive, send)
        finally:
            shares.give_back(owner)

    def watch(self, scope: Scope) -> Coroutine[None, None, None] | None:
        """Return what ends when the token of the request is not valid any more."""
        digest = scope["state"].get("digest")
        return None if digest is None else self._watch(digest, scope)

    async def _watch(self, digest: str, scope: Scope) -> None:
        keyring = self._context.door.keyring
        token = await keyring.valid(digest)
        while token is not None:
            await asyncio.sleep(LOOK_S)
            token = await keyring.valid(digest)
        fields = {"actor": scope["state"]["actor"], "path": scope["path"][:200]}
        self._context.service.log(Log("api.stream_closed", fields))


def _too_many(shares: Shares, owner: str) -> ApiError:
    if shares.of(owner) >= shares.share:
        detail = (
            f"{owner or 'this socket'} has {shares.share} streams open, which is all it may have"
        )
    else:
        detail = f"{shares.most} streams are open, which is all there may be"
    hint = "end one of them, such as a luad logs -f"
    return ApiError("overloaded", detail, hint=hint, headers={"retry-after": "5"})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
