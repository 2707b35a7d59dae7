"""What nobody may ask over TCP, whatever the role of the token.

Who has the Unix socket may run code as luad anyway. A token is for looking, for operating what is there,
and for making jobs of handlers that the settings allow; this is what would make more of one:

- the metadata of a job whose handler is not allowed to jobs made at run time: they may be a command line
- environment variables: they steer whatever programs a handler starts
- references in a channel, and files of luad's machine in a message: luad's secrets would travel
- a channel of Apprise: its addresses are not judged, and lead to whatever only luad can reach

Room rule: looks at a request and refuses; changes nothing.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from luad.api.http.api_problems import ApiError, echo
from luad.config.yaml.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.requests import Request

    from luad.api.context import Context
    from luad.core.messaging import Part
    from luad.core.model import Job

REFERENCE: Final = re.compile(r"\$\{\w+\}|credential:[\w.-]+|file:[^\s?#]+")
"""What stands for a value that luad alone has."""


def is_afar(request: Request) -> bool:
    """Say whether a request came over TCP."""
    return bool(request.scope["state"].get("is_tcp"))


def keep_metadata(request: Request, context: Context, job: Job) -> None:
    """Refuse to write the metadata of a job, or to run it with others."""
    refusal = context.service.dynamic.refusal(job.handler) if is_afar(request) else None
    if refusal is not None:
        raise ApiError(
            "handler_not_allowed",
            f"over TCP nobody may say what {echo(job.handler)} is given: {one_line(refusal.reason)}",
            hint="change it on luad's own machine, or allow the handler: dynamic.handlers in luad.yaml",
        )


def keep_environment(request: Request, body: Mapping[str, Any]) -> None:
    """Refuse a job with environment variables."""
    if is_afar(request) and body.get("env"):
        raise ApiError(
            "forbidden",
            "over TCP a job may have no `env`",
            hint="give the handler what it needs in `metadata`",
        )


def keep_secrets(request: Request, body: Mapping[str, Any]) -> None:
    """Refuse channels that luad would fill in, or that lead where only luad can reach."""
    if not is_afar(request):
        return
    channels = body.get("channels")
    text = json.dumps(channels)
    items = channels if isinstance(channels, list) else []
    is_apprise = any(isinstance(each, dict) and each.get("type") == "apprise" for each in items)
    if is_apprise or REFERENCE.search(text) or "allow_private" in text:
        raise ApiError(
            "forbidden",
            "over TCP a channel may hold no reference, may not be private and not be one of Apprise",
            hint="declare this person in users.d, or on luad's own machine",
        )


def keep_files(request: Request, parts: Iterable[Part]) -> None:
    """Refuse a message that takes a file of luad's machine along."""
    if is_afar(request) and any("path" in part for part in parts):
        raise ApiError(
            "forbidden",
            "over TCP a message may hold no file of luad's machine",
            hint="write a `url` in place of the `path`",
        )
