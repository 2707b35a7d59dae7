"""The JSON Schemas of request bodies; those of job and users files are the schemas of these files.

Rule: values only. The keys that a route accepts are the properties of its schema.
"""

from __future__ import annotations

from typing import Any, Final

from luad.json_text import JsonObject

FLAG: Final[JsonObject] = {"type": "boolean"}


def _object(required: tuple[str, ...] = (), **members: Any) -> JsonObject:
    schema: JsonObject = {
        "type": "object",
        "additionalProperties": False,
        "properties": members,
    }
    return {**schema, "required": list(required)} if required else schema


_PART: Final = [{"type": "string"}, {"type": "object"}]
"""A text or part of a message; a name or document of a job."""

BODIES: Final[JsonObject] = {
    "Object": {"type": "object"},
    "Empty": _object(),
    "Activate": _object(catch_up={"enum": ["none", "one", "all"]}),
    "Deactivate": _object(
        reason={"type": "string", "maxLength": 500},
        until={"type": ["string", "number"]},
        author={"type": "string", "maxLength": 100},
        until_change=FLAG,
    ),
    "Acknowledge": _object(
        note={"type": "string", "maxLength": 500}, until={"type": ["string", "number"]}
    ),
    "Restore": _object(("revision",), revision={"type": "string"}),
    "Trigger": _object(
        metadata={"type": "object"},
        force=FLAG,
        revision={"type": "string"},
        trigger={"enum": ["manual", "api"]},
    ),
    "Cancel": _object(kill=FLAG),
    "Reload": _object(check_only=FLAG, publish=FLAG),
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
        messages={"anyOf": [*_PART, {"type": "array", "items": {"anyOf": _PART}}]},
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
    "NewCode": _object(role={"enum": ["viewer", "operator", "admin"]}, host={"type": "string"}),
    "Revocation": _object(made=FLAG),
    "Rotation": _object(
        overlap={"type": ["string", "number"]}, expires_in={"type": ["string", "number"]}
    ),
    "RunBatch": _object(
        ("action",),
        action={"enum": ["retry", "cancel"]},
        runs={"type": "array", "maxItems": 10_000, "items": {"type": "string"}},
        filter={"type": "object"},
        dry_run=FLAG,
        kill=FLAG,
    ),
    "Batch": _object(
        ("action",),
        action={"enum": ["create", "delete", "pause", "resume", "trigger"]},
        jobs={"type": "array", "items": {"anyOf": _PART}, "maxItems": 10_000},
        filter={"type": "object"},
        dry_run=FLAG,
        reason={"type": "string", "maxLength": 500},
        until={"type": ["string", "number"]},
    ),
}
