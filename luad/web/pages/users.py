"""The users: their channels, and the messages that went to them.

Rule: as in `luad.web`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.web.frame import View
from luad.web.inside import path_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

LIMIT: Final = 50


async def show(request: Request) -> Response:
    """`GET /users`: all users."""
    view = await View.of(request)
    cursor = view.query.get("cursor", "")
    found = await view.get("/v1/users", limit=LIMIT, cursor=cursor, last_delivery=True)
    return await view.answer(
        "users.html", "users", "Users", users=found["users"], cursor=found["next_cursor"]
    )


async def show_one(request: Request) -> Response:
    """`GET /users/{user}`: one user, with the latest messages."""
    view = await View.of(request)
    path = path_of("users", request.path_params["user"])
    user, messages = await view.gather((path, {}), (f"{path}/messages", {"limit": 50}))
    return await view.answer(
        "user.html",
        "users",
        user["full_name"] or user["id"],
        user=user,
        messages=messages["messages"],
    )
