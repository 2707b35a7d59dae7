"""Routes of deliveries: those of all users, and a message that is sent again.

Rule: as in `routes_jobs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luad.api.context import context_of, json_response, link_header
from luad.api.http.api_problems import ApiError, echo, from_luad_error
from luad.api.json import views
from luad.api.routes.endpoint import query_of, read_body
from luad.core.lifecycle import duration_ms
from luad.core.messaging import Delivery, DeliveryState, Message
from luad.errors import LuadError
from luad.store.delivery_pages import DeliveryFilter, DeliveryPage, DeliveryRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context


async def list_deliveries(request: Request) -> Response:
    """`GET /deliveries`: the deliveries of all messages, newest first."""
    context, query = context_of(request), query_of(request)
    now = context.service.clock.now().wall
    wanted = DeliveryFilter(
        query.choices("status", DeliveryState),
        query.text("channel"),
        query.text("user"),
        now - query.span_ms("since", now, 0) if query.text("since") else None,
    )
    found = await deliveries(context, wanted, query.limit(), query.text("cursor"))
    body = {
        "deliveries": [delivery_view(each) for each in found.rows],
        "next_cursor": found.cursor,
        "is_complete": found.is_complete,
    }
    return json_response(body, headers=link_header(request, found.cursor))


async def deliveries(
    context: Context, wanted: DeliveryFilter, limit: int, cursor: str | None = None
) -> DeliveryPage:
    """Return a page of the deliveries that match *wanted*. Raises `ApiError`."""
    try:
        return await context.service.store.messages.deliveries(wanted, limit, cursor)
    except LuadError as error:
        raise from_luad_error(error) from error


def delivery_view(row: DeliveryRow) -> dict[str, Any]:
    """Return a delivery and what its message is about, as the API shows it."""
    return {
        "message_id": row.message_id,
        "user_id": row.user,
        "channel": row.channel,
        "status": row.state.value,
        "ok": row.state in views.ARRIVED,
        "error": row.error,
        "answer": row.answer,
        "degraded": row.is_degraded,
        "started_at": views.instant(row.started_at),
        "elapsed_ms": duration_ms(row.started_at, row.ended_at),
        "title": row.title,
        "job": row.job,
        "run_id": row.run_id,
    }


async def resend(request: Request) -> Response:
    """`POST /messages/{message}/resend`: send it again through the channels that have not delivered it."""
    context = context_of(request)
    await read_body(request)
    message, found = await resend_message(context, request.path_params["message"])
    return json_response(
        {"deliveries": [views.delivery_view(each, message.user) for each in found]}
    )


async def resend_message(context: Context, message_id: str) -> tuple[Message, Sequence[Delivery]]:
    """Send a message again where it has not arrived; return its deliveries. Raises `ApiError`."""
    message = await context.service.store.messages.find(message_id)
    if message is None:
        hint = "GET /v1/deliveries shows the messages that are kept"
        raise ApiError("not_found", f"no message has the id {echo(message_id)}", hint=hint)
    return message, await context.service.delivery.send([message])
