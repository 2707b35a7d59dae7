"""Checks answers of the API against the schemas of its OpenAPI document."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from luad.api.routes.endpoint import JSON
from luad.api.routes.openapi import document
from luad.api.routes.table import API, TABLE

MOST_BYTES = 20_000
OPEN = {"Status"}
"""Shapes to which the daemon may add members."""


def check_answer(method: str, target: str, status: int, body: bytes) -> None:
    """Assert that an answer has the shape that the document states, and no member that it lacks."""
    method = "GET" if method == "HEAD" else method
    rows = [row for row in API.at(target.partition("?")[0]) if row.method == method]
    if "format=ics" in target:
        return
    if not rows or rows[0].media != JSON or len(body) > MOST_BYTES or not body:
        return
    values = json.loads(body)
    is_problem = status not in rows[0].statuses or (status >= 400 and "code" in values)
    name = "Problem" if is_problem else rows[0].answer
    errors = [
        f"{method} {target[:80]} {status}: {error.json_path}: {error.message[:200]}"
        for error in _validator(name).iter_errors(values)
    ]
    assert not errors, errors[:3]


@cache
def _validator(name: str) -> Draft202012Validator:
    whole = copy.deepcopy(document(TABLE))
    answers = {row.answer for row in TABLE} | {"ListedJob", "ListedRun", "ListedUser", "Delivery"}
    for each in answers - OPEN:
        _close(whole["components"]["schemas"][each])
    return Draft202012Validator({**whole, "$ref": f"#/components/schemas/{name}"})


def _close(schema: Any) -> None:
    if isinstance(schema, dict):
        if "properties" in schema:
            schema["additionalProperties"] = False
        for each in schema.values():
            _close(each)
    elif isinstance(schema, list):
        for each in schema:
            _close(each)
