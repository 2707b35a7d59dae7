"""The stream of what happens.

Rule: as in `routes_logs`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from luad.api.context import context_of
from luad.api.routes.follow_response import FollowResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context

BEAT_S: Final = 15.0


async def follow_events(request: Request) -> Response:
    """`GET /events`: server-sent events; `Last-Event-ID` takes up where a client was."""
    context = context_of(request)
    pieces = _pieces(context, request.headers.get("last-event-id"))
    headers = {"cache-control": "no-store"}
    return FollowResponse(context, pieces, "text/event-stream", headers)


async def _pieces(context: Context, last_id: str | None) -> AsyncGenerator[bytes, None]:
    ring = context.service.ring
    yield b"retry: 1000\n\n"
    async for event in ring.follow(last_id, BEAT_S):
        if event is None:
            yield b": still there\n\n"
            continue
        text = json.dumps(event.data, separators=(",", ":"))
        name = ring.name_of(event.number)
        yield f"id: {name}\nevent: {event.kind}\ndata: {text}\n\n".encode()
