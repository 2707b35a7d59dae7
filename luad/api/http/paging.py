"""Cursors in the query of a request.

Rule: a wrong cursor is a wrong parameter, refused as one.
"""

from __future__ import annotations

from typing import Any

from luad import cursors
from luad.api.http.request_input import wrong_parameter
from luad.cursors import make_cursor
from luad.errors import UsageError

__all__ = ["make_cursor", "read_cursor"]


def read_cursor(text: str) -> tuple[Any, ...]:
    """Return the place of a cursor. Raises `ApiError` (validation) for a text that is not one."""
    try:
        return cursors.read_cursor(text)
    except UsageError as error:
        raise wrong_parameter("cursor", error.message, error.hint) from None
