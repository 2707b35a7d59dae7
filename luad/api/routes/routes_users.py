"""Routes of users: the users, their data, and messages to them.

Rule: as in `routes_jobs`. Addresses of channels are shown without what is secret in them.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from luad.api.auth.remote import REFERENCE
from luad.api.context import context_of, json_response, link_header
from luad.api.http.api_problems import ApiError, close_to, did_you_mean, echo
from luad.api.http.etags import if_match
from luad.api.http.paging import make_cursor, read_cursor
from luad.api.http.request_input import (
    content_type,
    read_object,
    wrong_member,
    wrong_parameter,
)
from luad.api.http.streams import ListResponse, rows_of
from luad.api.json import views
from luad.api.routes.endpoint import body_of, query_of
from luad.api.routes.routes_metadata import MERGE_PATCH, object_of
from luad.config.users.message_bodies import parse_parts
from luad.config.users.user_file import user_from_body
from luad.core.dynamic_jobs import merge_patch
from luad.core.messaging import Message, User
from luad.errors import ValidationError
from luad.json_text import encode_text
from luad.store.stored_users import version_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context
    from luad.api.http.request_input import Body, Query
    from luad.core.messaging import Channel
    from luad.core.model import Instant
    from luad.core.requests import AnswerKey
    from luad.store.api_access import Answer


MOST_WATCHED: Final = 100
"""Users of a page with the last delivery of each channel."""

LAST_MESSAGES: Final = 50
"""Messages to a user among which the last delivery of each channel is looked for."""

# --- the users ------------------------------------------------------------------------------


async def list_users(request: Request) -> Response:
    """`GET /users`: all users, or the one with an email address or a phone number."""
    context = context_of(request)
    query = query_of(request)
    email, phone = (_wanted(query, name) for name in ("email", "phone"))
    if email is not None and phone is not None:
        raise wrong_parameter("phone", "`email` already names the user", "write one of the two")
    users = context.service.users
    if email is not None or phone is not None:
        user = users.find(email=email, phone=phone)
        found = [] if user is None else [user]
    elif query.has("limit") or query.has("cursor") or query.flag("last_delivery"):
        return await _page_of_users(request)
    else:
        found = list(users.all())
    end = '],"next_cursor":null}'
    pieces = rows_of('{"users":[', found, lambda each: encode_text(user_view(each)), end)
    return ListResponse(pieces, "application/json")


async def _page_of_users(request: Request) -> Response:
    """Return a page of the users in order of ids, with the last delivery of each channel if asked."""
    context, query = context_of(request), query_of(request)
    limit, cursor = query.limit(), query.text("cursor")
    has_deliveries = query.flag("last_delivery")
    if has_deliveries and limit > MOST_WATCHED:
        raise wrong_parameter("limit", f"with `last_delivery`, a page has {MOST_WATCHED} users")
    found = context.service.users.page(_place_in(cursor) if cursor else "", limit + 1)
    shown = found[:limit]
    channels = await _watched_channels(context, shown) if has_deliveries else {}
    rows = [
        {**user_view(user), "channels": channels[user.id]} if channels else user_view(user)
        for user in shown
    ]
    following = make_cursor([shown[-1].id]) if len(found) > limit else None
    body = {"users": rows, "next_cursor": following}
    return json_response(body, headers=link_header(request, following))


def _place_in(cursor: str) -> str:
    match read_cursor(cursor):
        case (str(user_id),):
            return user_id
    raise wrong_parameter("cursor", "this is not a cursor of this list")


def _wanted(query: Query, name: str) -> str | None:
    """Return the address or number of a search; an empty one would find all users."""
    value = query.text(name)
    if value is None and query.has(name):
        raise wrong_parameter(name, "there is nothing in it", "leave it out to list all users")
    return value


async def show_user(request: Request) -> Response:
    """`GET /users/{user}`: one user, with the data."""
    return await _user(context_of(request), find_user(request).id)


async def _user(context: Context, user_id: str, status: int = 200) -> Response:
    user = context.service.users.get(user_id)
    if user is None:
        raise ApiError("not_found", f"no user {echo(user_id)}")
    data = await context.service.store.users.data(user_id)
    view = {**user_view(user), "channels": (await _watched_channels(context, [user]))[user.id]}
    headers = {"etag": f'"{user.revision}"'}
    if status == 201:
        headers["location"] = f"/v1/users/{user.id}"
    return json_response({**view, "data": data}, status, headers)


async def _watched_channels(
    context: Context, users: Sequence[User]
) -> dict[str, list[dict[str, Any]]]:
    """Return the channels of each user, each with its last delivery among the last messages to the user."""
    store = context.service.store.messages
    last = await store.last_deliveries([user.id for user in users], LAST_MESSAGES)
    return {
        user.id: [
            {
                **channel_view(each),
                "last_delivery": views.delivery_view(last[user.id, each.name], user.id)
                if (user.id, each.name) in last
                else None,
            }
            for each in user.channels
        ]
        for user in users
    }


async def add_user(request: Request) -> Response:
    """`POST /users`: add a user at run time."""
    context = context_of(request)
    body = await read_object(request)
    if_exists = body.pop("if_exists", "error")
    if if_exists not in ("error", "keep", "replace"):
        raise wrong_member("if_exists", "error, keep or replace")
    existed = context.service.users.get(str(body.get("id"))) is not None
    choice = cast("Literal['error', 'keep', 'replace']", if_exists)
    await context.compute(request, lambda _: user_from_body(body))  # long, for a wrong one
    user = await context.service.users.add(body, if_exists=choice)
    context.service.ring.publish("user.changed", {"id": user.id})
    return await _user(context, user.id, 200 if existed else 201)


async def change_user(request: Request) -> Response:
    """`PATCH /users/{user}`: change a user who was added at run time."""
    context = context_of(request)
    values = await object_of(request)
    user = find_user(request)
    if user.origin is None:
        before = user.definition  # it takes long, for a wrong one
        await context.compute(request, lambda _: user_from_body(merge_patch(before, values)))
    await context.service.users.change(user.id, values)
    context.service.ring.publish("user.changed", {"id": user.id})
    return await _user(context, user.id)


async def remove_user(request: Request) -> Response:
    """`DELETE /users/{user}`: remove a user who was added at run time, and the data."""
    context = context_of(request)
    user = find_user(request)
    await context.service.users.remove(user.id)
    context.service.ring.publish("user.changed", {"id": user.id})
    return json_response({"deleted": True, "message": f"{user.id} is deleted"})


def find_user(request: Request) -> User:
    """Return the user that the path names; raises `ApiError` (not_found)."""
    name: str = request.path_params["user"]
    users = context_of(request).service.users
    user = users.get(name)
    if user is None:
        near = close_to(name, users.ids_near(name))
        hint = did_you_mean(near) or "luad users lists them"
        raise ApiError("not_found", f"no user {echo(name)}", hint=hint, suggestions=near)
    return user


def user_view(user: User) -> dict[str, object]:
    """Return a user as the API shows it, without the data."""
    origin = user.origin
    file = None
    if origin is not None:
        file = {"path": origin.path, "line": origin.line, "stale": user.stale}
    return {
        "id": user.id,
        "full_name": user.full_name,
        "emails": list(user.emails),
        "phones": list(user.phones),
        "timezone": user.timezone,
        "channels": [channel_view(each) for each in user.channels],
        "source": "api" if origin is None else "file",
        "file": file,
    }


def channel_view(channel: Channel) -> dict[str, object]:
    """Return a channel; of its address only the references and the scheme are shown."""
    return {"name": channel.name, "type": channel.kind.value, "url": masked(channel.url)}


def masked(url: str) -> str:
    """Return an address with everything hidden that may be a secret."""
    if not url or REFERENCE.fullmatch(url):
        return url
    scheme, colon, rest = url.partition("://")
    if not colon:
        return "****"
    kept = REFERENCE.findall(rest)
    return f"{scheme}://****{''.join(kept)}"


# --- their data ---------------------------------------------------------------------


async def show_data(request: Request) -> Response:
    """`GET /users/{user}/data`."""
    context = context_of(request)
    data = await context.service.store.users.data(find_user(request).id)
    return _data_response(data)


async def merge_data(request: Request) -> Response:
    """`PATCH /users/{user}/data`: set keys, or apply a merge patch."""
    is_patch = content_type(request) == MERGE_PATCH
    return await _write_data(request, "patch" if is_patch else "merge")


async def replace_data(request: Request) -> Response:
    """`PUT /users/{user}/data`: replace all of it."""
    return await _write_data(request, "replace")


async def clear_data(request: Request) -> Response:
    """`DELETE /users/{user}/data`: delete all data."""
    context = context_of(request)
    now = context.service.clock.now().wall
    store = context.service.store.users
    user_id = find_user(request).id
    return _data_response(
        await store.write_data(user_id, {}, "replace", now, if_match=if_match(request))
    )


async def _write_data(request: Request, mode: Literal["merge", "patch", "replace"]) -> Response:
    context = context_of(request)
    values = await object_of(request)
    now = context.service.clock.now().wall
    data = await context.service.store.users.write_data(
        find_user(request).id, values, mode, now, if_match=if_match(request)
    )
    return _data_response(data)


def _data_response(data: Mapping[str, object]) -> Response:
    return json_response(data, headers={"etag": f'"{version_of(data)}"'})


# --- messages ----------------------------------------------------------------------------------


async def send(request: Request) -> Response:
    """`POST /users/{user}/send`: send a message now; answers with its deliveries."""
    context = context_of(request)
    values = await read_object(request)
    user = find_user(request)
    body = body_of(request, values)
    require = body.choice("require", ("any", "all"), "any")
    messages = _messages(request, context, user, values, body)

    async def work(key: AnswerKey | None) -> Response:
        if key is not None:
            now = context.service.clock.now().wall
            await context.service.store.access.begin_answer(key, messages[0].id, now)
        deliveries = await context.service.delivery.send(messages)
        return json_response(outcome(messages, deliveries, require))

    def recall(_: Answer) -> Response | None:
        return None

    return await context.keys.once(request, values, work, recall)


def _messages(
    request: Request, context: Context, user: User, values: Mapping[str, object], body: Body
) -> list[Message]:
    """Return a message for each part: what arrived of several is known one by one."""
    if "messages" not in values:
        raise ValidationError("`messages` is missing", hint='send {"messages": ["hello"]}')
    parts = parse_parts(values["messages"])
    run = context.creating_run(request)
    now = context.service.clock.now().wall
    key = body.text("dedupe_key", 300)
    priority = body.choice("priority", ("low", "normal", "high"), "normal")
    return [
        Message(
            _message_id(context, now),
            user.id,
            now,
            (part,),
            title=body.text("title"),
            priority=cast("Literal['low', 'normal', 'high']", priority),
            channels=_channels(values),
            job_name=run.job_name if run else None,
            run_id=run.id if run else None,
            dedupe_key=f"{key}:{number}" if key else None,
        )
        for number, part in enumerate(parts)
    ]


def _message_id(context: Context, now: Instant) -> str:
    """Return a unique id; ids of one millisecond sort in the order of their messages."""
    context.message_count += 1
    return f"msg_{now:012x}{context.message_count:08x}{secrets.token_hex(6)}"


def _channels(values: Mapping[str, object]) -> tuple[str, ...] | None:
    wanted = values.get("channels")
    if wanted is None:
        return None
    if not isinstance(wanted, list) or not all(isinstance(each, str) for each in wanted):
        raise wrong_member("channels", "this is a list of names")
    if not wanted:
        raise wrong_member("channels", "the list is empty", "leave it out for all of them")
    return tuple(wanted)


def outcome(messages: list[Message], deliveries: Any, require: str) -> dict[str, Any]:
    """Return the outcome of messages. *require*: `any` or `all` of a message's channels."""
    index = {message.id: number for number, message in enumerate(messages)}
    rows = [
        {
            "index": index[each.message_id],
            **views.delivery_view(each, messages[index[each.message_id]].user),
        }
        for each in deliveries
    ]
    rule = all if require == "all" else any
    is_ok = all(
        rule(row["ok"] for row in rows if row["index"] == number) for number in range(len(messages))
    )
    return {"ok": is_ok and bool(rows), "require": require, "deliveries": rows}


async def list_messages(request: Request) -> Response:
    """`GET /users/{user}/messages`: the messages to a user, newest first."""
    context = context_of(request)
    query = query_of(request)
    page, cursor = await context.service.store.messages.page(
        user=find_user(request).id, limit=query.limit(), cursor=query.text("cursor")
    )
    pieces = rows_of(
        '{"messages":[',
        page,
        lambda each: encode_text(views.message_view(each.message, each.deliveries)),
        f'],"next_cursor":{encode_text(cursor)}}}',
    )
    return ListResponse(pieces, "application/json", link_header(request, cursor))
