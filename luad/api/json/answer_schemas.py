"""The JSON Schemas of the answers: one for each shape that `views` and the routes return.

Rule: values only. A member that may be missing is not required; clients ignore members they do not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from luad.core.installed import JobHealth, JobStatus
from luad.core.messaging import DeliveryState
from luad.core.model import RunState, Trigger
from luad.store.query_types import NodeStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

Schema: TypeAlias = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
FLAG: Final[Schema] = {"type": "boolean"}
FREE: Final[Schema] = {"type": "object"}
INSTANT: Final[Schema] = {"type": "string", "format": "date-time"}
ANY: Final[Schema] = {}


def _or_null(schema: Schema) -> Schema:
    if "properties" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _one_of(words: Iterable[str]) -> Schema:
    return {"type": "string", "enum": [str(each) for each in words]}


def _all(names: str, schema: Schema) -> Schema:
    """Return members of one schema."""
    return dict.fromkeys(names.split(), schema)


def _object(*members: Schema, optional: Schema | None = None) -> Schema:
    """Return an object of which all *members* are always there, and the *optional* ones sometimes."""
    properties = {name: schema for each in members for name, schema in each.items()}
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
    }


def _part(members: Schema) -> Schema:
    """Return an object of which only the id is always there."""
    return _object({"id": TEXT}, optional=members)


def _loose(members: Schema) -> Schema:
    """Return *members* of which those that are objects may lack any of their own members."""
    return {
        name: {"anyOf": [{**each, "required": []} for each in schema["anyOf"]]}
        if "anyOf" in schema
        else schema
        for name, schema in members.items()
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXTS: Final = _list(TEXT)
_MAY_TEXT: Final = _or_null(TEXT)
_MAY_WHOLE: Final = _or_null(WHOLE)
_MAY_INSTANT: Final = _or_null(INSTANT)

_CURSOR: Final = _all("next_cursor", _MAY_TEXT)
_SOURCE: Final = _one_of(("file", "api"))
_ERROR: Final = _all("type message", TEXT)
_TIMES: Final = _all("started_at completed_at", _MAY_INSTANT) | _all("duration_ms", _MAY_WHOLE)
_RECENT_RUN: Final = _object(
    {"id": TEXT, "status": _one_of(RunState), "duration_ms": _MAY_WHOLE}, optional={"reason": TEXT}
)
_SCHEDULE: Final = _object(
    {"type": _one_of(("cron", "interval", "once"))},
    optional=_all("expression timezone", TEXT)
    | {"seconds": NUMBER}
    | _all("start_at execute_at", INSTANT),
)
_RETRY: Final = _object(
    {"max_attempts": WHOLE},
    _all("backoff_seconds backoff_multiplier max_backoff_seconds", NUMBER),
)
_PAUSE: Final = _object(_all("reason author", TEXT), _all("until at", _MAY_INSTANT))
_ORIGIN: Final = {"path": TEXT, "line": WHOLE, "stale": FLAG}
JOB: Final[Schema] = {
    **_all(
        "id name description handler schedule_text timezone overlap catch_up isolation queue revision",
        TEXT,
    ),
    **_all("summary", TEXT),
    **_all("dynamic enabled active holds_name", FLAG),
    **_all("running queued consecutive_failures", WHOLE),
    **_all("next_run_at next_scheduled_for over_at gone_at", _MAY_INSTANT),
    "source": _SOURCE,
    "schedule": _SCHEDULE,
    "tags": _TEXTS,
    "timeout_seconds": _or_null(NUMBER),
    "retry": _RETRY,
    "user_id": _MAY_TEXT,
    "metadata": FREE,
    "creation": _or_null(_object({"at": INSTANT, "author": TEXT, "run_id": _MAY_TEXT})),
    "status": _one_of(JobStatus),
    "alert": _or_null(_object({"cause": TEXT})),
    "health": _one_of(JobHealth),
    "last_run": _or_null(_object({"id": TEXT, "status": _one_of(RunState)}, _TIMES)),
    "pause": _or_null(_PAUSE),
    "file": _or_null(_object(_ORIGIN, {"revision": TEXT})),
    "recent_runs": _list(_RECENT_RUN),
}
_WHOLE_JOB: Final[Schema] = {
    **JOB,
    "next_run_in_seconds": _or_null(NUMBER),
    "installed_at": _MAY_INSTANT,
    "definition": FREE,
    "running_runs": _TEXTS,
}
_RUN: Final[Schema] = {
    **_all("id job job_id revision", TEXT),
    **_all("user_id reason result_omitted retry_of", _MAY_TEXT),
    **_all("scheduled_for fire_at claimed_at first_scheduled_for", INSTANT),
    **_all("attempt missed_count count dropped_bytes left_processes left_tasks", WHOLE),
    **_all("start_delay_ms max_attempts exit_code signal pid", _MAY_WHOLE),
    **_all("count_is_capped result_truncated retryable", FLAG),
    **_TIMES,
    "status": _one_of(RunState),
    "trigger": _one_of(Trigger),
    "metadata": _or_null(FREE),
    "result": ANY,
    "error": _or_null(_object(_ERROR, {"traceback": _MAY_TEXT})),
    "retry_at": _MAY_INSTANT,
}
LISTED_RUN: Final[Schema] = {
    **_RUN,
    "resumed_by": _TEXTS,
    "sent": _or_null(_object(_all("delivered total", WHOLE))),
}
_ATTEMPT: Final = _object(
    {"attempt": WHOLE, "ended": _MAY_TEXT, "error": _or_null(_object(_ERROR))},
    _all("pid exit_code signal", _MAY_WHOLE),
    _TIMES,
)
_DELIVERY: Final[Schema] = {
    **_all("message_id user_id channel", TEXT),
    **_all("ok degraded", FLAG),
    **_all("error answer", _MAY_TEXT),
    "status": _one_of(DeliveryState),
    "started_at": _MAY_INSTANT,
    "elapsed_ms": _MAY_WHOLE,
}
_LISTED_DELIVERY: Final = _object(_DELIVERY, {"title": TEXT}, _all("job run_id", _MAY_TEXT))
_DELIVERIES: Final = {"deliveries": _list(_ref("Delivery"))}
_MESSAGE: Final = _object(
    _all("id user_id title priority kind", TEXT),
    _all("job run_id", _MAY_TEXT),
    {"at": INSTANT, "parts": _list(FREE)},
    _DELIVERIES,
)
_USER: Final[Schema] = {
    "id": TEXT,
    **_all("full_name timezone", _MAY_TEXT),
    **_all("emails phones", _TEXTS),
    "channels": _list(_object(_all("name type url", TEXT))),
    "source": _SOURCE,
    "file": _or_null(_object(_ORIGIN)),
}
_LAST: Final = {"last_delivery": _or_null(_object(_DELIVERY))}
_LISTED_CHANNEL: Final = _object(_all("name type url", TEXT), optional=_LAST)
_WATCHED_CHANNEL: Final = _object(_all("name type url", TEXT), _LAST)
_FIRE: Final = _object(_all("at scheduled_for", INSTANT), _all("job timezone note", TEXT))
_FILE_PROBLEM: Final = _object(
    _all("code name severity filename message help pointer url", TEXT),
    _all("location end_location", _object(_all("row column", WHOLE))),
    {"job": _MAY_TEXT, "fix": _or_null(FREE), "fixable": FLAG},
)
_ROLE: Final = _one_of(("viewer", "operator", "admin"))
_SHOWN_PROBLEM: Final[Schema] = {
    **_FILE_PROBLEM,
    "properties": {
        **_FILE_PROBLEM["properties"],
        "excerpt": _list(_object({"line": WHOLE, "text": TEXT})),
    },
}
_FILE_JOB: Final = _object(_all("name id revision", TEXT), {"line": _MAY_WHOLE, "definition": FREE})
_TOKEN: Final[Schema] = {
    **_all("name created_by", TEXT),
    "role": _ROLE,
    "created_at": INSTANT,
    **_all("expires_at last_used_at rotated_at overlap_until", _MAY_INSTANT),
}
_SESSION: Final = _object(
    _all("id account host agent", TEXT),
    {"role": _ROLE, "is_own": FLAG},
    _all("created_at last_used_at expires_at", INSTANT),
)
_REFUSAL: Final = _object(_all("code detail", TEXT), optional={"hint": TEXT, "errors": _list(FREE)})
_CREATION: Final = {"created": FLAG, "earlier_id": _MAY_TEXT}
_OUTCOME: Final = _object(
    {"job": _MAY_TEXT, "ok": FLAG, "status": WHOLE},
    optional={**_all("id run_id", TEXT), **_CREATION, "error": _REFUSAL},
)
_DIFFERENCE: Final = _object({"key": TEXT, "then": ANY, "now": ANY})
_GOOD_RUN: Final = _object(
    _all("id revision", TEXT),
    {"scheduled_for": INSTANT},
    _all("started_at completed_at", _MAY_INSTANT),
)
_RUN_OUTCOME: Final = _object(
    {"run": TEXT, "ok": FLAG, "status": WHOLE},
    optional={**_all("job job_id", TEXT), "new_run_id": _MAY_TEXT, "error": _REFUSAL},
)
_REVISION: Final = _object(
    {"revision": TEXT, "is_current": FLAG, "definition": FREE},
    _all("first_seen_at last_installed_at", _MAY_INSTANT),
    {"difference": _list(_DIFFERENCE)},
)
_ACTIVITY: Final = _object(
    {"at": INSTANT},
    _all("request_id actor summary", TEXT),
    _all("reason via job job_id run_id new_run_id from_run", _MAY_TEXT),
    _all("status job_count", _MAY_WHOLE),
)
_ATTENTION: Final[Schema] = {
    **_all("id subject text link", TEXT),
    "kind": _one_of(
        [
            "daemon",
            "queue",
            "failing",
            "paused_by_failures",
            "missed",
            "late",
            "slow",
            "file",
            "delivery",
        ]
    ),
    **_all("job job_id run_id user_id", _MAY_TEXT),
    "since": _MAY_INSTANT,
    "count": WHOLE,
    "acknowledged": _or_null(
        _object({"at": INSTANT}, _all("author note", TEXT), {"until": _MAY_INSTANT})
    ),
}
_OUTCOMES: Final[Schema] = {
    "runs": WHOLE,
    "status": _object(dict.fromkeys(map(str, RunState), WHOLE)),
    "success_rate": _or_null(NUMBER),
}
_NODE: Final = _object(
    {"name": TEXT, "status": _one_of(NodeStatus), "shards": WHOLE, "version": TEXT},
    {"files_digest": _MAY_TEXT, "clock_offset_ms": _MAY_WHOLE, "seen_at": INSTANT},
)
_WORKER: Final = _object(
    _all("name life", TEXT),
    {"node": _MAY_TEXT, "queues": _TEXTS, "version": TEXT, "code_digest": _MAY_TEXT},
    _all("started_at seen_at", INSTANT),
)
_CHANGES: Final = _list(_object({"name": TEXT, "changes": _TEXTS}))
_DELETED: Final[Schema] = {"deleted": FLAG, "message": TEXT}
_FILES: Final = {"problems": _list(_FILE_PROBLEM), "stale": _TEXTS}

ANSWERS: Final[Schema] = {
    "Job": _object(_WHOLE_JOB),
    "ChangedJob": _part({**_WHOLE_JOB, **_CREATION}),
    "ListedJob": _object(optional=JOB),  # `fields` leaves members out
    "Jobs": _object(
        {"jobs": _list(_ref("ListedJob")), "hidden_dynamic": WHOLE, "broken_files": _TEXTS},
        _CURSOR,
        optional={"total": WHOLE},
    ),
    "DeletedJob": _object(_DELETED, {"deactivated": FLAG}),
    "BatchResult": _object({"results": _list(_OUTCOME)}, _all("count remaining", WHOLE)),
    "RunChanges": _object(
        _all("run revision", TEXT),
        {"last_good": _or_null(_GOOD_RUN), "is_complete": FLAG},
        _all("definition metadata", _list(_DIFFERENCE)),
        {"software": _list(_object({"name": TEXT}, _all("then now", _MAY_TEXT)))},
        {
            "handler_file": _or_null(
                _object({"path": TEXT, "modified_at": INSTANT, "has_changed": FLAG})
            )
        },
    ),
    "RunBatchResult": _object(
        {"results": _list(_RUN_OUTCOME), "is_complete": FLAG}, _all("count remaining", WHOLE)
    ),
    "Revisions": _object({"revisions": _list(_REVISION), "can_restore": FLAG, "reason": _MAY_TEXT}),
    "StartedRun": _part(_RUN),
    "ListedRun": _object(optional=_loose(LISTED_RUN)),  # `fields` leaves members out
    "Run": _object(
        LISTED_RUN, {"attempts": _list(_ATTEMPT), "created_jobs": _list(ANY)}, _DELIVERIES
    ),
    "Runs": _object(
        {"runs": _list(_ref("ListedRun")), "is_complete": FLAG},
        _CURSOR,
        optional={"total": {"type": ["integer", "string"]}},
    ),
    "Attention": _object(_ATTENTION),
    "AttentionList": _object({"attention": _list(_ref("Attention")), "is_complete": FLAG}),
    "Why": _object(
        _all("job job_id text summary", TEXT),
        {"at": _MAY_INSTANT, "run": _or_null(_object(_RUN))},
    ),
    "Handler": _object(
        _all("handler place", TEXT),
        {"params": _or_null({"type": "object"})},
        {"problem": _or_null(_object(_all("code message help", TEXT)))},
    ),
    "JobStats": _object(
        _all("job job_id", TEXT),
        _OUTCOMES,
        {"since": _MAY_INSTANT},
        _all("p50_ms p95_ms longest_ms mean_start_delay_ms", _MAY_WHOLE),
    ),
    "Stats": _object(
        _all("since covered_since", INSTANT),
        {"is_complete": FLAG, "by": _one_of(("status", "hour", "job"))},
        {"total": _object(_OUTCOMES)},
        {"rows": _list(_object({"at": _MAY_INSTANT}, _all("job job_id", _MAY_TEXT), _OUTCOMES))},
    ),
    "Delivery": _object(_DELIVERY),
    "Deliveries": _object(_DELIVERIES),
    "AllDeliveries": _object({"deliveries": _list(_LISTED_DELIVERY), "is_complete": FLAG}, _CURSOR),
    "Next": _object({"next": _list(_FIRE), "is_complete": FLAG}),
    "Explanation": _object(
        {"text": _MAY_TEXT, "next": _list(_object({"at": INSTANT}))},
        {"notes": _TEXTS, "problems": _list(FREE)},
        optional={"at": INSTANT, "timezone": TEXT},
    ),
    "ListedUser": _object({**_USER, "channels": _list(_LISTED_CHANNEL)}),
    "Users": _object({"users": _list(_ref("ListedUser"))}, _CURSOR),
    "User": _object(_USER, {"channels": _list(_WATCHED_CHANNEL), "data": FREE}),
    "Deleted": _object(_DELETED),
    "Sent": _object(
        {"ok": FLAG, "require": TEXT, "deliveries": _list(_object({"index": WHOLE}, _DELIVERY))}
    ),
    "Messages": _object({"messages": _list(_MESSAGE)}, _CURSOR),
    "Config": _object(
        {"files": _list(_object(_all("id path", TEXT), {"stale": FLAG, "jobs": _TEXTS}))}, _FILES
    ),
    "ConfigFile": _object(
        _all("id path", TEXT),
        {"text": _MAY_TEXT},
        _all("is_whole is_readable", FLAG),
        {"problems": _list(_SHOWN_PROBLEM), "jobs": _list(_FILE_JOB)},
    ),
    "Reloaded": _object(
        _all("added removed", _TEXTS),
        {"replaced": _CHANGES, "kept": WHOLE},
        _FILES,
        optional={"in_force": FLAG, "nodes_behind": _TEXTS},
    ),
    "Status": _object(
        {"status": TEXT, "server_time": INSTANT, "problems": _list(ANY)},
        {"self_deleted": _list(FREE)},
        _all("jobs runs store", FREE),
    ),
    "Nodes": _object(
        {"nodes": _list(_NODE), "workers": _list(_WORKER), "code_digest": _MAY_TEXT},
        _all("shards free_shards", WHOLE),
    ),
    "Health": _object(
        {"status": TEXT}, optional=_all("faults stale broken_files", _TEXTS) | {"comparing": TEXT}
    ),
    "Readiness": _object({"ready": FLAG}),
    "Caller": _object(
        _all("name via", TEXT),
        {"role": _ROLE, "server_time": INSTANT, "uid": _MAY_WHOLE},
        {"token": _MAY_TEXT, "expires_at": _MAY_INSTANT},
    ),
    "Tokens": _object({"tokens": _list(_object(_TOKEN))}),
    "Sessions": _object({"sessions": _list(_SESSION)}),
    "NewSecret": _object(_TOKEN, {"token": TEXT}, optional={"message": TEXT}),
    "SignInCode": _object(_all("url role account expires_at", TEXT), {"session_seconds": WHOLE}),
    "RevokedTokens": _object(_DELETED, _all("revoked made", _TEXTS)),
    "Audit": _object({"entries": _list(FREE), "is_complete": FLAG}, _CURSOR),
    "Activity": _object({"entries": _list(_ACTIVITY), "is_complete": FLAG}, _CURSOR),
    "Problem": _object(
        _all("type title code detail", TEXT),
        {"status": WHOLE},
        optional=_all("hint instance request_id", TEXT)
        | {"suggestions": _TEXTS, "errors": _list(FREE)},
    ),
}
