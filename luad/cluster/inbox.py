"""Rows of the inbox: requests and reports on their way to the engine of a shard.

Rule: whatever reaches an engine from elsewhere is a row here; rows of unknown kinds are bad rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from luad.cluster.bodies import BadBodyError, read_value, write_value
from luad.core.events import AttemptEnded, AttemptStarted, Reply

if TYPE_CHECKING:
    from luad.core.events import Event
    from luad.core.requests import Request

Report = AttemptStarted | AttemptEnded


class InboxKind(StrEnum):
    """The sender of a row: a client that waits for a reply, or the worker of an attempt."""

    REQUEST = "request"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class InboxRow:
    """One row. *seq*: its place in the order; *asker*: the node that waits for the reply."""

    seq: int
    shard: int
    kind: str
    body_json: str
    request_id: str | None = None
    asker: str | None = None


def body_of(event: Request | Report) -> str:
    """Return the body of the row that carries *event*, as ASCII JSON."""
    return json.dumps(write_value(event), separators=(",", ":"))


def event_of(row: InboxRow) -> Event:
    """Return the event that *row* carries. Raises BadBodyError for a row that no engine can take."""
    try:
        value = read_value(json.loads(row.body_json))
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadBodyError(f"the body is not JSON: {error}") from error
    is_report = isinstance(value, Report)
    has_id = getattr(value, "request_id", None) is not None
    if row.kind == InboxKind.REPORT and is_report:
        return value  # type: ignore[no-any-return] # a report is an event
    if row.kind == InboxKind.REQUEST and has_id and value.request_id == row.request_id:
        return value  # type: ignore[no-any-return] # so is a request
    raise BadBodyError(f"a {row.kind} cannot carry {type(value).__name__}")


def reply_body(reply: Reply) -> str:
    """Return the body of the row that carries *reply*, as ASCII JSON."""
    body = {
        "value": write_value(reply.value),
        "error": reply.error,
        "message": reply.message,
        "hint": reply.hint,
    }
    return json.dumps(body, separators=(",", ":"))


def reply_of(request_id: str, body_json: str) -> Reply:
    """Return the reply that a row carries. Raises BadBodyError for a body of another kind."""
    body = json.loads(body_json)
    value = read_value(body["value"])
    return Reply(request_id, value, body["error"], body["message"], body["hint"])
