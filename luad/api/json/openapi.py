"""The OpenAPI document: the routes, and the schemas that files and bodies have in common.

Room rule: pure; a table in here and the schemas make all of it. A test holds it against the routes.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any, Final, NamedTuple

from luad import __version__
from luad.api.http.request_input import MAX_LIMIT, MAX_OFFSET
from luad.api.json.log_lines import MAX_SKIPPED, MAX_TAIL, MEDIA
from luad.config.schema.validator import load_schema


class Op(NamedTuple):
    """One method of one path. *query* are names of `_QUERY`, *headers* of `_HEADERS`, *body* is the
    name of a component."""

    method: str
    path: str
    summary: str
    query: tuple[str, ...] = ()
    body: str = ""
    answers: tuple[int, ...] = (200,)
    media: tuple[str, ...] = ("application/json",)
    is_merge: bool = False
    headers: tuple[str, ...] = ()


_PAGE: Final = ("limit", "cursor")
_RUNS: Final = (
    *("status", "trigger", "user", "q", "delivery", "since", "until", "count", "offset"),
    *_PAGE,
)
_LOG: Final = ("follow", "tail", "level", "since", "format")
_LINES: Final = tuple(MEDIA.values())
_STREAM: Final = (MEDIA["sse"],)
_ONCE: Final = ("Idempotency-Key",)
_OF_A_RUN: Final = ("Luad-Run",)
_MINE: Final = (*_ONCE, *_OF_A_RUN)
_SAME: Final = ("If-Match",)
_NEWER: Final = ("If-None-Match",)
_AGAIN: Final = ("Last-Event-ID",)

OPERATIONS: Final = (
    Op("get", "/v1/jobs", "All jobs, or a page of them", (
        "status", "health", "tag", "source", "user", "q", "include_dynamic", "sort", "count",
        "fields", "offset", *_PAGE,
    )),
    Op("post", "/v1/jobs", "Make a job", body="NewJob", answers=(200, 201), headers=_MINE),
    Op("post", "/v1/jobs:batch", "Make, delete, pause, resume or trigger many jobs", body="Batch", headers=_OF_A_RUN),
    Op("get", "/v1/jobs/{job}", "One job", ("exact",), headers=_NEWER),
    Op("patch", "/v1/jobs/{job}", "Change a dynamic job", body="Object", is_merge=True, headers=_SAME),
    Op("delete", "/v1/jobs/{job}", "Delete a dynamic job", headers=_SAME),
    Op("post", "/v1/jobs/{job}/activate", "Schedule it again", body="Activate"),
    Op("post", "/v1/jobs/{job}/deactivate", "Stop scheduling it", body="Deactivate"),
    Op("post", "/v1/jobs/{job}/trigger", "Run it now", body="Trigger", answers=(202,), headers=_ONCE),
    Op("get", "/v1/jobs/{job}/metadata", "Its metadata as they are now", headers=_NEWER),
    Op("patch", "/v1/jobs/{job}/metadata", "Set keys of them", body="Object", is_merge=True, headers=_SAME),
    Op("put", "/v1/jobs/{job}/metadata", "Replace them", body="Object", headers=_SAME),
    Op("get", "/v1/jobs/{job}/runs", "Its history", _RUNS),
    Op("get", "/v1/jobs/{job}/revisions", "The definitions it has had"),
    Op("post", "/v1/jobs/{job}/restore", "Give it an earlier one", body="Restore", headers=_SAME),
    Op("get", "/v1/jobs/{job}/next", "When it is due", ("n", "from")),
    Op("get", "/v1/runs", "The history of all jobs", ("job", *_RUNS)),
    Op("get", "/v1/runs/{run}", "One run"),
    Op("get", "/v1/runs/{run}/deliveries", "What it sent"),
    Op("get", "/v1/runs/{run}/log", "Its log", ("offset", *_LOG), media=_LINES, headers=_AGAIN),
    Op("post", "/v1/runs/{run}/cancel", "Stop it", body="Cancel", answers=(202,)),
    Op("post", "/v1/runs/{run}/retry", "Run its occurrence again", body="Empty", answers=(202,), headers=_ONCE),
    Op("get", "/v1/logs", "Lines of all runs", ("job", *_LOG), media=_LINES),
    Op("get", "/v1/schedule", "What fires when", ("from", "until", "limit", "job", "include_paused")),
    Op("post", "/v1/explain", "A schedule in words, or the moment of a phrase", body="Explain"),
    Op("get", "/v1/users", "Everybody", ("email", "phone")),
    Op("post", "/v1/users", "Add somebody", body="NewUser", answers=(200, 201)),
    Op("get", "/v1/users/{user}", "One person"),
    Op("patch", "/v1/users/{user}", "Change somebody", body="Object", is_merge=True),
    Op("delete", "/v1/users/{user}", "Remove somebody"),
    Op("get", "/v1/users/{user}/data", "What is known of them"),
    Op("patch", "/v1/users/{user}/data", "Set keys of it", body="Object", is_merge=True, headers=_SAME),
    Op("put", "/v1/users/{user}/data", "Replace it", body="Object", headers=_SAME),
    Op("delete", "/v1/users/{user}/data", "Forget it", headers=_SAME),
    Op("post", "/v1/users/{user}/send", "Tell them something", body="Send", headers=_MINE),
    Op("get", "/v1/users/{user}/messages", "What was sent to them", _PAGE),
    Op("get", "/v1/events", "What happens", media=_STREAM, headers=_AGAIN),
    Op("get", "/v1/config", "The files, and what is wrong with them"),
    Op("post", "/v1/config/reload", "Read the files now", body="Reload"),
    Op("post", "/v1/config/check", "Say what is wrong and what would change", body="Empty"),
    Op("get", "/v1/status", "Everything about the daemon"),
    Op("get", "/v1/healthz", "Whether it does its work", answers=(200, 503)),
    Op("get", "/v1/readyz", "Whether it is ready", answers=(200, 503)),
    Op("get", "/v1/metrics", "Numbers for Prometheus", media=("text/plain",)),
    Op("get", "/v1/tokens", "Who may ask over TCP"),
    Op("post", "/v1/tokens", "Make a token", body="NewToken", answers=(201,)),
    Op("delete", "/v1/tokens/{token}", "Revoke a token", body="Revocation"),
    Op("post", "/v1/tokens/{token}/rotate", "Give a token another secret", body="Rotation"),
    Op("get", "/v1/audit", "Who has asked for what", _PAGE),
    Op("get", "/v1/openapi.json", "This document"),
)  # fmt: skip

_WORD: Final = {"type": "string", "maxLength": 200}
_FLAG: Final = {"type": "boolean"}
_QUERY: Final[dict[str, dict[str, Any]]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
    "n": {"type": "integer", "minimum": 1, "maximum": 100},
    "tail": {"type": "integer", "minimum": 0, "maximum": MAX_TAIL},
    "include_dynamic": _FLAG,
    "include_paused": _FLAG,
    "count": _FLAG,
    "follow": _FLAG,
    "sort": {"enum": ["name", "next", "last", "created"]},
    "offset": {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET},
    "exact": _FLAG,
    "delivery": {"enum": ["ok", "failed"]},
    "format": {"enum": ["ndjson", "text", "sse"]},
    "from": {"type": "string", "format": "date-time"},
    "since": {"type": "string", "format": "date-time"},
    "until": {"type": "string", "format": "date-time"},
}
_QUERY_OF_A_LOG: Final = {
    **_QUERY,
    "offset": {"type": "integer", "minimum": 0, "maximum": MAX_SKIPPED},
}

_HEADERS: Final = {
    "Idempotency-Key": "Requests with the same one are granted once, for 24 hours",
    "If-Match": "The ETag of what is to be changed: refused when it is not as it was",
    "If-None-Match": "The ETag of what the client has: 304 when nothing has changed",
    "Last-Event-ID": "The id of the last event that the client has got",
    "Luad-Run": "The run in which a handler asks",
}


def _object(required: tuple[str, ...] = (), **members: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": members,
    }
    return {**schema, "required": list(required)} if required else schema


_COMPONENTS: Final[dict[str, Any]] = {
    "Object": {"type": "object"},
    "Empty": _object(),
    "Activate": _object(catch_up={"enum": ["none", "one", "all"]}),
    "Deactivate": _object(
        reason={"type": "string", "maxLength": 500},
        until={"type": ["string", "number"]},
        author={"type": "string", "maxLength": 100},
        until_change=_FLAG,
    ),
    "Restore": _object(("revision",), revision={"type": "string"}),
    "Trigger": _object(
        metadata={"type": "object"},
        force=_FLAG,
        revision={"type": "string"},
        trigger={"enum": ["manual", "api"]},
    ),
    "Cancel": _object(kill=_FLAG),
    "Reload": _object(check_only=_FLAG),
    "Explain": _object(
        schedule={"type": "object"},
        expression={"type": "string"},
        timezone={"type": "string"},
        n={"type": "integer", "minimum": 1, "maximum": 100},
        phrase={"type": "string"},
        user={"type": "string"},
    ),
    "Send": _object(
        ("messages",),
        messages={"type": ["string", "object", "array"]},
        title={"type": "string", "maxLength": 500},
        channels={"type": "array", "items": {"type": "string"}, "minItems": 1},
        require={"enum": ["any", "all"]},
        priority={"enum": ["low", "normal", "high"]},
        dedupe_key={"type": "string", "maxLength": 300},
    ),
    "NewToken": _object(
        ("name",),
        name={"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"},
        role={"enum": ["viewer", "operator", "admin"]},
        expires_in={"type": ["string", "number"]},
    ),
    "Revocation": _object(made=_FLAG),
    "Rotation": _object(
        overlap={"type": ["string", "number"]}, expires_in={"type": ["string", "number"]}
    ),
    "Batch": _object(
        ("action",),
        action={"enum": ["create", "delete", "pause", "resume", "trigger"]},
        jobs={"type": "array", "maxItems": 10_000},
        filter={"type": "object"},
        dry_run=_FLAG,
        reason={"type": "string", "maxLength": 500},
        until={"type": ["string", "number"]},
    ),
    "Problem": {
        "type": "object",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string"},
            "detail": {"type": "string"},
            "hint": {"type": "string"},
            "suggestions": {"type": "array", "items": {"type": "string"}},
            "errors": {"type": "array", "items": {"type": "object"}},
            "instance": {"type": "string"},
            "request_id": {"type": "string"},
        },
    },
}


@cache
def document() -> dict[str, Any]:
    """Return the document; do not change it in place."""
    paths: dict[str, dict[str, Any]] = {}
    for op in OPERATIONS:
        paths.setdefault(op.path, {})[op.method] = _operation(op)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "luad",
            "version": __version__,
            "description": "Jobs on a schedule, made by files or at run time.",
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],  # whoever can open the Unix socket needs none
        "paths": paths,
        "components": {
            "schemas": {**_COMPONENTS, **_from_files()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(op: Op) -> dict[str, Any]:
    names = [part[1:-1] for part in op.path.split("/") if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    known = _QUERY_OF_A_LOG if op.path.endswith("/log") else _QUERY
    parameters += [
        {"name": name, "in": "query", "schema": known.get(name, _WORD)} for name in op.query
    ]
    parameters += [
        {"name": name, "in": "header", "description": _HEADERS[name], "schema": _WORD}
        for name in op.headers
    ]
    is_json = op.media == ("application/json",)
    content = _json("Object") if is_json else {each: {"schema": {}} for each in op.media}
    operation: dict[str, Any] = {
        "operationId": f"{op.method}{op.path.title().replace('/', '').replace('{', '').replace('}', '')}",
        "summary": op.summary,
        "parameters": parameters,
        "responses": {
            **{
                str(status): {"description": op.summary, "content": content}
                for status in op.answers
            },
            "default": {
                "description": "It could not be done",
                "content": {"application/problem+json": {"schema": _ref("Problem")}},
            },
        },
    }
    if "If-None-Match" in op.headers:
        operation["responses"]["304"] = {"description": "The client has it already"}
    if op.body:
        body = _json(op.body)
        if op.is_merge:
            body["application/merge-patch+json"] = body["application/json"]
        operation["requestBody"] = {"content": body}
    return operation


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(name)}}


def _from_files() -> dict[str, Any]:
    """Take over the schemas of the files, and what bodies say besides."""
    found: dict[str, Any] = {}
    for name, title in (("job", "NewJob"), ("users", "NewUser")):
        schema = _moved(copy.deepcopy(load_schema("job" if name == "job" else "users")), title)
        for key, each in schema.pop("$defs", {}).items():
            found[f"{title}.{key}"] = each
        schema.pop("$schema")
        schema.pop("$id")
        schema["properties"]["if_exists"] = {"enum": ["error", "keep", "replace"]}
        found[title] = schema
    job = found["NewJob"]
    job["required"] = ["handler"]
    job["properties"] |= {
        "in": {"type": ["string", "number"]},
        "user_id": job["properties"]["user"],
        "activate": _FLAG,
        "keep": _FLAG,
    }
    return found


def _moved(value: Any, title: str) -> Any:
    """Point references to where the definitions have gone."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref" and isinstance(each, str):
                value[key] = each.replace("#/$defs/", f"#/components/schemas/{title}.")
            else:
                _moved(each, title)
    elif isinstance(value, list):
        for each in value:
            _moved(each, title)
    return value
