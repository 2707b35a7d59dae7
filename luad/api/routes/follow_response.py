"""Answers without an end of their own: the lines of running jobs, and the stream of events.

Rule: a stream has a place as long as it lasts, and ends when its token becomes invalid.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from luad.api.http.api_problems import ApiError
from luad.api.http.streams import StreamResponse
from luad.core.events import Log

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Mapping

    from starlette.types import Receive, Scope, Send

    from luad.api.context import Context

LOOK_S: Final = 1.0
"""The interval at which the token of each open stream is checked."""


class FollowResponse(StreamResponse):
    """A stream that ends only with its client or its token.

    The number of open streams is limited: for each token, for TCP and for the Unix socket. When the token
    is no longer valid, luad cuts the connection: an orderly end would say that luad sent everything.
    """

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
        """Send the stream. Raises `ApiError` (overloaded) when too many streams are open."""
        state = scope["state"]
        places = self._context.streams
        taken = places.take(state)
        if isinstance(taken, str):
            await self.pieces.aclose()
            hint = "end one of them, such as a luad logs -f"
            raise ApiError("overloaded", taken, hint=hint, headers={"retry-after": "5"})
        # A client that reads too slowly loses lines, and the stream says so. It stays connected.
        state["is_stream"] = True
        try:
            await super().__call__(scope, receive, send)
        finally:
            places.give_back(taken)

    def watch(self, scope: Scope) -> Coroutine[None, None, None] | None:
        """Return a coroutine that ends once the token of the request is no longer valid."""
        digest = scope["state"].get("digest")
        return None if digest is None else self._watch(digest, scope)

    async def _watch(self, digest: str, scope: Scope) -> None:
        is_valid = await self._context.admission.is_valid(digest)
        while is_valid:
            await asyncio.sleep(LOOK_S)
            is_valid = await self._context.admission.is_valid(digest)
        fields = {"actor": scope["state"]["actor"], "path": scope["path"][:200]}
        self._context.service.log(Log("api.stream_closed", fields))
