"""The checks of requests over TCP, whatever the role of the token.

A client of the Unix socket may run code as luad. A token may look, operate existing jobs, and make jobs
of handlers that the settings allow. These checks refuse requests that would give a token more:

- metadata for a job whose handler is not allowed to dynamic jobs: they may be a command line
- environment variables: they steer the programs that a handler starts
- `isolation: shared`: such a run may disturb the runs of other jobs
- references in a channel, and files of luad's machine in a message: they would send out luad's secrets
- a channel of Apprise: its addresses are not checked, and may lead to hosts that only luad can reach

Rule: a check looks at a request and refuses; it changes nothing. The route table names the checks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from luad.api.http.api_problems import ApiError, echo
from luad.config.yaml.text import one_line
from luad.core.model import Isolation

if TYPE_CHECKING:
    from starlette.requests import Request

    from luad.api.service import DynamicRules
    from luad.core.model import Job

REFERENCE: Final = re.compile(r"\$\{\w+\}|credential:[\w.-]+|file:[^\s?#]+")
"""The references to values that only luad has."""


@dataclass(frozen=True, eq=False, slots=True)
class RemoteRule:
    """The checks of one route. *body* gets each body that was read, *job* the job that it is for;
    *is_local*: no request over TCP is answered."""

    refuses: str = ""
    is_local: bool = False
    body: Callable[[Mapping[str, Any]], None] | None = None
    job: Callable[[DynamicRules, Job, Mapping[str, Any]], None] | None = None


def is_remote(request: Request) -> bool:
    """Return whether a request came over TCP."""
    return bool(request.scope["state"].get("is_tcp"))


def refuse_shared(request: Request, before: Job, after: Job) -> None:
    """Refuse a revision over TCP that moves the runs of a job into shared processes."""
    is_new = after.isolation is Isolation.SHARED and before.isolation is not Isolation.SHARED
    if is_new and is_remote(request):
        raise ApiError(
            "forbidden",
            "over TCP a job may not get a revision with `isolation: shared`",
            hint="do it on luad's own machine",
        )


def _check_metadata(rules: DynamicRules, job: Job, body: Mapping[str, object]) -> None:
    del body
    refusal = rules.refusal(job.handler)
    if refusal is not None:
        raise ApiError(
            "handler_not_allowed",
            f"over TCP the metadata for {echo(job.handler)} cannot be set: {one_line(refusal.reason)}",
            hint="change it on luad's own machine, or allow the handler: dynamic.handlers in luad.yaml",
        )


def _check_given_metadata(rules: DynamicRules, job: Job, body: Mapping[str, object]) -> None:
    if body.get("metadata"):
        _check_metadata(rules, job, body)


def _check_process(body: Mapping[str, object]) -> None:
    if body.get("env"):
        raise ApiError(
            "forbidden",
            "over TCP a job may not have `env`",
            hint="give the handler what it needs in `metadata`",
        )
    if body.get("isolation") == Isolation.SHARED:
        raise ApiError(
            "forbidden",
            "over TCP a job may not have `isolation: shared`",
            hint="declare the job in a file, or make it on luad's own machine",
        )


def _check_channels(body: Mapping[str, object]) -> None:
    channels = body.get("channels")
    text = json.dumps(channels)
    items = channels if isinstance(channels, list) else []
    is_apprise = any(isinstance(each, dict) and each.get("type") == "apprise" for each in items)
    if is_apprise or REFERENCE.search(text) or "allow_private" in text:
        raise ApiError(
            "forbidden",
            "over TCP a channel may not hold a reference, be private or be of Apprise",
            hint="declare this user in users.d, or on luad's own machine",
        )


def _check_parts(body: Mapping[str, object]) -> None:
    parts = body.get("messages")
    if any(isinstance(part, dict) and "path" in part for part in _listed(parts)):
        raise ApiError(
            "forbidden",
            "over TCP a message may not hold a file of luad's machine",
            hint="write a `url` in place of the `path`",
        )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


ALLOWED: Final = RemoteRule()
NOTHING: Final = RemoteRule("every request over TCP", is_local=True)
NO_ENVIRONMENT: Final = RemoteRule("a job with `env` or `isolation: shared`", body=_check_process)
NO_SHARED: Final = RemoteRule("a revision with `isolation: shared`")
NO_REFERENCES: Final = RemoteRule("channels with references", body=_check_channels)
NO_FILES: Final = RemoteRule("files of luad's machine", body=_check_parts)
NO_METADATA: Final = RemoteRule("metadata for a handler that is not allowed", job=_check_metadata)
NO_GIVEN_METADATA: Final = RemoteRule(NO_METADATA.refuses, job=_check_given_metadata)
