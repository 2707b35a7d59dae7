"""Cursors of pages: where a page of a list has ended.

Rule: opaque to clients, and checked when a client sends one back.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

from luad.errors import UsageError


def make_cursor(place: Sequence[int | str]) -> str:
    """Return the cursor of a page that ends at *place*."""
    return urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[Any, ...]:
    """Return the place of a cursor. Raises UsageError for a text that is not a cursor of luad's."""
    try:
        place = json.loads(urlsafe_b64decode((text + "=" * (-len(text) % 4)).encode("ascii")))
    except (ValueError, RecursionError):
        place = None
    if not isinstance(place, list) or not all(map(_can_be_stored, place)):
        raise UsageError("this is not a cursor", hint="take it from `next_cursor`")
    return tuple(place)


def read_row_cursor(text: str) -> tuple[int, str]:
    """Return the instant and the id in a cursor of rows. Raises UsageError as `read_cursor` does."""
    match read_cursor(text):
        case (int(at), str(row_id)) if row_id.isascii():
            return at, row_id
    raise UsageError("this is not a cursor of this list", hint="take it from `next_cursor`")


def _can_be_stored(value: object) -> bool:
    """Say whether *value* is a text, or a number that a 64-bit column holds."""
    return isinstance(value, str) or (type(value) is int and -(2**63) <= value < 2**63)
