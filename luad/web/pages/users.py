"""The users: their channels, and the messages that went to them.

Rule: as in `luad.web`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.web.frame import View
from luad.web.inside import path_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def show(request: Request) -> Response:
    """`GET /users`: all users."""
    view = await View.of(request)
    found = await view.get("/v1/users")
    return await view.answer("users.html", "users", "Users", users=found["users"])


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
