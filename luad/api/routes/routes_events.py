"""The stream of what happens.

Rule: as in `routes_logs`. Events say what has changed; a client asks for what it shows.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from luad.api.context import context_of
from luad.api.http.request_input import unknown_words, wrong_parameter
from luad.api.json import views
from luad.api.routes.endpoint import query_of
from luad.api.routes.follow_response import FollowResponse
from luad.core.model import SECOND
from luad.live.change_log import KINDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection

    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context
    from luad.api.http.request_input import Query

BEAT_S: Final = 15.0
LEAST_EVERY_MS: Final = 100
MOST_EVERY_MS: Final = 10 * SECOND
_MILLISECONDS: Final = re.compile(r"(\d{1,6})ms", re.ASCII)


async def follow_events(request: Request) -> Response:
    """`GET /events`: server-sent events; `Last-Event-ID` takes up where a client was."""
    context, query = context_of(request), query_of(request)
    kinds = query.words("kinds")
    unknown_words("kinds", kinds, KINDS)
    every_ms = _every(query)
    last_id = request.headers.get("last-event-id")
    pieces = _pieces(context, last_id, kinds or KINDS, every_ms)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return FollowResponse(context, pieces, "text/event-stream", headers)


def _every(query: Query) -> int | None:
    """Return the time between two events `changes`; None for an event for each change."""
    text = query.text("every")
    if text is None:
        return None
    match = _MILLISECONDS.fullmatch(text)
    every_ms = int(match[1]) if match else query.duration_ms("every") or 0
    if not LEAST_EVERY_MS <= every_ms <= MOST_EVERY_MS:
        hint = "from 100ms to 10s"
        raise wrong_parameter("every", "this is not a time between two events", hint)
    return every_ms


async def _pieces(
    context: Context, last_id: str | None, kinds: Collection[str], every_ms: int | None
) -> AsyncGenerator[bytes, None]:
    ring = context.service.ring
    yield b"retry: 1000\n\n"
    if every_ms is None:
        events = ring.follow(last_id, BEAT_S, kinds)
    else:
        events = ring.follow_changes(last_id, BEAT_S, every_ms / SECOND, kinds)
    async for event in events:
        if event is None:
            yield _heartbeat(context)
            continue
        text = json.dumps(event.data, separators=(",", ":"))
        name = ring.name_of(event.number)
        yield f"id: {name}\nevent: {event.kind}\ndata: {text}\n\n".encode()


def _heartbeat(context: Context) -> bytes:
    """Return an event without an id: the client's place stays where it is."""
    data = {
        "server_time": views.instant(context.service.clock.now().wall),
        "lag_ms": context.service.lag_ms(),
    }
    return f"event: heartbeat\ndata: {json.dumps(data)}\n\n".encode()
