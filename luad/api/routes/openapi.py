"""The OpenAPI document of a route table, with the schemas that files and bodies have in common.

Rule: pure; rows in, a document out.
"""

from __future__ import annotations

import copy
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from luad import __version__
from luad.api.http.parameters import WORD
from luad.api.json.answer_schemas import ANSWERS
from luad.api.json.body_schemas import BODIES, FLAG
from luad.api.routes.endpoint import JSON
from luad.config.schema.validator import load_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luad.api.routes.endpoint import Endpoint
    from luad.json_text import JsonObject

PREFIX: Final = "/v1/"

_HEADERS: Final = {
    "Idempotency-Key": "luad carries out requests with the same key once, for 24 hours",
    "If-Match": "The ETag that the client has read; 412 when it has changed since",
    "If-None-Match": "The ETag that the client has read; 304 when it is still current",
    "Last-Event-ID": "The id of the last event that the client received",
    "Luad-Run": "The run whose handler sends the request",
}


@cache
def document(table: tuple[Endpoint, ...]) -> JsonObject:
    """Return the document of the rows under `/v1`; do not change it in place."""
    paths: dict[str, JsonObject] = {}
    for row in table:
        if row.path.startswith(PREFIX):
            paths.setdefault(row.path, {})[row.method.lower()] = _operation(row)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "luad",
            "version": __version__,
            "description": "Jobs on a schedule, made by files or at run time.",
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],  # over the Unix socket no token is needed
        "paths": paths,
        "components": {
            "schemas": {**BODIES, **ANSWERS, **_from_files()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(row: Endpoint) -> JsonObject:
    method = row.method.lower()
    name = re.sub(r"\W", "", row.path.title())
    operation: JsonObject = {
        "operationId": f"{method}{name}",
        "summary": row.summary,
        "parameters": list(_parameters(row)),
        "responses": _responses(row),
    }
    if row.remote is None or row.remote.refuses:
        refused = "all requests" if row.remote is None else row.remote.refuses
        operation["description"] = f"Over TCP luad refuses {refused}."
    if row.body:
        body = _json(row.body)
        if row.takes_merge_patch:
            body["application/merge-patch+json"] = body["application/json"]
        operation["requestBody"] = {"content": body}
    return operation


def _parameters(row: Endpoint) -> Iterator[JsonObject]:
    for part in row.path.split("/"):
        if part.startswith("{"):
            yield {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
    for each in row.query or ():
        yield {"name": each.name, "in": "query", "schema": each.schema}
    for header in row.headers:
        about = _HEADERS[header]
        yield {"name": header, "in": "header", "description": about, "schema": WORD}


def _responses(row: Endpoint) -> JsonObject:
    content = {
        each: _json(row.answer)[each] if each in JSON else {"schema": {}} for each in row.media
    }
    problem = {"application/problem+json": {"schema": _ref("Problem")}}
    responses: JsonObject = {
        str(status): {
            "description": row.summary,
            "content": content if status < 400 else {**content, **problem},
        }
        for status in row.statuses
    }
    if "If-None-Match" in row.headers:
        responses["304"] = {"description": "The client has the current version"}
    return {**responses, "default": {"description": "The request failed", "content": problem}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str) -> JsonObject:
    return {"application/json": {"schema": _ref(name)}}


def _from_files() -> JsonObject:
    """Return the schemas of job and users files, with the members that only bodies have."""
    found: JsonObject = {}
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
        "activate": FLAG,
        "keep": FLAG,
    }
    return found


def _moved(value: Any, title: str) -> Any:
    """Return *value* with each reference to a definition renamed to its component.

    It has no `default`: that of a file's schema is text for editors, which a generated client would send.
    """
    if isinstance(value, dict):
        value.pop("default", None)
        for key, each in value.items():
            if key == "$ref" and isinstance(each, str):
                value[key] = each.replace("#/$defs/", f"#/components/schemas/{title}.")
            else:
                _moved(each, title)
    elif isinstance(value, list):
        for each in value:
            _moved(each, title)
    return value
