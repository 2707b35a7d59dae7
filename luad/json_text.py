"""JSON text of the API's answers.

Room rule: one encoder, made once: `json.dumps` with options makes a new one for every call.
"""

from __future__ import annotations

import json
from typing import Any, Final

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

encode_text = _ENCODER.encode


def encode(value: Any) -> bytes:
    """Return *value* as compact UTF-8 JSON. Half surrogate pairs, which no UTF-8 can hold and which
    a handler may well print, become question marks."""
    return to_bytes(encode_text(value))


def to_bytes(text: str) -> bytes:
    """Encode JSON *text* as UTF-8, see `encode`."""
    return text.encode("utf-8", "replace")
