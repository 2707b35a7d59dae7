"""JSON text of the API's answers, and the type of its objects.

Rule: one encoder, made once, because `json.dumps` with options makes a new one for every call.
"""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""An object read from JSON or written to it; the types of its members are not checked."""

_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
)

encode_text = _ENCODER.encode


def encode(value: object) -> bytes:
    """Return *value* as compact UTF-8 JSON.

    Lone surrogates, which a handler may print and UTF-8 cannot hold, become question marks.
    """
    return to_bytes(encode_text(value))


def to_bytes(text: str) -> bytes:
    """Return JSON *text* as UTF-8; lone surrogates are replaced as in `encode`."""
    return text.encode("utf-8", "replace")
