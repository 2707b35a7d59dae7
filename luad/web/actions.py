"""The forms: each one is a request to a route of the API.

Rule: the row of that route decides whether the session may; a form adds no right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.responses import RedirectResponse, Response

from luad.api.http.api_problems import ApiError
from luad.web import inside, many
from luad.web.form_fields import metadata_of
from luad.web.frame import TOAST
from luad.web.inside import path_of
from luad.web.render import HEADERS
from luad.web.sign_in import read_form

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

MOST_UNDONE: Final = 50
TEST: Final = ("Test", "This is a test message. luad can reach you on this channel.")


async def run(request: Request) -> Response:
    """`POST /act/run`: run one job, or all that are ticked."""
    form = await read_form(request)
    names = form.get("job", [])
    if _is_for_many(form, names):
        return await _many(request, form, "jobs", "trigger")
    metadata = metadata_of(form)
    body: dict[str, object] = {} if metadata is None else {"metadata": metadata}
    name = _need(names)
    path = path_of("jobs", name, "trigger")
    started = await inside.send(request, "POST", path, body, _text(form, "key"))
    if _text(form, "follow"):
        return _to(f"/runs/{quote(started['id'])}#log")
    return _back(form, "run", name)


async def pause(request: Request) -> Response:
    """`POST /act/pause`: pause one job or all that are ticked, with a reason and an end."""
    form = await read_form(request)
    names = form.get("job", [])
    if _is_for_many(form, names):
        return await _many(request, form, "jobs", "pause")
    body = {key: text for key in ("reason", "until") if (text := _text(form, key))}
    name = _need(names)
    await inside.send(request, "POST", path_of("jobs", name, "deactivate"), body)
    return _back(form, "pause", name, [name])


async def resume(request: Request) -> Response:
    """`POST /act/resume`: resume one job, or all that are ticked."""
    form = await read_form(request)
    names = form.get("job", [])
    if _is_for_many(form, names):
        return await _many(request, form, "jobs", "resume")
    name = _need(names)
    await inside.send(request, "POST", path_of("jobs", name, "activate"), {})
    return _back(form, "resume", name, [name])


async def cancel(request: Request) -> Response:
    """`POST /act/cancel`: tell runs to stop, after a page or a script has asked."""
    form = await read_form(request)
    names = form.get("run", [])
    if _is_for_many(form, names) or not _text(form, "sure"):
        return await _many(request, form, "runs", "cancel")
    name = _need(names)
    await inside.send(request, "POST", path_of("runs", name, "cancel"), {})
    return _back(form, "cancel", name)


async def retry(request: Request) -> Response:
    """`POST /act/retry`: run the occurrence of a run again, or of all that are ticked."""
    form = await read_form(request)
    names = form.get("run", [])
    if _is_for_many(form, names):
        return await _many(request, form, "runs", "retry")
    name = _need(names)
    started = await inside.send(
        request, "POST", path_of("runs", name, "retry"), {}, _text(form, "key")
    )
    if _text(form, "follow"):
        return _to(f"/runs/{quote(started['id'])}#log")
    return _back(form, "retry", name)


async def acknowledge(request: Request) -> Response:
    """`POST /act/acknowledge`: say that trouble is known, until an instant if one is given."""
    form = await read_form(request)
    name = _need(form.get("id", []))
    body = {key: text for key in ("note", "until") if (text := _text(form, key))}
    done = await inside.send(request, "POST", path_of("attention", name, "acknowledge"), body)
    return _back(form, "acknowledge", done["subject"])


async def resend(request: Request) -> Response:
    """`POST /act/resend`: send a message again where it has not arrived."""
    form = await read_form(request)
    name = _need(form.get("message", []))
    await inside.send(request, "POST", path_of("messages", name, "resend"), {})
    return _back(form, "resend", _text(form, "title") or name)


async def send_test(request: Request) -> Response:
    """`POST /act/test`: send a message to one channel of a user, and say whether it arrived."""
    form = await read_form(request)
    user, channel = _need(form.get("user", [])), _need(form.get("channel", []))
    body = {"title": TEST[0], "messages": [TEST[1]], "channels": [channel]}
    path = path_of("users", user, "send")
    sent = await inside.send(request, "POST", path, body, _text(form, "key"))
    return _back(form, "send" if sent["ok"] else "unsent", f"{channel} of {user}")


async def end_session(request: Request) -> Response:
    """`POST /act/end-session`: sign a browser out."""
    form = await read_form(request)
    name = _need(form.get("session", []))
    await inside.send(request, "DELETE", path_of("sessions", name), {})
    return _back(form, "end", _text(form, "account") or name)


async def reload(request: Request) -> Response:
    """`POST /act/reload`: read the files now."""
    form = await read_form(request)
    await inside.send(request, "POST", "/v1/config/reload", {})
    return _back(form, "reload", "")


def _is_for_many(form: Mapping[str, list[str]], names: list[str]) -> bool:
    return len(names) > 1 or bool(_text(form, "all"))


async def _many(
    request: Request, form: Mapping[str, list[str]], kind: str, action: str
) -> Response:
    done = await many.act(request, form, kind, action)
    if isinstance(done, Response):
        return done
    undone = form.get("job", []) if action in ("pause", "resume") else []
    word = action if len(undone) > 1 else "batch"
    return _back(form, word, done, undone)


def _back(
    form: Mapping[str, list[str]], done: str, subject: str, undone: Sequence[str] = ()
) -> Response:
    """Return to the page of the form, which says what was done. *undone*: the jobs that "Undo" is for."""
    parts = urlsplit(many.local(_text(form, "back") or "/"))
    query = [pair for pair in parse_qsl(parts.query) if pair[0] not in TOAST]
    query += [("done", done), ("subject", subject)]
    query += [("undo", name) for name in undone[:MOST_UNDONE]]
    return _to(f"{quote(parts.path, safe='/%:@')}?{urlencode(query)}")


def _to(address: str) -> Response:
    return RedirectResponse(address, 303, HEADERS)


def _need(names: list[str]) -> str:
    if not names or not names[0]:
        raise ApiError("bad_request", "the form names nothing", hint="tick at least one row")
    return names[0]


def _text(form: Mapping[str, list[str]], name: str) -> str:
    return form.get(name, [""])[0].strip()
