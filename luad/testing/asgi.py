"""Requests to the real API without a socket.

Rule: a request in, an answer out; it knows ASGI, and of luad only `Peer`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlencode

from luad.api.transport.unix_socket import Peer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message


async def exchange(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    body: bytes,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    peer: Peer,
) -> tuple[int, dict[str, str], bytes]:
    """Send one request to *app*; return status, headers and body. *path* is complete and quoted."""
    sent: list[Message] = []
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not waiting:  # the client stays connected until it has its answer
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    fields.append((b"host", b"localhost"))
    fields.append((b"content-length", str(len(body)).encode()))
    scope: dict[str, object] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": urlencode(query).encode(),
        "headers": fields,
        "client": None,
        "server": ("localhost", None),
        "state": {"peer": peer},
    }
    await app(scope, receive, send)
    head = sent[0]
    answered = {name.decode(): value.decode("latin-1") for name, value in head["headers"]}
    content = b"".join(part.get("body", b"") for part in sent[1:])
    return head["status"], answered, content
