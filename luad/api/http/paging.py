"""Cursors: where a page of a list has ended.

Room rule: opaque to clients, and checked when they come back.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from luad.api.http.request_input import wrong_parameter


def make_cursor(place: tuple[Any, ...]) -> str:
    """Return the cursor of a page that ends at *place*: numbers and texts."""
    return urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[Any, ...]:
    """Return the place of a cursor. Raises `ApiError` (validation) for one that is not ours."""
    try:
        place = json.loads(urlsafe_b64decode((text + "=" * (-len(text) % 4)).encode("ascii")))
    except (ValueError, RecursionError):
        place = None
    if not isinstance(place, list) or not all(map(_is_ours, place)):
        raise wrong_parameter("cursor", "this is no cursor", "take it from `next_cursor`")
    return tuple(place)


def _is_ours(value: Any) -> bool:
    """Say whether *value* is a text, or a number that a database can hold."""
    return isinstance(value, str) or (type(value) is int and -(2**63) <= value < 2**63)
